/**
 * Reachability in the gossip worker: drives the machine of `core/multicast/reach` with the sockets of each link and the clock, follows the
 * interfaces as they come and go, and hands on the table. An `if` about the protocol has no place here.
 *
 * Events of the gossip layer go to the same group, and come from it; whom they reach, and what is new, `EventGroup` knows.
 *
 * Nothing of it ends the node: a link that cannot be opened is tried again, and is a finding of the doctor.
 */
import type { Keyring } from '../../../core/gossip/keyring.ts'
import { randomBytes } from 'node:crypto'
import { Random } from '../../../core/lib/random.ts'
import { wellKnownGroups, type WellKnownGroups } from '../../../core/multicast/addresses.ts'
import { isEventDatagram } from '../../../core/multicast/events/event-datagram.ts'
import { EventGroup, type ReachedMembers } from '../../../core/multicast/events/event-group.ts'
import { ReachMachine } from '../../../core/multicast/reach/reach-machine.ts'
import type { ReachEntry, ReachOutput, ReachPath } from '../../../core/multicast/reach/reach-types.ts'
import { timerDelayMs } from '../../clock.ts'
import { asPolycastError, type PolycastError } from '../../errors.ts'
import { listInterfaces, watchInterfaces, type NetworkInterface } from '../sockets/interfaces.ts'
import { maxReceiveBufferBytes } from '../sockets/udp-socket.ts'
import { beaconCipher } from './beacon-cipher.ts'
import type { MulticastObservation } from './diagnosis.ts'
import { chooseLinks, LinkSockets, type ChosenLink } from './reach-links.ts'

export interface ReachServiceOptions {
  readonly name: string
  /** The cluster's name: the label of gossip. */
  readonly cluster: string
  /** Grows with each start of the node, also where the clock was set back in between: ms since 1970 where it was not. */
  readonly run: number
  readonly bind: string
  readonly port: number
  readonly ttl: number
  readonly keyring: Keyring | undefined
  /** Other members that are alive and speak this. */
  readonly members: () => readonly { readonly name: string; readonly address: string }[]
  readonly onTable: (entries: readonly ReachEntry[]) => void
  /** Whom events reach from here; after each change. */
  readonly onReached: (reached: ReachedMembers) => void
  /** An event of another member came; the bytes are the receiver's. */
  readonly onEvent: (content: Uint8Array) => void
  readonly log: (level: 'debug' | 'info' | 'warn', message: string, fields: Record<string, unknown>) => void
}

/** How soon a new interface, or one that is gone, is noticed. */
const POLL_MS = 1000
/** Between two attempts to open a link that cannot be. */
const REOPEN_MS = 3000
/** Changes of the table that come within this time are told together. */
const GATHER_MS = 50
/** So many members changing at once are looked at together. */
const MEMBERS_MS = 100

export class ReachService {
  readonly #options: ReachServiceOptions
  readonly #machine: ReachMachine
  readonly #events: EventGroup
  readonly #groups: WellKnownGroups
  #reachedMembers = 0
  readonly #sockets: Map<string, LinkSockets> = new Map()
  /** Links that could not be opened, and why. */
  readonly #problems: Map<string, { readonly chosen: ChosenLink; readonly error: PolycastError }> = new Map()
  #timer: NodeJS.Timeout | undefined
  #tableTimer: NodeJS.Timeout | undefined
  #membersTimer: NodeJS.Timeout | undefined
  #reopenTimer: NodeJS.Timeout | undefined
  #stopWatching: () => void = () => undefined
  /** Interfaces are looked at one after the other. */
  #opening: Promise<void> = Promise.resolve()
  #isClosed = false

  constructor(options: ReachServiceOptions) {
    this.#options = options
    this.#groups = wellKnownGroups(options.cluster, 'reach')
    const { name, cluster, run } = options
    const node = { name, cluster, run, cipher: beaconCipher(options.keyring) }
    this.#machine = new ReachMachine(node, new Random(randomBytes(16).toString('hex')))
    this.#events = new EventGroup(node)
  }

  /** Opens what can be opened. Never rejects. */
  start(): Promise<void> {
    this.#stopWatching = watchInterfaces({ pollMs: POLL_MS }, ({ all }) => void this.#follow(all))
    this.membersChanged()
    return this.#follow(listInterfaces())
  }

  /** Members came or went. */
  membersChanged(): void {
    this.#membersTimer ??= setTimeout(() => {
      this.#membersTimer = undefined
      const names = this.#options.members().map(({ name }) => name)
      this.#machine.handle({ type: 'members', names }, performance.now())
      this.#settle()
    }, MEMBERS_MS)
  }

  /** Somebody is about to send to many. */
  wanted(): void {
    this.#machine.handle({ type: 'wanted' }, performance.now())
    this.#settle()
  }

  /** Sends an event of this node to all whom `onReached` named last. What does not arrive is the tree's to repair. */
  sendEvent(content: Uint8Array): void {
    const datagram = this.#events.seal(content)
    for (const link of this.#events.links) this.#sockets.get(link)?.send('group', datagram)
  }

  /** All that is known, for the doctor. */
  observe(): MulticastObservation {
    const members = this.#options.members()
    const links = this.#machine.report(performance.now()).flatMap((report) => {
      const sockets = this.#sockets.get(report.link.id)
      if (sockets === undefined) return []
      return [
        {
          ...report,
          interface: sockets.chosen.interface,
          group: sockets.group,
          sendError: sockets.sendError,
          sentPackets: sockets.sent.sentPackets,
        },
      ]
    })
    const problems = [...this.#problems.values()].map(({ chosen, error }) => ({ interface: chosen.interface, error }))
    return { port: this.#options.port, links, problems, members, maxReceiveBufferBytes: maxReceiveBufferBytes() }
  }

  stats(): Record<string, number> {
    const { unreadable, repeated } = this.#events.counters
    const { refused, forgotten } = this.#machine.counters
    const stats = {
      links: this.#sockets.size,
      members: this.#reachedMembers,
      refusedBeacons: refused,
      forgottenNodes: forgotten,
      sentPackets: 0,
      sentBytes: 0,
      sendErrors: 0,
      eventLinks: this.#events.links.length,
      unreadableEvents: unreadable,
      repeatedEvents: repeated,
    }
    for (const { sent } of this.#sockets.values()) {
      stats.sentPackets += sent.sentPackets
      stats.sentBytes += sent.sentBytes
      stats.sendErrors += sent.sendErrors
    }
    return stats
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#stopWatching()
    for (const timer of [this.#timer, this.#tableTimer, this.#membersTimer, this.#reopenTimer]) clearTimeout(timer)
    await this.#opening
    for (const sockets of this.#sockets.values()) sockets.close()
    this.#sockets.clear()
  }

  // ---- links ----

  #follow(interfaces: readonly NetworkInterface[]): Promise<void> {
    this.#opening = this.#opening.then(() => this.#openLinks(chooseLinks(interfaces, this.#options.bind)))
    return this.#opening
  }

  async #openLinks(chosen: readonly ChosenLink[]): Promise<void> {
    const keys = new Map(chosen.map((one) => [one.link.id, one.key]))
    for (const [id, sockets] of this.#sockets) {
      if (keys.get(id) === sockets.chosen.key) continue
      sockets.close()
      this.#sockets.delete(id)
      this.#options.log('info', 'an interface is gone, or has another address', { link: id })
    }
    for (const id of this.#problems.keys()) if (!keys.has(id)) this.#problems.delete(id)
    // The machine forgets those that are opened anew.
    this.#tellLinks()
    for (const one of chosen) if (!this.#sockets.has(one.link.id) && !this.#isClosed) await this.#openLink(one)
    this.#tellLinks()
    clearTimeout(this.#reopenTimer)
    if (this.#problems.size > 0 && !this.#isClosed) {
      this.#reopenTimer = setTimeout(() => void this.#follow(listInterfaces()), REOPEN_MS)
      this.#reopenTimer.unref()
    }
  }

  async #openLink(chosen: ChosenLink): Promise<void> {
    const { id } = chosen.link
    const { port, ttl, log } = this.#options
    try {
      const sockets = await LinkSockets.open(chosen, {
        groups: this.#groups,
        port,
        ttl,
        onPacket: (path, from, bytes) => this.#packet(id, path, from, bytes),
      })
      this.#problems.delete(id)
      this.#sockets.set(id, sockets)
    } catch (error) {
      const problem = asPolycastError(error)
      if (!this.#problems.has(id)) log('info', 'no multicast on an interface', { link: id, code: problem.code, reason: problem.message })
      this.#problems.set(id, { chosen, error: problem })
    }
  }

  #tellLinks(): void {
    if (this.#isClosed) return
    const links = [...this.#sockets.values()].map(({ chosen }) => chosen.link)
    this.#machine.handle({ type: 'links', links }, performance.now())
    this.#settle()
  }

  // ---- the machine ----

  #packet(link: string, path: ReachPath, from: string, bytes: Uint8Array): void {
    if (isEventDatagram(bytes)) {
      // Only to the group: what comes to this node alone is no multicast.
      const content = path === 'group' && !this.#isClosed ? this.#events.open(bytes) : undefined
      if (content !== undefined) this.#options.onEvent(content)
      return
    }
    this.#machine.handle({ type: 'packet', link, path, from, bytes }, performance.now())
    this.#settle()
  }

  #tellTable(): void {
    const table = this.#machine.table(performance.now())
    this.#reachedMembers = new Set(table.flatMap(({ member, multicastBytes }) => (multicastBytes > 0 ? [member] : []))).size
    this.#options.onTable(table)
    this.#options.onReached(this.#events.follow(table))
  }

  #settle(): void {
    if (this.#isClosed) return
    for (const output of this.#machine.drain()) this.#output(output)
    clearTimeout(this.#timer)
    const deadline = this.#machine.nextDeadline()
    if (deadline === Infinity) return
    this.#timer = setTimeout(
      () => {
        this.#machine.handleTimeout(performance.now())
        this.#settle()
      },
      timerDelayMs(deadline - performance.now()),
    )
    this.#timer.unref()
  }

  #output(output: ReachOutput): void {
    switch (output.type) {
      case 'send': {
        const sockets = this.#sockets.get(output.link)
        if (output.path === 'direct') sockets?.sendTo(output.to, output.bytes)
        else sockets?.send(output.path, output.bytes)
        return
      }
      case 'rejoin': {
        const problem = this.#sockets.get(output.link)?.rejoin()
        if (problem !== undefined)
          this.#options.log('info', 'a group cannot be joined again', { link: output.link, reason: problem.message })
        return
      }
      case 'path': {
        const { link, state, silentMs } = output
        const fields = { interface: link.interface, family: link.family, silentMs }
        if (state === 'blocked') this.#options.log('warn', 'multicast does not reach this node: polycast doctor tells more', fields)
        else if (state === 'rejoining') this.#options.log('info', 'multicast stopped; the group is joined again', fields)
        else this.#options.log('debug', `multicast to this node: ${state}`, fields)
        return
      }
      case 'changed':
        this.#tableTimer ??= setTimeout(() => {
          this.#tableTimer = undefined
          this.#tellTable()
        }, GATHER_MS)
    }
  }
}
