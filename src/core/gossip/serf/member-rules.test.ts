/** Intents and membership, as one machine hears of them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JoinIntent, LeaveIntent } from '../serf-messages.ts'
import { aliveOf, SELF } from '../testing/scripted-machine.ts'
import { ScriptedSerf } from '../testing/scripted-serf.ts'
import { MAX_LAMPORT_TIME } from './lamport.ts'

const leave = (node: string, time: number, isPrune = false): LeaveIntent => ({ type: 'leave', time, node, isPrune })
const join = (node: string, time: number): JoinIntent => ({ type: 'join', time, node })
const MINUTE_MS = 60_000

/** Membership hears that a member is dead, by another's word or its own. */
function dies(script: ScriptedSerf, node: string, from = 'teller', incarnation = 1): void {
  script.packet([{ type: 'dead', node, from, incarnation }])
}

test('a member that said so has left, one that did not has failed, and one that comes again is alive', () => {
  const script = new ScriptedSerf().meet('a', 'b', 'c')
  script.hear(leave('a', 5))
  assert.equal(script.statusOf('a'), 'leaving')
  dies(script, 'a')
  dies(script, 'b')
  dies(script, 'c', 'c')
  assert.deepEqual(script.takeChanges(), ['a leaving', 'a left', 'b failed', 'c left'])
  script.packet([aliveOf('a', { incarnation: 2 }), aliveOf('b', { incarnation: 2 })])
  assert.deepEqual(script.takeChanges(), ['a joined', 'b joined'])
  assert.deepEqual([script.statusOf('a'), script.machine.verdict('a')], ['alive', undefined])
})

test('of two intents the later counts, and only news is passed on', () => {
  const script = new ScriptedSerf().meet('a', 'b')
  script.hear(leave('a', 5), join('a', 6), leave('a', 4), leave('a', 6))
  assert.equal(script.statusOf('a'), 'alive')
  assert.equal(script.machine.member('a')?.statusTime, 6)
  script.advance(2000)
  assert.deepEqual(
    script.takeSent('leave').map(({ message }) => message),
    [],
    'the newer intent took the place of the older',
  )
  assert.ok(script.takeSent('join').every(({ message }) => message.time === 6))
  assert.equal(script.machine.stats().memberTime, 7)
})

test('an intent about somebody unknown waits for him, five minutes long', () => {
  const script = new ScriptedSerf()
  script.hear(leave('a', 5), join('b', 6), leave('c', 7))
  script.meet('a', 'b')
  assert.deepEqual([script.statusOf('a'), script.statusOf('b')], ['leaving', 'alive'])
  assert.equal(script.machine.member('b')?.statusTime, 6)
  script.advance(5.5 * MINUTE_MS)
  script.meet(aliveOf('c'))
  assert.equal(script.statusOf('c'), 'alive')
})

test('the intents of unknown members are no more than so many', () => {
  const script = new ScriptedSerf({ serfLimits: { maxIntents: 2 } })
  script.hear(leave('a', 5), leave('b', 5), leave('c', 5))
  script.meet('a', 'b', 'c')
  assert.deepEqual(
    ['a', 'b', 'c'].map((name) => script.statusOf(name)),
    ['alive', 'leaving', 'leaving'],
  )
})

test('a member that hears that it leaves, and does not, says that it joins, by a later time', () => {
  const script = new ScriptedSerf().meet('a')
  script.hear(leave(SELF, 40))
  assert.equal(script.machine.self().status, 'alive')
  script.advance(1000)
  const [sent] = script.takeSent('join')
  assert.equal(sent?.message.node, SELF)
  assert.ok(sent.message.time > 40)
})

test('the same by the state of another, after a restart', () => {
  const script = new ScriptedSerf().meet('a')
  const own = script.pushPull({ time: 12, statusTimes: new Map([[SELF, 11]]), leftMembers: [SELF] })
  assert.deepEqual(own.leftMembers, [])
  script.advance(1000)
  assert.ok(script.takeSent('join').every(({ message }) => message.time >= 12))
  assert.equal(script.machine.self().status, 'alive')
})

test('a time that nobody reaches moves no clock', () => {
  const script = new ScriptedSerf().meet('a')
  script.hear(leave('a', MAX_LAMPORT_TIME + 1))
  assert.deepEqual([script.statusOf('a'), script.machine.stats().memberTime, script.machine.stats().refusedMessages], ['alive', 1, 1])
})

test('a failed member is made to have left; a prune forgets it', () => {
  const script = new ScriptedSerf().meet('a', 'b', 'c')
  dies(script, 'a')
  dies(script, 'b')
  script.takeChanges()
  script.input({ type: 'force-leave', node: 'a', isPrune: false })
  script.input({ type: 'force-leave', node: 'b', isPrune: true })
  script.input({ type: 'force-leave', node: SELF, isPrune: false })
  assert.deepEqual(script.takeChanges(), ['a left', 'b left', 'b reaped'])
  assert.equal(script.take('rejected').length, 1)
  script.advance(1000)
  assert.deepEqual(
    new Set(script.takeSent('leave').map(({ message }) => `${message.node} ${message.isPrune}`)),
    new Set(['a false', 'b true']),
  )
})

test('a prune of a leaving member waits until it has gone, and is off when it has not', () => {
  const script = new ScriptedSerf().meet('a', 'b')
  script.hear(leave('a', 5, true), leave('b', 5, true))
  dies(script, 'a', 'a')
  script.hear(join('b', 6))
  script.takeChanges()
  script.advance(6500)
  assert.deepEqual(
    script.takeChanges().filter((change) => change.endsWith('reaped')),
    ['a reaped'],
  )
})

test('who failed or left is forgotten after a day', () => {
  const script = new ScriptedSerf({ times: { reconnectTimeoutMs: 40_000, tombstoneTimeoutMs: 80_000 } }).meet('a', 'b')
  dies(script, 'a')
  dies(script, 'b', 'b')
  script.advance(30_000)
  assert.deepEqual([script.statusOf('a'), script.statusOf('b')], ['failed', 'left'])
  script.advance(30_000)
  assert.deepEqual([script.statusOf('a'), script.statusOf('b')], [undefined, 'left'])
  script.advance(40_000)
  assert.equal(script.statusOf('b'), undefined)
})

test('a state tells times, who has left, and clocks; what another one tells is taken over', () => {
  const script = new ScriptedSerf().meet('a', 'b')
  script.hear(leave('a', 5))
  dies(script, 'a')
  const own = script.pushPull({
    time: 30,
    statusTimes: new Map([
      ['b', 20],
      ['x', 21],
    ]),
    leftMembers: ['x'],
    eventTime: 9,
    queryTime: 8,
  })
  assert.deepEqual(own.leftMembers, ['a'])
  assert.equal(own.statusTimes.get('a'), 5)
  assert.equal(own.time, 6)
  const { memberTime, eventTime, queryTime } = script.machine.stats()
  // What they told by time 21 is later than what their clock says less one.
  assert.deepEqual([memberTime, eventTime, queryTime], [30, 9, 8])
  assert.equal(script.machine.member('b')?.statusTime, 20)
  script.meet('x')
  assert.equal(script.statusOf('x'), 'leaving')
})

test('suspicion shows in a member, and why', () => {
  const script = new ScriptedSerf().meet('a')
  script.packet([{ type: 'suspect', node: 'a', from: 'teller', incarnation: 1 }])
  assert.deepEqual([script.machine.member('a')?.isSuspect, script.statusOf('a')], [true, 'alive'])
  assert.equal(script.machine.verdict('a')?.state, 'suspect')
  script.packet([aliveOf('a', { incarnation: 2 })])
  assert.equal(script.machine.member('a')?.isSuspect, false)
  assert.deepEqual(script.takeChanges(), ['a suspected', 'a cleared'])
  dies(script, 'a', 'teller', 2)
  script.advance(3 * MINUTE_MS)
  assert.equal(script.machine.verdict('a')?.state, 'dead', 'also when membership has forgotten it')
})
