/**
 * The tree along which payloads go, made before the first of them by pulses. docs/specs/06-broadcast.md §4.
 *
 * The member whose name has the least hash is the root; as all know all members, all agree on it without a vote. From time to time, and
 * soon after members came or went, it sends a pulse, a few bytes, to its neighbours, and each node passes the first of a number on to all
 * of its own: whom it came from is its parent, and the copy that goes back there says so. A link is eager where one end is the parent of
 * the other; all other links are lazy. Each link carries one pulse each way, so that both ends know. That is Plumtree's first flood, done
 * with twenty bytes in place of an event, and it makes a tree whose paths are the quickest from the root. As Plumtree (§3.8) a node leaves
 * its parent for a neighbour that turns out to be some hops nearer. All origins share the tree.
 *
 * Losses leave links whose ends disagree, and nodes without a parent. Events get through all the same (`dissemination.ts`), mend what
 * they meet by grafts and prunes, and the next pulse makes all anew.
 */
import type { Pulse } from './broadcast-messages.ts'
import type { BroadcastState } from './broadcast-state.ts'
import { nameHash } from './member-directory.ts'
import type { Neighbour, Neighbourhood } from './neighbourhood.ts'

export class Tree {
  readonly #state: BroadcastState
  readonly #neighbourhood: Neighbourhood
  /** The newest pulse that came here, with this node's own distance. */
  #pulse: { readonly root: string; readonly sequence: number; readonly hops: number } | undefined
  #isMade = false
  /** The highest number of a pulse of this node's own that it knows of, from this life or one before. */
  #sequence = 0
  #parent: string | undefined
  #pulsedAt = -Infinity
  #pulseAt = Infinity
  #changed = false

  constructor(state: BroadcastState, neighbourhood: Neighbourhood) {
    this.#state = state
    this.#neighbourhood = neighbourhood
  }

  /** Whether a pulse has come through, so that which links are eager means something. */
  get isMade(): boolean {
    return this.#isMade
  }

  get parent(): string | undefined {
    return this.#parent
  }

  nextDeadline(): number {
    return this.#pulseAt
  }

  handleTimeout(now: number): void {
    if (now >= this.#pulseAt) this.#sendPulse(now)
  }

  /** Members came or went, or links did: the root pulses soon, others do not. */
  noticeChange(now: number): void {
    const { pulseDelayMs } = this.#state.settings
    if (!this.#isRoot()) {
      this.#pulseAt = Infinity
      return
    }
    this.#changed = true
    this.#pulseAt = Math.min(this.#pulseAt, Math.max(now + pulseDelayMs, this.#pulsedAt + 4 * pulseDelayMs))
  }

  memberDown(node: string): void {
    // What the next root sends is older than nothing.
    if (this.#pulse?.root === node) this.#pulse = undefined
  }

  linked(neighbour: Neighbour): void {
    if (this.#pulse !== undefined) this.#sendTo(neighbour)
  }

  /** Without its parent a node hangs itself on the neighbour next to the root, if one was no farther than itself: it cannot be below. */
  unlinked({ node }: Neighbour): void {
    if (node !== this.#parent) return
    this.#parent = undefined
    const own = this.#pulse
    if (own === undefined) return
    let best: Neighbour | undefined
    for (const neighbour of this.#neighbourhood.values()) {
      const { pulse } = neighbour
      if (pulse === undefined || pulse.root !== own.root || pulse.sequence !== own.sequence || pulse.hops > own.hops) continue
      if (best?.pulse === undefined || pulse.hops < best.pulse.hops) best = neighbour
    }
    if (best === undefined) return
    this.#parent = best.node
    best.isEager = true
    this.#state.counts.graftsSent++
    this.#state.send(best.node, { type: 'graft', isLink: true, ids: [] })
  }

  handlePulse(neighbour: Neighbour, { root, sequence, hops, isParent }: Pulse, now: number): void {
    const { pulse } = neighbour
    // Messages overtake each other: who has chosen this node in a pulse takes it back by a prune, not by an older copy of the pulse.
    const isChild = isParent || (pulse?.isParent === true && pulse.root === root && pulse.sequence === sequence)
    neighbour.pulse = { root, sequence, hops, isParent: isChild }
    if (root === this.#state.node && sequence > this.#sequence) return this.#continueFrom(sequence, now)
    const order = this.#compare(root, sequence)
    if (order < 0) return
    if (order > 0) {
      if (!this.#state.members.has(root)) return
      this.#isMade = true
      this.#pulse = { root, sequence, hops: hops + 1 }
      this.#parent = neighbour.node
      neighbour.isEager = true
      for (const each of this.#neighbourhood.values()) this.#sendTo(each)
      return
    }
    if (isChild) neighbour.isEager = true
    else if (neighbour.node !== this.#parent) {
      if (this.#pulse !== undefined && root !== this.#state.node && this.#isBetter(hops)) this.#moveTo(neighbour, hops)
      else neighbour.isEager = false
    }
  }

  /** The others still have a pulse of a former life of this node: its own have to be newer. */
  #continueFrom(sequence: number, now: number): void {
    this.#sequence = sequence
    this.noticeChange(now)
  }

  #isBetter(hops: number): boolean {
    return this.#parent === undefined || hops + 1 + this.#state.settings.hopsBetter <= (this.#pulse?.hops ?? 0)
  }

  #moveTo(neighbour: Neighbour, hops: number): void {
    if (this.#pulse === undefined) return
    const before = this.#parent === undefined ? undefined : this.#neighbourhood.get(this.#parent)
    this.#pulse = { ...this.#pulse, hops: hops + 1 }
    this.#parent = neighbour.node
    neighbour.isEager = true
    this.#sendTo(neighbour)
    if (before === undefined) return
    before.isEager = false
    this.#state.counts.prunesSent++
    this.#state.send(before.node, { type: 'prune' })
  }

  /** Above 0 when a pulse is newer than the one here: of a root with a lesser hash, or of the same and later. */
  #compare(root: string, sequence: number): number {
    const own = this.#pulse
    if (own === undefined) return 1
    if (own.root === root) return sequence - own.sequence
    const hash = nameHash(root)
    const ownHash = nameHash(own.root)
    return hash === ownHash ? (root < own.root ? 1 : -1) : ownHash - hash
  }

  #isRoot(): boolean {
    return this.#state.members.first === this.#state.node
  }

  #sendPulse(now: number): void {
    this.#pulseAt = Infinity
    if (!this.#isRoot()) return
    this.#pulsedAt = now
    // After a change once more, when links have settled.
    this.#pulseAt = now + (this.#changed ? 4 * this.#state.settings.pulseDelayMs : this.#state.settings.pulseIntervalMs)
    this.#changed = false
    this.#parent = undefined
    this.#isMade = true
    this.#pulse = { root: this.#state.node, sequence: ++this.#sequence, hops: 0 }
    for (const neighbour of this.#neighbourhood.values()) this.#sendTo(neighbour)
  }

  #sendTo(neighbour: Neighbour): void {
    const { root, sequence, hops } = this.#pulse as { root: string; sequence: number; hops: number }
    this.#state.send(neighbour.node, { type: 'pulse', root, sequence, hops, isParent: neighbour.node === this.#parent })
  }
}
