import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { aliveLine, formatEndpoint, parseEndpoint, readSnapshot } from './snapshot.ts'

const endpoint = { address: Uint8Array.of(10, 0, 0, 7), port: 7946 }

test('the last word on each matter counts, and lines that are none do not', () => {
  const lines = [
    'alive: a 10.0.0.7:7946',
    'alive: b two words 10.0.0.8:1',
    'clock: 5',
    'not-alive: a',
    'alive: c nonsense',
    '# remark',
    'clock: 9',
  ]
  const snapshot = readSnapshot([...lines, 'event-clock: 3', 'query-clock: 4', 'alive: a 10.0.0.7:7946', 'alive: cut off 10.'], false)
  assert.deepEqual([...snapshot.alive.keys()], ['b two words', 'a'])
  assert.deepEqual(snapshot.alive.get('a'), endpoint)
  assert.deepEqual([snapshot.memberTime, snapshot.eventTime, snapshot.queryTime], [9, 3, 4])
})

test('what was before a leave counts only where that is wanted', () => {
  const lines = ['alive: a 10.0.0.7:7946', 'clock: 5', 'leave']
  assert.deepEqual(readSnapshot(lines, false), { alive: new Map(), memberTime: 0, eventTime: 0, queryTime: 0 })
  assert.equal(readSnapshot(lines, true).alive.size, 1)
  assert.equal(readSnapshot([...lines, aliveLine('b', endpoint)], false).alive.size, 1)
})

test('endpoints are written and read as in Go', () => {
  assert.equal(formatEndpoint(endpoint), '10.0.0.7:7946')
  for (const text of ['[::1]:80', '[fe80::1:2]:7946', '[1:2:3:4:5:6:7:8]:1', '[::]:9', '[::ffff:10.0.0.7]:7946', '[1::]:5']) {
    assert.equal(parseEndpoint(text)?.address.length, 16, text)
  }
  assert.deepEqual(parseEndpoint('[::ffff:10.0.0.7]:1')?.address.subarray(10), Uint8Array.of(255, 255, 10, 0, 0, 7))
  for (const text of [
    '10.0.0.7',
    '10.0.0.256:1',
    '10.0.0:1',
    '10.0.0.7:0',
    '10.0.0.7:65536',
    '[:::1]:1',
    '[1::2::3]:1',
    '[1:2:3:4:5:6:7:8:9]:1',
    '[12345::]:1',
  ]) {
    assert.equal(parseEndpoint(text), undefined, text)
  }
  const bytes = fc.constantFrom(4, 16).chain((length) => fc.uint8Array({ minLength: length, maxLength: length }))
  fc.assert(
    fc.property(bytes, fc.integer({ min: 1, max: 65_535 }), (address, port) => {
      assert.deepEqual(parseEndpoint(formatEndpoint({ address, port })), { address, port })
    }),
  )
})
