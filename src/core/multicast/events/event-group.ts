/**
 * Events of the gossip layer in the group of the beacons: on which links an event has to go to reach how many members, what a datagram is
 * made of, and which of those that come are new. docs/specs/06-broadcast.md §11.
 *
 * Not here: sockets, who gets an event by multicast at all, and what becomes of those that do not (`core/gossip/broadcast`).
 */
import { isWireError } from '../../wire/wire-error.ts'
import { clusterHash, type BeaconCipher } from '../reach/group-datagram.ts'
import { nodeOf } from '../reach/reach-machine.ts'
import type { ReachEntry } from '../reach/reach-types.ts'
import { SequenceWindow } from '../reach/sequence-window.ts'
import { decodeEventDatagram, encodeEventDatagram, eventOverheadBytes } from './event-datagram.ts'

export interface EventGroupOptions {
  /** This node's name. */
  readonly name: string
  /** Its cluster's name: events of others are dropped unread. */
  readonly cluster: string
  /** Grows with each start of the node: the time in ms. */
  readonly run: number
  readonly cipher: BeaconCipher
  readonly limits?: Partial<EventGroupLimits>
}

export interface EventGroupLimits {
  /** Nodes of which it is remembered what came; of more, the one that was silent for the longest is forgotten. */
  readonly maxSenders: number
  /** Members that get no larger datagrams than this do not count as reached: one small port is not to make all events small. */
  readonly minBytes: number
  /** Members that lose a larger share of datagrams do not count as reached: the tree is surer. */
  readonly maxLossShare: number
  /** Members that a further link has to reach to be worth a further datagram. */
  readonly minMembersPerLink: number
}

export const EVENT_GROUP_LIMITS: EventGroupLimits = { maxSenders: 4096, minBytes: 1200, maxLossShare: 0.5, minMembersPerLink: 2 }

/** Whom events reach, and up to which size. */
export interface ReachedMembers {
  readonly names: ReadonlySet<string>
  /** Of an event's content, bytes; 0 where nobody is reached. */
  readonly maxBytes: number
}

export interface EventGroupCounters {
  /** Datagrams that no key of this cluster has sealed, or that were none. */
  unreadable: number
  /** Datagrams that came before, on another link or because somebody sent them again; or that are too old to tell. */
  repeated: number
}

interface Sender {
  readonly run: number
  readonly window: SequenceWindow
}

export class EventGroup {
  readonly counters: EventGroupCounters = { unreadable: 0, repeated: 0 }
  readonly #options: EventGroupOptions
  readonly #limits: EventGroupLimits
  readonly #cluster: number
  readonly #node: number
  #links: readonly string[] = []
  #sequence = 0
  /** By node, in the order of their last datagrams. */
  readonly #senders: Map<number, Sender> = new Map()

  constructor(options: EventGroupOptions) {
    this.#options = options
    this.#limits = { ...EVENT_GROUP_LIMITS, ...options.limits }
    this.#cluster = clusterHash(options.cluster)
    this.#node = nodeOf(options.name)
  }

  /** The links that an event goes out on. */
  get links(): readonly string[] {
    return this.#links
  }

  /** Chooses links by the table of reachability: as few as reach all, those that reach most first. */
  follow(table: readonly ReachEntry[]): ReachedMembers {
    const { minBytes, maxLossShare, minMembersPerLink } = this.#limits
    const open = new Map<string, Map<string, number>>()
    for (const { link, member, multicastBytes, lossShare } of table) {
      if (multicastBytes < minBytes || lossShare > maxLossShare) continue
      const members = open.get(link)
      if (members === undefined) open.set(link, new Map([[member, multicastBytes]]))
      else members.set(member, multicastBytes)
    }
    const links: string[] = []
    const names = new Set<string>()
    let datagramBytes = Infinity
    for (;;) {
      const [link, members] = [...open].reduce<readonly [string, ReadonlyMap<string, number>]>(
        (best, one) => (one[1].size > best[1].size ? one : best),
        ['', new Map()],
      )
      if (members.size < minMembersPerLink) break
      links.push(link)
      for (const [member, bytes] of members) {
        names.add(member)
        datagramBytes = Math.min(datagramBytes, bytes)
      }
      for (const others of open.values()) for (const member of names) others.delete(member)
    }
    this.#links = links
    return { names, maxBytes: names.size === 0 ? 0 : datagramBytes - eventOverheadBytes(this.#options.cipher) }
  }

  /** The datagram of an event of this node's own, the same for all links. */
  seal(content: Uint8Array): Uint8Array {
    const { run, cipher } = this.#options
    const sequence = this.#sequence
    this.#sequence = (sequence + 1) >>> 0
    return encodeEventDatagram({ node: this.#node, run, sequence, content }, this.#cluster, cipher)
  }

  /** The content of a datagram; undefined where it is not new, not readable, or this node's own. */
  open(datagram: Uint8Array): Uint8Array | undefined {
    const event = decodeEventDatagram(datagram, this.#cluster, this.#options.cipher)
    if (isWireError(event)) {
      this.counters.unreadable++
      return undefined
    }
    if (event.node === this.#node) return undefined
    if (this.#isNew(event.node, event.run, event.sequence)) return event.content
    this.counters.repeated++
    return undefined
  }

  #isNew(node: number, run: number, sequence: number): boolean {
    let sender = this.#senders.get(node)
    if (sender !== undefined && run < sender.run) return false
    if (sender === undefined || run > sender.run) sender = { run, window: new SequenceWindow() }
    this.#senders.delete(node)
    this.#senders.set(node, sender)
    for (const oldest of this.#senders.keys()) {
      if (this.#senders.size <= this.#limits.maxSenders) break
      this.#senders.delete(oldest)
    }
    return sender.window.accept(sequence)
  }
}
