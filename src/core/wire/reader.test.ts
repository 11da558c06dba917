import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { fromHex } from '../lib/bytes.ts'
import { Reader } from './reader.ts'
import { Writer } from './writer.ts'

const readerOf = (hex: string): Reader => new Reader(fromHex(hex) as Uint8Array)

type Field =
  | { kind: 'u8' | 'u16' | 'u32' | 'u48' | 'varint'; value: number }
  | { kind: 'bytes' | 'lengthBytes'; value: Uint8Array }
  | { kind: 'text'; value: string }

const number = (kind: 'u8' | 'u16' | 'u32' | 'u48' | 'varint', max: number): fc.Arbitrary<Field> =>
  fc.oneof(fc.integer({ min: 0, max }), fc.constantFrom(0, max)).map((value) => ({ kind, value }))

const field: fc.Arbitrary<Field> = fc.oneof(
  number('u8', 0xff),
  number('u16', 0xffff),
  number('u32', 0xffffffff),
  number('u48', 2 ** 48 - 1),
  number('varint', Number.MAX_SAFE_INTEGER),
  number('varint', 0xffffffff),
  fc.uint8Array({ maxLength: 40 }).map((value): Field => ({ kind: 'bytes', value })),
  fc.uint8Array({ maxLength: 300 }).map((value): Field => ({ kind: 'lengthBytes', value })),
  fc.string({ unit: 'grapheme', maxLength: 40 }).map((value): Field => ({ kind: 'text', value })),
)

function write(fields: readonly Field[]): Uint8Array {
  const writer = new Writer()
  for (const one of fields) {
    switch (one.kind) {
      case 'bytes':
      case 'lengthBytes':
        writer[one.kind](one.value)
        break
      case 'text':
        writer.text(one.value)
        break
      default:
        writer[one.kind](one.value)
    }
  }
  return writer.finish()
}

function read(reader: Reader, { kind, value }: Field): unknown {
  if (kind === 'bytes') return reader.bytes(value.length)
  if (kind === 'lengthBytes') return reader.lengthBytes(300)
  if (kind === 'text') return reader.text(1000)
  return reader[kind]()
}

test('what was written is read back', () => {
  fc.assert(
    fc.property(fc.array(field), (fields) => {
      const reader = new Reader(write(fields))
      for (const one of fields) assert.deepEqual(read(reader, one), one.value)
      assert.equal(reader.done(), true)
    }),
  )
})

test('cut off anywhere, the reader fails and gives nothing but zeros from there on', () => {
  fc.assert(
    fc.property(fc.array(field, { minLength: 1 }), fc.nat(), (fields, cut) => {
      const whole = write(fields)
      fc.pre(whole.length > 0)
      const reader = new Reader(whole.subarray(0, cut % whole.length))
      for (const one of fields) {
        const got = read(reader, one)
        if (reader.failed) assert.ok(got === 0 || got === '' || (got as Uint8Array).length === 0)
      }
      assert.equal(reader.done(), false)
    }),
  )
})

test('any bytes are read without throwing, and never beyond their end', () => {
  const kinds = fc.constantFrom<Field['kind']>('u8', 'u16', 'u32', 'varint', 'bytes', 'lengthBytes', 'text')
  fc.assert(
    fc.property(fc.uint8Array(), fc.array(kinds), (bytes, steps) => {
      const reader = new Reader(bytes)
      for (const kind of steps) {
        const before = reader.remaining
        const got =
          kind === 'bytes'
            ? reader.bytes(3)
            : kind === 'lengthBytes'
              ? reader.lengthBytes(20)
              : kind === 'text'
                ? reader.text(20)
                : reader[kind]()
        assert.ok(reader.remaining <= before && reader.remaining >= 0)
        if (got instanceof Uint8Array) assert.ok(got.length <= before)
      }
      if (reader.failed) assert.equal(reader.remaining, 0)
    }),
  )
})

test('a varint that is not canonical, too large or endless fails', () => {
  for (const hex of [
    '8000',
    '808000',
    'ff00',
    'ffffffffffffff10',
    'ffffffffffffff7f',
    'ffffffffffffffffff01',
    '8080808080808080',
    '80',
    '',
  ]) {
    const reader = readerOf(hex)
    assert.equal(reader.varint(), 0, hex)
    assert.equal(reader.failed, true, hex)
  }
  assert.equal(readerOf('ffffffffffffff0f').varint(), Number.MAX_SAFE_INTEGER)
})

test('a length above the limit or above what is there fails without a byte', () => {
  assert.equal(readerOf('03010203').lengthBytes(2).length, 0)
  assert.equal(readerOf('04010203').lengthBytes(100).length, 0)
  const reader = readerOf('ffffffffffffff0f010203')
  assert.equal(reader.lengthBytes(Number.MAX_SAFE_INTEGER).length, 0)
  assert.equal(reader.failed, true)
  for (const count of [-1, NaN, Infinity]) {
    const other = readerOf('0102')
    assert.equal(other.bytes(count).length, 0)
    assert.equal(other.failed, true)
  }
})

test('a text that is not strict UTF-8 fails', () => {
  for (const hex of ['02c080', '01ff', '03eda080', '02c3']) {
    const reader = readerOf(hex)
    assert.equal(reader.text(10), '')
    assert.equal(reader.failed, true, hex)
  }
})

test('after a failure nothing succeeds, and nothing is left', () => {
  const reader = readerOf('0102030405')
  reader.bytes(9)
  assert.equal(reader.u8(), 0)
  assert.equal(reader.bytes(0).length, 0)
  assert.equal(reader.remaining, 0)
  assert.equal(reader.done(), false)
})

test('bytes are views, not copies', () => {
  const bytes = Uint8Array.of(1, 2, 3, 4)
  const view = new Reader(bytes).bytes(2)
  assert.equal(view.buffer, bytes.buffer)
})
