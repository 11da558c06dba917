/** How many chunks are relayed at once (§4). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runChunksFor } from './geometry.ts'

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB

test('a run is F/1024 bytes from 16 KiB to 64 KiB, F/4096 beyond, and one chunk at the least', () => {
  const cases: [total: number | undefined, chunk: number, run: number][] = [
    [100 * KIB, 16 * KIB, 16 * KIB],
    [MIB, 16 * KIB, 16 * KIB],
    [32 * MIB, 16 * KIB, 32 * KIB],
    [64 * MIB, 16 * KIB, 64 * KIB],
    [256 * MIB, 32 * KIB, 64 * KIB],
    [GIB, 128 * KIB, 256 * KIB],
    [4 * GIB, 512 * KIB, 1024 * KIB],
    [undefined, 64 * KIB, 64 * KIB],
    [MIB, 256 * KIB, 256 * KIB],
  ]
  for (const [total, chunk, run] of cases) assert.equal(runChunksFor(total, chunk) * chunk, run, `${total} in chunks of ${chunk}`)
})
