import assert from 'node:assert/strict'
import test from 'node:test'
import { isPolycastError } from '../errors.ts'
import type { Member } from '../membership/member.ts'
import { isReceiver, matches, namesOf, parseSelector } from './selector.ts'

function member(name: string, tags: Record<string, string>): Member {
  return { name, address: '127.0.0.1', gossipPort: 1, swarmPort: 2, status: 'alive', tags, incarnation: 1, isSeed: false }
}

const WEB_EU = member('n1', { role: 'web', zone: 'eu' })
const WEB_US = member('n2', { role: 'web', zone: 'us' })
const DB_EU = member('n3', { role: 'db', zone: 'eu' })

function meant(text: string): string[] {
  const selector = parseSelector(text)
  return [WEB_EU, WEB_US, DB_EU].filter((candidate) => matches(selector, candidate)).map(({ name }) => name)
}

test('selectors mean', () => {
  assert.deepEqual(meant('all'), ['n1', 'n2', 'n3'])
  assert.deepEqual(meant('role=web'), ['n1', 'n2'])
  assert.deepEqual(meant('role=web,zone=eu'), ['n1'])
  assert.deepEqual(meant('zone=eu,zone=us'), ['n1', 'n2', 'n3'])
  assert.deepEqual(meant('name=n1,name=n3'), ['n1', 'n3'])
  assert.deepEqual(meant('name=n1,role=db'), [])
  assert.deepEqual(meant('constructor=x'), [])
  assert.deepEqual(namesOf(parseSelector('name=n1,name=n3')), ['n1', 'n3'])
})

test('the sender is a receiver only by its name', () => {
  assert.equal(isReceiver(parseSelector('all'), WEB_EU, 'n1'), false)
  assert.equal(isReceiver(parseSelector('role=web'), WEB_EU, 'n1'), false)
  assert.equal(isReceiver(parseSelector('name=n1'), WEB_EU, 'n1'), true)
  assert.equal(isReceiver(parseSelector('role=web'), WEB_US, 'n1'), true)
})

test('what cannot be understood says where', () => {
  const cases: [text: string, position: number][] = [
    ['', 0],
    ['web', 0],
    ['role=web,', 9],
    ['role=web,,zone=eu', 9],
    ['=web', 0],
    ['role=', 5],
    ['role=web,all', 9],
    ['role=a b', 6],
    ['ro le=a', 2],
    ['role=a=b', 6],
  ]
  for (const [text, position] of cases) {
    assert.throws(
      () => parseSelector(text),
      (error) => isPolycastError(error, 'selector-invalid') && error.params['position'] === position,
      `${text} at ${position}`,
    )
  }
})
