import assert from 'node:assert/strict'
import { test } from 'node:test'
import { matchesEvent, parseEventFilter } from './event-filter.ts'
import type { EventKey } from './event-filter.ts'

const JOIN: EventKey = { type: 'member', kind: 'member-join' }
const DEPLOY: EventKey = { type: 'user', name: 'deploy' }
const LOAD: EventKey = { type: 'query', name: 'load' }

function matched(text: string): EventKey[] {
  const filter = parseEventFilter(text)
  assert.ok(typeof filter !== 'string', String(filter))
  return [JOIN, DEPLOY, LOAD].filter((key) => matchesEvent(filter, key))
}

test('a filter matches what it names', () => {
  assert.deepEqual(matched('*'), [JOIN, DEPLOY, LOAD])
  assert.deepEqual(matched('member'), [JOIN])
  assert.deepEqual(matched('member-failed'), [])
  assert.deepEqual(matched('member-join, user:deploy'), [JOIN, DEPLOY])
  assert.deepEqual(matched('user:deplo'), [])
  assert.deepEqual(matched('user'), [DEPLOY])
  assert.deepEqual(matched('query:load'), [LOAD])
  assert.deepEqual(matched('user:load'), [])
})

test('what is no filter says so', () => {
  for (const text of ['', 'member-joined', 'user:', 'a', 'user,,query', 'member:x'])
    assert.match(String(parseEventFilter(text)), /is no kind of event/)
})
