/** Pings that are made for others. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { IndirectPing } from './messages.ts'
import { endpointOf, ScriptedMachine, SELF } from './testing/scripted-machine.ts'

function requestOf(changes: Partial<IndirectPing> = {}): IndirectPing {
  const { address: target, port } = endpointOf('target')
  return { type: 'indirect-ping', sequence: 86, target, port, node: 'target', nack: true, ...changes }
}

test('the target is pinged under a number of its own, and its ack passed on under the asker’s', () => {
  const script = new ScriptedMachine()
  script.hear(requestOf(), 'asker')
  const [ping] = script.takeSent('ping')
  assert.deepEqual([ping?.message.node, ping?.message.sourceNode], ['target', SELF])
  assert.notEqual(ping?.message.sequence, 86)
  script.hear({ type: 'ack', sequence: ping!.message.sequence, payload: Uint8Array.of(1) }, 'target')
  assert.deepEqual(
    script.takeSent('ack').map(({ to, message }) => [to, message]),
    [['asker', { type: 'ack', sequence: 86, payload: undefined }]],
  )
  script.advance(1000)
  assert.equal(script.takeSent('nack').length, 0)
})

test('the answer goes to whom the request names', () => {
  const script = new ScriptedMachine()
  const { address: sourceAddress, port: sourcePort } = endpointOf('named')
  script.hear(requestOf({ sourceAddress, sourcePort, sourceNode: 'named' }), 'asker')
  script.advance(501)
  const [nack] = script.takeOutputs('send').filter(({ messages }) => messages[0]?.type === 'nack')
  assert.deepEqual([nack?.to, nack?.node], [endpointOf('named'), 'named'])
})

test('without an ack in most of the time the asker gets a nack, if it understands one', () => {
  for (const nack of [true, false]) {
    const script = new ScriptedMachine()
    script.hear(requestOf({ nack }), 'asker')
    script.advance(399)
    assert.equal(script.takeSent('nack').length, 0)
    script.advance(1)
    assert.deepEqual(
      script.takeSent('nack').map(({ to, message }) => [to, message.sequence]),
      nack ? [['asker', 86]] : [],
    )
    script.advance(1000)
    assert.equal(script.takeSent('nack').length, 0)
  }
})

test('an ack is passed on until the time is over, also after a nack, and then no more', () => {
  for (const [afterMs, acks] of [
    [499, 1],
    [501, 0],
  ] as const) {
    const script = new ScriptedMachine()
    script.hear(requestOf(), 'asker')
    const [ping] = script.takeSent('ping')
    script.advance(afterMs)
    script.takeOutputs('send')
    script.hear({ type: 'ack', sequence: ping!.message.sequence, payload: undefined }, 'target')
    assert.equal(script.takeSent('ack').length, acks)
  }
})

test('no more pings are made for others than the limit says, and none to nowhere', () => {
  const script = new ScriptedMachine({ limits: { maxRelayed: 2 } })
  for (let i = 0; i < 5; i++) script.hear(requestOf({ sequence: i + 1 }), 'asker')
  assert.equal(script.takeSent('ping').length, 2)
  assert.equal(script.machine.status().refusedRelays, 3)
  script.advance(501)
  script.hear(requestOf({ port: 0 }), 'asker')
  assert.equal(script.takeSent('ping').length, 0)
  script.hear(requestOf(), 'asker')
  assert.equal(script.takeSent('ping').length, 1)
})
