import assert from 'node:assert/strict'
import test from 'node:test'
import { parseRange } from './ranges.ts'

test('ranges of RFC 9110 §14.1.2', () => {
  const part = (first: number, last: number): object => ({ kind: 'part', first, last })
  const whole = { kind: 'whole' }
  const none = { kind: 'unsatisfiable' }
  const cases: [header: string | undefined, totalBytes: number, expected: object][] = [
    [undefined, 10, whole],
    ['bytes=0-4', 10, part(0, 4)],
    ['bytes=5-', 10, part(5, 9)],
    ['bytes=5-99', 10, part(5, 9)],
    ['bytes=-3', 10, part(7, 9)],
    ['bytes=-99', 10, part(0, 9)],
    ['Bytes = 1 - 2', 10, part(1, 2)],
    ['bytes=10-', 10, none],
    ['bytes=-0', 10, none],
    ['bytes=-1', 0, none],
    ['bytes=0-', 0, none],
    ['bytes=4-2', 10, whole],
    ['bytes=-', 10, whole],
    ['bytes=0-1,3-4', 10, whole],
    ['lines=0-1', 10, whole],
    ['bytes=99999999999999999999-', 10, whole],
  ]
  for (const [header, totalBytes, expected] of cases)
    assert.deepEqual(parseRange(header, totalBytes), expected, `${header} of ${totalBytes}`)
})
