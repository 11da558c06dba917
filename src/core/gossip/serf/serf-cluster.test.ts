/** Whole clusters of `SerfMachine`s on a virtual network: what they make of members, events, queries, keys and names together. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8Encode } from '../../lib/bytes.ts'
import { isWireError } from '../../wire/wire-error.ts'
import { Keyring } from '../keyring.ts'
import { GOSSIP_PROFILES } from '../profile.ts'
import { decodeSerfMessage, encodeSerfMessage } from '../serf-codec.ts'
import { otherEndpoint, serfClusterOf, VirtualSerfCluster } from '../testing/virtual-serf-cluster.ts'
import type { SerfMachine } from './serf.ts'
import type { SerfInput } from './serf-types.ts'

const NOTHING = new Uint8Array(0)

function event(name: string, payload: Uint8Array = NOTHING): SerfInput {
  return { type: 'event', name, payload, canCoalesce: false }
}

function query(number: number, name: string, changes: Partial<Extract<SerfInput, { type: 'query' }>> = {}): SerfInput {
  return {
    type: 'query',
    query: number,
    name,
    payload: NOTHING,
    filters: [],
    wantsAck: true,
    relayFactor: 0,
    timeoutMs: undefined,
    ...changes,
  }
}

/** Answers every query with the member's name, as it comes. */
function answerAll(cluster: VirtualSerfCluster, from = 0): number {
  for (const { node, output } of cluster.eventsOf('query').slice(from)) {
    cluster.input(node, { type: 'respond', request: output.request, payload: utf8Encode(node) })
  }
  return cluster.eventsOf('query').length
}

test('who joins is told to all with its tags, and new tags too', () => {
  const cluster = serfClusterOf(5, 'tags')
  cluster.add('late', { tags: new Map([['role', 'web']]) })
  cluster.join('late', 'n3')
  assert.ok(cluster.runUntil(() => cluster.isWhole(), 3000))
  assert.equal(cluster.machine('n1').member('late')?.tags.get('role'), 'web')
  cluster.input('late', { type: 'tags', tags: new Map([['role', 'db']]) })
  assert.ok(cluster.runUntil(() => cluster.up().every(({ machine }) => machine.member('late')?.tags.get('role') === 'db'), 3000))
  const updates = cluster.eventsOf('member').filter(({ output }) => output.change === 'updated' && output.member.name === 'late')
  assert.equal(new Set(updates.map(({ node }) => node)).size, 6)
})

test('who is alive is told by its name, or by where it is', () => {
  const cluster = serfClusterOf(4, 'alive')
  const machine = cluster.machine('n1')
  const { address, port } = machine.member('n3')!
  assert.equal(machine.isAlive('n3', []), true)
  assert.equal(machine.isAlive('another name', [otherEndpoint(3), { address, port }]), true)
  assert.equal(machine.isAlive('another name', [otherEndpoint(3)]), false)
  cluster.crash('n3')
  assert.ok(cluster.runUntil(() => machine.member('n3')?.status === 'failed', 30_000))
  assert.equal(machine.isAlive('n3', [{ address, port }]), false)
})

test('who leaves has left for all, by its intent and its word, and was never failed', () => {
  const cluster = serfClusterOf(8, 'leave')
  cluster.input('n3', { type: 'leave' })
  assert.ok(cluster.runUntil(() => cluster.eventsOf('departed').length > 0, 8000))
  cluster.crash('n3')
  cluster.run(20_000)
  assert.ok(cluster.allSee('n3', 'left'))
  const changes = cluster.eventsOf('member').filter(({ output }) => output.member.name === 'n3')
  assert.ok(changes.every(({ output }) => output.change !== 'failed' && output.change !== 'suspected'))
  const whoSaw = (change: string): number => new Set(changes.filter(({ output }) => output.change === change).map(({ node }) => node)).size
  assert.equal(whoSaw('left'), 8)
  // An intent that one of them did not get in time is made good for by the word itself.
  assert.ok(whoSaw('leaving') >= 7)
  assert.ok(cluster.eventsOf('snapshot').some(({ node, output }) => node === 'n3' && output.line === 'leave'))
  assert.ok(cluster.eventsOf('snapshot').some(({ node, output }) => node === 'n1' && output.line === 'not-alive: n3'))
})

test('no packet of the leaving member carries both its intent and its leave', () => {
  const cluster = serfClusterOf(4, 'lifo')
  let both = 0
  cluster.onPacket = (from, _to, messages) => {
    const hasIntent = messages.some((one) => one.type === 'user' && one.bytes[0] === 0)
    if (from === 'n1' && hasIntent && messages.some((one) => one.type === 'dead')) both++
  }
  cluster.input('n1', { type: 'leave' })
  cluster.run(8000)
  assert.equal(both, 0)
  assert.ok(cluster.allSee('n1', 'left'))
})

test('who crashes has failed for all; then it is made to have left, and forgotten where that is wanted', () => {
  const cluster = serfClusterOf(6, 'crash')
  cluster.crash('n4')
  cluster.crash('n5')
  assert.ok(cluster.runUntil(() => cluster.allSee('n4', 'failed') && cluster.allSee('n5', 'failed'), 30_000))
  assert.equal(cluster.machine('n0').verdict('n4')?.state, 'dead')
  cluster.input('n0', { type: 'force-leave', node: 'n4', isPrune: false })
  cluster.input('n0', { type: 'force-leave', node: 'n5', isPrune: true })
  assert.ok(cluster.runUntil(() => cluster.allSee('n4', 'left') && cluster.allSee('n5', undefined), 3000))
  assert.equal(cluster.eventsOf('member').filter(({ output }) => output.change === 'reaped').length, 4)
})

test('a member that begins anew after it left is alive for all', () => {
  const cluster = serfClusterOf(5, 'again')
  cluster.input('n2', { type: 'leave' })
  cluster.run(8000)
  assert.ok(cluster.allSee('n2', 'left'))
  cluster.restart('n2')
  cluster.join('n2', 'n0')
  assert.ok(cluster.runUntil(() => cluster.isWhole(), 5000))
  cluster.run(60_000)
  assert.ok(cluster.isWhole())
})

test('an event comes to each member once, at 30 % loss too; what gossip missed comes by push/pull', () => {
  const cluster = serfClusterOf(16, 'loss')
  cluster.lossShare = 0.3
  for (let i = 0; i < 20; i++) {
    cluster.input(`n${i % 16}`, event(`e${i}`, utf8Encode(`payload ${i}`)))
    cluster.run(100)
  }
  cluster.run(90_000)
  for (let i = 0; i < 20; i++) {
    const counts = cluster.deliveries(`e${i}`)
    assert.equal(counts.size, 16)
    assert.ok([...counts.values()].every((count) => count === 1))
  }
})

test('one that was cut off gets events by push/pull; one that joins without old events does not', () => {
  const cluster = serfClusterOf(3, 'repair')
  cluster.isOpen = (from, to) => from !== 'n2' && to !== 'n2'
  cluster.input('n0', event('while you were out'))
  cluster.run(3000)
  assert.equal(cluster.deliveries('while you were out').size, 2)
  cluster.isOpen = () => true
  assert.ok(cluster.runUntil(() => cluster.deliveries('while you were out').size === 3, 40_000))
  cluster.add('curious')
  cluster.join('curious', 'n0')
  cluster.add('fresh')
  cluster.join('fresh', 'n0', true)
  cluster.run(60_000)
  assert.equal(cluster.deliveries('while you were out').get('curious'), 1)
  assert.equal(cluster.deliveries('while you were out').get('fresh'), undefined)
  cluster.input('n1', event('news'))
  cluster.run(3000)
  assert.equal(cluster.deliveries('news').size, 5)
})

test('a thousand events in ten seconds: none is lost, none comes twice, and the queues stay bounded', () => {
  const cluster = serfClusterOf(8, 'flood')
  let most = 0
  for (let i = 0; i < 1000; i++) {
    cluster.input(`n${i % 8}`, event(`e${i}`))
    cluster.run(10)
    if (i % 50 === 0) most = Math.max(most, cluster.machine('n0').stats().eventQueue)
  }
  cluster.run(40_000)
  const counts = new Map<string, number>()
  for (const { output } of cluster.eventsOf('event')) counts.set(output.event.name, (counts.get(output.event.name) ?? 0) + 1)
  assert.equal(counts.size, 1000)
  assert.deepEqual(
    [...counts].filter(([, count]) => count !== 8),
    [],
  )
  assert.ok(most < 1000, `${most} waited`)
  assert.equal(cluster.machine('n0').stats().droppedEvents, 0)
})

test('a query is answered by those whom its filters match, acknowledged, and over by its time', () => {
  const cluster = serfClusterOf(4, 'query')
  for (const node of ['n1', 'n2', 'n3']) cluster.input(node, { type: 'tags', tags: new Map([['role', node === 'n1' ? 'db' : 'web-7']]) })
  cluster.run(2000)
  const filters = [
    { type: 'tag', tag: 'role', expression: '^web-[0-9]+$' },
    { type: 'nodes', nodes: ['n1', 'n2', 'n3'] },
  ] as const
  cluster.input('n0', query(7, 'uptime', { filters }))
  cluster.run(1000)
  answerAll(cluster)
  cluster.run(4000)
  const own = cluster.events.filter(({ node }) => node === 'n0').map(({ output }) => output)
  const from = (type: string): string[] => own.flatMap((output) => (output.type === type && 'from' in output ? [output.from] : [])).sort()
  assert.deepEqual(from('query-ack'), ['n2', 'n3'])
  assert.deepEqual(from('query-response'), ['n2', 'n3'])
  assert.deepEqual(
    own.filter(({ type }) => type === 'query-done'),
    [{ type: 'query-done', query: 7, acks: 2, responses: 2 }],
  )
  const { node, output } = cluster.eventsOf('query')[0]!
  cluster.input(node, { type: 'respond', request: output.request, payload: NOTHING })
  assert.equal(cluster.eventsOf('rejected').at(-1)?.output.input, 'respond')
})

test('where the straight way back is cut, answers come by way of others, and each counts once', () => {
  const cluster = serfClusterOf(8, 'relay')
  cluster.isOpen = (from, to, kind) => !(from === 'n5' && to === 'n0' && kind === 'packet')
  cluster.input('n0', query(1, 'who', { relayFactor: 3, timeoutMs: 5000 }))
  let answered = 0
  for (let i = 0; i < 10; i++) {
    cluster.run(200)
    answered = answerAll(cluster, answered)
  }
  cluster.run(5000)
  const responses = cluster.eventsOf('query-response').map(({ output }) => output.from)
  assert.equal(responses.length, 8)
  assert.equal(new Set(responses).size, 8)
  assert.deepEqual(cluster.eventsOf('query-done')[0]?.output, { type: 'query-done', query: 1, acks: 8, responses: 8 })
})

test('keys are installed, used and removed at all members', () => {
  const first = new Uint8Array(16).fill(1)
  const second = new Uint8Array(32).fill(2)
  const cluster = new VirtualSerfCluster('keys')
  const rings: Keyring[] = []
  for (let i = 0; i < 4; i++) {
    const keyring = new Keyring([first])
    rings.push(keyring)
    cluster.add(`n${i}`, { keyring })
    if (i > 0) cluster.join(`n${i}`, 'n0')
  }
  cluster.run(3000)
  const change = (name: string, key: Uint8Array): void => {
    cluster.input('n0', query(0, `_serf_${name}`, { payload: encodeSerfMessage({ type: 'key-request', key }), timeoutMs: 2000 }))
    cluster.run(3000)
  }
  change('install-key', second)
  assert.ok(rings.every(({ keys }) => keys.length === 2))
  change('use-key', second)
  assert.ok(rings.every(({ primary }) => primary.length === 32))
  change('remove-key', second)
  assert.ok(rings.every(({ keys }) => keys.length === 2))
  change('remove-key', first)
  assert.ok(rings.every(({ keys }) => keys.length === 1))
  const results = cluster.eventsOf('query-response').map(({ output }) => decodeSerfMessage(output.payload))
  const isOk = results.map((result) => !isWireError(result) && result.type === 'key-response' && result.isOk)
  assert.deepEqual(
    isOk,
    [true, false, true].flatMap((ok, index) => Array.from({ length: index === 0 ? 8 : 4 }, () => ok)),
  )
  assert.equal(cluster.eventsOf('key-change').length, 12)
  cluster.input('n0', query(9, '_serf_list-keys', { timeoutMs: 2000 }))
  cluster.run(3000)
  const list = decodeSerfMessage(cluster.eventsOf('query-response').at(-1)!.output.payload)
  assert.ok(!isWireError(list) && list.type === 'key-response')
  assert.deepEqual(list.keys, ['AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI='])
})

test('of two by one name, the one that most do not know by it is told to stop', () => {
  const cluster = serfClusterOf(5, 'name')
  const first = cluster.host('n4')
  cluster.add('n4', { endpoint: otherEndpoint(4) })
  const second = cluster.host('n4')
  cluster.join('n4', 'n0')
  cluster.run(20_000)
  assert.ok(cluster.eventsOf('conflict').length > 0)
  const lost = cluster.eventsOf('conflict-lost')
  assert.ok(lost.length > 0)
  assert.equal(cluster.machine('n0').member('n4')?.address, first.endpoint.address)
  assert.equal(second.machine.self().status, 'alive')
  assert.ok(lost.every(({ output }) => /0 of \d members/.test(output.reason)))
})

test('of two by one name who are alone, the one that asked to be let in goes, and the older one never', () => {
  for (const isLate of [false, true]) {
    const cluster = serfClusterOf(1, 'twins')
    const first = cluster.host('n0')
    cluster.add('n0', { endpoint: otherEndpoint(0) })
    if (isLate) cluster.run(120_000)
    cluster.input('n0', { type: 'join', endpoints: [first.endpoint], ignoreOldEvents: true })
    cluster.run(10_000)
    const lost = cluster.eventsOf('conflict-lost').map(({ output }) => output.reason)
    assert.deepEqual(lost, isLate ? [] : ['the name n0 is taken: the one that this one asked to be let in has it'])
  }
})

test('the name of a failed member is free for one at another address', () => {
  const cluster = serfClusterOf(4, 'reclaim')
  cluster.crash('n3')
  assert.ok(cluster.runUntil(() => cluster.up().every(({ machine }) => machine.member('n3')?.status === 'failed'), 30_000))
  cluster.add('n3', { endpoint: otherEndpoint(3) })
  cluster.join('n3', 'n1')
  assert.ok(cluster.runUntil(() => cluster.isWhole(), 5000))
  assert.equal(cluster.eventsOf('conflict-lost').length, 0)
  assert.deepEqual(cluster.machine('n0').member('n3')?.address, otherEndpoint(3).address)
})

test('who is killed and back at once at another address stays, and is soon known by it; but not while it was only held up', () => {
  for (const isKilled of [true, false]) {
    const cluster = serfClusterOf(6, 'moved')
    const before = cluster.host('n5')
    if (isKilled) cluster.crash('n5')
    else cluster.freeze('n5', 2500)
    cluster.add('n5', { endpoint: otherEndpoint(5) })
    cluster.join('n5', 'n2')
    if (isKilled) {
      const isMoved = (machine: SerfMachine): boolean => machine.member('n5')?.address.join() === otherEndpoint(5).address.join()
      assert.ok(cluster.runUntil(() => cluster.isWhole() && cluster.up().every(({ machine }) => isMoved(machine)), 10_000))
    }
    cluster.run(30_000)
    assert.equal(cluster.eventsOf('conflict-lost').length > 0, !isKilled)
    assert.equal(cluster.eventsOf('name-kept').length > 0, isKilled)
    const known = isKilled ? otherEndpoint(5) : before.endpoint
    assert.deepEqual(cluster.machine('n0').member('n5')?.address, known.address)
    assert.equal(cluster.machine('n0').member('n5')?.status, 'alive')
  }
})

for (const [count, parts, partedMs] of [
  [16, 2, 25_000],
  [16, 2, 60_000],
  [16, 2, 600_000],
  [18, 3, 60_000],
  [40, 2, 90_000],
] as const) {
  test(`${count} members that were in ${parts} parts for ${partedMs / 1000} s are one cluster again within 5 s`, () => {
    const cluster = serfClusterOf(count, 'parted')
    const partOf = (node: string): number => Number(node.slice(1)) % parts
    cluster.isOpen = (from, to) => partOf(from) === partOf(to)
    cluster.run(partedMs)
    assert.equal(cluster.machine('n0').stats().failed, count - count / parts)
    cluster.isOpen = () => true
    assert.ok(cluster.runUntil(() => cluster.isWhole(), 5000))
    cluster.run(30_000)
    assert.ok(cluster.isWhole())
  })
}

test('a cluster all of whose members begin anew at once comes together, by their snapshots', () => {
  const cluster = serfClusterOf(12, 'storm')
  cluster.input('n0', event('before'))
  cluster.run(3000)
  const snapshots = new Map(cluster.up().map(({ node, machine }) => [node, machine.snapshotLines()]))
  for (const [node, snapshot] of snapshots) cluster.restart(node, { snapshot })
  for (const { node, machine } of cluster.up()) {
    cluster.input(node, { type: 'join', endpoints: machine.rejoinEndpoints().slice(0, 3), ignoreOldEvents: false })
  }
  assert.ok(cluster.runUntil(() => cluster.isWhole(), 10_000))
  cluster.run(40_000)
  assert.ok(cluster.isWhole())
  assert.equal(cluster.eventsOf('member').filter(({ output }) => output.change === 'failed').length, 0)
  assert.deepEqual(
    [...cluster.deliveries('before').values()],
    Array.from({ length: 12 }, () => 1),
  )
  cluster.input('n1', event('after'))
  cluster.run(3000)
  assert.equal(cluster.deliveries('after').size, 12)
})

test('where all have another way, events go by that alone, and may be large', () => {
  const cluster = serfClusterOf(4, 'spread', { isPolycast: (member) => member.name !== 'old' })
  cluster.input('n0', event('large', new Uint8Array(60_000)))
  cluster.run(2000)
  assert.equal(cluster.deliveries('large').size, 1)
  const [spread] = cluster.eventsOf('spread')
  for (const node of ['n1', 'n2', 'n3', 'n1']) cluster.input(node, { type: 'spread', bytes: spread!.output.bytes })
  assert.deepEqual([...cluster.deliveries('large').values()], [1, 1, 1, 1])
  cluster.add('old')
  cluster.join('old', 'n0', true)
  cluster.run(3000)
  cluster.input('n0', event('large', new Uint8Array(60_000)))
  assert.equal(cluster.eventsOf('rejected').at(-1)?.output.input, 'event')
  cluster.input('n0', event('small'))
  cluster.run(3000)
  assert.equal(cluster.deliveries('small').size, 5)
  for (const node of ['n1', 'n2']) cluster.input(node, { type: 'spread', bytes: cluster.eventsOf('spread').at(-1)!.output.bytes })
  assert.ok([...cluster.deliveries('small').values()].every((count) => count === 1))
})

test('bytes for the layer above go by packet where they fit, else by a stream, under the name of the sender', () => {
  const cluster = serfClusterOf(2, 'extension')
  cluster.input('n0', { type: 'send-extension', to: 'n1', bytes: Uint8Array.of(1, 2) })
  cluster.input('n0', { type: 'send-extension', to: 'n1', bytes: new Uint8Array(5000) })
  cluster.input('n0', { type: 'send-extension', to: 'nobody', bytes: NOTHING })
  cluster.run(100)
  assert.deepEqual(
    cluster
      .eventsOf('extension')
      .map(({ node, output }) => [node, output.from, output.bytes.length] as const)
      .toSorted((a, b) => a[2] - b[2]),
    [
      ['n1', 'n0', 2],
      ['n1', 'n0', 5000],
    ],
  )
  assert.equal(cluster.eventsOf('rejected').length, 1)
})

test('round trips come to coordinates', () => {
  const cluster = serfClusterOf(4, 'coordinates', { profile: { ...GOSSIP_PROFILES.lan, probeIntervalMs: 500 } })
  cluster.run(60_000)
  const { machine } = cluster.host('n0')
  assert.ok(machine.coordinate()!.error < 1.5)
  assert.ok(machine.coordinate('n1') !== undefined)
  const { lastRttMs } = machine.member('n1')!
  assert.ok(lastRttMs! >= 2 && lastRttMs! <= 10)
})
