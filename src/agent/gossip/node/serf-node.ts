/**
 * A member of a Serf cluster, for programs of Node: sockets, time and the machine of `polycast/gossip` put together. What the agent of
 * Polycast has beside that (a worker of its own, a snapshot, the state of nodes, trees for events) is not here; who wants it drives a
 * `GossipMachine`.
 *
 * The event loop that it runs on has to keep up: a program that computes for seconds is suspected meanwhile, and says so afterwards.
 */
import { randomBytes } from 'node:crypto'
import { Keyring } from '../../../core/gossip/keyring.ts'
import type { Framing } from '../../../core/gossip/framing.ts'
import { DEFAULT_PACKET_BYTES } from '../../../core/gossip/packet.ts'
import { GOSSIP_PROFILES, type ProfileName } from '../../../core/gossip/profile.ts'
import type { QueryFilter, UserEvent } from '../../../core/gossip/serf-messages.ts'
import { SerfMachine } from '../../../core/gossip/serf/serf.ts'
import type { MemberChange, SerfInput, SerfMember, SerfOutput } from '../../../core/gossip/serf/serf-types.ts'
import type { Verdict } from '../../../core/gossip/verdict.ts'
import { utf8Encode } from '../../../core/lib/bytes.ts'
import { Random } from '../../../core/lib/random.ts'
import { fail } from '../../errors.ts'
import { aesGcm, randomNonce } from '../cipher.ts'
import { GossipClock } from '../gossip-clock.ts'
import { GossipSockets } from '../gossip-sockets.ts'
import { ipBytes } from '../ip-bytes.ts'
import { DEFAULT_GOSSIP_PORT, Joins } from '../joins.ts'
import { MachineDriver } from '../machine-driver.ts'

const MAX_STREAMS = 128
const VERSIONS = [1, 5, 2, 2, 5, 5] as const

export interface SerfNodeOptions {
  /** Of this node, unlike any other's. */
  readonly name: string
  /** IP address to listen at, and that others are told. */
  readonly bind: string
  /** IP address that others are told, where it is another one. */
  readonly advertise?: string
  /** 7946; 0 takes any free one. */
  readonly port?: number
  readonly tags?: Readonly<Record<string, string>>
  /** Keys of gossip, 16, 24 or 32 bytes each, the primary one first; by default it is in the clear. */
  readonly keys?: readonly Uint8Array[]
  /** Of the cluster, where it has one. */
  readonly label?: string
  readonly profile?: ProfileName
  /** A member, this one too, is other than before; the verdict is why it is thought to be gone. */
  readonly onMember?: (change: MemberChange, member: SerfMember, verdict: Verdict | undefined) => void
  /** An event that somebody sent to all, this node too. */
  readonly onEvent?: (event: UserEvent) => void
  /** A query for this node, until whose end it may be answered; it is acknowledged in any case. */
  readonly onQuery?: (query: ReceivedQuery) => void
  /** Another node has this one's name and keeps it: this one is to end, without a word. */
  readonly onConflictLost?: (reason: string) => void
  /** Somebody sent what cannot be read: with another key or label, or broken. */
  readonly onUnreadable?: (from: string, reason: string) => void
}

export interface ReceivedQuery {
  readonly name: string
  readonly payload: Uint8Array
  readonly from: string
  /** Answers it; throws `bad-request` where it is too late or too long. */
  readonly respond: (payload: Uint8Array) => void
}

export interface SerfQueryOptions {
  readonly filters?: readonly QueryFilter[]
  readonly wantsAck?: boolean
  readonly relayFactor?: number
  readonly timeoutMs?: number
  readonly onAck?: (from: string) => void
  readonly onResponse?: (from: string, payload: Uint8Array) => void
}

/** Starts a node; it is alone until it joins others. Errors: address-in-use, address-unusable, bad-request (`advertise`). */
export async function startSerfNode(options: SerfNodeOptions): Promise<SerfNode> {
  const node = new SerfNode(options)
  await node.start()
  return node
}

/** A running member; made by `startSerfNode`. */
export class SerfNode {
  readonly #options: SerfNodeOptions
  readonly #clock: GossipClock = new GossipClock()
  readonly #keyring: Keyring | undefined
  readonly #sockets: GossipSockets
  readonly #joins: Joins = new Joins((endpoint) => this.#order({ type: 'join', endpoints: [endpoint], ignoreOldEvents: true }))
  readonly #queries: Map<number, SerfQueryOptions & { readonly done: (counts: { acks: number; responses: number }) => void }> = new Map()
  readonly #departures: (() => void)[] = []
  #driver: MachineDriver<SerfInput, SerfOutput, SerfMachine> | undefined
  #rejection: string | undefined
  #closed: Promise<void> | undefined
  #nextQuery = 1

  constructor(options: SerfNodeOptions) {
    const { bind, port = DEFAULT_GOSSIP_PORT, keys, label = '', profile = 'lan', onUnreadable } = options
    this.#options = options
    this.#keyring = keys === undefined ? undefined : new Keyring(keys)
    const encryption: Framing['encryption'] =
      this.#keyring === undefined
        ? undefined
        : { keyring: this.#keyring, cipher: aesGcm, nonce: randomNonce, version: 1, isSending: true, isRequired: true }
    this.#sockets = new GossipSockets({
      bind,
      port,
      packetBytes: DEFAULT_PACKET_BYTES,
      framing: { label: utf8Encode(label), isCompressing: true, encryption },
      streamTimeoutMs: GOSSIP_PROFILES[profile].streamTimeoutMs,
      maxStreamsIn: MAX_STREAMS,
      maxStreamsOut: MAX_STREAMS,
      hasChecksum: (node) => (this.#driver?.machine.member(node)?.versions?.[1] ?? 0) >= 5,
      onInput: (input) => this.#driver?.handle(input),
      onUnreadable: (from, _kind, reason) => onUnreadable?.(from, reason),
    })
  }

  /** Listens and begins. Errors as of `startSerfNode`. */
  async start(): Promise<void> {
    const { name, bind, advertise = bind, tags = {}, profile = 'lan' } = this.#options
    const address = ipBytes(advertise)
    if (address === undefined) throw fail('bad-request', { reason: `"${advertise}" is no IP address` })
    const port = await this.#sockets.start()
    const machine = new SerfMachine(
      {
        node: name,
        endpoint: { address, port },
        tags: new Map(Object.entries(tags)),
        versions: VERSIONS,
        profile: GOSSIP_PROFILES[profile],
        random: new Random(randomBytes(16).toString('hex')),
        messageBytes: (message) => this.#sockets.messageBytes(message),
        packetBytes: this.#sockets.packetRoom,
        keyring: this.#keyring,
      },
      this.#clock.now(),
    )
    this.#driver = new MachineDriver(machine, this.#clock, (output) => this.#output(output))
    this.#driver.start()
  }

  /** For all that is not here: statistics, verdicts, coordinates. Inputs are this object's matter. */
  get machine(): SerfMachine {
    return this.#running.machine
  }

  members(): SerfMember[] {
    return this.machine.members()
  }

  /** Joins a cluster by addresses of its members, `host` or `host:port`; how many of these answered. Errors: join-failed (none did). */
  async join(...addresses: readonly string[]): Promise<number> {
    const self = this.machine.self()
    const outcomes = await Promise.all(addresses.map((address) => this.#joins.join(address, self)))
    const joined = outcomes.filter(({ error, isSelf }) => error === undefined && !isSelf).length
    if (joined > 0 || addresses.length === 0) return joined
    throw fail('join-failed', { reason: outcomes.map(({ address, error }) => `${address}: ${error ?? 'this node itself'}`).join('; ') })
  }

  /** Tells all that something happened. Errors: bad-request (name and payload have more than 512 bytes). */
  event(name: string, payload: Uint8Array = new Uint8Array(0), canCoalesce: boolean = false): void {
    this.#order({ type: 'event', name, payload, canCoalesce })
  }

  /** Asks all that the filters match; resolves when the time is over. Errors: bad-request (too long). */
  query(name: string, payload: Uint8Array, options: SerfQueryOptions = {}): Promise<{ acks: number; responses: number }> {
    const { filters = [], wantsAck = false, relayFactor = 0, timeoutMs } = options
    const query = this.#nextQuery++
    return new Promise((done, reject) => {
      this.#queries.set(query, { ...options, done })
      try {
        this.#order({ type: 'query', query, name, payload, filters, wantsAck, relayFactor, timeoutMs })
      } catch (error) {
        this.#queries.delete(query)
        reject(error)
      }
    })
  }

  /** The whole new set of tags of this node. Errors: bad-request (too long). */
  setTags(tags: Readonly<Record<string, string>>): void {
    this.#order({ type: 'tags', tags: new Map(Object.entries(tags)) })
  }

  /** Tells all that this node goes, and ends. */
  async leave(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#departures.push(resolve)
      if (this.#departures.length === 1) this.#order({ type: 'leave' })
    })
    await this.close()
  }

  /** Ends without a word, as a crash does. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#driver?.stop()
    this.#driver = undefined
    await this.#sockets.close()
    // Nobody is left waiting for what will not come any more.
    this.#joins.close()
    for (const departed of this.#departures.splice(0)) departed()
    for (const { done } of this.#queries.values()) done({ acks: 0, responses: 0 })
    this.#queries.clear()
  }

  get #running(): MachineDriver<SerfInput, SerfOutput, SerfMachine> {
    if (this.#driver === undefined) throw fail('shutting-down', {})
    return this.#driver
  }

  #order(input: SerfInput): void {
    this.#rejection = undefined
    this.#running.handle(input)
    if (this.#rejection !== undefined) throw fail('bad-request', { reason: this.#rejection })
  }

  #output(output: SerfOutput): void {
    const { onMember, onEvent, onQuery, onConflictLost } = this.#options
    switch (output.type) {
      case 'send':
      case 'open-stream':
      case 'send-stream':
      case 'close-stream':
      case 'answer':
      case 'refuse':
        return this.#sockets.carryOut(output)
      case 'member':
        return onMember?.(output.change, output.member, output.verdict)
      case 'event':
        return onEvent?.(output.event)
      case 'query': {
        const { name, payload, sourceNode: from } = output.query
        const respond = (answer: Uint8Array): void => this.#order({ type: 'respond', request: output.request, payload: answer })
        return onQuery?.({ name, payload, from, respond })
      }
      case 'query-ack':
        return this.#queries.get(output.query)?.onAck?.(output.from)
      case 'query-response':
        return this.#queries.get(output.query)?.onResponse?.(output.from, output.payload)
      case 'query-done': {
        const { acks, responses } = output
        this.#queries.get(output.query)?.done({ acks, responses })
        this.#queries.delete(output.query)
        return
      }
      case 'exchanged':
        if (output.isJoin) this.#joins.exchanged(output.to, output.error)
        return
      case 'departed':
        for (const departed of this.#departures.splice(0)) departed()
        return
      case 'conflict-lost':
        return onConflictLost?.(output.reason)
      case 'rejected':
        this.#rejection = output.reason
        return
      default:
      // What is left is told by the members' changes as well, or is for the agent: its snapshot, its keys' file, its log.
    }
  }
}
