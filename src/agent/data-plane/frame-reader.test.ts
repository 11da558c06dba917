import assert from 'node:assert/strict'
import test from 'node:test'
import * as fc from 'fast-check'
import { FRAME_TYPES, maxBodyBytes, writeFrameHeader } from '../../core/swarm/frames.ts'
import { FrameReader } from './frame-reader.ts'
import { SLAB_BYTES } from './slabs.ts'

interface Frame {
  readonly frameType: number
  readonly channel: number
  readonly body: Buffer
}

function encoded({ frameType, channel, body }: Frame): Buffer {
  const frame = Buffer.alloc(8 + body.length)
  writeFrameHeader(frame, 0, body.length, frameType, channel)
  frame.set(body, 8)
  return frame
}

/** Feeds bytes in pieces of these lengths, again and again; gives the frames that came out, and the error that ended it. */
function feed(bytes: Buffer, pieces: readonly number[]): { frames: Frame[]; error: string | undefined } {
  const frames: Frame[] = []
  const reader = new FrameReader((frameType, channel, body) => frames.push({ frameType, channel, body: Buffer.from(body) }))
  for (let at = 0, piece = 0; at < bytes.length; piece++) {
    const space = reader.space()
    const count = Math.min(space.length, pieces[piece % pieces.length]!, bytes.length - at)
    assert.ok(count > 0, 'there is always space')
    bytes.copy(space, 0, at, at + count)
    at += count
    const error = reader.commit(count)
    if (error !== undefined) return { frames, error: error.message }
  }
  reader.free()
  return { frames, error: undefined }
}

const someFrames = fc.array(
  fc.record({
    frameType: fc.constantFrom(FRAME_TYPES.data, FRAME_TYPES.have, FRAME_TYPES.ping, FRAME_TYPES.manifest),
    channel: fc.integer({ min: 0, max: 65_535 }),
    length: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 70_000 }), fc.constant(SLAB_BYTES * 2)),
  }),
  { maxLength: 12 },
)

test('frames come out as they went in, in whatever pieces the connection brings them', () => {
  fc.assert(
    fc.property(someFrames, fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 8 }), (wanted, pieces) => {
      const frames = wanted.map(({ frameType, channel, length }, i) => {
        const most = Math.min(length, maxBodyBytes(frameType))
        return { frameType, channel, body: Buffer.alloc(most, i + 1) }
      })
      const { frames: got, error } = feed(Buffer.concat(frames.map(encoded)), pieces)
      assert.equal(error, undefined)
      assert.deepEqual(got, frames)
    }),
    { numRuns: 100 },
  )
})

test('a length that the type does not allow ends it before anything is allocated for it', () => {
  for (const frameType of [0, FRAME_TYPES.ping, FRAME_TYPES.have, FRAME_TYPES.data, 99, 255]) {
    const head = Buffer.alloc(8)
    writeFrameHeader(head, 0, maxBodyBytes(frameType) + 1, frameType, 1)
    const before = process.memoryUsage().arrayBuffers
    const { frames, error } = feed(head, [8])
    assert.deepEqual(frames, [])
    assert.match(error ?? '', new RegExp(`a frame of type ${frameType} `))
    assert.ok(process.memoryUsage().arrayBuffers - before < 1024 * 1024)
  }
})

test('a body that is retained stays as it is while more frames come', () => {
  const kept: { body: Buffer; release: () => void }[] = []
  const reader = new FrameReader((_type, _channel, body, slab) => {
    slab.retain()
    kept.push({ body, release: () => slab.release() })
  })
  for (let round = 0; round < 40; round++) {
    const frame = encoded({ frameType: FRAME_TYPES.data, channel: 1, body: Buffer.alloc(30_000, round) })
    for (let at = 0; at < frame.length;) {
      const space = reader.space()
      const count = frame.copy(space, 0, at)
      at += count
      assert.equal(reader.commit(count), undefined)
    }
  }
  for (const [round, { body, release }] of kept.entries()) {
    assert.ok(
      body.every((byte) => byte === round),
      `the body of round ${round}`,
    )
    release()
  }
})
