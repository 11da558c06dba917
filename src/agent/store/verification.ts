/**
 * Reads chunks from a data file and holds them against the manifest: at the start after a crash, and when somebody asks
 * (`content verify`). In runs of about a megabyte, so that a content larger than memory passes through one buffer.
 */
import type { Manifest } from '../../core/content/manifest.ts'
import type { DataFile } from './data-file.ts'

const RUN_BYTES = 1024 * 1024

/** Consecutive chunks that are read together: at least one, then as many as fit into `RUN_BYTES`. */
export function runLength(manifest: Manifest, firstChunk: number, count: number): number {
  const start = manifest.chunkOffset(firstChunk)
  let length = 1
  while (length < count && manifest.chunkOffset(firstChunk + length + 1) - start <= RUN_BYTES) length++
  return length
}

/**
 * Tells of every chunk of `ranges` whether the data file holds it; a chunk that cannot be read is not held.
 *
 * Ends early when `shouldStop` says so; returns whether it got to the end.
 */
export async function checkChunks(
  manifest: Manifest,
  data: DataFile,
  ranges: readonly (readonly [first: number, count: number])[],
  onChecked: (chunk: number, isGood: boolean) => void,
  shouldStop: () => boolean,
): Promise<boolean> {
  let buffer: Buffer = Buffer.allocUnsafeSlow(RUN_BYTES)
  for (const [first, count] of ranges) {
    for (let chunk = first; chunk < first + count;) {
      if (shouldStop()) return false
      const length = runLength(manifest, chunk, first + count - chunk)
      const start = manifest.chunkOffset(chunk)
      const bytes = manifest.chunkOffset(chunk + length) - start
      if (bytes > buffer.length) buffer = Buffer.allocUnsafeSlow(bytes)
      const read = await readOrNothing(data, buffer.subarray(0, bytes), start)
      for (let i = chunk; i < chunk + length; i++) {
        const at = manifest.chunkOffset(i) - start
        const end = at + manifest.chunkBytes(i)
        if (end <= read || bytes === manifest.chunkBytes(i)) onChecked(i, end <= read && manifest.verifyChunk(i, buffer.subarray(at, end)))
        else onChecked(i, await isGoodAlone(manifest, data, i))
      }
      chunk += length
    }
  }
  return true
}

/** One chunk by itself: where a run could not be read, the bad sector is in one of its chunks only. */
async function isGoodAlone(manifest: Manifest, data: DataFile, chunk: number): Promise<boolean> {
  const buffer = Buffer.allocUnsafe(manifest.chunkBytes(chunk))
  const read = await readOrNothing(data, buffer, manifest.chunkOffset(chunk))
  return read === buffer.length && manifest.verifyChunk(chunk, buffer)
}

/** The bytes read; 0 for an error of the disk, which is a reason to fetch the chunks again like any other. */
async function readOrNothing(data: DataFile, buffer: Uint8Array, position: number): Promise<number> {
  try {
    return await data.read(buffer, position)
  } catch {
    return 0
  }
}
