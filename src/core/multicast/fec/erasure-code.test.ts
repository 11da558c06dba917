import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Random } from '../../lib/random.ts'
import type { ErasureCode } from '../session-types.ts'
import { loadKernel } from './load-kernel.ts'
import { plainErasureCode } from './plain-kernel.ts'

const kernel = loadKernel()
const plain = plainErasureCode()
const CODES: readonly (readonly [string, ErasureCode])[] = [
  ['WebAssembly', kernel.code],
  ['JavaScript', plain],
]

test('this engine has the fast kernel, and one without WebAssembly SIMD gets the plain one', () => {
  assert.equal(kernel.kind, 'simd')
  const refused = loadKernel(() => {
    throw new Error('CompileError: WebAssembly.Module(): invalid numeric opcode 0xfd')
  })
  assert.equal(refused.kind, 'plain')
  const source = bytesOf(4 * 8, 37, 11)
  assert.deepEqual(parityOf(refused.code, source, 4, 8, 0, 2), parityOf(kernel.code, source, 4, 8, 0, 2))
  assert.deepEqual(refused.sipHash(new Uint8Array(16), source), kernel.sipHash(new Uint8Array(16), source))
})

for (const [name, code] of CODES) {
  test(`parity in ${name} is what the specification lists (08-multicast-content.md §5)`, () => {
    const source = bytesOf(4 * 8, 37, 11)
    for (const [row, vector] of [
      [0, 'e04040e0a000a0e0'],
      [1, '27c76f30fa7de328'],
      [2, '712a675f18d02a6f'],
      [3, 'c303bbbd043035d2'],
      [251, '86aea4a227d336c8'],
    ] as const) {
      assert.equal(hex(parityOf(code, source, 4, 8, row, 1)), vector, `row ${row}`)
    }
    assert.equal(hex(parityOf(code, source, 4, 8, 0, 4)), 'e04040e0a000a0e027c76f30fa7de328712a675f18d02a6fc303bbbd043035d2')
    const large = Uint8Array.from({ length: 600 }, (_, i) => 7 * i * i + 3 * i + 1)
    assert.equal(hex(parityOf(code, large, 200, 3, 0, 1)), 'c850f8')
    assert.equal(hex(parityOf(code, large, 200, 3, 1, 1)), '879aaf')
    assert.equal(hex(parityOf(code, large, 200, 3, 55, 1)), '0d1651')
  })

  test(`${name} restores whatever is missing from as many parity symbols`, () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 70 }), (seed, k, symbolBytes) => {
        const random = new Random(seed)
        const most = Math.min(k, 256 - k)
        check(code, random, k, symbolBytes, 1 + random.below(most))
      }),
      { numRuns: 60 },
    )
  })

  test(`${name} restores the largest blocks there are, from the last rows`, () => {
    const random = new Random('largest')
    check(code, random, 128, 5, 128)
    check(code, random, 255, 33, 1)
    check(code, random, 200, 16, 56)
    check(code, random, 1, 7, 1)
  })
}

test('both give the same bytes, also where a block goes through the kernel in slices', () => {
  const random = new Random('slices')
  // The first fits the kernel as it is; the others are cut at columns that are no multiple of anything.
  for (const [k, symbolBytes, count] of [
    [20, 1408, 5],
    [200, 8951, 7],
    [100, 40_001, 2],
  ] as const) {
    const source = randomBytes(random, k * symbolBytes)
    const parity = parityOf(kernel.code, source, k, symbolBytes, 0, count)
    assert.deepEqual(Buffer.compare(parity, parityOf(plain, source, k, symbolBytes, 0, count)), 0, `${k} × ${symbolBytes}`)
    const missing = pickSorted(random, k, count)
    const rows = Array.from({ length: count }, (_, i) => i)
    const broken = withHoles(random, source, symbolBytes, missing)
    kernel.code.decode(broken, k, symbolBytes, missing, parity, rows)
    assert.equal(Buffer.compare(broken, source), 0, `${k} × ${symbolBytes}`)
  }
})

test('encoding writes its rows and nothing else, and leaves the source as it was', () => {
  for (const [, code] of CODES) {
    const source = bytesOf(10 * 50, 3, 1)
    const before = source.slice()
    const parity = new Uint8Array(3 * 50 + 40).fill(7)
    code.encode(source, 10, 50, 4, 3, parity)
    assert.deepEqual(source, before)
    assert.deepEqual(parity.subarray(150), new Uint8Array(40).fill(7))
    assert.deepEqual(parity.subarray(0, 150), parityOf(code, source, 10, 50, 4, 3))
  }
})

test('nothing missing is nothing to do; what no block can have is a bug', () => {
  for (const [, code] of CODES) {
    assert.equal(code.maxSymbols, 256)
    const source = bytesOf(4 * 8, 37, 11)
    code.decode(source, 4, 8, [], new Uint8Array(0), [])
    assert.deepEqual(source, bytesOf(4 * 8, 37, 11))
    const parity = new Uint8Array(16)
    assert.throws(() => code.encode(source, 4, 8, 251, 2, parity), /rows that a block can have/)
    assert.throws(() => code.encode(source, 5, 8, 0, 1, parity), /bytes of source/)
    assert.throws(() => code.encode(source, 4, 8, 0, 3, parity), /room for the parity/)
    assert.throws(() => code.decode(source, 4, 8, [0, 1], parity, [0]), /as many parity symbols/)
    assert.throws(() => code.decode(source, 4, 8, [1, 0], parity, [0, 1]), /ascending order/)
    assert.throws(() => code.decode(source, 4, 8, [0, 4], parity, [0, 1]), /ascending order/)
    assert.throws(() => code.decode(source, 4, 8, [0, 1], parity, [2, 2]), /different parity rows/)
    assert.throws(() => code.decode(source, 4, 8, [0, 1], parity, [0, 252]), /different parity rows/)
    assert.throws(() => code.decode(source, 4, 8, [0, 1, 2], parity, [0, 1, 2]), /bytes of the parity/)
  }
})

/** Loses `count` random symbols, restores them from as many random parity rows, and compares. */
function check(code: ErasureCode, random: Random, k: number, symbolBytes: number, count: number): void {
  const source = randomBytes(random, k * symbolBytes)
  const missing = pickSorted(random, k, count)
  const rows = random.shuffle(pickSorted(random, 256 - k, count))
  const parity = Buffer.concat(rows.map((row) => parityOf(code, source, k, symbolBytes, row, 1)))
  const broken = withHoles(random, source, symbolBytes, missing)
  code.decode(broken, k, symbolBytes, missing, parity, rows)
  assert.equal(Buffer.compare(broken, source), 0, `k ${k}, ${symbolBytes} bytes, missing ${missing.join()}, rows ${rows.join()}`)
}

function withHoles(random: Random, source: Uint8Array, symbolBytes: number, missing: readonly number[]): Uint8Array {
  const broken = source.slice()
  for (const symbol of missing) broken.set(randomBytes(random, symbolBytes), symbol * symbolBytes)
  return broken
}

function parityOf(code: ErasureCode, source: Uint8Array, k: number, symbolBytes: number, firstParity: number, count: number): Uint8Array {
  const parity = new Uint8Array(count * symbolBytes)
  code.encode(source, k, symbolBytes, firstParity, count, parity)
  return parity
}

function pickSorted(random: Random, below: number, count: number): number[] {
  return random
    .shuffle(Array.from({ length: below }, (_, i) => i))
    .slice(0, count)
    .toSorted((a, b) => a - b)
}

function randomBytes(random: Random, length: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4))
  for (let i = 0; i < words.length; i++) words[i] = random.uint32()
  return new Uint8Array(words.buffer, 0, length)
}

function bytesOf(length: number, step: number, first: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => i * step + first)
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
