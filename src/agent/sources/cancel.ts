/** Cancelling by an AbortSignal, as an error of the table. */
import { fail, isPolycastError, type PolycastError } from '../errors.ts'

/** The error for an aborted signal: its reason where that is a PolycastError, else `cancelled`. */
export function cancelledBy(signal: AbortSignal): PolycastError {
  const reason: unknown = signal.reason
  return isPolycastError(reason) ? reason : fail('cancelled', { reason: 'it was told to stop' }, reason)
}

export function throwIfCancelled(signal: AbortSignal): void {
  if (signal.aborted) throw cancelledBy(signal)
}
