/**
 * `polycast/multicast`: what a reliable multicast session is made of. Time, random numbers, cipher and sockets are handed in; nothing here
 * does input or output.
 */
export type * from './session-types.ts'
export type * from './session-machine-types.ts'
export { DATA_HEADER_BYTES } from './data-packet.ts'
export { loadKernel, type Kernel } from './fec/load-kernel.ts'
export { type Invitation, MAX_INVITATION_BYTES, decodeInvitation, encodeInvitation } from './invitation.ts'
export { MulticastReceiver } from './multicast-receiver.ts'
export { MulticastSender } from './multicast-sender.ts'
export { DEFAULT_RECEIVER_LIMITS, DEFAULT_SENDER_LIMITS } from './session-machine-types.ts'
export { MAX_APP_BYTES, MAX_NAME_BYTES } from './session-packets.ts'
export { SessionRate, type RateStatus } from './rate-control.ts'
export { DEFAULT_RATE_OPTIONS, type RateOptions } from './rate-options.ts'
