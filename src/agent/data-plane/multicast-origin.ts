/**
 * The sending side of multicast for one content: begins a session when several receivers that multicast reaches lack much, invites them,
 * and fills its blocks with what they lack.
 *
 * Who lacks what is known from the tracker (how much) and from what each says when it joins (which chunks). One session per interface and
 * family; a receiver is in one. Who is not reached, has too little missing, or dropped out is left to the swarm, whose peers get it
 * from those that multicast reaches. What a session carries counts as handed out, and as sent.
 *
 * How datagrams get there is the matter of the session's machine (core/multicast); what receivers do with a block that of `multicast-intake.ts`.
 * docs/specs/11-multicast-transfer.md.
 */
import { randomBytes } from 'node:crypto'
import { pickGroup } from '../../core/multicast/addresses.ts'
import { encodeInvitation } from '../../core/multicast/invitation.ts'
import type { SenderStatus } from '../../core/multicast/session-machine-types.ts'
import type { Clock } from '../clock.ts'
import { asPolycastError, type PolycastError } from '../errors.ts'
import { keyIdOf } from '../multicast/session/cipher.ts'
import type { MulticastSessions, SenderEvent, SenderHandle } from '../multicast/session/client.ts'
import { Throttle } from '../throttle.ts'
import type { ReachedNode } from './data-plane.ts'
import type { BlockSource } from './multicast-blocks.ts'
import type { MulticastSettings } from './worker-protocol.ts'

/** A receiver as the tracker knows it. */
export interface Candidate {
  readonly id: string
  readonly haveBytes: number
  readonly isComplete: boolean
}

/** What it needs of the session of its content. */
export interface OriginHost {
  readonly settings: MulticastSettings
  readonly sessions: MulticastSessions
  /** Counted on, all contents of the node together. */
  readonly figures: OriginFigures
  reached(): readonly ReachedNode[]
  /** The primary key of the group; undefined where nothing is encrypted. */
  key(): Uint8Array | undefined
  candidates(): Iterable<Candidate>
  /** Of the content; undefined as long as nobody knows it. */
  totalBytes(): number | undefined
  /** What is to be sent in one session. */
  blocks(maxPayloadBytes: number): BlockSource
  /** All receivers that multicast reaches in sessions that run. */
  covered(names: ReadonlySet<string>): void
  /** Sends an invitation to a receiver; false where there is no connection with it. */
  invite(name: string, invitation: Uint8Array): boolean
  /** So many bytes more were sent. */
  sent(bytes: number): void
  log(level: 'info' | 'warn', message: string, fields: Record<string, unknown>): void
  now(): number
  after(ms: number, what: () => void): () => void
}

/** Source symbols of a block: larger ones need less parity for the same loss. */
const BLOCK_SYMBOLS = 200
/** Receivers are looked at, and told of, no more often than this, ms: each of thousands announces itself twice a second. */
const LOOK_MS = 25
/** Who dropped out is invited again after this, ms; each time twice as long. */
const AGAIN_MS = 2000
const MAX_AGAIN_MS = 60_000
/** Who has got everything is not invited again because it has not said so yet, ms. */
const SERVED_MS = 1500
/** Parity per source packet from which on a network counts as one in which TCP is slow. */
const LOSSY_SHARE = 0.05
/** Without header and UDP: what the smallest network that IPv4 allows lets through. */
const LEAST_DATAGRAM_BYTES = 512
const SALT_BYTES = 16

/** What multicast has sent of one content. */
export interface OriginFigures {
  sessions: number
  /** On the network, UDP payload: chunks, parity and control packets. */
  sentBytes: number
  sourcePackets: number
  proactivePackets: number
  repairPackets: number
}

interface Dropped {
  readonly until: number
  readonly times: number
}

/** The multicast of one content that this node sends. */
export class MulticastOrigin {
  readonly #host: OriginHost
  /** By interface and family. */
  readonly #running: Map<string, Sending> = new Map()
  readonly #dropped: Map<string, Dropped> = new Map()
  /** Ways whose last session was for a network in which TCP is slow: there a session is worth it for a single receiver that came late. */
  readonly #lossy: Set<string> = new Set()
  readonly #looks: Throttle
  readonly #tells: Throttle
  #isEnded = false

  constructor(host: OriginHost) {
    this.#host = host
    const clock: Pick<Clock, 'schedule'> = { schedule: (delayMs, what) => host.after(delayMs, what) }
    this.#looks = new Throttle(clock, LOOK_MS, () => this.#look())
    this.#tells = new Throttle(clock, LOOK_MS, () => this.#tellCovered())
    if (this.#isWorthIt(host.totalBytes()) && host.reached().length >= host.settings.minReceivers) host.sessions.prepare()
  }

  get isActive(): boolean {
    return this.#running.size > 0
  }

  /** A receiver said how far it is, or who is reached has changed. */
  changed(): void {
    if (!this.#isEnded) this.#looks.poke()
  }

  /** A receiver says that nothing of a session comes to it: others are to stand above it from now on, whatever the session thinks. */
  declined(name: string): void {
    for (const sending of this.#running.values()) if (sending.reached.delete(name)) this.#tells.poke()
  }

  /** There is more of the content, or it has its end. */
  grew(): void {
    for (const sending of this.#running.values()) sending.fill()
  }

  end(): void {
    this.#isEnded = true
    this.#looks.close()
    this.#tells.close()
    for (const sending of this.#running.values()) sending.stop()
    this.#running.clear()
  }

  // ---- who is invited ----

  #look(): void {
    const { settings } = this.#host
    const reached = this.#host.reached()
    if (reached.length === 0 || !this.#isWorthIt(this.#host.totalBytes())) return
    const ways = new Map<string, ReachedNode[]>()
    for (const node of this.#wanting(reached)) {
      const way = wayOf(node)
      const list = ways.get(way)
      if (list === undefined) ways.set(way, [node])
      else list.push(node)
    }
    // The way that reaches the most goes first, so that who is reached by several is with the others.
    const invited = new Set<string>()
    for (const [way, nodes] of [...ways].toSorted((a, b) => b[1].length - a[1].length)) {
      const fresh = nodes.filter(({ name }) => !invited.has(name))
      const running = this.#running.get(way)
      const least = this.#lossy.has(way) ? 1 : settings.minReceivers
      if (running === undefined && fresh.length < least) continue
      for (const { name } of fresh) invited.add(name)
      if (running !== undefined) running.invite(fresh)
      else this.#begin(way, fresh)
    }
  }

  /** Reached nodes that lack enough and are in no session. */
  #wanting(reached: readonly ReachedNode[]): ReachedNode[] {
    const total = this.#host.totalBytes() ?? Infinity
    const now = this.#host.now()
    const lacking = new Set<string>()
    for (const { id, haveBytes, isComplete } of this.#host.candidates()) {
      if (isComplete || total - haveBytes < Math.min(this.#host.settings.minBytes, total)) continue
      if ((this.#dropped.get(id)?.until ?? -Infinity) > now) continue
      let isIn = false
      for (const sending of this.#running.values()) if (sending.has(id)) isIn = true
      if (!isIn) lacking.add(id)
    }
    return reached.filter(({ name, datagramBytes }) => lacking.has(name) && datagramBytes >= LEAST_DATAGRAM_BYTES)
  }

  #isWorthIt(totalBytes: number | undefined): boolean {
    return totalBytes === undefined || totalBytes >= this.#host.settings.minBytes
  }

  #begin(way: string, nodes: readonly ReachedNode[]): void {
    const sending = new Sending(this.#host, nodes, {
      dropped: (name) => this.#drop(name),
      served: (name) => this.#dropped.set(name, { until: this.#host.now() + SERVED_MS, times: this.#dropped.get(name)?.times ?? 0 }),
      reached: () => this.#tells.poke(),
      over: () => {
        if (this.#running.get(way) === sending) this.#running.delete(way)
        if (sending.isLossy) this.#lossy.add(way)
        else this.#lossy.delete(way)
        this.#tells.poke()
        this.changed()
      },
    })
    this.#host.figures.sessions++
    this.#running.set(way, sending)
  }

  #tellCovered(): void {
    const names = new Set<string>()
    for (const sending of this.#running.values()) for (const name of sending.reached) names.add(name)
    this.#host.covered(names)
  }

  #drop(name: string): void {
    const times = (this.#dropped.get(name)?.times ?? 0) + 1
    const pauseMs = Math.min(MAX_AGAIN_MS, AGAIN_MS * 2 ** (times - 1))
    this.#dropped.set(name, { until: this.#host.now() + pauseMs, times })
    // Without anything else happening it is looked at again then.
    this.#host.after(pauseMs + 1, () => this.changed())
  }
}

function wayOf({ interface: name, family }: ReachedNode): string {
  return `${name} ${family}`
}

interface SendingOwner {
  /** A receiver did not get what the session was to bring. */
  readonly dropped: (name: string) => void
  readonly served: (name: string) => void
  /** Who hears the session is more or fewer. */
  readonly reached: () => void
  readonly over: () => void
}

/** One session under way. */
class Sending {
  readonly #host: OriginHost
  readonly #owner: SendingOwner
  readonly #sessionId: string = randomBytes(8).toString('hex')
  readonly #salt: Uint8Array = randomBytes(SALT_BYTES)
  readonly #key: Uint8Array | undefined
  readonly #datagramBytes: number
  readonly #group: string
  readonly #startedAt: number
  readonly #handle: SenderHandle
  /** Invited, and not gone since. */
  readonly #invited: Set<string> = new Set()
  readonly #joined: Set<string> = new Set()
  /** Known to hear the session. */
  readonly reached: Set<string> = new Set()
  readonly #left: Map<string, string> = new Map()
  #waiting: string[] = []
  #control: { readonly address: string; readonly controlPort: number } | undefined
  #source: BlockSource | undefined
  #wanted = 0
  #isFilling = false
  /** Something changed meanwhile. */
  #isFillDue = false
  #isEnding = false
  #isOver = false
  #last: Pick<SenderStatus, 'sourcePackets' | 'proactivePackets' | 'repairPackets'> = {
    sourcePackets: 0,
    proactivePackets: 0,
    repairPackets: 0,
  }
  #sentBytes = 0
  #endFlush: (() => void) | undefined

  constructor(host: OriginHost, nodes: readonly ReachedNode[], owner: SendingOwner) {
    this.#host = host
    this.#owner = owner
    this.#key = host.key()
    this.#startedAt = host.now()
    const { settings } = host
    const first = nodes[0]!
    const reachedBytes = Math.min(...nodes.map(({ datagramBytes }) => datagramBytes))
    this.#datagramBytes = settings.datagramBytes > 0 ? Math.min(settings.datagramBytes, reachedBytes) : reachedBytes
    this.#group = pickGroup(this.#sessionId, 'ssm', first.family, host.sessions.groups())!
    this.#waiting = nodes.map(({ name }) => name)
    for (const name of this.#waiting) this.#invited.add(name)
    this.#handle = host.sessions.send(
      {
        parameters: { sessionId: this.#sessionId, datagramBytes: this.#datagramBytes, blockSymbols: BLOCK_SYMBOLS },
        salt: this.#salt,
        key: this.#key,
        group: this.#group,
        port: settings.port,
        ttl: settings.ttl,
        interface: first.interface,
        family: first.family,
        mode: settings.mode,
        rateBytesPerSec: settings.rateBytesPerSec,
      },
      { event: (event) => this.#event(event), failed: (error) => this.#failed(error) },
    )
  }

  has(name: string): boolean {
    return this.#invited.has(name)
  }

  /** Repairs take much of what is sent. */
  get isLossy(): boolean {
    const { sourcePackets, proactivePackets, repairPackets } = this.#last
    return proactivePackets + repairPackets > LOSSY_SHARE * sourcePackets
  }

  /** More receivers; those to whom the session's datagrams are too long stay with the swarm. */
  invite(nodes: readonly ReachedNode[]): void {
    if (this.#isEnding) return
    const names = nodes.filter(({ datagramBytes }) => datagramBytes >= this.#datagramBytes).map(({ name }) => name)
    if (names.length === 0) return
    for (const name of names) this.#invited.add(name)
    this.#waiting.push(...names)
    this.#inviteWaiting()
  }

  stop(): void {
    this.#endFlush?.()
    this.#isOver = true
    this.#handle.stop()
  }

  /** Gives the session the blocks that it wants, as far as there is something to send. */
  fill(): void {
    if (this.#isOver || this.#source === undefined) return
    this.#isFillDue = this.#isFilling
    if (this.#isFilling) return
    this.#isFilling = true
    this.#fillAll(this.#source).then(
      () => {
        this.#isFilling = false
        if (this.#isFillDue) this.fill()
      },
      // A chunk that cannot be read: the session's receivers are told that it is over, and ask the swarm.
      (error: unknown) => this.#unreadable(error),
    )
  }

  async #fillAll(source: BlockSource): Promise<void> {
    this.#endFlush?.()
    this.#endFlush = undefined
    while (this.#wanted > 0 && !this.#isOver && !this.#isEnding) {
      const block = await source.next()
      if (this.#isOver) return
      if (block.payload !== undefined) {
        this.#wanted--
        this.#handle.block(block.payload)
        continue
      }
      if (block.isEnd) {
        this.#isEnding = true
        return this.#handle.end()
      }
      // A little that came of a slow source waits for more, but not for long.
      if (block.retryMs !== undefined) this.#endFlush = this.#host.after(block.retryMs, () => this.fill())
      return
    }
  }

  #unreadable(error: unknown): void {
    const { code, message } = asPolycastError(error)
    this.#host.log('warn', `a multicast session was ended since the content cannot be read: ${message}`, { session: this.#sessionId, code })
    this.#isEnding = true
    this.#handle.stop()
  }

  #event(event: SenderEvent): void {
    if (this.#isOver) return
    switch (event.type) {
      case 'open':
        this.#control = event
        this.#source = this.#host.blocks(event.maxPayloadBytes)
        return this.#inviteWaiting()
      case 'want-blocks':
        this.#wanted += event.count
        return this.fill()
      case 'joined':
        this.#joined.add(event.name)
        this.#left.delete(event.name)
        this.#source?.joined(event.name, event.app, this.isLossy)
        return this.fill()
      case 'reached':
        this.reached.add(event.name)
        return this.#owner.reached()
      case 'gone':
        return this.#gone(event.name, event.reason)
      case 'sent':
        return this.#count(event.status, event.sentBytes)
      case 'finished':
        this.#count(event.status, event.sentBytes)
        return this.#finished(event.reason, event.status)
    }
  }

  #gone(name: string, reason: string): void {
    this.#source?.left(name)
    this.#joined.delete(name)
    this.#left.set(name, reason)
    if (this.reached.delete(name)) this.#owner.reached()
    if (reason === 'complete' || reason === 'left') return
    this.#invited.delete(name)
    this.#owner.dropped(name)
  }

  #inviteWaiting(): void {
    if (this.#control === undefined || this.#waiting.length === 0) return
    const names = this.#waiting.splice(0)
    const invitation = encodeInvitation({
      sessionId: this.#sessionId,
      datagramBytes: this.#datagramBytes,
      blockSymbols: BLOCK_SYMBOLS,
      group: this.#group,
      groupPort: this.#host.settings.port,
      sender: this.#control.address,
      controlPort: this.#control.controlPort,
      invited: this.#invited.size,
      salt: this.#salt,
      keyId: this.#key === undefined ? new Uint8Array(0) : keyIdOf(this.#key),
      app: new Uint8Array(0),
    })
    const told = names.filter((name) => this.#host.invite(name, invitation))
    for (const name of names) if (!told.includes(name)) this.#invited.delete(name)
    this.#handle.invited(told)
    this.#host.log('info', 'a multicast session: receivers were invited', {
      session: this.#sessionId,
      group: this.#group,
      datagramBytes: this.#datagramBytes,
      invited: told,
    })
  }

  #count(status: SenderStatus, sentBytes: number): void {
    const { sourcePackets, proactivePackets, repairPackets } = status
    const { figures } = this.#host
    const last = this.#last
    figures.sourcePackets += sourcePackets - last.sourcePackets
    figures.proactivePackets += proactivePackets - last.proactivePackets
    figures.repairPackets += repairPackets - last.repairPackets
    this.#last = { sourcePackets, proactivePackets, repairPackets }
    figures.sentBytes += sentBytes - this.#sentBytes
    this.#host.sent(sentBytes - this.#sentBytes)
    this.#sentBytes = sentBytes
  }

  #failed(error: PolycastError): void {
    if (this.#isOver) return
    this.#host.log('warn', `a multicast session could not go on, the swarm does: ${error.message}`, {
      session: this.#sessionId,
      code: error.code,
    })
    for (const name of this.#invited) this.#owner.dropped(name)
    this.#over()
  }

  #finished(reason: string, status: SenderStatus): void {
    const left = [...this.#left].filter(([, why]) => why !== 'complete' && why !== 'left').map(([name, why]) => `${name}: ${why}`)
    this.#host.log('info', 'a multicast session ended', {
      session: this.#sessionId,
      reason,
      durationMs: Math.round(this.#host.now() - this.#startedAt),
      receivers: this.#joined.size + [...this.#left.values()].filter((why) => why === 'complete').length,
      ...(left.length === 0 ? {} : { leftToSwarm: left }),
      sentBytes: this.#sentBytes,
      payloadBytes: status.payloadBytes,
      repairPackets: status.repairPackets,
      proactivePackets: status.proactivePackets,
      sourcePackets: status.sourcePackets,
      rateMbit: Math.round(status.rateBytesPerSec / 125_000),
      grttMs: Math.round(status.grttMs * 100) / 100,
      nacks: status.nacks,
    })
    // Whoever lacks something still gets it by the swarm: nobody of this session is invited to the next one at once.
    for (const name of this.#invited)
      if (this.#left.get(name) === 'complete') this.#owner.served(name)
      else this.#owner.dropped(name)
    this.#over()
  }

  #over(): void {
    this.#isOver = true
    this.#endFlush?.()
    this.#owner.over()
  }
}
