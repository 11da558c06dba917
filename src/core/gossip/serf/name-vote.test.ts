/** A machine that hears of another by its name. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isWireError } from '../../wire/wire-error.ts'
import { decodeSerfMessage, encodeSerfMessage } from '../serf-codec.ts'
import type { ConflictMember, Query } from '../serf-messages.ts'
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
  script.advance(10_000)
}

test('it stops unless more than half mean it; where nobody answers, nothing is decided', () => {
  for (const [meant, isLost] of [
    [['own', 'own', 'other'], false],
    [['own', 'other'], true],
    [['own', 'nobody', 'nobody'], true],
    [['other', 'other', 'own'], true],
    [['own'], false],
    [[], false],
  ] as const) {
    const script = new ScriptedSerf().meet('a', 'b')
    answers(script, asks(script), meant)
    assert.equal(script.take('conflict-lost').length, isLost ? 1 : 0, meant.join())
  }
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
