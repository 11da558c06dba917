/**
 * How a content is cut into relay units.
 *
 * A run is the unit of relaying: a fixed count of consecutive chunks, sent in one frame and passed on as soon as it is
 * verified. Small runs shorten the way through a tree, large ones cost less work per byte. Run u travels in stripe u mod
 * stripes (docs/specs/02-swarm.md §4).
 */
const MIN_RUN_BYTES = 16 * 1024
const SMALL_RUN_BYTES = 64 * 1024

/**
 * Chunks in one run of a content.
 *
 * About F/1024 bytes up to 64 KiB, F/4096 beyond 256 MiB, never below 16 KiB; a content of unknown size counts as 64 MiB.
 */
export function runChunksFor(totalBytes: number | undefined, averageChunkBytes: number): number {
  const total = totalBytes ?? 64 * 1024 * 1024
  const wanted = Math.max(MIN_RUN_BYTES, Math.min(total / 1024, SMALL_RUN_BYTES), total / 4096)
  return Math.max(1, Math.round(wanted / averageChunkBytes))
}
