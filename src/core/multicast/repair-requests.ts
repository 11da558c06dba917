/**
 * What receivers ask for in one block, gathered until it is repaired, and what to send for it: fresh parity for the most that anybody lacks, as each
 * new symbol serves all; symbols that were sent before only when parity is used up, first those that most lack. docs/specs/07-multicast.md §6.
 */
import { hasSymbol, uniteSets } from './symbol-set.ts'

/** One receiver's request. */
interface Request {
  readonly receiver: number
  missing: number
  held: Uint8Array
}

export class RepairRequests {
  readonly #maxRequests: number
  readonly #requests: Request[] = []
  #need = 0

  constructor(maxRequests: number) {
    this.#maxRequests = maxRequests
  }

  /** The most that somebody lacks; 0 when nobody asks. */
  get need(): number {
    return this.#need
  }

  /** The most that somebody lacks who lacks no more than `limit`; 0 without such a one. */
  needWithin(limit: number): number {
    let most = 0
    for (const { missing } of this.#requests) if (missing <= limit && missing > most) most = missing
    return most
  }

  /** A receiver lacks `missing` symbols, and has `held` (empty if it doesn't say). A later request of the same receiver counts instead. */
  add(receiver: number, missing: number, held: Uint8Array): void {
    this.#need = Math.max(this.#need, missing)
    const before = this.#requests.find((request) => request.receiver === receiver)
    if (before !== undefined) {
      before.missing = missing
      before.held = held
      return
    }
    if (this.#requests.length < this.#maxRequests) {
      this.#requests.push({ receiver, missing, held })
      return
    }
    // No place: it shares that of the last one, by symbols that both lack. Who is not served by them asks again.
    const last = this.#requests[this.#maxRequests - 1] as Request
    last.missing = Math.max(last.missing, missing)
    last.held = uniteSets(last.held, held)
  }

  clear(): void {
    this.#requests.length = 0
    this.#need = 0
  }

  /**
   * Symbols among the first `sent` that serve all requests: `extra` more than asked for each, if there are so many. Cost: requests × symbols.
   */
  chooseSent(sent: number, extra: number): number[] {
    const open = this.#requests.map(({ missing, held }) => ({ missing: missing + extra, held }))
    const lacking = new Uint16Array(sent)
    for (let index = 0; index < sent; index++) for (const { held } of open) if (!hasSymbol(held, index)) lacking[index]!++
    const order = Array.from({ length: sent }, (_, index) => index)
    order.sort((a, b) => lacking[b]! - lacking[a]! || a - b)
    const chosen: number[] = []
    for (const index of order) {
      let serves = false
      for (const request of open) {
        if (request.missing <= 0 || hasSymbol(request.held, index)) continue
        request.missing--
        serves = true
      }
      if (serves) chosen.push(index)
    }
    return chosen.sort((a, b) => a - b)
  }
}
