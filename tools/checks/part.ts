/** What a part of the checks is, and what it reports. */

/** Where the checks run and what was asked for. */
export interface Context {
  /** The project's folder, absolute. */
  readonly root: string
  /** The network testbed's command, absolute; it may not exist. */
  readonly testbed: string
  /** Only test files whose path contains this text. */
  readonly filter: string | undefined
  /** When the whole run must be over, in milliseconds of performance.now(). */
  readonly deadline: number
}

/** Counts of one part. A part that did not run says why, and what it would have run counts as skipped. */
export interface PartResult {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  /** Why the part, or some of it, did not run. */
  readonly notRun?: string
  /** Test files and how long each took, in milliseconds. */
  readonly files?: readonly { readonly file: string; readonly ms: number }[]
}

export interface Part {
  /** One word, as given to `npm test -- PART`. */
  readonly name: string
  readonly title: string
  readonly run: (context: Context) => Promise<PartResult>
}

/** The result of a check that either holds or not. */
export function verdict(holds: boolean): PartResult {
  return { passed: holds ? 1 : 0, failed: holds ? 0 : 1, skipped: 0 }
}

/** The result of a part that cannot run here. */
export function notRun(reason: string): PartResult {
  return { passed: 0, failed: 0, skipped: 1, notRun: reason }
}

export function addResults(results: readonly PartResult[]): PartResult {
  const reasons = results.flatMap((result) => result.notRun ?? [])
  return {
    passed: results.reduce((sum, result) => sum + result.passed, 0),
    failed: results.reduce((sum, result) => sum + result.failed, 0),
    skipped: results.reduce((sum, result) => sum + result.skipped, 0),
    ...(reasons.length > 0 ? { notRun: reasons.join('; ') } : {}),
    files: results.flatMap((result) => result.files ?? []),
  }
}
