/**
 * The tree along which payloads go, made before the first of them by pulses. docs/specs/06-broadcast.md §4.
 *
 * The member whose name has the least hash is the root; as all know all members, all agree on it without a vote. From time to time, and
 * soon after members came or went, it sends a pulse, a few bytes, to its neighbours, and each node passes the first of a number on to all
 * of its own. A little later it chooses its parent among those from whom it heard: fewest hops from the root, then the parent it has, then
 * who was first; and tells it. A link is eager where one end is the parent of the other; all others become lazy. That is Plumtree's first
 * flood, done with some bytes in place of an event, and with its optimisation by hops (§3.8) done beforehand. All origins share the tree.
 *
 * A parent's hops are always fewer than those that its child has told the others, so that parents never form a circle. Losses leave links
 * whose ends disagree, and nodes without a parent. Events get through all the same (`dissemination.ts`), mend what they meet by grafts
 * and prunes, and the next pulse makes all anew.
 */
import type { Pulse } from './broadcast-messages.ts'
import type { BroadcastState } from './broadcast-state.ts'
import { hashText } from '../../lib/text-hash.ts'
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
  /** When the parent is chosen among those whose pulses came. */
  #chooseAt = Infinity
  /** When the links that no pulse has made part of the tree become lazy. */
  #trimAt = Infinity
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

  /** The root of the newest pulse. */
  get root(): string | undefined {
    return this.#pulse?.root
  }

  /** Links from the root to here, by the newest pulse. */
  get hops(): number {
    return this.#pulse?.hops ?? 0
  }

  /** Whether the link is one of a parent and its child, by the newest pulse. */
  holds(neighbour: Neighbour): boolean {
    return neighbour.node === this.#parent || this.isChild(neighbour)
  }

  /** Whether the neighbour has chosen this node as its parent, by the newest pulse. */
  isChild({ pulse }: Neighbour): boolean {
    return pulse?.isParent === true && this.#isCurrent(pulse)
  }

  nextDeadline(): number {
    return Math.min(this.#pulseAt, this.#chooseAt, this.#trimAt)
  }

  handleTimeout(now: number): void {
    if (now >= this.#pulseAt) this.#sendPulse(now)
    if (now >= this.#chooseAt) this.#choose(now)
    if (now >= this.#trimAt) this.#trim()
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
    if (this.#pulse !== undefined) this.#tell(neighbour, false)
  }

  /** Without its parent a node takes the next best at once. */
  unlinked({ node }: Neighbour, now: number): void {
    if (node !== this.#parent) return
    this.#parent = undefined
    if (this.#chooseAt === Infinity) this.#choose(now)
  }

  handlePulse(neighbour: Neighbour, { root, sequence, hops, isParent }: Pulse, now: number): void {
    const { pulse } = neighbour
    // Messages overtake each other: who has chosen this node in a pulse takes it back by a prune, not by an older copy of the pulse.
    const isSame = pulse?.root === root && pulse.sequence === sequence
    neighbour.pulse = { root, sequence, hops, isParent: isParent || (isSame && pulse.isParent), at: isSame ? pulse.at : now }
    if (root === this.#state.node && sequence > this.#sequence) return this.#continueFrom(sequence, now)
    const order = this.#compare(root, sequence)
    if (order > 0) {
      if (!this.#state.members.has(root)) return
      this.#pulse = { root, sequence, hops: hops + 1 }
      for (const each of this.#neighbourhood.values()) if (each !== neighbour) this.#tell(each, false)
      this.#chooseAt = now + this.#state.answerMs
      this.#trimAt = Infinity
    } else if (order === 0) {
      if (neighbour.pulse.isParent) neighbour.isEager = true
      if (this.#parent === undefined && this.#chooseAt === Infinity) this.#choose(now)
    }
  }

  #choose(now: number): void {
    this.#chooseAt = Infinity
    const own = this.#pulse
    if (own === undefined || own.root === this.#state.node) return
    let best: Pulsed | undefined
    for (const neighbour of this.#neighbourhood.values()) {
      if (!hasPulse(neighbour) || !this.#isCurrent(neighbour.pulse) || neighbour.pulse.hops >= own.hops) continue
      if (best === undefined || this.#isBetter(neighbour, best)) best = neighbour
    }
    if (best === undefined) return
    this.#parent = best.node
    best.isEager = true
    this.#tell(best, true)
    // The children's choices are still on their way.
    this.#trimAt = now + 2 * this.#state.answerMs
  }

  /** By hops, then the present parent, then who was first. */
  #isBetter(a: Pulsed, b: Pulsed): boolean {
    if (a.pulse.hops !== b.pulse.hops) return a.pulse.hops < b.pulse.hops
    if (a.node === this.#parent || b.node === this.#parent) return a.node === this.#parent
    return a.pulse.at < b.pulse.at
  }

  #trim(): void {
    this.#trimAt = Infinity
    this.#isMade = true
    for (const neighbour of this.#neighbourhood.values()) if (!this.holds(neighbour)) neighbour.isEager = false
  }

  #isCurrent({ root, sequence }: { readonly root: string; readonly sequence: number }): boolean {
    return this.#pulse !== undefined && root === this.#pulse.root && sequence === this.#pulse.sequence
  }

  /** The others still have a pulse of a former life of this node: its own have to be newer. */
  #continueFrom(sequence: number, now: number): void {
    this.#sequence = sequence
    this.noticeChange(now)
  }

  /** Above 0 when a pulse is newer than the one here: of a root with a lesser hash, or of the same and later. */
  #compare(root: string, sequence: number): number {
    const own = this.#pulse
    if (own === undefined) return 1
    if (own.root === root) return sequence - own.sequence
    const hash = hashText(root)
    const ownHash = hashText(own.root)
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
    this.#pulse = { root: this.#state.node, sequence: ++this.#sequence, hops: 0 }
    for (const neighbour of this.#neighbourhood.values()) this.#tell(neighbour, false)
    this.#chooseAt = Infinity
    this.#trimAt = now + 3 * this.#state.answerMs
  }

  #tell({ node }: Neighbour, isParent: boolean): void {
    if (this.#pulse !== undefined) this.#state.send(node, { type: 'pulse', ...this.#pulse, isParent })
  }
}

type Pulsed = Neighbour & { readonly pulse: NonNullable<Neighbour['pulse']> }

function hasPulse(neighbour: Neighbour): neighbour is Pulsed {
  return neighbour.pulse !== undefined
}
