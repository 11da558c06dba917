/** Few machines on a virtual network: what they find out about each other together. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { GOSSIP_PROFILES } from './profile.ts'
import { suspicionBounds } from './suspicion.ts'
import { endpointOf, ScriptedMachine, SELF } from './testing/scripted-machine.ts'
import { VirtualCluster } from './testing/virtual-cluster.ts'

function clusterOf(count: number, seed: number | string = 1): VirtualCluster {
  const cluster = new VirtualCluster({ seed })
  for (let i = 0; i < count; i++) cluster.add(`n${i}`)
  for (let i = 1; i < count; i++) cluster.join(`n${i}`, 'n0')
  assert.ok(
    cluster.runUntil(() => cluster.isWhole(), 5000),
    'it comes together',
  )
  return cluster
}

test('who joins one member is soon known to all, and knows all', () => {
  const cluster = clusterOf(8)
  cluster.add('late')
  cluster.join('late', 'n3')
  assert.ok(cluster.runUntil(() => cluster.isWhole(), 2000))
  assert.ok(cluster.eventsOf('joined').some(({ node, output }) => node === 'n7' && output.member.node === 'late'))
})

test('a member that crashed is found dead by all, within what the profile says, and each can say why', () => {
  const cluster = clusterOf(5)
  const crashedAt = cluster.now
  cluster.crash('n4')
  // A round of probes, each of them a second; then the least time of a suspicion; then what spreading takes.
  assert.ok(cluster.runUntil(() => cluster.allSee('n4', 'dead'), 5000 + 1000 + 4000 + 1500))
  assert.ok(cluster.now - crashedAt > 4000)
  const failed = cluster.eventsOf('failed')
  assert.equal(failed.length, 4)
  const first = failed[0]!.output.verdict
  assert.equal(first.source, 'time-out')
  assert.equal(first.timeoutMs, 4000)
  assert.equal(first.accusers.length, 3)
  const probes = cluster.eventsOf('suspected').flatMap(({ output }) => output.verdict.probe ?? [])
  assert.ok(probes.length > 0)
  for (const { paths } of probes) {
    assert.deepEqual([paths[0]?.kind, paths[0]?.outcome], ['direct', 'silent'])
    assert.ok(paths.some(({ kind, outcome }) => kind === 'indirect' && outcome === 'nack'))
    assert.deepEqual([paths.at(-1)?.kind, paths.at(-1)?.outcome], ['stream', 'refused'])
  }
})

test('in each profile a crash is found within its bound, and nobody is suspected before', () => {
  for (const [name, profile] of Object.entries(GOSSIP_PROFILES)) {
    const cluster = new VirtualCluster({ seed: name, profile, areAllPeers: true })
    const SIZE = 8
    for (let i = 0; i < SIZE; i++) cluster.add(`n${i}`)
    for (let i = 1; i < SIZE; i++) cluster.join(`n${i}`, 'n0')
    cluster.run(20 * profile.probeIntervalMs)
    assert.ok(
      cluster.runUntil(() => cluster.isWhole(), profile.pushPullIntervalMs),
      name,
    )
    assert.equal(cluster.eventsOf('suspected').length, 0, name)
    cluster.crash('n5')
    // Each of the others meets it within two rounds of probing, and waits then for no longer than without confirmations.
    const { maxMs } = suspicionBounds(profile, SIZE)
    assert.ok(
      cluster.runUntil(() => cluster.allSee('n5', 'dead'), 2 * SIZE * profile.probeIntervalMs + maxMs),
      name,
    )
    assert.ok(
      cluster.eventsOf('failed').every(({ output }) => output.member.node === 'n5'),
      name,
    )
  }
})

test('who leaves has left for all, without having been suspected', () => {
  const cluster = clusterOf(6)
  cluster.input('n2', { type: 'leave' })
  assert.ok(cluster.runUntil(() => cluster.eventsOf('departed').length > 0, 5000))
  assert.deepEqual(
    cluster.eventsOf('departed').map(({ node, output }) => [node, output.isTold]),
    [['n2', true]],
  )
  cluster.crash('n2')
  cluster.run(10_000)
  assert.ok(cluster.allSee('n2', 'left'))
  assert.equal(cluster.eventsOf('left').length, 5)
  assert.equal(cluster.eventsOf('suspected').length, 0)
  assert.equal(cluster.eventsOf('failed').length, 0)
})

test('a leave ends at once when nobody is there, and by its time when nobody can be told', () => {
  const alone = new ScriptedMachine()
  alone.input({ type: 'leave' })
  assert.deepEqual(alone.takeOutputs('departed'), [{ type: 'departed', isTold: true }])
  const cut = new ScriptedMachine({ profile: { ...GOSSIP_PROFILES.serf, gossipIntervalMs: 3000 } }).meet('a')
  cut.input({ type: 'leave' })
  assert.equal(cut.awaitOutput('departed').isTold, false)
  assert.equal(cut.now, 5000)
})

test('where the direct way is cut, the ways by way of others are enough', () => {
  const cluster = clusterOf(5)
  cluster.isOpen = (from, to) => !(from === 'n1' && to === 'n2') && !(from === 'n2' && to === 'n1')
  cluster.run(60_000)
  assert.equal(cluster.eventsOf('suspected').length, 0)
})

test('where packets are dropped and streams are not, members stay alive and say that packets get lost', () => {
  const cluster = clusterOf(2)
  cluster.isOpen = (_from, _to, kind) => kind === 'stream'
  cluster.run(20_000)
  assert.equal(cluster.eventsOf('suspected').length, 0)
  const lost = cluster.eventsOf('packets-lost')
  assert.ok(lost.some(({ node, output }) => node === 'n0' && output.node === 'n1'))
})

test('a member that is accused contradicts, and lives on everywhere', () => {
  const cluster = clusterOf(6)
  const accusation = { type: 'suspect', incarnation: 1, node: 'n3', from: 'n1' } as const
  for (const node of ['n2', 'n4']) cluster.input(node, { type: 'packet', from: cluster.host('n1').endpoint, messages: [accusation] })
  assert.ok(cluster.runUntil(() => cluster.machine('n3').status().incarnation === 2, 2000))
  assert.ok(cluster.runUntil(() => cluster.isWhole() && cluster.machine('n5').member('n3')?.incarnation === 2, 2000))
  cluster.run(30_000)
  assert.equal(cluster.eventsOf('failed').length, 0)
})

test('a host that stood still accuses nobody for it, and contradicts what was said meanwhile', () => {
  const cluster = clusterOf(8)
  cluster.freeze('n1', 3500)
  cluster.run(20_000)
  assert.ok(cluster.eventsOf('held-up').every(({ node, output }) => node === 'n1' && output.forMs > 500))
  assert.equal(cluster.eventsOf('held-up').length, 1)
  assert.ok(cluster.eventsOf('suspected').every(({ output }) => output.member.node === 'n1'))
  assert.equal(cluster.eventsOf('failed').length, 0)
  assert.ok(cluster.isWhole())
})

test('a suspicion does not run out while the host stands still', () => {
  const script = new ScriptedMachine().meet('a', 'b', 'c', 'd')
  script.hear([
    { type: 'suspect', incarnation: 1, node: 'a', from: 'b' },
    { type: 'suspect', incarnation: 1, node: 'a', from: 'c' },
    { type: 'suspect', incarnation: 1, node: 'a', from: 'd' },
  ])
  script.now = 60_000
  script.machine.handleTimeout(script.now)
  script.hear({ type: 'alive', incarnation: 2, node: 'a', ...endpointOf('a'), meta: new Uint8Array(0), versions: undefined })
  assert.equal(script.takeOutputs('held-up').length, 1)
  assert.equal(script.takeOutputs('failed').length, 0)
  assert.equal(script.stateOf('a'), 'alive')
  assert.equal(script.machine.status().healthScore, 1)
})

test('a confirmation that moves the end of a suspicion into the past ends it, and is no sign of having been held up', () => {
  const script = new ScriptedMachine().meet('a', 'b', 'c', 'd')
  for (const node of ['a', 'b', 'c', 'd']) script.answering.add(node)
  script.hear({ type: 'suspect', incarnation: 1, node: 'a', from: 'b' })
  script.advance(8000)
  script.hear([
    { type: 'suspect', incarnation: 1, node: 'a', from: 'c' },
    { type: 'suspect', incarnation: 1, node: 'a', from: 'd' },
  ])
  script.advance(0)
  assert.equal(script.stateOf('a'), 'dead')
  assert.equal(script.takeOutputs('held-up').length, 0)
})

test('a member that comes back under its name outdoes what was said of its earlier life', () => {
  const cluster = clusterOf(4)
  const { endpoint } = cluster.host('n3')
  cluster.crash('n3')
  assert.ok(cluster.runUntil(() => cluster.allSee('n3', 'dead'), 15_000))
  cluster.add('n3', { endpoint })
  cluster.join('n3', 'n0')
  assert.ok(cluster.runUntil(() => cluster.isWhole(), 3000))
  assert.ok(cluster.machine('n3').status().incarnation >= 2)
})

test('what a member says of itself reaches all', () => {
  const cluster = clusterOf(5)
  cluster.input('n2', { type: 'meta', meta: Uint8Array.of(1, 2) })
  cluster.run(2000)
  const updated = cluster.eventsOf('updated')
  assert.deepEqual(updated.map(({ node }) => node).sort(), ['n0', 'n1', 'n3', 'n4'])
  assert.ok(updated.every(({ output }) => output.member.node === 'n2' && output.member.meta.length === 2))
})

test('a ping on a stream is answered if it is for this member, and closed if not', () => {
  const script = new ScriptedMachine()
  const from = endpointOf('a')
  script.input({ type: 'stream-opened', request: 1, from, message: { type: 'ping', sequence: 9, node: SELF } })
  script.input({ type: 'stream-opened', request: 2, from, message: { type: 'ping', sequence: 9, node: 'other' } })
  assert.deepEqual(script.takeOutputs('answer'), [
    { type: 'answer', request: 1, message: { type: 'ack', sequence: 9, payload: undefined } },
  ])
  assert.deepEqual(script.takeOutputs('refuse'), [{ type: 'refuse', request: 2 }])
})

test('a ping by packet for another name is not answered; one without a name is', () => {
  const script = new ScriptedMachine()
  script.hear({ type: 'ping', sequence: 1, node: 'other' }, 'a')
  script.hear({ type: 'ping', sequence: 2, node: '' }, 'a')
  assert.deepEqual(
    script.takeSent('ack').map(({ to, message }) => [to, message.sequence]),
    [['a', 2]],
  )
})

test('an ack carries the refutation of what came along with its ping', () => {
  const script = new ScriptedMachine()
  script.hear(
    [
      { type: 'ping', sequence: 1, node: SELF },
      { type: 'suspect', incarnation: 1, node: SELF, from: 'a' },
    ],
    'a',
  )
  const [sent] = script.takeOutputs('send')
  assert.deepEqual(
    sent?.messages.map((message) => [message.type, 'incarnation' in message ? message.incarnation : undefined]),
    [
      ['ack', undefined],
      ['alive', 2],
    ],
  )
})

test('the layer above has its bytes in acks and in what packets have left, and gets those of others', () => {
  const asked: number[] = []
  const script = new ScriptedMachine({
    layer: {
      broadcasts: (freeBytes) => {
        asked.push(freeBytes)
        return [{ type: 'user', bytes: Uint8Array.of(1) }]
      },
      hasBroadcasts: () => true,
      wantsPayload: () => true,
      ackPayload: () => Uint8Array.of(2),
      localState: () => Uint8Array.of(3),
    },
  })
  script.hear({ type: 'ping', sequence: 1, node: SELF }, 'a')
  const [sent] = script.takeOutputs('send')
  assert.deepEqual(sent?.messages[0], { type: 'ack', sequence: 1, payload: Uint8Array.of(2) })
  assert.deepEqual(sent?.messages.at(-1), { type: 'user', bytes: Uint8Array.of(1) })
  assert.deepEqual(asked, [1400 - 70 - 64], 'what the ack and the news of this member leave')
  script.hear({ type: 'user', bytes: Uint8Array.of(4) }, 'a')
  assert.deepEqual(script.takeOutputs('user')[0]?.bytes, Uint8Array.of(4))
})

test('on a network that loses nothing no live member is ever suspected, whoever joins whom and when', () => {
  const steps = fc.array(fc.record({ via: fc.nat(20), afterMs: fc.nat(3000) }), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(fc.nat(), steps, (seed, steps) => {
      const cluster = new VirtualCluster({ seed })
      cluster.add('n0')
      for (const [index, { via, afterMs }] of steps.entries()) {
        cluster.add(`n${index + 1}`)
        cluster.join(`n${index + 1}`, `n${via % (index + 1)}`)
        cluster.run(afterMs)
      }
      cluster.run(40_000)
      assert.ok(cluster.isWhole())
      assert.equal(cluster.eventsOf('suspected').length + cluster.eventsOf('failed').length, 0)
      assert.equal(cluster.eventsOf('held-up').length, 0)
    }),
    { numRuns: 25 },
  )
})

test('the same seed gives the same run', () => {
  const run = (): unknown => {
    const cluster = new VirtualCluster({ seed: 'again', lossShare: 0.3 })
    for (let i = 0; i < 6; i++) cluster.add(`n${i}`)
    for (let i = 1; i < 6; i++) cluster.join(`n${i}`, 'n0')
    cluster.run(20_000)
    return cluster.events
  }
  assert.deepEqual(run(), run())
})
