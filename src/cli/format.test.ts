import assert from 'node:assert/strict'
import test from 'node:test'
import { count, formatBytes, formatDuration, formatRate, formatTable, printable } from './format.ts'

test('bytes', () => {
  const cases: [bytes: number, text: string][] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1536, '1.5 KiB'],
    [102_400, '100 KiB'],
    [1_048_575, '1.0 MiB'],
    [64_000_000, '61.0 MiB'],
    [268_435_456, '256 MiB'],
    [2 ** 50 * 1.5, '1.5 PiB'],
  ]
  for (const [bytes, text] of cases) assert.equal(formatBytes(bytes), text)
})

test('durations and rates', () => {
  const cases: [ms: number, text: string][] = [
    [0, '0 ms'],
    [999, '999 ms'],
    [1000, '1.0 s'],
    [59_949, '59.9 s'],
    [60_000, '1 min 0 s'],
    [125_000, '2 min 5 s'],
    [12_000_000, '3 h 20 min'],
  ]
  for (const [ms, text] of cases) assert.equal(formatDuration(ms), text)
  assert.equal(formatRate(1_048_576, 500), '2.0 MiB/s')
  assert.equal(formatRate(1, 0), '')
  assert.equal(count(1, 'member'), '1 member')
  assert.equal(count(0, 'member'), '0 members')
})

test('tables are aligned, and hold nothing that moves the cursor', () => {
  assert.equal(
    formatTable(
      ['NAME', '>SIZE'],
      [
        ['a', '1'],
        ['bcdef', '100'],
      ],
    ),
    'NAME   SIZE\na         1\nbcdef   100\n',
  )
  assert.equal(formatTable(['A'], [['x\u001B[2Jy']]), 'A\nx?[2Jy\n')
  assert.equal(printable('a\u202Eb\nc'), 'a?b?c')
})
