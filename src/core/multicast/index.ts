/**
 * `polycast/multicast`: the machines of reliable multicast sessions. docs/specs/07-multicast.md.
 */
export { SessionRate, type RateStatus } from './rate-control.ts'
export { DEFAULT_RATE_OPTIONS, type RateOptions } from './rate-options.ts'
export type { RateControl, RateMode, ReceiverReport } from './session-types.ts'
