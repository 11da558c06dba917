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
export {
  decodeBlock,
  MAX_BLOCK_BYTES,
  MAX_BLOCK_CHUNKS,
  MAX_CHUNK_BYTES,
  MAX_SEGMENTS,
  writeSegment,
  type BlockSegment,
  type ManifestPiece,
  type PieceKind,
} from './content-block.ts'
export { BlockBuilder, MIN_BLOCK_BYTES } from './block-builder.ts'
export {
  ContentAssembler,
  DEFAULT_ASSEMBLER_LIMITS,
  type AssembledContent,
  type AssemblerLimits,
  type AssemblerOutput,
  type AssemblerStatus,
} from './content-assembler.ts'
export { decodeNeeds, encodeNeeds, MAX_NEEDS_BYTES, type HeldRanges } from './needs.ts'
export { DEFAULT_SEND_PLAN_OPTIONS, SendPlan, type PlannedRun, type SendPlanOptions, type SendPlanStatus } from './send-plan.ts'
