/**
 * Every decoder of this folder against bytes that nobody honest sends: cut off, longer, changed, made up. None throws, none
 * allocates by a length that it did not check, and none takes what it would not write itself (§1.2, §7).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { concatBytes, toHex } from '../lib/bytes.ts'
import { isWireError, type WireError } from '../wire/wire-error.ts'
import { author, hash, nonce, randomBytes, randomEntries, verifySignature } from './fixtures.test.ts'
import {
  decodeGrowingHeader,
  decodeSeal,
  decodeSegment,
  encodeGrowingHeader,
  encodeSeal,
  encodeSegment,
  growingId,
  signSeal,
  signSegment,
} from './growing.ts'
import { Manifest } from './manifest.ts'
import { decodePage, decodeRoot, encodePage, encodeRoot } from './root.ts'
import { decodeTree, encodeTree } from './tree.ts'

interface Format {
  readonly name: string
  readonly samples: readonly Uint8Array[]
  /** Decodes and encodes again. */
  readonly recode: (bytes: Uint8Array) => Uint8Array | WireError
}

function format<T>(
  name: string,
  decode: (bytes: Uint8Array) => T | WireError,
  encode: (value: T) => Uint8Array,
  samples: Uint8Array[],
): Format {
  const recode = (bytes: Uint8Array): Uint8Array | WireError => {
    const value = decode(bytes)
    return isWireError(value) ? value : encode(value)
  }
  return { name, samples, recode }
}

const header = { publicKey: author.publicKey, nonce, averageBytes: 16384, mediaType: 'video/mp4', treeBytes: 300, expectedBytes: 2 ** 40 }
const id = growingId(header, hash)
const root = {
  totalBytes: 5000,
  chunkCount: 3,
  averageBytes: 4096,
  mediaType: 'text/plain',
  treeBytes: 70,
  pageHashes: [randomBytes(1, 32)],
}
const empty = { totalBytes: 0, chunkCount: 0, averageBytes: 256, mediaType: '', treeBytes: 0, pageHashes: [] }
const entries = (firstChunk: number, count: number): { firstChunk: number; lengths: number[]; hashes: Uint8Array } => ({
  firstChunk,
  ...randomEntries(count, count, 70_000),
})

const formats: Format[] = [
  format('root', decodeRoot, encodeRoot, [encodeRoot(root), encodeRoot(empty)]),
  format('page', decodePage, encodePage, [encodePage(entries(0, 3)), encodePage(entries(1024, 40))]),
  format('growing header', decodeGrowingHeader, encodeGrowingHeader, [encodeGrowingHeader(header)]),
  format('segment', decodeSegment, encodeSegment, [
    encodeSegment(signSegment(author, id, entries(0, 2))),
    encodeSegment(signSegment(author, id, entries(900, 40))),
  ]),
  format('seal', decodeSeal, encodeSeal, [encodeSeal(signSeal(author, id, encodeRoot(root)))]),
  format('tree', decodeTree, encodeTree, [
    encodeTree([]),
    encodeTree([
      { kind: 'directory', path: 'bin', mode: 0o755, bytes: 0 },
      { kind: 'file', path: 'bin/tool', mode: 0o755, bytes: 123_456 },
      { kind: 'symlink', path: 'bin/t', mode: 0o777, bytes: 0, target: 'tool' },
      { kind: 'file', path: 'läs mig', mode: 0o644, bytes: 0 },
    ]),
  ]),
]

/** One change to bytes: overwrite, cut out, insert, or put the largest numbers there. */
const change = fc.record({
  kind: fc.constantFrom('set', 'cut', 'insert', 'huge'),
  at: fc.nat(),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 4 }),
})
const HUGE = [
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0x80, 0x80, 0x80, 0x08],
].map((b) => Uint8Array.from(b))

function changed(sample: Uint8Array, changes: readonly { kind: string; at: number; bytes: Uint8Array }[]): Uint8Array {
  let result = sample
  for (const { kind, at, bytes } of changes) {
    const from = at % (result.length + 1)
    const put = kind === 'cut' ? new Uint8Array(0) : kind === 'huge' ? HUGE[bytes[0]! % HUGE.length]! : bytes
    const removed = kind === 'insert' ? 0 : kind === 'huge' ? 1 : bytes.length
    result = concatBytes([result.subarray(0, from), put, result.subarray(from + removed)])
  }
  return result
}

for (const { name, samples, recode } of formats) {
  /** Takes bytes only if they are the one encoding of something. */
  const check = (bytes: Uint8Array): void => {
    const result = recode(bytes)
    if (isWireError(result)) assert.equal(result.disposition, 'disconnect')
    else assert.equal(toHex(result), toHex(bytes))
  }

  test(`a ${name} is accepted whole, and at no other length`, () => {
    for (const sample of samples) {
      assert.equal(toHex(recode(sample) as Uint8Array), toHex(sample))
      for (let length = 0; length < sample.length; length++)
        assert.ok(isWireError(recode(sample.subarray(0, length))), `cut off at ${length}`)
      for (const extra of [0, 1, 0xff]) assert.ok(isWireError(recode(concatBytes([sample, Uint8Array.of(extra)]))))
    }
  })

  test(`a ${name} with any byte changed is refused or another one`, () => {
    for (const sample of samples) {
      const bytes = Uint8Array.from(sample)
      for (let at = 0; at < Math.min(bytes.length, 400); at++) {
        for (const flip of [0x01, 0x80, 0xff]) {
          bytes[at]! ^= flip
          check(bytes)
          bytes[at]! ^= flip
        }
      }
    }
  })

  test(`a ${name} changed in several places is refused or another one`, () => {
    fc.assert(
      fc.property(fc.constantFrom(...samples), fc.array(change, { minLength: 1, maxLength: 6 }), (sample, changes) =>
        check(changed(sample, changes)),
      ),
      { numRuns: 2000 },
    )
  })

  test(`bytes that begin like a ${name} are refused or one`, () => {
    const prefix = samples[0]!.subarray(0, 4)
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (rest) => check(concatBytes([prefix, rest]))))
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), check))
  })

  test(`a ${name} with the largest numbers anywhere allocates nothing for them`, () => {
    const before = process.memoryUsage().arrayBuffers
    for (const sample of samples) {
      for (let at = 4; at < Math.min(sample.length, 120); at++) {
        for (let i = 0; i < HUGE.length; i++) check(changed(sample, [{ kind: 'huge', at, bytes: Uint8Array.of(i) }]))
      }
    }
    const grown = process.memoryUsage().arrayBuffers - before
    assert.ok(grown < 64 << 20, `${grown} bytes`)
  })
}

test('a format is not taken for another', () => {
  for (const one of formats) {
    for (const other of formats) {
      if (one !== other) for (const sample of other.samples) assert.ok(isWireError(one.recode(sample)), `${other.name} as ${one.name}`)
    }
  }
})

test('a manifest fed with anything changed stays as it was', () => {
  const segment = encodeSegment(signSegment(author, id, { firstChunk: 0, ...randomEntries(1, 5) }))
  const seal = encodeSeal(signSeal(author, id, encodeRoot(root)))
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
      const manifest = Manifest.growing(encodeGrowingHeader(header), hash, verifySignature) as Manifest
      for (const [bytes, result] of [segment, seal].map((sample) => [sample, changed(sample, changes)] as const)) {
        if (toHex(bytes) === toHex(result)) continue
        assert.ok(isWireError(manifest.addSegment(result)))
        assert.ok(isWireError(manifest.seal(result)))
      }
      assert.equal(manifest.knownChunks, 0)
      assert.equal(manifest.isGrowing, true)
      assert.equal(manifest.fault, undefined)
    }),
    { numRuns: 300 },
  )
})
