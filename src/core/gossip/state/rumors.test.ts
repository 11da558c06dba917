import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NodeMap } from './node-map.ts'
import { Rumors } from './rumors.ts'

function mapOf(node: string, versions = 1, valueBytes = 10): NodeMap {
  const map = new NodeMap(node, 0, 1)
  map.isWhole = true
  for (let i = 0; i < versions; i++) map.put(`k${i}`, new Uint8Array(valueBytes), undefined, 0)
  return map
}

/** What each message of one push tells of: `a@1-2` the change itself, `a` that there is one. */
function push(rumors: Rumors, maps: readonly NodeMap[], maxMessageBytes = 1000, maxMessages = 8): string[] {
  const messages = rumors.push((node) => maps.find((map) => map.node === node), maxMessageBytes, maxMessages, 0)
  return messages.map((message) => {
    assert.ok(message.type === 'news')
    const sections = message.sections.map(({ node, from, to }) => `${node}@${from}-${to}`)
    return [...sections, ...message.digests.map(({ node }) => node)].join(' ')
  })
}

test('a change is pushed itself, once more where few have told it, and then that there is one', () => {
  const maps = [mapOf('a')]
  const rumors = new Rumors(10)
  rumors.add('a', 0, 4)
  assert.deepEqual(push(rumors, maps), ['a@0-1'])
  rumors.heard('a')
  assert.deepEqual(push(rumors, maps), ['a@0-1'])
  assert.deepEqual(push(rumors, maps), ['a'])
  assert.deepEqual(push(rumors, maps), ['a'])
  assert.deepEqual(push(rumors, maps), [])
  rumors.add('a', 0, 2)
  push(rumors, maps)
  rumors.heard('a')
  rumors.heard('a')
  assert.deepEqual(push(rumors, maps), ['a'])
  assert.equal(rumors.size, 0)
})

test('changes that wait are pushed together, and what was pushed is not pushed with the next', () => {
  const maps = [mapOf('a', 5)]
  const rumors = new Rumors(10)
  rumors.add('a', 2, 3)
  rumors.add('a', 3, 3)
  rumors.add('a', undefined, 3)
  assert.deepEqual(push(rumors, maps), ['a@2-5'])
  rumors.add('a', 4, 3)
  assert.deepEqual(push(rumors, maps), ['a@4-5'])
})

test('of what does not fit into a message, or is not known whole, only that it is there is told', () => {
  const partial = mapOf('b')
  partial.isWhole = false
  const rumors = new Rumors(10)
  rumors.add('a', 0, 1)
  rumors.add('b', 0, 1)
  assert.deepEqual(push(rumors, [mapOf('a', 1, 2000), partial]), ['b a'])
})

test('the newest go first, and the rest with the next push', () => {
  const maps = ['a', 'b', 'c'].map((node) => mapOf(node, 1, 100))
  const rumors = new Rumors(10)
  for (const { node } of maps) rumors.add(node, 0, 1)
  assert.deepEqual(push(rumors, maps, 250, 2), ['c@0-1', 'b@0-1'])
  assert.deepEqual(push(rumors, maps, 250, 2), ['a@0-1'])
})

test('the oldest rumor makes room where there are too many, and those of unknown nodes go', () => {
  const rumors = new Rumors(2)
  for (const node of ['a', 'b', 'c']) rumors.add(node, 0, 1)
  assert.equal(rumors.droppedCount, 1)
  assert.deepEqual(push(rumors, [mapOf('a'), mapOf('c')]), ['c@0-1'])
  assert.equal(rumors.size, 0)
})
