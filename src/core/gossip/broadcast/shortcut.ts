/**
 * The way past the tree: an event of this node's own goes out once, by multicast, where that reaches enough members. docs/specs/06-broadcast.md §11.
 *
 * Whom multicast reaches from here is told from outside, and may be wrong: what is here decides only how soon a neighbour gets what, never
 * whether. Who is reached from one node is mostly reached from all in the same network, as it is the receiver's port that lets multicast
 * through or not. So a node that is told who hears *it* also knows, of an event that somebody of its network sent, which of its neighbours have it.
 */
import type { BroadcastState } from './broadcast-state.ts'
import type { LoggedEvent } from './message-log.ts'

export class Shortcut {
  readonly #state: BroadcastState
  #names: ReadonlySet<string> = new Set()
  #maxBytes = 0

  constructor(state: BroadcastState) {
    this.#state = state
  }

  /** How many members are reached. */
  get size(): number {
    return this.#names.size
  }

  set(names: ReadonlySet<string>, maxBytes: number): void {
    this.#names = names
    this.#maxBytes = maxBytes
  }

  reaches(node: string): boolean {
    return this.#names.has(node)
  }

  /** Whether an own event whose message has so many bytes goes by it. */
  takes(bytes: number): boolean {
    return bytes <= this.#maxBytes && this.#names.size >= this.#state.settings.multicastMinMembers
  }

  /** Whether a neighbour should have had the event by multicast, so that its id is enough. */
  covers({ coverage }: LoggedEvent, node: string): boolean {
    return coverage === 'here' && this.#names.has(node)
  }
}
