import assert from 'node:assert/strict'
import test from 'node:test'
import { SenderTable } from './sender-table.ts'

test('what was heard and what could not be read, by address', () => {
  const senders = new SenderTable()
  senders.heard('a:1', 5)
  senders.unreadable('a:1', 'another label: it belongs to another cluster', 6)
  senders.heard('a:1', 7)
  assert.deepEqual(senders.get('a:1'), {
    packets: 2,
    heardAt: 7,
    unreadable: { count: 1, at: 6, cause: 'label', reason: 'another label: it belongs to another cluster' },
  })
  assert.equal(senders.get('b:1').packets, 0)
  assert.deepEqual(senders.unreadableSince(7), [])
  assert.equal(senders.unreadableSince(6).length, 1)
})

test('beyond its limit, who was heard of longest ago is forgotten', () => {
  const senders = new SenderTable(2)
  for (const address of ['a:1', 'b:1', 'a:1', 'c:1']) senders.heard(address, 1)
  assert.deepEqual(
    ['a:1', 'b:1', 'c:1'].map((address) => senders.get(address).packets),
    [2, 0, 1],
  )
})
