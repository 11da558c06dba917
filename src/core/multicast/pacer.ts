/** When the next datagram may go: the rate as a schedule, with a bounded catch-up for callers that are woken late. */
export class Pacer {
  readonly #burstMs: number
  readonly #burstBytes: number
  #nextAt: number

  constructor(burstMs: number, burstBytes: number, now: number) {
    this.#burstMs = burstMs
    this.#burstBytes = burstBytes
    this.#nextAt = now
  }

  /** When something may be sent. */
  get nextAt(): number {
    return this.#nextAt
  }

  /** Counts `bytes` that are sent now. */
  charge(bytes: number, bytesPerSec: number, now: number): void {
    const bytesPerMs = Math.max(1, bytesPerSec) / 1000
    const earliest = now - Math.min(this.#burstMs, this.#burstBytes / bytesPerMs)
    this.#nextAt = Math.max(this.#nextAt, earliest) + bytes / bytesPerMs
  }
}
