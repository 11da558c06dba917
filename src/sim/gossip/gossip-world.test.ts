import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GOSSIP_PROFILES } from '../../core/gossip/profile.ts'
import type { MemberRecord } from '../../core/gossip/messages.ts'
import type { Verdict } from '../../core/gossip/verdict.ts'
import { SOCKET_BUFFER_BYTES } from './gossip-host.ts'
import { GossipWorld, type GossipWorldOptions } from './gossip-world.ts'
import { SwimNode, VERSIONS, type SimNode, type SimOutput } from './sim-node.ts'

function worldOf(nodes: number, options: Partial<GossipWorldOptions> = {}): GossipWorld {
  return new GossipWorld({ seed: 'test', nodes, established: nodes, profile: GOSSIP_PROFILES.lan, ...options })
}

function allJoin(world: GossipWorld): GossipWorld {
  for (const { index } of world.hosts) world.start(index, [0])
  return world
}

test('a cluster comes together, finds a crash, and does all of it the same way from the same seed', () => {
  const traceOf = (seed: string): number => {
    const world = allJoin(worldOf(24, { seed, established: 0, links: { loss: 0.05, streamLoss: 0.05 } }))
    world.run(20_000)
    assert.ok(world.checks.isOne())
    const spread = world.checks.follow('failed', 'n7')
    world.kill(7)
    world.run(50_000)
    assert.equal(spread.count, 23)
    world.checks.oneView()
    assert.deepEqual(world.checks.violations, [])
    return world.traceHash
  }
  assert.equal(traceOf('a'), traceOf('a'))
  assert.notEqual(traceOf('a'), traceOf('b'))
})

test('a cluster that is established sends nothing but probes and exchanges', () => {
  const world = worldOf(32)
  world.run(10_000)
  assert.ok(world.checks.isOne())
  assert.deepEqual([world.checks.mostQueued, world.checks.accusations], [0, 0])
  const sent = world.hosts.reduce((sum, host) => sum + host.sentPackets, 0)
  // Each 1.2 s the member that is watched, each 3 s one of the round; a ping and an ack each.
  assert.ok(Math.abs(sent - 2 * 32 * 10 * (1 / 1.2 + 1 / 3)) <= 64, `${sent} packets`)
  assert.equal(world.packets.sent, sent)
})

test('what was sent was taken, lost, or is on the way', () => {
  const world = worldOf(16, { links: { loss: 0.2 } })
  world.run(30_000)
  const { sent, taken, lost, dropped } = world.packets
  assert.ok(lost > 0.15 * sent && lost < 0.25 * sent)
  const streams = taken + lost + dropped - sent
  assert.ok(streams >= -16 && streams < sent / 4, 'what is taken more comes from streams')
})

test('what comes for one that stands still waits, as far as the buffer holds it', () => {
  const world = worldOf(8)
  world.pause(3, 30_000)
  world.run(20_000)
  const host = world.hosts[3]!
  assert.ok(host.waitingInputs > 10)
  assert.ok(host.waitingBytes > 0 && host.waitingBytes <= SOCKET_BUFFER_BYTES)
  for (let i = 0; i < 500; i++) host.receive({ type: 'packet', from: world.hosts[0]!.endpoint, messages: [] }, 1000, world.now)
  assert.ok(world.packets.dropped > 300)
  assert.ok(host.waitingBytes <= SOCKET_BUFFER_BYTES)
  world.run(60_000)
  assert.equal(host.waitingInputs, 0)
  assert.equal(world.hosts[0]!.node!.stateOf('n3'), 'alive')
  assert.deepEqual(world.checks.violations, [])
})

test('a slow processor does one thing after the other, each at its time', () => {
  const world = worldOf(8)
  world.starve(3, 400, 20_000)
  world.run(15_000)
  assert.ok(world.checks.accusations + world.checks.refutations > 0)
  world.run(150_000)
  assert.equal(world.hosts[3]!.waitingInputs, 0)
  assert.ok(world.checks.isOne())
})

test('a way that is blocked one way carries nothing that way, and streams neither way', () => {
  const { links } = worldOf(3)
  links.block(0, 1)
  assert.equal(links.packetDelayMs(0, 1), undefined)
  assert.notEqual(links.packetDelayMs(1, 0), undefined)
  assert.deepEqual([links.openingDelayMs(0, 1), links.openingDelayMs(1, 0)], [undefined, undefined])
  assert.notEqual(links.openingDelayMs(0, 2), undefined)
  links.unblock(0, 1)
  assert.notEqual(links.packetDelayMs(0, 1), undefined)
  links.partition(new Map([[2, 1]]))
  assert.equal(links.packetDelayMs(0, 2), undefined)
  assert.notEqual(links.packetDelayMs(0, 1), undefined)
})

test('the latency of a link is its own, within the bounds, and the same both ways', () => {
  const { links } = worldOf(20)
  const delays = Array.from({ length: 20 }, (_, to) => links.openingDelayMs(0, to)! / 2)
  assert.ok(delays.every((delay) => delay >= 1 && delay <= 5))
  assert.ok(new Set(delays).size > 15)
  assert.equal(links.openingDelayMs(3, 9), links.openingDelayMs(9, 3))
})

test('a join that nobody answers is tried again', () => {
  const world = worldOf(2, { established: 0 })
  world.start(1, [0])
  world.run(5000)
  assert.equal(world.hosts[1]!.node!.status().alive, 1)
  world.start(0)
  world.run(10_000)
  assert.ok(world.checks.isOne())
})

test('who has told that it leaves ends, and may come again', () => {
  const world = worldOf(10)
  world.at(1000, () => world.leave(4))
  world.run(8000)
  assert.ok(!world.hosts[4]!.isUp)
  assert.equal(world.hosts[0]!.node!.stateOf('n4'), 'left')
  world.start(4, [0])
  world.run(20_000)
  assert.ok(world.checks.isOne())
  assert.deepEqual(world.checks.violations, [])
})

test('two halves that held each other for dead are one again', () => {
  const world = worldOf(10)
  world.partition([0, 1, 2, 3, 4], 60_000)
  world.run(60_000)
  assert.equal(world.hosts[0]!.node!.status().alive, 5)
  world.run(110_000)
  assert.ok(world.checks.isOne())
  assert.deepEqual(world.checks.violations, [])
})

test('what a machine must not do is noticed', () => {
  const world = worldOf(4, { recoveryMs: 0 })
  const [host] = world.hosts as [(typeof world.hosts)[number]]
  const member = (incarnation: number): MemberRecord => ({
    node: 'n1',
    ...world.hosts[1]!.endpoint,
    meta: new Uint8Array(0),
    incarnation,
    state: 'alive',
    versions: VERSIONS,
  })
  const noticed = (...outputs: SimOutput[]): string => {
    const before = world.checks.violations.length
    for (const output of outputs) world.checks.told(host, output)
    world.run(world.now + 20_000)
    return world.checks.violations.slice(before).join('\n')
  }
  const verdict = { source: 'packet' } as Verdict
  assert.equal(noticed({ type: 'updated', member: member(5) }), '')
  assert.match(noticed({ type: 'cleared', member: member(4) }), /n0 tells of n1 by incarnation 4, after 5/)
  assert.equal(noticed({ type: 'failed', member: member(6), verdict }, { type: 'joined', member: member(7) }), '')
  assert.equal(world.checks.falseFailures, 1)
  assert.match(noticed({ type: 'failed', member: member(8), verdict }), /n0 has held n1 for dead for \d+ ms, and both are well/)
  assert.equal(noticed({ type: 'event', key: 'a' }, { type: 'event', key: 'b' }), '')
  assert.match(noticed({ type: 'event', key: 'a' }), /n0 gave out event a twice/)
  assert.equal(world.checks.eventCount('b'), 1)
  world.kill(2)
  world.checks.oneView()
  assert.match(world.checks.violations.join('\n'), /n0 sees 4 alive and 0 suspected; 3 run/)
})

test('an incarnation that falls back, and a queue without bounds, are noticed', () => {
  let incarnation = 9
  let queuedBroadcasts = 0
  const world = worldOf(2, {
    createNode: (options, now): SimNode => {
      const node = new SwimNode(options, now)
      return Object.assign(Object.create(node) as SimNode, {
        handle: node.handle.bind(node),
        handleTimeout: node.handleTimeout.bind(node),
        nextDeadline: node.nextDeadline.bind(node),
        drain: node.drain.bind(node),
        stateOf: node.stateOf.bind(node),
        status: () => ({ ...node.status(), incarnation, queuedBroadcasts }),
      })
    },
  })
  world.run(1500)
  assert.deepEqual(world.checks.violations, [])
  incarnation = 8
  queuedBroadcasts = 1000
  world.run(2500)
  assert.match(world.checks.violations.join('\n'), /n0 has incarnation 8 after 9\n.*1000 messages queued at n0; 18 are the limit/)
})
