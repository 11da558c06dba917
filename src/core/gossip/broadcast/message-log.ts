/**
 * The events of late with their payloads, for those that ask for one, and what is known of which neighbour has them. Bounded by count,
 * bytes and age; the oldest goes first.
 */
import type { EventId } from './broadcast-messages.ts'
import type { BroadcastState } from './broadcast-state.ts'

/**
 * How an event goes to all: along the tree alone; by multicast, in the network that this node is in; or by multicast in another network,
 * so that here the tree has to bring it.
 */
export type Coverage = 'tree' | 'here' | 'elsewhere'

/** An event that is here; neighbours are bits by their slots. */
export interface LoggedEvent extends EventId {
  readonly key: string
  readonly originNode: string
  readonly payload: Uint8Array
  /** Links from the origin to here. */
  readonly hops: number
  /** Whom it came from; undefined at its origin. */
  readonly from: string | undefined
  readonly coverage: Coverage
  /** Who gets the receipts of this node and those below it; undefined at its origin. */
  readonly reportTo: string | undefined
  readonly at: number
  /** Neighbours that said that they have it, or sent it. */
  knownBy: number
  /** Neighbours that were told of it, by the payload or its id. */
  told: number
  /** How often those that said nothing were told again. */
  tries: number
  /** When that is done next; Infinity for never. */
  retryAt: number
  /** When the receipts have to be there; undefined when nobody wants any. */
  readonly reportAt: number | undefined
}

export class MessageLog {
  readonly #state: BroadcastState
  readonly #events: Map<string, LoggedEvent> = new Map()
  #bytes = 0

  constructor(state: BroadcastState) {
    this.#state = state
  }

  get size(): number {
    return this.#events.size
  }

  get bytes(): number {
    return this.#bytes
  }

  get(id: EventId): LoggedEvent | undefined {
    return this.#events.get(eventKey(id))
  }

  values(): MapIterator<LoggedEvent> {
    return this.#events.values()
  }

  add(event: LoggedEvent): void {
    const { maxCachedBytes, maxCachedMessages } = this.#state.settings
    this.#events.set(event.key, event)
    this.#bytes += event.payload.length
    for (const oldest of this.#events.values()) {
      if (this.#events.size <= maxCachedMessages && this.#bytes <= maxCachedBytes) break
      this.#delete(oldest)
      this.#state.dropped.evictedMessages++
    }
  }

  expire(now: number): void {
    for (const oldest of this.#events.values()) {
      if (now - oldest.at < this.#state.settings.cacheMs) break
      this.#delete(oldest)
    }
  }

  #delete(event: LoggedEvent): void {
    this.#events.delete(event.key)
    this.#bytes -= event.payload.length
  }
}

/** An id as the key of a map. */
export function eventKey({ origin, sequence }: EventId): string {
  return origin + String(sequence)
}
