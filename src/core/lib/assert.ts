/**
 * Checks of what this program itself promises, on in production. Not for what a peer or a user sends: that is a
 * `WireError` or a named error of an operation.
 */

/** A promise of this program that did not hold: a bug, never a peer's or a user's doing. */
export class AssertionError extends Error {
  override readonly name: string = 'AssertionError'
}

/** Throws an `AssertionError` with `message` unless `condition` holds. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}
