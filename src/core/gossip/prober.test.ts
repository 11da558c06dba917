/** A probe step by step, with what it leaves as evidence. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Ping } from './messages.ts'
import { aliveOf, endpointOf, ScriptedMachine, SELF, type Sent } from './testing/scripted-machine.ts'

const OTHERS = ['a', 'b', 'c', 'd', 'e']

/** A machine among members none of which answers, and its first ping. */
function probing(script = new ScriptedMachine().meet(...OTHERS)): { script: ScriptedMachine; ping: Sent<Ping> } {
  return { script, ping: script.awaitSent('ping') }
}

function ackOf({ message }: Sent<Ping>): { type: 'ack'; sequence: number; payload: undefined } {
  return { type: 'ack', sequence: message.sequence, payload: undefined }
}

test('a ping names its target and who asks; its ack tells the round trip', () => {
  const { script, ping } = probing()
  assert.equal(ping.message.node, ping.to)
  assert.deepEqual(
    [ping.message.sourceNode, ping.message.sourceAddress, ping.message.sourcePort],
    [SELF, endpointOf(SELF).address, endpointOf(SELF).port],
  )
  script.advance(20)
  script.hear(ackOf(ping), ping.to)
  assert.deepEqual(script.takeOutputs('probed'), [{ type: 'probed', node: ping.to, rttMs: 20, payload: undefined }])
})

test('one probe follows the other, an interval apart, each member once per round', () => {
  const script = new ScriptedMachine().meet(...OTHERS)
  for (const node of OTHERS) script.answering.add(node)
  script.advance(10_000)
  const pings = script.takeSent('ping')
  assert.equal(pings.length, 10)
  for (let i = 1; i < pings.length; i++) assert.ok(Math.abs(pings[i]!.at - pings[i - 1]!.at - 1000) < 1e-6)
  assert.deepEqual(
    pings
      .slice(0, 5)
      .map(({ to }) => to)
      .sort(),
    OTHERS,
  )
})

test('without an ack in time three others are asked, and the target is pinged on a stream', () => {
  const { script, ping } = probing()
  script.advance(499)
  assert.equal(script.takeSent('indirect-ping').length, 0)
  script.advance(2)
  const asked = script.takeSent('indirect-ping')
  assert.equal(new Set(asked.map(({ to }) => to)).size, 3)
  for (const { to, message } of asked) {
    assert.ok(to !== ping.to && to !== SELF)
    assert.deepEqual([message.node, message.target, message.nack], [ping.to, endpointOf(ping.to).address, true])
    assert.equal(message.sequence, ping.message.sequence)
  }
  const [stream] = script.takeOutputs('open-stream')
  assert.deepEqual([stream?.node, stream?.message], [ping.to, ping.message])
})

test('only live members are asked to ping another', () => {
  const script = new ScriptedMachine().meet(...OTHERS)
  script.hear([
    { type: 'dead', incarnation: 1, node: 'a', from: 'x' },
    { type: 'dead', incarnation: 1, node: 'b', from: 'b' },
    { type: 'suspect', incarnation: 1, node: 'c', from: 'x' },
  ])
  const { ping } = probing(script)
  script.advance(501)
  const asked = script.takeSent('indirect-ping').map(({ to }) => to)
  assert.deepEqual(
    asked.sort(),
    ['d', 'e'].filter((node) => node !== ping.to),
  )
})

test('when nothing answers by its end the target is suspected, with all that was tried; missing nacks are doubt about itself', () => {
  const { script, ping } = probing()
  script.advance(1001)
  const [suspected] = script.takeOutputs('suspected')
  assert.equal(suspected?.member.node, ping.to)
  assert.deepEqual([suspected?.verdict.from, suspected?.verdict.source], [SELF, 'probe'])
  const probe = suspected.verdict.probe!
  assert.deepEqual([probe.by, probe.about, probe.endedAt - probe.startedAt, probe.healthScore], [SELF, ping.to, 1000, 0])
  assert.deepEqual(
    probe.paths.map(({ kind, outcome }) => `${kind} ${outcome}`),
    ['direct silent', 'indirect silent', 'indirect silent', 'indirect silent', 'stream silent'],
  )
  assert.equal(script.takeOutputs('close-stream').length, 1)
  assert.equal(script.machine.status().healthScore, 3)
})

test('relays that say they got no ack are evidence against the target, and for this member', () => {
  const { script, ping } = probing()
  script.advance(501)
  const relays = script.takeSent('indirect-ping').map(({ to }) => to)
  script.advance(40)
  for (const relay of [...relays, ...relays]) script.hear({ type: 'nack', sequence: ping.message.sequence }, relay)
  script.advance(500)
  const { paths } = script.takeOutputs('suspected')[0]!.verdict.probe!
  assert.deepEqual(
    paths.filter(({ kind }) => kind === 'indirect').map(({ via, outcome }) => `${via} ${outcome}`),
    relays.map((relay) => `${relay} nack`),
  )
  assert.ok(paths[1]!.afterMs! > 40 && paths[1]!.afterMs! < 42)
  assert.equal(script.machine.status().healthScore, 0)
})

test('one relay that repeats itself is one nack', () => {
  const { script, ping } = probing()
  script.advance(501)
  const [relay] = script.takeSent('indirect-ping')
  for (let i = 0; i < 3; i++) script.hear({ type: 'nack', sequence: ping.message.sequence }, relay!.to)
  script.advance(500)
  assert.equal(script.machine.status().healthScore, 2)
})

test('an ack by way of a relay, or late from the target, is as good; but tells no round trip', () => {
  for (const isLate of [false, true]) {
    const { script, ping } = probing()
    script.advance(501)
    const [relay] = script.takeSent('indirect-ping')
    script.hear(ackOf(ping), isLate ? ping.to : relay!.to)
    assert.deepEqual(script.takeOutputs('probed'), [{ type: 'probed', node: ping.to, rttMs: undefined, payload: undefined }])
    script.advance(490)
    assert.equal(script.takeOutputs('suspected').length, 0)
  }
})

test('an ack that waited while this member was held up counts, but tells no round trip', () => {
  const { script, ping } = probing()
  script.now += 5000
  script.hear(ackOf(ping), ping.to)
  assert.equal(script.takeOutputs('held-up').length, 1)
  assert.deepEqual(script.takeOutputs('probed'), [{ type: 'probed', node: ping.to, rttMs: undefined, payload: undefined }])
  assert.equal(script.takeOutputs('suspected').length, 0)
})

test('for as long as this member was held up, a probe does not end', () => {
  const { script, ping } = probing()
  script.advance(600)
  script.now += 5000
  script.machine.handleTimeout(script.now)
  script.hear(ackOf(ping), ping.to)
  assert.equal(script.takeOutputs('probed').length, 1)
  assert.equal(script.takeOutputs('suspected').length, 0)
})

test('a member that answers on the stream alone is alive, and it is told that packets get lost', () => {
  const { script, ping } = probing()
  script.advance(501)
  const [stream] = script.takeOutputs('open-stream')
  script.input({ type: 'stream-answered', stream: stream!.stream, message: ackOf(ping) })
  script.advance(500)
  const [lost] = script.takeOutputs('packets-lost')
  assert.equal(lost?.node, ping.to)
  assert.equal(lost?.evidence.paths.at(-1)?.outcome, 'ack')
  assert.equal(script.takeOutputs('suspected').length, 0)
  assert.equal(script.stateOf(ping.to), 'alive')
})

test('a stream that breaks, or answers something else, is no answer, and says why', () => {
  for (const answer of ['broken', 'other'] as const) {
    const { script, ping } = probing()
    script.advance(501)
    const { stream } = script.takeOutputs('open-stream')[0]!
    if (answer === 'broken') script.input({ type: 'stream-failed', stream, reason: 'connection refused' })
    else script.input({ type: 'stream-answered', stream, message: { ...ackOf(ping), sequence: 77 } })
    script.advance(500)
    const path = script.takeOutputs('suspected')[0]!.verdict.probe!.paths.at(-1)!
    assert.equal(path.outcome, 'failed')
    assert.equal(path.reason, answer === 'broken' ? 'connection refused' : 'the answer on the stream was no ack of this ping')
  }
})

test('old members are asked for what they understand: no ping on a stream below protocol 3, no nacks below 4', () => {
  const old = OTHERS.map((node) => aliveOf(node, { versions: [1, 2, 2, 2, 5, 5] }))
  const { script } = probing(new ScriptedMachine().meet(...old))
  script.advance(501)
  assert.ok(script.takeSent('indirect-ping').every(({ message }) => !message.nack))
  assert.equal(script.takeOutputs('open-stream').length, 0)
  script.advance(500)
  assert.equal(script.takeOutputs('suspected').length, 1)
  assert.equal(script.machine.status().healthScore, 1, 'without nacks each failed probe is one')
})

test('the more a member doubts itself, the later a probe accuses', () => {
  const script = new ScriptedMachine().meet(...OTHERS)
  // Two accusations to refute.
  script.hear({ type: 'suspect', incarnation: 1, node: SELF, from: 'x' })
  script.hear({ type: 'suspect', incarnation: 2, node: SELF, from: 'x' })
  const { ping } = probing(script)
  script.advance(2999)
  assert.equal(script.takeOutputs('suspected').length, 0)
  script.advance(2)
  assert.deepEqual(
    script.takeOutputs('suspected').map(({ member, verdict }) => [member.node, verdict.probe?.healthScore]),
    [[ping.to, 2]],
  )
})

test('a suspected member hears of it with the ping', () => {
  const script = new ScriptedMachine().meet('a')
  script.hear({ type: 'suspect', incarnation: 1, node: 'a', from: 'x' })
  for (;;) {
    const sent = script.awaitOutput('send')
    if (sent.messages[0]?.type !== 'ping') continue
    assert.deepEqual(sent.messages[1], { type: 'suspect', incarnation: 1, node: 'a', from: SELF })
    return
  }
})

test('who refutes while the probe is under way is not suspected', () => {
  const { script, ping } = probing()
  script.advance(600)
  script.hear(aliveOf(ping.to, { incarnation: 2 }))
  script.advance(500)
  assert.equal(script.stateOf(ping.to), 'alive')
})

test('an ack of another ping changes nothing', () => {
  const { script, ping } = probing()
  script.hear({ type: 'ack', sequence: ping.message.sequence + 1, payload: undefined }, ping.to)
  script.advance(1001)
  assert.equal(script.stateOf(ping.to), 'suspect')
})

test('a ping that cannot be sent goes on to the other ways at once', () => {
  const { script, ping } = probing()
  script.input({ type: 'send-failed', to: endpointOf(ping.to), reason: 'operation not permitted' })
  assert.equal(script.takeSent('indirect-ping').length, 3)
  script.advance(1001)
  const [direct] = script.takeOutputs('suspected')[0]!.verdict.probe!.paths
  assert.deepEqual([direct?.outcome, direct?.reason], ['failed', 'operation not permitted'])
  assert.equal(script.machine.status().failedSends, 1)
})
