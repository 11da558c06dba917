import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isWireError, wireError } from './wire-error.ts'

test('a wire error is told from every other value', () => {
  assert.equal(isWireError(wireError('penalise', 'a bad hash')), true)
  for (const value of [undefined, null, 0, 'wire-error', {}, { kind: 'other' }, new Error('wire-error'), []])
    assert.equal(isWireError(value), false)
})
