/** Which counters of one sender of control packets were seen: the newest 64, older ones count as seen. RFC 4303 §3.4.3's window. */
export class ReplayWindow {
  #highest = -1
  /** Bit i: `highest − i` was seen; two halves, since a number has 32 bits here. */
  #low = 0
  #high = 0

  /** Whether the counter is new and not too old; changes nothing, as the packet is not known to be authentic yet. */
  isNew(counter: number): boolean {
    const age = this.#highest - counter
    if (age < 0) return true
    if (age >= 64) return false
    return ((age < 32 ? this.#low >>> age : this.#high >>> (age - 32)) & 1) === 0
  }

  /** The packet of that counter was authentic. */
  add(counter: number): void {
    const ahead = counter - this.#highest
    if (ahead > 0) {
      this.#shift(ahead)
      this.#highest = counter
      this.#low |= 1
      return
    }
    const age = -ahead
    if (age < 32) this.#low |= 1 << age
    else if (age < 64) this.#high |= 1 << (age - 32)
  }

  #shift(by: number): void {
    if (by >= 64) {
      this.#low = 0
      this.#high = 0
    } else if (by >= 32) {
      this.#high = this.#low << (by - 32)
      this.#low = 0
    } else {
      this.#high = (this.#high << by) | (this.#low >>> (32 - by))
      this.#low <<= by
    }
  }
}
