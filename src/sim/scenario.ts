/** What `main.ts` runs: a named scenario of either simulator, with figures that are exact for its seed. */

/** Numbers, and the hash of the run under `trace`. */
export type Figures = Readonly<Record<string, number | string>>

export interface Outcome {
  readonly figures: Figures
  /** Sentences about what should hold and did not; none when all is well. */
  readonly violations: readonly string[]
}

export interface Runnable {
  /** The simulator and the scenario, one of its kind: `swarm/loss`. */
  readonly name: string
  readonly what: string
  /** Takes long: it runs when it is named, and in no check. */
  readonly isByHand: boolean
  /** The seed is the scenario's own unless given. */
  run(seed?: string): Outcome
  /** The figures in a line for people. */
  describe(figures: Figures): string
}

/** To a number of decimals; what is not finite is −1, as JSON has no such numbers. */
export function rounded(value: number, decimals: number): number {
  return Number.isFinite(value) ? Math.round(value * 10 ** decimals) / 10 ** decimals : -1
}
