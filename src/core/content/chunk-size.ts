/**
 * How large chunks are on average: decided by the content's size alone, so that equal files give equal chunks on every
 * node (docs/specs/01-manifest.md §2.1; why these numbers: docs/decisions/0001-chunk-sizes.md).
 */

/** The smallest average that a manifest may state. */
export const MIN_AVERAGE_CHUNK_BYTES = 256
/** The largest average that a manifest may state. */
export const MAX_AVERAGE_CHUNK_BYTES: number = 4 * 1024 * 1024
/** A chunk holds at most this many times the average. */
export const MAX_CHUNK_FACTOR = 4

const LEAST_AVERAGE = 16 * 1024
const UNKNOWN_SIZE_AVERAGE = 64 * 1024
const AIMED_CHUNKS = 8 * 1024

/**
 * Average chunk length in bytes, a power of two, for a content of `totalBytes`: 16 KiB up to 128 MiB, then doubled so that
 * there are at most 8 Ki chunks, at most 4 MiB; 64 KiB when the size is not known.
 */
export function averageChunkBytes(totalBytes: number | undefined): number {
  if (totalBytes === undefined) return UNKNOWN_SIZE_AVERAGE
  let average = LEAST_AVERAGE
  while (average < MAX_AVERAGE_CHUNK_BYTES && average * AIMED_CHUNKS < totalBytes) average *= 2
  return average
}

/** Whether a manifest may state this average: a power of two within the limits. */
export function isAverageChunkBytes(bytes: number): boolean {
  return bytes >= MIN_AVERAGE_CHUNK_BYTES && bytes <= MAX_AVERAGE_CHUNK_BYTES && Number.isInteger(Math.log2(bytes))
}
