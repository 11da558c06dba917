/**
 * What the Serf layer has to spread: intents, then queries, then events, each kind in a queue of its own, so that a flood of one kind
 * holds up only those after it. docs/specs/04-gossip.md §7.3.
 *
 * Of intents about one member only the newest waits: it is the one that counts wherever both arrive. Events and queries replace nothing.
 */
import { BroadcastQueue } from '../broadcast-queue.ts'
import type { User } from '../messages.ts'

export class SerfQueues {
  readonly intents: BroadcastQueue<User>
  readonly queries: BroadcastQueue<User>
  readonly events: BroadcastQueue<User>
  readonly #sizeOf: (message: User) => number

  constructor(sizeOf: (message: User) => number, maxQueued: number) {
    this.#sizeOf = sizeOf
    this.intents = new BroadcastQueue(sizeOf, maxQueued)
    this.queries = new BroadcastQueue(sizeOf, maxQueued)
    this.events = new BroadcastQueue(sizeOf, maxQueued)
  }

  get isEmpty(): boolean {
    return this.intents.length + this.queries.length + this.events.length === 0
  }

  /** Takes messages of at most `freeBytes` in sum; each is gone after it was taken `sendLimit` times. */
  take(freeBytes: number, sendLimit: number): User[] {
    const taken: User[] = []
    let free = freeBytes
    for (const queue of [this.intents, this.queries, this.events]) {
      for (const message of queue.take(free, sendLimit)) {
        taken.push(message)
        free -= this.#sizeOf(message)
      }
    }
    return taken
  }
}
