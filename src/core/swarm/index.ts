/** The swarm protocol as a library: peer and tracker machines, and the frames between them. See docs/specs/02-swarm.md. */
export * from './content-view.ts'
export * from './frames.ts'
export { runChunksFor } from './geometry.ts'
export { SwarmPeer } from './peer.ts'
export * from './peer-types.ts'
export { StripeForest, type ForestNode, type ForestOptions } from './stripe-forest.ts'
export * from './tracker.ts'
export type { ChunkRange } from './upload.ts'
