import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { MAX_TAGS_BYTES, isMemberName, tagsProblem } from './member.ts'
import { MAX_LINE_CHARACTERS, MAX_RECORDS, parseMessage } from './messages.ts'
import type { Message } from './messages.ts'

const RECORD = {
  name: 'n1',
  address: '127.0.0.1',
  gossipPort: 7946,
  swarmPort: 7947,
  status: 'alive',
  tags: { zone: 'eu' },
  incarnation: 1,
  instance: '0'.repeat(32),
  startedAt: 1,
} as const

test('every message survives its line', () => {
  const messages: Message[] = [
    { type: 'hello', protocol: 1, member: RECORD },
    { type: 'welcome', protocol: 1, member: RECORD },
    { type: 'members', members: [RECORD, { ...RECORD, name: 'n2', status: 'left' }] },
    { type: 'synced' },
    { type: 'ping' },
    { type: 'who' },
    { type: 'iam', name: 'n1', instance: '0' },
    { type: 'bye', reason: 'left', text: 'x' },
  ]
  for (const message of messages) assert.deepEqual(parseMessage(JSON.stringify(message)), message)
})

test('what a later version adds is ignored', () => {
  assert.deepEqual(parseMessage('{"type":"ping","load":7}'), { type: 'ping' })
})

test('a message that is wrong anywhere is refused with the place', () => {
  const wrong: [unknown, RegExp][] = [
    [{ type: 'pong' }, /type/],
    [{ type: 'members', members: [{ ...RECORD, name: 'a b' }] }, /members\.0\.name: is no name/],
    [{ type: 'members', members: [{ ...RECORD, address: 'localhost' }] }, /is no address/],
    [{ type: 'members', members: [{ ...RECORD, address: '0.0.0.0' }] }, /is no address/],
    [{ type: 'members', members: [{ ...RECORD, gossipPort: 0 }] }, /gossipPort/],
    [{ type: 'members', members: [{ ...RECORD, incarnation: 1.5 }] }, /incarnation/],
    [{ type: 'members', members: [{ ...RECORD, incarnation: 2 ** 50 }] }, /incarnation/],
    [{ type: 'members', members: [{ ...RECORD, status: 'undead' }] }, /status/],
    [{ type: 'members', members: [{ ...RECORD, tags: { name: 'x' } }] }, /are no tags/],
    [{ type: 'members', members: Array.from({ length: MAX_RECORDS + 1 }, () => RECORD) }, /members/],
    [{ type: 'bye', reason: 'whim', text: '' }, /reason/],
    [[], /wrong/],
    [null, /wrong/],
  ]
  for (const [message, problem] of wrong) {
    const result = parseMessage(JSON.stringify(message))
    assert.ok(typeof result === 'string')
    assert.match(result, problem)
  }
  assert.equal(parseMessage('{"type":'), 'a line is no JSON')
})

test('no line makes the parser throw', () => {
  fc.assert(fc.property(fc.string(), (line) => void parseMessage(line)))
  fc.assert(fc.property(fc.json(), (line) => void parseMessage(line)))
  const mutated = fc.tuple(fc.nat(300), fc.string({ maxLength: 3 })).map(([at, text]) => {
    const line = JSON.stringify({ type: 'hello', protocol: 1, member: RECORD })
    return line.slice(0, at) + text + line.slice(at + 1)
  })
  fc.assert(fc.property(mutated, (line) => void parseMessage(line)))
})

test('the largest records that are allowed fit a line', () => {
  const tags: Record<string, string> = {}
  for (let index = 0; tagsProblem({ ...tags, [`t${index}`]: '"' }) === undefined; index++) tags[`t${index}`] = '"'
  const largest = {
    ...RECORD,
    name: 'n'.repeat(128),
    address: 'ffff:'.repeat(7) + 'ffff',
    tags,
    incarnation: 2 ** 48,
    startedAt: Number.MAX_SAFE_INTEGER,
  }
  const line = JSON.stringify({ type: 'members', members: Array.from({ length: MAX_RECORDS }, () => largest) })
  assert.equal(typeof parseMessage(line), 'object')
  assert.ok(line.length < MAX_LINE_CHARACTERS, `${line.length}`)
})

test('names and tags keep their rules', () => {
  for (const name of ['n1', 'web-7.example_x', 'N'.repeat(128)]) assert.ok(isMemberName(name), name)
  for (const name of ['', 'a b', 'ä', 'a/b', 'a\n', 'N'.repeat(129)]) assert.ok(!isMemberName(name), name)
  assert.equal(tagsProblem({ zone: 'eu-west', rack: '007', 'a.b_c': 'x:y/z' }), undefined)
  for (const tags of [{ 'a b': 'x' }, { '': 'x' }, { a: '' }, { a: 'x y' }, { a: 'x,y' }, { a: 'x=y' }, { a: 'x\u0000' }, { name: 'x' }]) {
    assert.equal(typeof tagsProblem(tags as Record<string, string>), 'string', JSON.stringify(tags))
  }
  assert.match(tagsProblem({ a: 'x'.repeat(250), b: 'y'.repeat(250), c: 'z' }) ?? '', new RegExp(`${MAX_TAGS_BYTES} is the most`))
})
