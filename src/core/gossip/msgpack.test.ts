/** Values as Go's codec writes them, and everything that it reads; nothing throws (docs/specs/04-gossip.md §2). */
import * as fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '../lib/bytes.ts'
import { bytesOf } from './fixtures.test.ts'
import {
  BOOLEAN,
  dictionary,
  FLOAT,
  I64,
  list,
  listOrNil,
  nullable,
  optional,
  struct,
  text,
  U16,
  U32,
  U8,
  view,
  type Kind,
} from './msgpack-kinds.ts'
import { MsgpackReader, MsgpackWriter } from './msgpack.ts'

function write(work: (writer: MsgpackWriter) => void): string {
  const writer = new MsgpackWriter()
  work(writer)
  return toHex(writer.finish())
}

/** What a kind reads, or undefined if it fails; it must have read everything. */
function readAs<T>(kind: Kind<T>, hex: string): T | undefined {
  const bytes = bytesOf(hex)
  const reader = new MsgpackReader(bytes)
  const value = kind.read(reader)
  if (reader.failed) return undefined
  assert.equal(reader.at, bytes.length)
  return value
}

const EDGES: readonly [number, string][] = [
  [0, '00'],
  [127, '7f'],
  [128, 'cc80'],
  [255, 'ccff'],
  [256, 'cd0100'],
  [65_535, 'cdffff'],
  [65_536, 'ce00010000'],
  [4_294_967_295, 'ceffffffff'],
  [4_294_967_296, 'cf0000000100000000'],
  [5_000_000_000, 'cf000000012a05f200'],
  [Number.MAX_SAFE_INTEGER, 'cf001fffffffffffff'],
  [-1, 'ff'],
  [-32, 'e0'],
  [-33, 'd0df'],
  [-128, 'd080'],
  [-129, 'd1ff7f'],
  [-32_768, 'd18000'],
  [-32_769, 'd2ffff7fff'],
  [-2_147_483_648, 'd280000000'],
  [-2_147_483_649, 'd3ffffffff7fffffff'],
  [-Number.MAX_SAFE_INTEGER, 'd3ffe0000000000001'],
]

test('an integer takes the fewest bytes', () => {
  for (const [value, hex] of EDGES) {
    assert.equal(
      write((writer) => writer.integer(value)),
      hex,
    )
    assert.equal(readAs(I64, hex), value)
  }
})

test('an integer is read in every width and sign', () => {
  for (const hex of ['05', 'cc05', 'cd0005', 'ce00000005', 'cf0000000000000005', 'd005', 'd10005', 'd200000005', 'd30000000000000005']) {
    assert.equal(readAs(U8, hex), 5, hex)
  }
  assert.equal(readAs(U16, 'c0'), 0)
})

test('an integer that is none, or not within its field, is refused', () => {
  for (const hex of ['cb4014000000000000', 'ca40a00000', 'a135', 'c3', '90', '80', 'c1']) assert.equal(readAs(U8, hex), undefined, hex)
  for (const hex of ['cd0100', 'ff', 'd0ff']) assert.equal(readAs(U8, hex), undefined, hex)
  for (const hex of ['cf0020000000000000', 'cfffffffffffffffff', 'd3ffe0000000000000', 'd38000000000000000']) {
    assert.equal(readAs(I64, hex), undefined, hex)
    const reader = new MsgpackReader(bytesOf(hex))
    reader.float()
    assert.ok(reader.failed, 'nor is it rounded to a float')
  }
})

test('a float has 8 bytes, and is read from 4 or from an integer', () => {
  assert.equal(
    write((writer) => writer.float(1.5)),
    'cb3ff8000000000000',
  )
  assert.equal(readAs(FLOAT, 'cb3ff8000000000000'), 1.5)
  assert.equal(readAs(FLOAT, 'ca3fc00000'), 1.5)
  assert.equal(readAs(FLOAT, '07'), 7)
})

test('raw has lengths of 5, 16 and 32 bits, never of 8', () => {
  const heads: [number, string][] = [
    [0, 'a0'],
    [31, 'bf'],
    [32, 'da0020'],
    [255, 'da00ff'],
    [65_535, 'daffff'],
    [65_536, 'db00010000'],
  ]
  for (const [count, head] of heads) {
    const hex = write((writer) => writer.raw(new Uint8Array(count)))
    assert.equal(hex.slice(0, head.length), head)
    assert.equal(hex.length, head.length + 2 * count)
  }
})

test('raw is read with every header there is', () => {
  for (const head of ['a2', 'd902', 'da0002', 'db00000002', 'c402', 'c50002', 'c600000002']) {
    assert.equal(readAs(text(2), `${head}6869`), 'hi', head)
  }
  assert.equal(readAs(text(2), 'c0'), '')
  assert.equal(readAs(text(1), 'a26869'), undefined)
  assert.equal(readAs(text(2), 'a2c328'), undefined)
  assert.equal(readAs(text(2), '05'), undefined)
})

const SAMPLE = struct({
  Zeta: U32,
  Alpha: text(20),
  Data: view(100),
  Maybe: optional(U16),
  Flag: BOOLEAN,
  Names: listOrNil(text(5), 3),
  Ring: list(nullable(U8), 4),
  Tags: dictionary(text(5), 2, 5),
})
const ZERO = {
  Zeta: 0,
  Alpha: '',
  Data: new Uint8Array(0),
  Maybe: undefined,
  Flag: false,
  Names: [],
  Ring: [],
  Tags: new Map<string, string>(),
}

test('a struct has its fields in the order of their names, without those that are left out', () => {
  const sample = {
    ...ZERO,
    Zeta: 300,
    Alpha: 'a',
    Flag: true,
    Ring: [undefined, 7],
    Tags: new Map([
      ['b', 'x'],
      ['a', 'y'],
    ]),
  }
  const hex = write((writer) => SAMPLE.write(writer, sample))
  assert.equal(
    hex,
    '87' +
      'a5416c706861' +
      'a161' +
      'a444617461' +
      'c0' +
      'a4466c6167' +
      'c3' +
      'a54e616d6573' +
      'c0' +
      'a452696e67' +
      '92c007' +
      'a454616773' +
      '82a161a179a162a178' +
      'a45a657461' +
      'cd012c',
  )
  assert.deepEqual(readAs(SAMPLE, hex), sample)
})

test('a field that is missing, nil or not known does no harm, and the last of two counts', () => {
  assert.deepEqual(readAs(SAMPLE, '80'), ZERO)
  assert.deepEqual(readAs(SAMPLE, 'c0'), ZERO)
  assert.deepEqual(readAs(SAMPLE, 'de0001a45a657461c0'), ZERO)
  assert.deepEqual(readAs(SAMPLE, '82a45a65746101a45a65746102'), { ...ZERO, Zeta: 2 })
  const unknown = [
    'c0',
    'c3',
    '05',
    'ff',
    'cb3ff8000000000000',
    'a178',
    'c40178',
    '92c07f',
    '81a178820102c203',
    'd40000',
    'd8' + '00'.repeat(17),
    'c7020000ff',
  ]
  for (const value of unknown) assert.deepEqual(readAs(SAMPLE, `82a158${value}a45a65746102`), { ...ZERO, Zeta: 2 }, value)
  assert.deepEqual(readAs(SAMPLE, '81a95f5f70726f746f5f5f05'), ZERO)
})

test('what has too many values, too deep ones or another shape is refused', () => {
  assert.equal(readAs(SAMPLE, '81a54e616d657394a161a161a161a161'), undefined)
  assert.equal(readAs(SAMPLE, '81a45461677383a161a0a162a0a163a0'), undefined)
  assert.equal(readAs(SAMPLE, '90'), undefined)
  assert.equal(readAs(SAMPLE, `de0041${'a15805'.repeat(65)}`), undefined)
  assert.deepEqual(readAs(SAMPLE, `81a158${'91'.repeat(16)}05`), ZERO)
  assert.equal(readAs(SAMPLE, `81a158${'91'.repeat(17)}05`), undefined)
  assert.equal(readAs(SAMPLE, '81a158c1'), undefined)
})

test('bytes that end too early are told from bytes that are wrong', () => {
  const whole = bytesOf('82a154dd00000002c0c0a45a657461cd012c')
  for (let length = 0; length < whole.length; length++) {
    const reader = new MsgpackReader(whole.subarray(0, length))
    SAMPLE.read(reader)
    assert.ok(reader.isCutOff, `${length} bytes`)
  }
  const wrong = new MsgpackReader(bytesOf('c3'))
  SAMPLE.read(wrong)
  assert.ok(wrong.failed && !wrong.isCutOff)
})

test('made-up bytes never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      SAMPLE.read(new MsgpackReader(bytes))
      const reader = new MsgpackReader(bytes)
      while (!reader.failed) reader.skip()
      assert.equal(reader.at, bytes.length)
    }),
    { numRuns: 2000 },
  )
})

test('any integer and float comes back', () => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), fc.double(), (integer, float) => {
      const hex = write((writer) => {
        writer.integer(integer)
        writer.float(float)
      })
      const reader = new MsgpackReader(bytesOf(hex))
      assert.ok(Object.is(reader.integer(), integer === 0 ? 0 : integer))
      assert.ok(Object.is(reader.float(), float))
    }),
  )
})
