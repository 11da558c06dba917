/**
 * What of the incoming feedback is read at all. Opening a packet costs some ten microseconds, and anybody can send: so each address that an authentic
 * packet came from has a budget of its own, and all others share one. A storm of strangers costs the sender no more than that, and
 * takes nothing from those whom it knows.
 */
import { TokenBucket } from './token-bucket.ts'

export class FeedbackGate {
  readonly #perReceiver: number
  readonly #maxAddresses: number
  readonly #unknown: TokenBucket
  readonly #known: Map<string, TokenBucket> = new Map()

  constructor(perReceiver: number, unknownTogether: number, maxAddresses: number, now: number) {
    this.#perReceiver = perReceiver
    this.#maxAddresses = maxAddresses
    this.#unknown = new TokenBucket(unknownTogether, unknownTogether, now)
  }

  /** Whether a packet from there may be read. */
  admits(from: string, now: number): boolean {
    return (this.#known.get(from) ?? this.#unknown).take(now)
  }

  /** An authentic packet came from there. Without a place left, the address goes on sharing. */
  learn(from: string, now: number): void {
    if (this.#known.has(from) || this.#known.size >= this.#maxAddresses) return
    this.#known.set(from, new TokenBucket(this.#perReceiver, this.#perReceiver, now))
  }
}
