/** Whether a packet is lost, by Gilbert's two states; each draws how long it lasts, so that a packet that comes costs next to nothing. */
import type { Random } from '../../core/lib/random.ts'

export interface LossOptions {
  /** Of all packets, 0 to below 1. */
  readonly share: number
  /** Packets that are lost one after the other, on average; independent of each other unless given. */
  readonly burst?: number
}

export class Loss {
  readonly #random: Random
  readonly #meanGood: number
  readonly #meanBad: number
  #isBad: boolean
  #left: number

  constructor({ share, burst = 1 / (1 - share) }: LossOptions, random: Random) {
    this.#random = random
    this.#meanBad = burst
    this.#meanGood = share === 0 ? Infinity : (burst * (1 - share)) / share
    this.#isBad = random.float() < share
    this.#left = this.#draw()
  }

  /** Whether the next packet is lost. */
  takes(): boolean {
    if (this.#left === 0) {
      this.#isBad = !this.#isBad
      this.#left = this.#draw()
    }
    this.#left--
    return this.#isBad
  }

  /** Packets until the state changes: at least one. */
  #draw(): number {
    const mean = this.#isBad ? this.#meanBad : this.#meanGood
    if (mean === Infinity) return Infinity
    if (mean <= 1) return 1
    return 1 + Math.floor(Math.log(1 - this.#random.float()) / Math.log(1 - 1 / mean))
  }
}
