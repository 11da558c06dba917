/**
 * Where this member is in a space in which distances are round-trip times. Dabek, Cox, Kaashoek, Morris: Vivaldi, SIGCOMM 2004; the
 * adjustment is of Ledlie, Gardner, Seltzer, NSDI 2007. Constants and order of steps are Serf's. docs/specs/04-gossip.md §7.5.
 *
 * Each round trip to a member whose coordinate is known pulls or pushes this one's, the more the surer that one is of its own. A slight
 * gravity keeps the whole from drifting. What is no number, or no plausible round trip, is not taken.
 */
import type { Random } from '../../lib/random.ts'
import type { Coordinate } from '../serf-messages.ts'

const DIMENSIONS = 8
const ERROR_MAX = 1.5
/** How fast the error, and the place, follow what is measured. */
const CE = 0.25
const CC = 0.25
const ADJUSTMENT_WINDOW = 20
const HEIGHT_MIN = 10e-6
const LATENCY_FILTER = 3
const GRAVITY_RHO = 150
const MAX_RTT_MS = 10_000
const TINY = 1e-6

export class Vivaldi {
  readonly #random: Random
  #own: Coordinate = origin()
  readonly #adjustments: number[] = Array.from({ length: ADJUSTMENT_WINDOW }, () => 0)
  #adjustmentIndex = 0
  readonly #samples: Map<string, number[]> = new Map()
  #resetCount = 0

  constructor(random: Random) {
    this.#random = random
  }

  get own(): Coordinate {
    return this.#own
  }

  /** How often this coordinate went beyond all numbers, and began anew. */
  get resetCount(): number {
    return this.#resetCount
  }

  /** A round trip to a member with this coordinate; false when one of the two is not taken. */
  update(node: string, other: Coordinate, rttMs: number): boolean {
    if (!(rttMs >= 0 && rttMs <= MAX_RTT_MS) || !isValid(other)) return false
    const rtt = this.#median(node, rttMs / 1000)
    this.#pull(other, Math.max(rtt, TINY))
    this.#adjust(other, rtt)
    const center = origin()
    this.#own = this.#moved(-((distance(center, this.#own) / GRAVITY_RHO) ** 2), center)
    if (!isValid(this.#own)) {
      this.#own = origin()
      this.#resetCount++
    }
    return true
  }

  forget(node: string): void {
    this.#samples.delete(node)
  }

  /** Of the last few, as one that was held up says nothing about the way. */
  #median(node: string, rtt: number): number {
    const samples = [...(this.#samples.get(node) ?? []), rtt].slice(-LATENCY_FILTER)
    this.#samples.set(node, samples)
    return samples.toSorted((a, b) => a - b)[Math.floor(samples.length / 2)]!
  }

  #pull(other: Coordinate, rtt: number): void {
    const apart = distance(this.#own, other)
    const wrongness = Math.abs(apart - rtt) / rtt
    const weight = this.#own.error / Math.max(this.#own.error + other.error, TINY)
    const error = Math.min(CE * weight * wrongness + this.#own.error * (1 - CE * weight), ERROR_MAX)
    this.#own = this.#moved(CC * weight * (rtt - apart), other, error)
  }

  #adjust(other: Coordinate, rtt: number): void {
    this.#adjustments[this.#adjustmentIndex] = rtt - rawDistance(this.#own, other)
    this.#adjustmentIndex = (this.#adjustmentIndex + 1) % ADJUSTMENT_WINDOW
    const adjustment = this.#adjustments.reduce((sum, sample) => sum + sample, 0) / (2 * ADJUSTMENT_WINDOW)
    this.#own = { ...this.#own, adjustment }
  }

  /** This coordinate pushed away from another by a force. */
  #moved(force: number, other: Coordinate, error: number = this.#own.error): Coordinate {
    const { vector, height, adjustment } = this.#own
    let unit = vector.map((value, index) => value - other.vector[index]!)
    const size = magnitude(unit)
    if (size <= TINY) unit = vector.map(() => this.#random.float() - 0.5)
    const length = Math.max(magnitude(unit), TINY)
    const moved = vector.map((value, index) => value + (unit[index]! / length) * force)
    const higher = size > TINY ? Math.max(((height + other.height) * force) / size + height, HEIGHT_MIN) : height
    return { vector: moved, height: higher, error, adjustment }
  }
}

/** The estimated round trip between two coordinates, seconds. */
export function distance(a: Coordinate, b: Coordinate): number {
  const raw = rawDistance(a, b)
  const adjusted = raw + a.adjustment + b.adjustment
  return adjusted > 0 ? adjusted : raw
}

function rawDistance(a: Coordinate, b: Coordinate): number {
  return magnitude(a.vector.map((value, index) => value - b.vector[index]!)) + a.height + b.height
}

function magnitude(vector: readonly number[]): number {
  return Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))
}

function isValid({ vector, height, error, adjustment }: Coordinate): boolean {
  return vector.length === DIMENSIONS && [...vector, height, error, adjustment].every(Number.isFinite)
}

function origin(): Coordinate {
  return { vector: Array.from({ length: DIMENSIONS }, () => 0), height: HEIGHT_MIN, error: ERROR_MAX, adjustment: 0 }
}
