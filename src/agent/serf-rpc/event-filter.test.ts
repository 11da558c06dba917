import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EVENT_TYPES, parseEventFilter } from './event-filter.ts'

test('a filter takes what it names', () => {
  for (const [given, wanted, unwanted] of [
    ['', [...EVENT_TYPES], []],
    ['*', [...EVENT_TYPES], []],
    ['member-join,query', ['member-join', 'query'], ['member-leave', 'user']],
    ['user', ['user'], ['query', 'member-reap']],
  ] as const) {
    const filter = parseEventFilter(given)
    assert.ok(filter !== undefined, given)
    for (const type of wanted) assert.ok(filter(type, 'any'), `${given} takes ${type}`)
    for (const type of unwanted) assert.ok(!filter(type, 'any'), `${given} leaves ${type}`)
  }
})

test('events and queries may be named', () => {
  const filter = parseEventFilter('user:deploy,query:load,user:a:b')!
  assert.ok(filter('user', 'deploy') && filter('query', 'load') && filter('user', 'a:b'))
  assert.ok(!filter('user', 'load') && !filter('query', 'deploy') && !filter('user', 'a'))
  assert.ok(parseEventFilter('user:')!('user', 'whatever'), 'no name is any name')
})

test('what Serf does not know is no filter', () => {
  for (const given of ['bogus', 'member-join,', 'member-join, user', 'member-join:x', 'USER']) {
    assert.equal(parseEventFilter(given), undefined, given)
  }
})
