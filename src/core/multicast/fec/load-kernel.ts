/**
 * The front door of what is computed for each packet and block of a session: the erasure code and the packets' authenticator, as fast as
 * this engine can (docs/specs/08-multicast-content.md §5, §6).
 */
import type { ErasureCode } from '../session-types.ts'
import { plainErasureCode } from './plain-kernel.ts'
import { loadSimdKernel, type Instantiate } from './simd-kernel.ts'
import { plainSipHash } from './siphash.ts'

/** All that core needs of WebAssembly, which neither the language's types nor Node's have. */
interface WebAssemblyLike {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object) => { readonly exports: unknown }
}

declare const WebAssembly: WebAssemblyLike | undefined

/** What computes for sessions. It has memory of its own, about 1.2 MiB: one for each thread. */
export interface Kernel {
  /** `plain` where the engine has no WebAssembly with SIMD: the same bytes, some ten times slower. */
  readonly kind: 'simd' | 'plain'
  readonly code: ErasureCode
  /** SipHash-2-4 of up to 65,536 bytes under a key of 16 bytes: the halves of 64 bits, unsigned. */
  readonly sipHash: (key: Uint8Array, bytes: Uint8Array) => readonly [high: number, low: number]
}

/**
 * Compiles the kernel, some milliseconds; the plain one where that is not possible.
 *
 * @param instantiate gives the exports of a WebAssembly module or throws; a test says with it what an engine lacks
 */
export function loadKernel(instantiate: Instantiate = instantiateHere): Kernel {
  const simd = loadSimdKernel(instantiate)
  if (simd !== undefined) return { kind: 'simd', ...simd }
  return { kind: 'plain', code: plainErasureCode(), sipHash: plainSipHash }
}

/** Throws where there is no WebAssembly, or it refuses the bytes. */
function instantiateHere(bytes: Uint8Array): unknown {
  if (typeof WebAssembly === 'undefined') throw new Error('no WebAssembly')
  return new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports
}
