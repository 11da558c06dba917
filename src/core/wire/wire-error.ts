/**
 * What a decoder returns for bytes that a correct peer would not have sent. Not for a failed operation (those are the
 * agent's named errors) and not for a bug (`assert`).
 */

/**
 * What to do about the peer: `ignore` says drop the message, nobody did wrong (late, early, or the author's own fault);
 * `penalise` says that its data did not verify; `disconnect` says that it does not speak the protocol.
 */
export type Disposition = 'ignore' | 'penalise' | 'disconnect'

/** A broken or hostile message, as a value: decoders never throw. */
export interface WireError {
  readonly kind: 'wire-error'
  readonly disposition: Disposition
  readonly message: string
}

/** A `WireError` of that disposition and message. */
export function wireError(disposition: Disposition, message: string): WireError {
  return { kind: 'wire-error', disposition, message }
}

/** Whether a decoder's result is its `WireError`. */
export function isWireError(value: unknown): value is WireError {
  return typeof value === 'object' && value !== null && (value as { kind?: unknown }).kind === 'wire-error'
}
