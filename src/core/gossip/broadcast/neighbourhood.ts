/**
 * The active view: the few members that this node exchanges events with, and how they become so. After HyParView (Leitão, Pereira,
 * Rodrigues, DSN 2007), docs/specs/06-broadcast.md §3.
 *
 * Links are symmetric by a handshake. Membership takes the place of the passive view: all members are known, so that any of them can be
 * asked, and there are no shuffles and no walks. Beside the random neighbours each node asks the next on the ring of hashed names, so
 * that the links of all nodes together hold a ring and the network is whole whatever chance does.
 *
 * Half a link (an answer was lost, or a node came back under its name) mends itself: whoever gets a neighbour's message from a member
 * that is none either takes it as one, if there is room, or tells it so.
 */
import { assert } from '../../lib/assert.ts'
import type { Wish } from './broadcast-messages.ts'
import { Quota, type BroadcastState } from './broadcast-state.ts'

export interface Neighbour {
  readonly node: string
  /** Its place in sets of neighbours, 0 to 31. */
  readonly slot: number
  readonly since: number
  /** Whether it was the one that asked. */
  readonly hasAsked: boolean
  /** Whether payloads go there unasked. */
  isEager: boolean
  /** The pulse that it sent last, when it first came, how far it is from the root by it, and whether it has this node for its parent. */
  pulse:
    | { readonly root: string; readonly sequence: number; readonly hops: number; readonly isParent: boolean; readonly at: number }
    | undefined
}

interface Request {
  readonly wish: Wish
  readonly sentAt: number
}

/** What happens to links; the parts that care are told. */
export interface NeighbourhoodEvents {
  linked(neighbour: Neighbour, now: number): void
  unlinked(neighbour: Neighbour, now: number): void
}

/** Neighbours beyond the usual most, that the ring needs. */
const RING_SLOTS = 2
/** Members that are looked at to find one that can be asked. */
const PICKS = 8
/** A refusal by the next of the ring is respected for so many pauses. */
const RING_PAUSES = 20

export class Neighbourhood {
  readonly #state: BroadcastState
  readonly #events: NeighbourhoodEvents
  readonly #neighbours: Map<string, Neighbour> = new Map()
  readonly #requests: Map<string, Request> = new Map()
  readonly #quota: Quota
  #slots = 0
  #fillAt = Infinity
  /** The next of the ring had no room, so that it is not asked again before. */
  #ringAt = -Infinity

  constructor(state: BroadcastState, events: NeighbourhoodEvents) {
    const { activeView, viewSlack, maxRequestsPerSec } = state.settings
    assert(activeView >= 1 && viewSlack >= 1 && activeView + viewSlack + RING_SLOTS <= 31, 'a view that has room for its slots')
    this.#state = state
    this.#events = events
    this.#quota = new Quota(maxRequestsPerSec)
  }

  get size(): number {
    return this.#neighbours.size
  }

  /** The slots of all neighbours. */
  get slots(): number {
    return this.#slots
  }

  get(node: string): Neighbour | undefined {
    return this.#neighbours.get(node)
  }

  values(): MapIterator<Neighbour> {
    return this.#neighbours.values()
  }

  pick(): Neighbour | undefined {
    return this.size === 0 ? undefined : this.#state.random.pick([...this.#neighbours.values()])
  }

  nextDeadline(): number {
    return this.#fillAt
  }

  handleTimeout(now: number): void {
    if (now >= this.#fillAt) this.#fill(now)
  }

  memberUp(node: string, now: number): void {
    const { members } = this.#state
    if (this.size < this.#state.settings.activeView || members.successor === node) this.#fillBy(now + this.#pauseMs())
  }

  memberDown(node: string, now: number): void {
    this.#requests.delete(node)
    const neighbour = this.#neighbours.get(node)
    if (neighbour !== undefined) this.#unlink(neighbour, now)
    if (neighbour !== undefined || this.#needsSuccessor()) this.#fillBy(now)
  }

  handleRequest(from: string, wish: Wish, now: number): void {
    const neighbour = this.#neighbours.get(from)
    if (neighbour === undefined) {
      if (!this.#quota.take(from, now)) {
        this.#state.dropped.requests++
        return
      }
      if (!this.#makeRoom(from, wish, now)) return this.#state.send(from, { type: 'refuse' })
      this.#link(from, now, true)
    } else if (neighbour.pulse !== undefined && now - neighbour.since > this.#state.settings.requestTimeoutMs) {
      // It has lost what it knew, or thinks that it has lost this node: it is told all as for the first time.
      this.#unlink(neighbour, now)
      this.#link(from, now, true)
    }
    this.#requests.delete(from)
    this.#state.send(from, { type: 'accept' })
  }

  handleAccept(from: string, now: number): void {
    const request = this.#requests.get(from)
    if (request !== undefined) {
      this.#requests.delete(from)
      this.#state.noticeRoundTrip(now - request.sentAt)
    }
    if (this.#neighbours.has(from)) return
    // An answer to nothing, or one that comes too late, is like half a link.
    if (request === undefined) this.neighbourOf(from, now)
    else this.#link(from, now)
    if (this.size < this.#state.settings.activeView) this.#fillBy(now + this.#pauseMs() / 2)
  }

  handleRefuse(from: string, now: number): void {
    const request = this.#requests.get(from)
    if (request === undefined) return
    this.#requests.delete(from)
    if (request.wish === 'ring') this.#ringAt = now + RING_PAUSES * this.#state.settings.settleMs
    this.#fillBy(now + this.#pauseMs())
  }

  handleDisconnect(from: string, now: number): void {
    const neighbour = this.#neighbours.get(from)
    if (neighbour === undefined) return
    this.#unlink(neighbour, now)
    this.#fillBy(now + this.#pauseMs())
  }

  /** The sender of what only neighbours send, made one if there is room; undefined when it is none, which it is told. */
  neighbourOf(from: string, now: number): Neighbour | undefined {
    const neighbour = this.#neighbours.get(from)
    if (neighbour !== undefined) return neighbour
    if (!this.#quota.take(from, now)) {
      this.#state.dropped.requests++
      return undefined
    }
    if (this.size < this.#most() || this.#isRing(from)) return this.#makeRoom(from, 'ring', now) ? this.#link(from, now) : undefined
    this.#state.send(from, { type: 'disconnect' })
    return undefined
  }

  /** Who was accepted compares at once: for one who was only asked so far, that is its first round trip. */
  noticeSummary({ since, hasAsked }: Neighbour, now: number): void {
    if (hasAsked && !this.#state.hasRoundTrip && now - since < this.#state.settings.requestTimeoutMs)
      this.#state.noticeRoundTrip(now - since)
  }

  // ---- looking for neighbours ----

  /** Asks the next of the ring, and others until there are enough; again after a while, as long as there are not. */
  #fill(now: number): void {
    this.#fillAt = Infinity
    const { activeView, requestTimeoutMs } = this.#state.settings
    for (const [node, { sentAt }] of this.#requests) if (now - sentAt >= requestTimeoutMs) this.#requests.delete(node)
    const { successor } = this.#state.members
    if (successor !== undefined && this.#needsSuccessor() && !this.#requests.has(successor)) {
      if (now >= this.#ringAt) this.#ask(successor, 'ring', now)
      else this.#fillBy(this.#ringAt)
    }
    const wish = this.size === 0 ? 'lonely' : 'more'
    // Half of them at a time: others ask this node meanwhile.
    for (let wanted = Math.ceil((activeView - this.size - this.#requests.size) / 2); wanted > 0; wanted--) {
      const node = this.#candidate()
      if (node === undefined) break
      this.#ask(node, wish, now)
    }
    if (this.size > this.#most() + RING_SLOTS) this.#dropOne(now)
    if (this.#requests.size > 0 || this.size < Math.min(activeView, this.#state.members.size)) this.#fillBy(now + requestTimeoutMs)
  }

  #needsSuccessor(): boolean {
    const { successor } = this.#state.members
    return successor !== undefined && !this.#neighbours.has(successor)
  }

  #candidate(): string | undefined {
    for (let i = 0; i < PICKS; i++) {
      const node = this.#state.members.pick(this.#state.random)
      if (node !== undefined && !this.#neighbours.has(node) && !this.#requests.has(node)) return node
    }
    return undefined
  }

  #ask(node: string, wish: Wish, now: number): void {
    this.#requests.set(node, { wish, sentAt: now })
    this.#state.send(node, { type: 'neighbour', wish })
  }

  /** Half to one and a half times the pause, so that nodes which start at once do not ask at once. */
  #pauseMs(): number {
    return this.#state.settings.settleMs * (0.5 + this.#state.random.float())
  }

  #fillBy(at: number): void {
    this.#fillAt = Math.min(this.#fillAt, at)
  }

  // ---- room ----

  #most(): number {
    const { activeView, viewSlack } = this.#state.settings
    return activeView + viewSlack
  }

  #isRing(node: string): boolean {
    return node === this.#state.members.successor || node === this.#state.members.predecessor
  }

  /** Who is alone is taken in at another's expense (HyParView's high priority), and so is the one before on the ring. */
  #makeRoom(from: string, wish: Wish, now: number): boolean {
    // Those that were asked may all accept.
    const taken = this.size + this.#requests.size
    if (taken < this.#most()) return true
    if (wish === 'ring' && taken < this.#most() + RING_SLOTS) return true
    return (wish === 'lonely' || this.#isRing(from)) && this.#dropOne(now)
  }

  /** Ends the link to any neighbour that the ring does not need; one that is not in the tree if there is one. */
  #dropOne(now: number): boolean {
    const all = [...this.#neighbours.values()].filter(({ node }) => !this.#isRing(node))
    const lazy = all.filter(({ isEager }) => !isEager)
    if (all.length === 0) return false
    const dropped = this.#state.random.pick(lazy.length > 0 ? lazy : all)
    this.#state.send(dropped.node, { type: 'disconnect' })
    this.#unlink(dropped, now)
    return true
  }

  #link(node: string, now: number, hasAsked: boolean = false): Neighbour {
    const slot = 31 - Math.clz32(~this.#slots & -~this.#slots)
    const neighbour: Neighbour = { node, slot, since: now, hasAsked, isEager: false, pulse: undefined }
    this.#slots |= 1 << slot
    this.#neighbours.set(node, neighbour)
    this.#events.linked(neighbour, now)
    return neighbour
  }

  #unlink(neighbour: Neighbour, now: number): void {
    this.#neighbours.delete(neighbour.node)
    this.#slots &= ~(1 << neighbour.slot)
    this.#events.unlinked(neighbour, now)
  }
}
