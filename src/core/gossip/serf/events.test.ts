/** Which events a machine tells, and what it makes of those that it is told. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EventsAt, UserEvent } from '../serf-messages.ts'
import { endpointOf } from '../testing/scripted-machine.ts'
import { ScriptedSerf } from '../testing/scripted-serf.ts'

const NOTHING = new Uint8Array(0)
const event = (name: string, time: number, payload = NOTHING): UserEvent => ({
  type: 'user-event',
  time,
  name,
  payload,
  canCoalesce: false,
})
const at = (time: number, ...names: string[]): EventsAt => ({ time, events: names.map((name) => ({ name, payload: NOTHING })) })

function names(script: ScriptedSerf): string[] {
  return script.take('event').map((output) => output.event.name)
}

test('a state tells the ring at its places, and what of another ring is new comes, the oldest first', () => {
  const script = new ScriptedSerf().meet('a')
  script.hear(event('one', 1), event('other', 1), event('late', 513))
  const { events, eventTime } = script.pushPull({})
  assert.deepEqual([events.length, eventTime], [512, 514])
  assert.deepEqual(
    events.flatMap((slot, index) => (slot === undefined ? [] : [[index, slot.time, ...slot.events.map(({ name }) => name)]])),
    [[1, 513, 'late']],
  )
  names(script)
  script.pushPull({ events: [at(515, 'b'), undefined, at(514, 'a', 'c'), at(513, 'late')], eventTime: 516 })
  assert.deepEqual(names(script), ['a', 'c', 'b'])
  assert.equal(script.machine.stats().eventQueue, 3, 'what a state brings is not queued, only what gossip brought')
})

test('large events are told as far as a state has room, the newest of them', () => {
  const script = new ScriptedSerf({ isPolycast: () => true }).meet('a')
  for (let i = 0; i < 40; i++) script.input({ type: 'event', name: `e${i}`, payload: new Uint8Array(60_000), canCoalesce: false })
  const told = script.pushPull({}).events.flatMap((slot) => slot?.events.map(({ name }) => name) ?? [])
  assert.ok(told.length > 30 && told.length < 36, `${told.length}`)
  assert.ok(told.includes('e39') && !told.includes('e0'))
})

test('old events are none for one that joins without them, from that cluster alone', () => {
  const script = new ScriptedSerf()
  script.input({ type: 'join', endpoints: [endpointOf('a')], ignoreOldEvents: true })
  const [opened] = script.take('open-stream')
  assert.ok(opened !== undefined)
  script.pushPull({ events: [at(2, 'told by one that asked')], eventTime: 3 })
  assert.deepEqual(names(script), ['told by one that asked'])
})

test('what is kept of an event does not change when the packet is used again', () => {
  const script = new ScriptedSerf().meet('a')
  const payload = Uint8Array.of(1, 2, 3)
  script.input({ type: 'event', name: 'e', payload, canCoalesce: false })
  payload.fill(9)
  assert.deepEqual(script.pushPull({}).events[1]?.events[0]?.payload, Uint8Array.of(1, 2, 3))
})
