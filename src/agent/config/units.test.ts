import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatBytes, formatDuration, parseBytes, parseDuration, parseRate } from './units.ts'

test('sizes are read with decimal and binary units in any case', () => {
  for (const [text, bytes] of [
    ['0', 0],
    ['1048576', 1_048_576],
    ['512MB', 512_000_000],
    ['10GiB', 10 * 1024 ** 3],
    ['10g', 10 * 1024 ** 3],
    [' 1.5 kib ', 1536],
    ['2tb', 2e12],
  ] as const) {
    assert.equal(parseBytes(text), bytes, text)
  }
})

test('rates are read in bytes and in bits', () => {
  for (const [text, rate] of [
    ['50mbit', 6_250_000],
    ['1Gbit/s', 125_000_000],
    ['10MB/s', 10_000_000],
    ['4096', 4096],
  ] as const) {
    assert.equal(parseRate(text), rate, text)
  }
})

test('durations need a unit, except for 0', () => {
  for (const [text, ms] of [
    ['0', 0],
    ['500ms', 500],
    ['1.5s', 1500],
    ['10 m', 600_000],
    ['2h', 7_200_000],
    ['7d', 604_800_000],
  ] as const) {
    assert.equal(parseDuration(text), ms, text)
  }
  assert.equal(parseDuration('30'), 'write a number with ms, s, m, h or d, such as 30s')
})

test('what is no quantity is refused with a reason', () => {
  for (const text of ['', '-1', '1e9', 'ten', '1 000', '10 MiB more', '1constructor', '0x10', '99999999999999999', '9999999TiB', '１']) {
    for (const parse of [parseBytes, parseRate, parseDuration]) assert.equal(typeof parse(text), 'string', text)
  }
})

test('what is written is read as the same number', () => {
  const numbers = fc.oneof(
    fc.nat(),
    fc.maxSafeNat(),
    fc.nat(4096).map((n) => n * 1024 ** 2),
    fc.nat(1000).map((n) => n * 3_600_000),
  )
  fc.assert(
    fc.property(numbers, (value) => {
      assert.equal(parseBytes(formatBytes(value)), value)
      assert.equal(parseDuration(formatDuration(value)), value)
    }),
  )
  assert.deepEqual([formatBytes(0), formatBytes(1024), formatBytes(1000), formatBytes(3 * 1024 ** 3)], ['0', '1KiB', '1000', '3GiB'])
  assert.deepEqual([formatDuration(0), formatDuration(90_000), formatDuration(86_400_000), formatDuration(7)], ['0', '90s', '1d', '7ms'])
})
