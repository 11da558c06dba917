/** Exchanges of everything: who with whom, what is merged and what is not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MemberRecord, MemberState, ProtocolVersions, PushPull, StreamMessage } from './messages.ts'
import { versionProblem } from './push-pull.ts'
import { aliveOf, endpointOf, ScriptedMachine, SELF } from './testing/scripted-machine.ts'
import { VERSIONS } from './testing/virtual-cluster.ts'

function recordOf(node: string, state: MemberState = 'alive', changes: Partial<MemberRecord> = {}): MemberRecord {
  return { node, ...endpointOf(node), meta: new Uint8Array(0), incarnation: 1, state, versions: VERSIONS, ...changes }
}

function tableOf(members: readonly MemberRecord[], changes: Partial<PushPull> = {}): PushPull {
  return { type: 'push-pull', isJoin: false, members, userState: new Uint8Array(0), ...changes }
}

/** Joins by way of `seed` and gets this as the answer. */
function joinWith(script: ScriptedMachine, answer: StreamMessage): string | undefined {
  script.input({ type: 'join', endpoints: [endpointOf('seed')] })
  const { stream } = script.takeOutputs('open-stream').at(-1)!
  script.input({ type: 'stream-answered', stream, message: answer })
  return script.takeOutputs('exchanged').at(-1)!.error
}

test('who joins tells all that it knows, and knows then what the other does', () => {
  const script = new ScriptedMachine()
  script.input({ type: 'join', endpoints: [endpointOf('seed')] })
  const [opened] = script.takeOutputs('open-stream')
  assert.deepEqual(opened?.to, endpointOf('seed'))
  assert.deepEqual(opened?.message, tableOf([recordOf(SELF)], { isJoin: true }))
  const message = tableOf([recordOf('seed'), recordOf('a', 'alive', { incarnation: 4 })], { userState: Uint8Array.of(5) })
  script.input({ type: 'stream-answered', stream: opened.stream, message })
  assert.deepEqual(
    script.takeOutputs('joined').map(({ member }) => [member.node, member.incarnation]),
    [
      ['seed', 1],
      ['a', 4],
    ],
  )
  assert.deepEqual(
    script.takeOutputs('exchanged').map(({ isJoin, error }) => [isJoin, error]),
    [[true, undefined]],
  )
  assert.deepEqual(script.takeOutputs('user-state')[0]?.bytes, Uint8Array.of(5))
})

test('who is asked answers with what it knew before, and knows then more', () => {
  const script = new ScriptedMachine().meet('a')
  const message = tableOf([recordOf('b')], { isJoin: true })
  script.input({ type: 'stream-opened', request: 7, from: endpointOf('b'), message })
  const [answer] = script.takeOutputs('answer')
  assert.equal(answer?.request, 7)
  assert.ok(answer?.message.type === 'push-pull' && answer.message.isJoin)
  assert.deepEqual(answer.message.members.map(({ node }) => node).sort(), ['a', SELF])
  assert.equal(script.stateOf('b'), 'alive')
})

test('whom another holds for dead or suspect is only suspected here; who left has left', () => {
  const script = new ScriptedMachine().meet('a', 'b', 'c')
  joinWith(script, tableOf([recordOf('a', 'dead'), recordOf('b', 'suspect'), recordOf('c', 'left'), recordOf('unknown', 'dead')]))
  assert.deepEqual(
    ['a', 'b', 'c', 'unknown'].map((node) => script.stateOf(node)),
    ['suspect', 'suspect', 'left', undefined],
  )
  const verdict = script.machine.verdict('a')
  assert.deepEqual([verdict?.from, verdict?.source], [SELF, 'push-pull'])
})

test('who is held for dead by the other says at once, and to it first, that it is not', () => {
  const script = new ScriptedMachine()
  joinWith(script, tableOf([recordOf(SELF, 'dead', { incarnation: 3 })]))
  assert.deepEqual(
    script.takeOutputs('refuted').map(({ incarnation }) => incarnation),
    [4],
  )
  const [sent] = script.takeOutputs('send')
  assert.deepEqual(sent?.to, endpointOf('seed'))
  assert.deepEqual(sent?.messages[0], aliveOf(SELF, { incarnation: 4 }))
})

test('nothing is merged when a live member speaks what not all understand', () => {
  const script = new ScriptedMachine()
  const odd: ProtocolVersions = [1, 5, 2, 6, 7, 6]
  const error = joinWith(script, tableOf([recordOf('a'), recordOf('odd', 'alive', { versions: odd })], { userState: Uint8Array.of(1) }))
  assert.equal(error, 'no version of the protocol above it is understood by all live members: odd begins at 6, a ends at 5')
  assert.equal(script.machine.members().length, 1)
  assert.equal(script.takeOutputs('user-state').length, 0)
  assert.equal(joinWith(script, tableOf([recordOf('a'), recordOf('odd', 'dead', { versions: odd })])), undefined)
  assert.equal(script.stateOf('a'), 'alive')
})

test('versions go together when each live member speaks one within the range of all', () => {
  const speaker = (node: string, versions: ProtocolVersions | undefined): MemberRecord => recordOf(node, 'alive', { versions })
  assert.equal(versionProblem([speaker('a', [1, 5, 2, 2, 5, 4])], [speaker('b', [2, 4, 3, 3, 6, 5])]), undefined)
  assert.equal(versionProblem([speaker('a', undefined)], [speaker('b', VERSIONS)]), undefined)
  assert.equal(
    versionProblem([speaker('a', [1, 5, 5, 2, 5, 5])], [speaker('b', [1, 4, 2, 2, 5, 5])]),
    'a speaks version 5 of the membership protocol; all live members together understand 1 to 4',
  )
})

test('an exchange that is refused, broken, answered by something else or not at all says so', () => {
  const script = new ScriptedMachine()
  assert.equal(joinWith(script, { type: 'error', reason: 'encrypted' }), 'refused: encrypted')
  assert.equal(joinWith(script, { type: 'ack', sequence: 1, payload: undefined }), 'answered by a message of type ack')
  script.input({ type: 'join', endpoints: [endpointOf('x'), endpointOf('y')] })
  const [broken, silent] = script.takeOutputs('open-stream')
  script.input({ type: 'stream-failed', stream: broken!.stream, reason: 'connection refused' })
  script.advance(9999)
  assert.deepEqual(
    script.takeOutputs('exchanged').map(({ error }) => error),
    ['connection refused'],
  )
  script.advance(1)
  assert.deepEqual(
    script.takeOutputs('exchanged').map(({ error }) => error),
    ['no answer came in time'],
  )
  assert.deepEqual(
    script.takeOutputs('close-stream').map(({ stream }) => stream),
    [silent!.stream],
  )
  // Too late: nobody waits for it.
  script.input({ type: 'stream-answered', stream: silent!.stream, message: tableOf([recordOf('a')]) })
  assert.equal(script.stateOf('a'), undefined)
})

test('no more exchanges are under way than the limit says', () => {
  const script = new ScriptedMachine({ limits: { maxExchanges: 2 } })
  script.input({ type: 'join', endpoints: ['a', 'b', 'c'].map((node) => endpointOf(node)) })
  assert.equal(script.takeOutputs('open-stream').length, 2)
  assert.deepEqual(
    script.takeOutputs('exchanged').map(({ to, error }) => [to, error]),
    [[endpointOf('c'), 'too many exchanges are under way']],
  )
})

test('from time to time everything is exchanged with a live member', () => {
  const script = new ScriptedMachine().meet('a', 'b')
  script.answering.add('a')
  script.hear({ type: 'dead', incarnation: 1, node: 'b', from: 'b' })
  script.advance(120_000)
  const opened = script.takeOutputs('open-stream')
  assert.equal(opened.length, 4)
  assert.ok(opened.every(({ node, message }) => node === 'a' && message.type === 'push-pull' && !message.isJoin))
})

test('a member that leaves begins no more exchanges, and answers those of others', () => {
  const script = new ScriptedMachine().meet('a')
  script.input({ type: 'leave' })
  script.advance(60_000)
  assert.equal(script.takeOutputs('open-stream').length, 0)
  script.input({ type: 'stream-opened', request: 1, from: endpointOf('b'), message: tableOf([recordOf('b')]) })
  const [answer] = script.takeOutputs('answer')
  assert.ok(answer?.message.type === 'push-pull')
  assert.equal(answer.message.members.find(({ node }) => node === SELF)?.state, 'left')
})
