import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8Encode } from '../../lib/bytes.ts'
import { isWireError } from '../../wire/wire-error.ts'
import { Keyring } from '../keyring.ts'
import { decodeSerfMessage, encodeSerfMessage } from '../serf-codec.ts'
import { QUERY_FLAGS, type Query, type QueryFilter } from '../serf-messages.ts'
import { endpointOf, SELF } from '../testing/scripted-machine.ts'
import { ScriptedSerf } from '../testing/scripted-serf.ts'
import { matches } from './queries.ts'
import type { SerfInput, SerfOptions } from './serf-types.ts'

const NOTHING = new Uint8Array(0)
const ASKER = endpointOf('ask')

function asked(changes: Partial<Query> = {}): Query {
  return {
    type: 'query',
    time: 3,
    id: 77,
    address: ASKER.address,
    port: ASKER.port,
    sourceNode: 'ask',
    filters: [],
    flags: 0,
    relayFactor: 0,
    timeoutNs: 2e9,
    name: 'load',
    payload: NOTHING,
    ...changes,
  }
}

function ask(changes: Partial<Extract<SerfInput, { type: 'query' }>> = {}): SerfInput {
  return {
    type: 'query',
    query: 1,
    name: 'load',
    payload: NOTHING,
    filters: [],
    wantsAck: true,
    relayFactor: 0,
    timeoutMs: undefined,
    ...changes,
  }
}

/** The payload of the answer to an internal query. */
function answerTo(name: string, payload: Uint8Array, options: Partial<SerfOptions> = {}): ReturnType<typeof decodeSerfMessage> | undefined {
  const script = new ScriptedSerf(options).meet('a')
  script.hear(asked({ name: `_serf_${name}`, payload }))
  const [sent] = script.takeSent('query-response')
  return sent && decodeSerfMessage(sent.message.payload)
}

test('filters accept by name and by tag, all of them', () => {
  const tags = new Map([['role', 'web-1']])
  for (const [filter, isAccepted] of [
    [{ type: 'nodes', nodes: ['x', 'me'] }, true],
    [{ type: 'nodes', nodes: [] }, false],
    [{ type: 'tag', tag: 'role', expression: '^web' }, true],
    [{ type: 'tag', tag: 'role', expression: '(' }, false],
    [{ type: 'tag', tag: 'none', expression: '^$' }, true],
    [{ type: 'unknown', bytes: Uint8Array.of(9) }, false],
  ] satisfies [QueryFilter, boolean][]) {
    assert.equal(matches(filter, 'me', tags), isAccepted, JSON.stringify(filter))
  }
})

test('a query counts once, is acknowledged where that is wanted, passed on, and answered once, in its time', () => {
  const script = new ScriptedSerf().meet('a', 'b')
  script.hear(asked({ flags: QUERY_FLAGS.ack }), asked({ flags: QUERY_FLAGS.ack }))
  const [given, ...more] = script.take('query')
  assert.equal(more.length, 0)
  assert.equal(given?.deadlineAt, 2000)
  const [ack] = script.takeSent('query-response')
  assert.deepEqual([ack?.to, ack?.message], [ASKER, { type: 'query-response', time: 3, id: 77, from: SELF, flags: 1, payload: NOTHING }])
  const respond = { type: 'respond', request: given.request, payload: Uint8Array.of(1) } as const
  script.input(respond)
  script.input(respond)
  assert.deepEqual(
    script.takeSent('query-response').map(({ message }) => [message.flags, message.payload]),
    [[0, Uint8Array.of(1)]],
  )
  assert.match(script.take('rejected')[0]!.reason, /answered before/)
  script.advance(1000)
  assert.ok(script.takeSent('query').length > 0)
  script.hear(asked({ id: 78, timeoutNs: 1e9 }))
  script.advance(1001)
  script.input({ type: 'respond', request: script.take('query')[0]!.request, payload: NOTHING })
  assert.match(script.take('rejected')[0]!.reason, /time is over/)
})

test('a query for others, or not to be passed on, is treated so', () => {
  const script = new ScriptedSerf().meet('a', 'b')
  script.hear(asked({ filters: [{ type: 'nodes', nodes: ['b'] }], flags: QUERY_FLAGS.ack }))
  script.hear(asked({ id: 78, flags: QUERY_FLAGS.noBroadcast }))
  assert.deepEqual(
    script.take('query').map(({ query }) => query.id),
    [78],
  )
  assert.equal(script.takeSent('query-response').length, 0)
  script.advance(1000)
  assert.ok(script.takeSent('query').every(({ message }) => message.id === 77))
})

test('acks and responses count once for each member, of this very query; the rest are strays', () => {
  const script = new ScriptedSerf().meet('a', 'b')
  script.input(ask())
  const [sent] = script.take('spread').map(({ bytes }) => decodeSerfMessage(bytes))
  assert.ok(sent !== undefined && !isWireError(sent) && sent.type === 'query')
  assert.equal(sent.timeoutNs, 200 * 16 * 1e6)
  const { time, id } = sent
  const response = { type: 'query-response', time, id, from: 'a', flags: 0, payload: Uint8Array.of(1) } as const
  script.hear(response, response, { ...response, flags: 1 }, { ...response, id: id ^ 1 }, { ...response, time: time + 1 })
  assert.deepEqual(
    script.take('query-ack').map(({ from }) => from),
    [SELF, 'a'],
  )
  assert.equal(script.take('query-response').length, 1)
  script.advance(3200)
  assert.deepEqual(script.take('query-done'), [{ type: 'query-done', query: 1, acks: 2, responses: 1 }])
  script.hear({ ...response, from: 'b' })
  assert.equal(script.take('query-response').length, 0)
  assert.equal(script.machine.stats().strayResponses, 4)
})

test('what is too large, or too much, is rejected', () => {
  const script = new ScriptedSerf({ serfLimits: { maxOpenQueries: 1 } }).meet('a')
  script.input(ask({ query: 1, payload: new Uint8Array(1000) }))
  script.input(ask({ query: 2 }))
  script.input(ask({ query: 3 }))
  assert.deepEqual(
    script.take('rejected').map(({ query }) => query),
    [1, 3],
  )
  script.hear(asked())
  const { request } = script.take('query').at(-1)!
  script.input({ type: 'respond', request, payload: new Uint8Array(1024) })
  assert.match(script.take('rejected')[0]!.reason, /1024 bytes/)
  script.input({ type: 'respond', request, payload: NOTHING })
  assert.equal(script.takeSent('query-response').length, 1, 'a smaller answer is taken')
})

test('a query lasts as long as it says, a day at most; without a time, by the size of the cluster', () => {
  for (const [timeoutMs, expected] of [
    [undefined, 3200],
    [0, 3200],
    [NaN, 3200],
    [1500, 1500],
    [Infinity, 86_400_000],
  ] as const) {
    const script = new ScriptedSerf().meet('a')
    script.input(ask({ timeoutMs, relayFactor: NaN }))
    const [sent] = script.take('spread').map(({ bytes }) => decodeSerfMessage(bytes))
    assert.ok(sent !== undefined && !isWireError(sent) && sent.type === 'query')
    assert.deepEqual([sent.timeoutNs, sent.relayFactor], [expected * 1e6, 0])
  }
})

test('with a relay factor, answers also go by way of others, where there are enough', () => {
  const script = new ScriptedSerf().meet('a', 'b', 'ask')
  script.hear(asked({ relayFactor: 2 }))
  script.input({ type: 'respond', request: script.take('query')[0]!.request, payload: NOTHING })
  const sent = script.outputs.filter((output) => output.type === 'send')
  script.outputs = sent
  assert.deepEqual(
    new Set(script.takeSent('relay').map(({ to, message }) => `${to.address.join()} ${message.node}`)),
    new Set([`${endpointOf('a').address.join()} ask`, `${endpointOf('b').address.join()} ask`]),
  )
  const few = new ScriptedSerf().meet('a')
  few.hear(asked({ relayFactor: 2 }))
  few.input({ type: 'respond', request: few.take('query')[0]!.request, payload: NOTHING })
  assert.equal(few.takeSent('relay').length, 0)
})

test('a response to be relayed is sent on as it is; nothing else is', () => {
  const script = new ScriptedSerf().meet('a')
  const response = encodeSerfMessage({ type: 'query-response', time: 3, id: 77, from: 'a', flags: 0, payload: NOTHING })
  const relay = { type: 'relay', ...ASKER, zone: '', node: 'ask' } as const
  script.hear({ ...relay, message: response })
  const [sent] = script.take('send')
  assert.deepEqual([sent?.to, sent?.node, sent?.messages], [ASKER, 'ask', [{ type: 'user', bytes: response }]])
  script.hear({ ...relay, message: encodeSerfMessage({ type: 'join', time: 1, node: 'a' }) }, { ...relay, port: 0, message: response })
  assert.equal(script.take('send').length, 0)
  assert.equal(script.machine.stats().refusedMessages, 2)
})

test('whom this member knows by a name', () => {
  const known = answerTo('conflict', utf8Encode('a'))
  assert.ok(known !== undefined && !isWireError(known) && known.type === 'conflict-response')
  assert.deepEqual([known.member?.name, known.member?.address, known.member?.status], ['a', endpointOf('a').address, 1])
  assert.deepEqual(answerTo('conflict', utf8Encode('nobody')), { type: 'conflict-response', member: undefined })
  assert.equal(answerTo('conflict', utf8Encode(SELF)), undefined)
})

test('changes of keys are told as Serf tells them; a ping is answered by its ack alone', () => {
  const key = new Uint8Array(16).fill(1)
  const other = new Uint8Array(16).fill(2)
  const request = (of: Uint8Array): Uint8Array => encodeSerfMessage({ type: 'key-request', key: of })
  const message = (name: string, payload: Uint8Array, keyring?: Keyring): string | undefined => {
    const answer = answerTo(name, payload, { keyring })
    assert.ok(answer !== undefined && !isWireError(answer) && answer.type === 'key-response')
    assert.equal(answer.isOk, answer.message === '')
    return answer.message
  }
  assert.match(message('install-key', request(key))!, /encryption not enabled/)
  assert.match(message('list-keys', NOTHING)!, /encryption not enabled/)
  const keyring = new Keyring([key])
  assert.match(message('use-key', request(other), keyring)!, /not in the keyring/)
  assert.match(message('remove-key', request(key), keyring)!, /not allowed/)
  assert.match(message('install-key', request(new Uint8Array(5)), keyring)!, /16, 24 or 32/)
  assert.match(message('install-key', Uint8Array.of(1, 2, 3), keyring)!, /cannot be read/)
  assert.equal(message('install-key', request(other), keyring), '')
  assert.equal(message('use-key', request(other), keyring), '')
  assert.deepEqual(keyring.primary, other)
  assert.equal(answerTo('ping', NOTHING), undefined)
  assert.equal(answerTo('no-such-thing', NOTHING), undefined)
})

test('a list of keys that is too long for a response is cut, and says so', () => {
  const keyring = new Keyring(Array.from({ length: 16 }, (_, index) => new Uint8Array(32).fill(index)))
  const script = new ScriptedSerf({ keyring, serfLimits: { maxQueryBytes: 512 } }).meet('a')
  script.hear(asked({ name: '_serf_list-keys' }))
  const [sent] = script.takeSent('query-response')
  const answer = decodeSerfMessage(sent!.message.payload)
  assert.ok(!isWireError(answer) && answer.type === 'key-response')
  assert.ok(answer.keys.length > 3 && answer.keys.length < 16)
  assert.equal(answer.message, `truncated key list response, showing first ${answer.keys.length} of 16 keys`)
  assert.ok(encodeSerfMessage(sent!.message).length <= 512)
})

test('open requests are no more than so many', () => {
  const script = new ScriptedSerf({ serfLimits: { maxOpenRequests: 2 } }).meet('a')
  script.hear(asked({ id: 1 }), asked({ id: 2 }), asked({ id: 3 }))
  const requests = script.take('query').map(({ request }) => request)
  for (const request of requests) script.input({ type: 'respond', request, payload: NOTHING })
  assert.equal(script.take('rejected').length, 1)
  assert.equal(script.takeSent('query-response').length, 2)
})
