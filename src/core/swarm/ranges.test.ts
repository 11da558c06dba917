/** Lists of ranges, as they are gathered and said. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { mergeRanges } from './ranges.ts'

test('ranges of any order are put in order, and those that touch or overlap are joined', () => {
  assert.deepEqual(mergeRanges([]), [])
  assert.deepEqual(mergeRanges([5, 2]), [5, 2])
  assert.deepEqual(mergeRanges([5, 2, 0, 3, 3, 2, 9, 1]), [0, 7, 9, 1])
  const some = fc.array(fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 12 })), { maxLength: 20 })
  fc.assert(
    fc.property(some, (list) => {
      const chunks = new Set(list.flatMap(([first, count]) => Array.from({ length: count }, (_, i) => first + i)))
      const merged = mergeRanges(list.flat())
      const covered: number[] = []
      for (let i = 0; i < merged.length; i += 2) {
        if (i > 0) assert.ok(merged[i]! > merged[i - 2]! + merged[i - 1]!, 'a gap between two ranges')
        for (let k = 0; k < merged[i + 1]!; k++) covered.push(merged[i]! + k)
      }
      assert.deepEqual(
        covered,
        [...chunks].toSorted((a, b) => a - b),
      )
    }),
  )
})
