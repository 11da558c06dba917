/**
 * `polycast/multicast`: what a reliable multicast session is made of. Time, random numbers, cipher and sockets are handed in; nothing here
 * does input or output.
 */
export type * from './session-types.ts'
export { loadKernel, type Kernel } from './fec/load-kernel.ts'
