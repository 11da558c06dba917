/** A machine that hears of another by its name. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isWireError } from '../../wire/wire-error.ts'
import { decodeSerfMessage, encodeSerfMessage } from '../serf-codec.ts'
import type { ConflictMember, Query } from '../serf-messages.ts'
import { sameEndpoint } from '../endpoint.ts'
import { aliveOf, endpointOf, SELF } from '../testing/scripted-machine.ts'
import { ScriptedSerf } from '../testing/scripted-serf.ts'

/** The query by which it asks, when it hears of its name at another address. */
function asks(script: ScriptedSerf): Query {
  script.packet([aliveOf(SELF, { ...endpointOf('oth') })])
  const messages = script.take('spread').map(({ bytes }) => decodeSerfMessage(bytes))
  assert.equal(messages.length, 1)
  const [query] = messages
  assert.ok(query !== undefined && !isWireError(query) && query.type === 'query' && query.name === '_serf_conflict')
  return query
}

/** An answer means the own address, the other's, or nobody. */
function answers(script: ScriptedSerf, { time, id }: Query, meant: readonly ('own' | 'other' | 'nobody')[]): void {
  for (const [index, whom] of meant.entries()) {
    const place = endpointOf(whom === 'own' ? SELF : 'oth')
    const known: ConflictMember = { name: SELF, ...place, tags: new Map(), status: 1, versions: [1, 5, 2, 2, 5, 5] }
    const payload = encodeSerfMessage({ type: 'conflict-response', member: whom === 'nobody' ? undefined : known })
    script.hear({ type: 'query-response', time, id, from: `m${index}`, flags: 0, payload })
  }
  script.hear({ type: 'query-response', time, id, from: 'liar', flags: 0, payload: Uint8Array.of(1, 2) })
  // Until the time for answers is over, and not until that for pings is.
  script.advance(3500)
}

/** What comes of the look at the other one: it answers the ping by packet or the one on a stream, refuses, or is silent. */
function isLost(script: ScriptedSerf, how: 'packet' | 'stream' | 'refusal' | 'silence'): boolean | undefined {
  const ping = script
    .take('send')
    .filter(({ to }) => sameEndpoint(to, endpointOf('oth')))
    .flatMap(({ messages }) => messages)
    .find(({ type }) => type === 'ping')
  const opened = script.take('open-stream').find(({ to }) => sameEndpoint(to, endpointOf('oth')))
  if (ping?.type !== 'ping' || opened?.message.type !== 'ping') return undefined
  assert.deepEqual([ping.node, opened.message.node], [SELF, SELF])
  const { stream } = opened
  const ack = { type: 'ack', sequence: ping.sequence, payload: undefined } as const
  if (how === 'packet') script.packet([ack], endpointOf('oth'))
  else if (how === 'stream') script.input({ type: 'stream-answered', stream, message: ack })
  else if (how === 'refusal') script.input({ type: 'stream-failed', stream, reason: 'refused', isRefused: true })
  // A probe's time is longer for one that doubts itself, as this one does whom nobody answers.
  else
    for (let i = 0; i < 100 && !script.outputs.some(({ type }) => type === 'name-kept' || type === 'conflict-lost'); i++)
      script.advance(100)
  const [lost, kept] = [script.take('conflict-lost').length, script.take('name-kept').length]
  assert.equal(lost + kept, 1, how)
  return lost === 1
}

test('unless more than half mean it, it stops if the other one answers; where nobody votes, nothing is decided', () => {
  for (const [meant, mayLose] of [
    [['own', 'own', 'other'], false],
    [['own', 'other'], true],
    [['own', 'nobody', 'nobody'], true],
    [['other', 'other', 'own'], true],
    [['own'], false],
    [[], false],
  ] as const) {
    const script = new ScriptedSerf().meet('a', 'b')
    answers(script, asks(script), meant)
    assert.equal(script.take('conflict-lost').length, 0)
    assert.equal(isLost(script, 'packet'), mayLose ? true : undefined, meant.join())
  }
})

test('it stays while nobody answers at the other address, says what it is, and asks anew until it is meant, or somebody answers', () => {
  for (const [how, mustGo] of [
    ['packet', true],
    ['stream', true],
    ['refusal', false],
    ['silence', false],
  ] as const) {
    const script = new ScriptedSerf().meet('a', 'b')
    answers(script, asks(script), ['other', 'other'])
    const { incarnation } = script.machine.status()
    assert.equal(isLost(script, how), mustGo, how)
    assert.equal(script.machine.status().incarnation > incarnation, !mustGo, how)
    script.take('spread')
    script.advance(1500)
    const again = script.take('spread').map(({ bytes }) => decodeSerfMessage(bytes))
    assert.equal(again.length, mustGo ? 0 : 1, how)
    const [query] = again
    if (query === undefined || isWireError(query) || query.type !== 'query') continue
    const isMeant = how === 'refusal'
    answers(script, query, isMeant ? ['own', 'own', 'other'] : ['other'])
    assert.equal(isLost(script, 'packet'), isMeant ? undefined : true)
    script.take('spread')
    script.advance(60_000)
    assert.equal(script.take('spread').length, 0)
  }
})

test('who pings itself, at what turns out to be another address of its own, is not answered by itself', () => {
  const script = new ScriptedSerf().meet('a', 'b')
  answers(script, asks(script), ['other', 'other'])
  const opened = script.take('open-stream').find(({ to }) => sameEndpoint(to, endpointOf('oth')))
  assert.ok(opened?.message.type === 'ping')
  script.take('send')
  script.packet([opened.message], endpointOf('oth'))
  script.input({ type: 'stream-opened', request: 7, from: endpointOf('oth'), message: opened.message })
  assert.deepEqual(
    [script.take('send').flatMap(({ messages }) => messages.filter(({ type }) => type === 'ack')), script.take('answer')],
    [[], []],
  )
  assert.equal(script.take('refuse').length, 1)
  // The same from another of this name is.
  script.packet([{ ...opened.message, sourceAddress: endpointOf('oth').address }], endpointOf('oth'))
  assert.equal(script.take('send').flatMap(({ messages }) => messages.filter(({ type }) => type === 'ack')).length, 1)
})

test('one vote at a time; the next conflict after it is another', () => {
  const script = new ScriptedSerf().meet('a')
  const query = asks(script)
  script.packet([aliveOf(SELF, { ...endpointOf('oth') })])
  assert.equal(script.take('spread').length, 0)
  assert.equal(script.take('conflict').length, 2)
  answers(script, query, ['own'])
  assert.notEqual(asks(script).id, query.id)
})

test('two others by one name are told of, and no matter of this member', () => {
  const script = new ScriptedSerf().meet('a')
  script.packet([aliveOf('a', { ...endpointOf('oth'), incarnation: 2 })])
  assert.deepEqual([script.take('conflict').length, script.take('spread').length], [1, 0])
})
