/** What a reader of a slow link waits for, against a wire that brings so many bytes a millisecond. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { Gather } from './gather.ts'

const FRAME_BYTES = 16 * 1024
const SPACE_BYTES = 64 * 1024
/** The wire brings packets. */
const PACKET_BYTES = 1448

/** Reads frames from a wire, `awayMs` late each time; how often it read, and when it had read each frame whole. */
function readFrames(frames: number, rate: number, gather: Gather, awayMs = 0): { reads: number; wholeAt: number[] } {
  const wholeAt: number[] = []
  let read = 0
  let reads = 0
  for (let now = 1; wholeAt.length < frames;) {
    const sent = now * rate
    const come = sent >= frames * FRAME_BYTES ? frames * FRAME_BYTES : Math.floor(sent / PACKET_BYTES) * PACKET_BYTES
    const count = Math.min(SPACE_BYTES, come - read)
    if (count === 0) {
      now += 1
      continue
    }
    read += count
    reads++
    while (wholeAt.length < Math.floor(read / FRAME_BYTES)) wholeAt.push(now)
    const missing = (FRAME_BYTES - (read % FRAME_BYTES)) % FRAME_BYTES
    now += awayMs + gather.waitMs(count, SPACE_BYTES, missing, now)
  }
  return { reads, wholeAt }
}

test('over a slow link a frame is read in a few goes, and not much later than it is there', () => {
  for (const rate of [10, 20, 50, 100]) {
    const { reads, wholeAt } = readFrames(100, rate, new Gather())
    assert.ok(reads <= 100 * Math.max(6, FRAME_BYTES / rate / 400 + 3), `${reads} reads at ${rate} bytes per ms`)
    for (const [index, at] of wholeAt.entries()) {
      const late = at - ((index + 1) * FRAME_BYTES) / rate
      assert.ok(late <= 2 * (PACKET_BYTES / rate) + 400, `frame ${index} ${late} ms late at ${rate} bytes per ms`)
    }
  }
})

test('a reader that was late once does not wait longer for that: nothing adds up', () => {
  const gather = new Gather()
  readFrames(20, 20, gather, 300)
  const { wholeAt } = readFrames(100, 20, gather)
  assert.ok(wholeAt.at(-1)! <= (100 * FRAME_BYTES) / 20 + 1000, `the last of 100 frames after ${wholeAt.at(-1)} ms`)
})

test('over a quick link nothing is waited for, nor where the space was full, nor between frames', () => {
  const gather = new Gather()
  assert.equal(readFrames(100, 2000, gather).wholeAt.length, 100)
  assert.equal(gather.waitMs(1448, SPACE_BYTES, 12_000, 10_000), 0)
  const slow = new Gather()
  slow.waitMs(1448, SPACE_BYTES, 14_000, 100)
  assert.ok(slow.waitMs(1448, SPACE_BYTES, 12_552, 200) > 0)
  assert.equal(slow.waitMs(SPACE_BYTES, SPACE_BYTES, 12_552, 300), 0, 'there may be more')
  assert.equal(slow.waitMs(1448, SPACE_BYTES, 0, 400), 0)
})
