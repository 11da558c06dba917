/** What the profiles beside `serf` do to find a process that has ended soon, and to accuse nobody else: rule by rule. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SwimOptions } from './swim-types.ts'
import { GOSSIP_PROFILES, pingPatienceMs } from './profile.ts'
import { aliveOf, ScriptedMachine, SELF, type Sent } from './testing/scripted-machine.ts'
import type { Ping } from './messages.ts'

const { lan, serf } = GOSSIP_PROFILES
const OTHERS = ['a', 'b', 'c', 'd', 'e']
/** A probe of the round alone, so that each ping is of the one probe that a test is about. */
const ONE_PROBE = { ...lan, watchIntervalMs: Infinity, roundIntervalMs: 60_000, confirmers: 0 }

function probing(profile = ONE_PROBE, options: Partial<SwimOptions> = {}): { script: ScriptedMachine; ping: Sent<Ping> } {
  const script = new ScriptedMachine({ profile, ...options }).meet(...OTHERS)
  return { script, ping: script.awaitSent('ping') }
}

/** Goes on until others are asked, and has the stream refused; gives whom it asked. */
function refuse(script: ScriptedMachine): string[] {
  script.advance(501)
  const relays = script.takeSent('indirect-ping').map(({ to }) => to)
  const { stream } = script.takeOutputs('open-stream')[0]!
  script.input({ type: 'stream-failed', stream, reason: 'connect ECONNREFUSED', isRefused: true })
  return relays
}

test('refused, and unreachable for a relay: the probe ends at once, and its target has 500 ms', () => {
  const { script, ping } = probing()
  const [relay] = refuse(script)
  assert.equal(script.stateOf(ping.to), 'alive', 'refused alone is not enough')
  script.hear({ type: 'nack', sequence: ping.message.sequence }, relay)
  const [suspected] = script.takeOutputs('suspected')
  assert.equal(suspected?.member.node, ping.to)
  assert.deepEqual([suspected?.verdict.grounds, suspected?.verdict.timeoutMs], ['gone', 500])
  assert.ok(
    script.takeSent('suspect').some(({ to, at }) => to === ping.to && at === script.now),
    'it is told itself, at once',
  )
  script.advance(499)
  assert.equal(script.stateOf(ping.to), 'suspect')
  script.advance(2)
  const [failed] = script.takeOutputs('failed')
  const { verdict } = failed!
  assert.deepEqual([verdict.grounds, verdict.source, verdict.timeoutMs], ['gone', 'time-out', 500])
  const stream = verdict.probe?.paths.find(({ kind }) => kind === 'stream')
  assert.deepEqual([stream?.outcome, stream?.reason], ['refused', 'connect ECONNREFUSED'])
  assert.equal(script.machine.status().healthScore, 0, 'a host that answers is no reason for doubt')
})

test('refused, and all relays silent: the probe ends at its own time, and silence has a long one', () => {
  const { script, ping } = probing()
  refuse(script)
  script.advance(400)
  assert.equal(script.stateOf(ping.to), 'alive')
  script.advance(100)
  const [suspected] = script.takeOutputs('suspected')
  assert.equal(suspected?.verdict.grounds, 'silent')
  script.advance(9000)
  assert.equal(script.stateOf(ping.to), 'suspect')
})

test('refused, and then suspected by another: gone', () => {
  const { script, ping } = probing()
  refuse(script)
  script.advance(600)
  assert.equal(script.machine.verdict(ping.to)?.grounds, 'silent')
  script.hear({ type: 'suspect', incarnation: 1, node: ping.to, from: OTHERS.find((node) => node !== ping.to)! })
  assert.equal(script.machine.verdict(ping.to)?.grounds, 'gone')
  script.advance(501)
  assert.equal(script.stateOf(ping.to), 'dead')
})

test('one that takes connections and says nothing has at least ten seconds, however many suspect it', () => {
  const { script, ping } = probing()
  script.advance(1001)
  for (const from of OTHERS) if (from !== ping.to) script.hear({ type: 'suspect', incarnation: 1, node: ping.to, from })
  const { grounds, timeoutMs, accusers } = script.machine.verdict(ping.to)!
  assert.deepEqual([grounds, timeoutMs, accusers.length], ['silent', 10_000, 3])
  script.advance(9000)
  assert.equal(script.stateOf(ping.to), 'suspect')
  script.advance(1001)
  assert.equal(script.stateOf(ping.to), 'dead')
})

test('who contradicts within the short time lives', () => {
  const { script, ping } = probing()
  const [relay] = refuse(script)
  script.hear({ type: 'nack', sequence: ping.message.sequence }, relay)
  script.advance(450)
  script.hear(aliveOf(ping.to, { incarnation: 2 }))
  script.advance(1000)
  assert.equal(script.stateOf(ping.to), 'alive')
})

test('with the times of memberlist, a refusal changes nothing', () => {
  const { script, ping } = probing({ ...serf, roundIntervalMs: 60_000 })
  for (const relay of refuse(script)) script.hear({ type: 'nack', sequence: ping.message.sequence }, relay)
  assert.equal(script.stateOf(ping.to), 'alive')
  script.advance(500)
  const { grounds, timeoutMs } = script.machine.verdict(ping.to)!
  assert.deepEqual([grounds, timeoutMs], ['silent', 24_000])
})

test('a ping is waited for as long as the last round trip makes likely, within the bounds of the profile', () => {
  assert.equal(pingPatienceMs(lan, undefined), 500)
  assert.equal(pingPatienceMs(lan, 1), 200)
  assert.equal(pingPatienceMs(lan, 80), 320)
  assert.equal(pingPatienceMs(lan, 400), 500)
  assert.equal(pingPatienceMs(serf, 1), 500)

  const script = new ScriptedMachine({ profile: { ...ONE_PROBE, roundIntervalMs: 1000 } }).meet('a', 'b')
  script.answering.add('a').add('b')
  script.advance(3000)
  script.answering.delete('a')
  for (;;) {
    const { to } = script.awaitSent('ping')
    script.takeSent('indirect-ping')
    if (to !== 'a') continue
    script.advance(199)
    assert.equal(script.takeSent('indirect-ping').filter(({ message }) => message.node === 'a').length, 0)
    script.advance(2)
    assert.equal(script.takeSent('indirect-ping').filter(({ message }) => message.node === 'a').length, 1)
    return
  }
})

test('about three of a hundred look for themselves when one is suspected, at once and by stream too; they say so soon', () => {
  const names = Array.from({ length: 100 }, (_, i) => `n${i}`)
  let confirming = 0
  for (const self of names.slice(1)) {
    const script = new ScriptedMachine({ node: self, profile: { ...lan, watchIntervalMs: Infinity, roundIntervalMs: 60_000 } })
    script.meet(...names.filter((name) => name !== self).map((name) => aliveOf(name)))
    script.hear({ type: 'suspect', incarnation: 1, node: 'n0', from: 'x' })
    const pings = script.takeSent('ping')
    const streams = script.takeOutputs('open-stream')
    assert.equal(pings.length, streams.length)
    if (streams.length === 0) continue
    confirming++
    assert.equal(streams[0]!.node, 'n0')
    script.input({ type: 'stream-failed', stream: streams[0]!.stream, reason: 'connection refused', isRefused: true })
    script.advance(501)
    const { grounds, accusers } = script.machine.verdict('n0')!
    assert.deepEqual([grounds, accusers.map(({ by }) => by)], ['gone', ['x', self]])
    assert.ok(script.takeSent('suspect').some(({ message }) => message.from === self))
  }
  assert.ok(confirming >= 1 && confirming <= 8, `${confirming} confirm`)
})

test('who looks for itself and meets silence confirms nothing, and keeps what it saw', () => {
  const script = new ScriptedMachine({ profile: { ...ONE_PROBE, roundIntervalMs: 10_000_000, confirmers: 1000 } }).meet(...OTHERS)
  script.takeSent('suspect')
  script.hear({ type: 'suspect', incarnation: 1, node: 'a', from: 'x' })
  assert.equal(script.takeSent('ping').filter(({ to }) => to === 'a').length, 1)
  script.advance(8000)
  const own = script.takeSent('suspect').filter(({ to, message }) => message.from === SELF && to !== 'a')
  assert.deepEqual(own, [])
  const [failed] = [script.awaitOutput('failed', 120_000)]
  assert.deepEqual(
    failed.verdict.accusers.map(({ by }) => by),
    ['x'],
  )
  assert.equal(failed.verdict.probe?.by, SELF)
})

test('an accusation does not wait for the next gossip', () => {
  for (const [profile, mostMs] of [
    [lan, 50],
    [serf, 200],
  ] as const) {
    const script = new ScriptedMachine({ profile: { ...profile, confirmers: 0 } }).meet(...OTHERS)
    script.advance(10_000)
    script.takeSent('suspect')
    script.hear({ type: 'suspect', incarnation: 1, node: 'a', from: 'b' })
    const { at } = script.awaitSent('suspect')
    assert.ok(at - 10_000 <= mostMs)
  }
})

test('after a hold-up longer than a probe, a member tells several at once that it lives, by a new incarnation; not every time', () => {
  const script = new ScriptedMachine({ profile: lan }).meet(...OTHERS)
  for (const node of OTHERS) script.answering.add(node)
  script.advance(10_000)
  script.takeSent('alive')
  script.now += 3000
  script.machine.handleTimeout(script.now)
  script.input({ type: 'packet', from: aliveOf('a'), messages: [] })
  const told = script.takeSent('alive').filter(({ message }) => message.node === SELF)
  assert.ok(new Set(told.map(({ to }) => to)).size >= 4)
  assert.ok(told.every(({ message }) => message.incarnation === 2))
  assert.equal(script.takeOutputs('held-up').length, 1)

  script.advance(100)
  script.now += 3000
  script.machine.handleTimeout(script.now)
  assert.equal(script.machine.status().incarnation, 2, 'so soon again')
  script.advance(5000)
  script.now += 700
  script.machine.handleTimeout(script.now)
  assert.equal(script.machine.status().incarnation, 2, 'shorter than a probe')
  script.now += 3000
  script.machine.handleTimeout(script.now)
  assert.equal(script.machine.status().incarnation, 3)
})

test('with the times of memberlist, a member that was held up says nothing of it', () => {
  const script = new ScriptedMachine().meet(...OTHERS)
  script.now += 5000
  script.input({ type: 'packet', from: aliveOf('a'), messages: [] })
  assert.equal(script.takeOutputs('held-up').length, 1)
  assert.equal(script.machine.status().incarnation, 1)
})

test('the member that follows on the ring is probed each 1.2 s, one of the round each 3 s', () => {
  const script = new ScriptedMachine({ profile: lan }).meet(...OTHERS)
  for (const node of OTHERS) script.answering.add(node)
  script.advance(30_000)
  const counts = new Map<string, number>()
  for (const { to } of script.takeSent('ping')) counts.set(to, (counts.get(to) ?? 0) + 1)
  const [most = 0, ...others] = [...counts.values()].sort((a, b) => b - a)
  assert.ok(most >= 25 && most <= 29, `${most} of the one that is watched`)
  assert.equal(others.length, 4)
  assert.ok(others.every((count) => count >= 1 && count <= 3))
})

test('peers are pinged without who asks, and asked for the payload by the round alone; others as memberlist does it', () => {
  const layer = {
    broadcasts: () => [],
    hasBroadcasts: () => false,
    ackPayload: () => Uint8Array.of(7),
    wantsPayload: () => true,
    localState: () => new Uint8Array(0),
  }
  const script = new ScriptedMachine({ profile: lan, layer, isPeer: (node) => node !== 'a' }).meet(...OTHERS)
  for (const node of OTHERS) script.answering.add(node)
  script.advance(30_000)
  const pings = script.takeSent('ping').map(({ message }) => message)
  const toOld = pings.filter(({ node }) => node === 'a')
  const toPeers = pings.filter(({ node }) => node !== 'a')
  assert.ok(toOld.every((ping) => ping.sourceNode === SELF && ping.isBrief === undefined && ping.wantsTableHash === undefined))
  assert.ok(toPeers.every((ping) => ping.sourceNode === undefined && ping.isBrief === !ping.wantsTableHash))
  assert.ok(toPeers.some(({ isBrief }) => isBrief === true) && toPeers.some(({ isBrief }) => isBrief === false))

  script.hear({ type: 'ping', sequence: 1, node: SELF, isBrief: true, wantsTableHash: true }, 'b')
  script.hear({ type: 'ping', sequence: 2, node: SELF }, 'b')
  const acks = script.takeSent('ack')
  assert.deepEqual(
    acks.map(({ to, message }) => [to, message.payload, typeof message.tableHash]),
    [
      ['b', undefined, 'number'],
      ['b', Uint8Array.of(7), 'undefined'],
    ],
  )
})

// ---- exchanges of everything ----

/** Answers the pings that ask for it with a hash, for so long; gives with whom everything was exchanged, and when. */
function exchangesOf(
  script: ScriptedMachine,
  forMs: number,
  hashOf: () => number,
  each = (): void => {},
): { node: string | undefined; at: number }[] {
  const exchanges: { node: string | undefined; at: number }[] = []
  for (const until = script.now + forMs; script.now < until;) {
    script.advance(100)
    each()
    for (const { to, message } of script.takeSent('ping')) {
      const answer = message.wantsTableHash === true ? { tableHash: hashOf() } : {}
      script.hear({ type: 'ack', sequence: message.sequence, payload: undefined, ...answer }, to)
    }
    for (const { node, message } of script.takeOutputs('open-stream')) {
      if (message.type === 'push-pull') exchanges.push({ node, at: script.now })
    }
  }
  return exchanges
}

/** What a machine that knows the others says of its table, asked by a ping. */
function hashOf(script: ScriptedMachine): number {
  script.takeSent('ack')
  script.hear({ type: 'ping', sequence: 9, node: SELF, wantsTableHash: true }, 'a')
  return script.takeSent('ack')[0]!.message.tableHash!
}

test('with peers whose tables agree, one exchange of fifty is made; with others all', () => {
  for (const [isPeer, least, most] of [
    [true, 1, 4],
    [false, 110, 121],
  ] as const) {
    const profile = { ...lan, pushPullIntervalMs: 5000 }
    const script = new ScriptedMachine({ profile, isPeer: () => isPeer }).meet(...OTHERS)
    const hash = hashOf(script)
    const { length } = exchangesOf(script, 600_000, () => hash)
    assert.ok(length >= least && length <= most, `${length} exchanges`)
  }
})

test('a table that stays another one is exchanged with within seconds; one that news are on the way to is not', () => {
  const script = new ScriptedMachine({ profile: lan, isPeer: () => true }).meet(...OTHERS)
  const hash = hashOf(script)
  assert.ok(exchangesOf(script, 20_000, () => hash).length <= 1)
  const from = script.now
  const [first] = exchangesOf(script, 12_000, () => hash + 1)
  assert.ok(first !== undefined && first.at - from < 6000)

  const busy = new ScriptedMachine({ profile: { ...lan, pushPullIntervalMs: 10 * 3_600_000 }, isPeer: () => true }).meet(...OTHERS)
  let incarnation = 1
  const news = (): void => busy.hear(aliveOf('a', { incarnation: ++incarnation }))
  const told = (): number => hash + 1
  assert.deepEqual(exchangesOf(busy, 30_000, told, news), [])
})

test('the hash of a table depends on who is there, and not on the order in which that was heard, nor on who is gone', () => {
  const one = new ScriptedMachine().meet(...OTHERS)
  const other = new ScriptedMachine().meet('gone', ...[...OTHERS].reverse())
  assert.notEqual(hashOf(one), hashOf(other))
  other.hear({ type: 'dead', incarnation: 1, node: 'gone', from: 'x' })
  assert.equal(hashOf(one), hashOf(other))
  one.hear({ type: 'suspect', incarnation: 1, node: 'a', from: 'x' })
  assert.equal(hashOf(one), hashOf(other), 'a suspicion passes')
  one.hear(aliveOf('a', { incarnation: 2 }))
  assert.notEqual(hashOf(one), hashOf(other))
})
