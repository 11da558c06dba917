import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEAD_AFTER_MS, Network, type HostHandler, type HostOptions, type NetworkOptions, type OutgoingFrame } from './network.ts'

/** 1,000 bytes per ms. */
const LINK: HostOptions = { upBytesPerSec: 1_000_000, downBytesPerSec: 1_000_000 }
const MIB = 1024 * 1024

/** Sends what it is given, in turn over its receivers as far as they have room, and notes what happens to it. */
class TestHost implements HostHandler {
  readonly index: number
  readonly outgoing: OutgoingFrame[] = []
  readonly log: string[] = []
  readonly #network: Network
  onTimeout: () => void = () => undefined

  constructor(network: Network, options: HostOptions = LINK) {
    this.#network = network
    this.index = network.addHost(options, this)
  }

  send(to: TestHost, bytes: number, frame: string): void {
    this.outgoing.push({ to: to.index, bytes, frame })
    this.#network.wake(this.index)
  }

  nextFrame(): OutgoingFrame | undefined {
    const at = this.outgoing.findIndex(({ to }) => this.#network.hasRoom(this.index, to))
    return at < 0 ? undefined : this.outgoing.splice(at, 1)[0]
  }

  receive(from: number, frame: unknown, now: number): void {
    this.log.push(`${now} ${String(frame)} from ${from}`)
  }

  timeout(now: number): void {
    this.log.push(`${now} timer`)
    this.onTimeout()
  }

  room(): void {
    this.#network.wake(this.index)
  }

  down(other: number, now: number): void {
    this.log.push(`${now} ${other} is gone`)
  }
}

function network(options: Partial<NetworkOptions> = {}): Network {
  return new Network({ seed: 1, latencyMs: 2, ...options })
}

function run(virtual: Network, untilMs = 1e6): void {
  virtual.run(untilMs, () => false)
}

function isBalanced(virtual: Network): boolean {
  const { sent, received, lost, onTheWay } = virtual.balance()
  return sent === received + lost + onTheWay
}

test('a frame takes as long as the slowest link on its way, and the latency', () => {
  const virtual = network()
  const a = new TestHost(virtual)
  const b = new TestHost(virtual, { upBytesPerSec: 1, downBytesPerSec: 4_000_000 })
  const c = new TestHost(virtual, { upBytesPerSec: 1, downBytesPerSec: 500_000 })
  a.send(b, 10_000, 'fast')
  a.send(c, 10_000, 'first')
  a.send(c, 10_000, 'second')
  run(virtual)
  assert.deepEqual(b.log, ['12 fast from 0'])
  // The uplink has sent the first one at 20 ms; the downlink takes 20 ms for each.
  assert.deepEqual(c.log, ['22 first from 0', '42 second from 0'])
})

test('what comes from several senders shares the downlink, each frame in its turn', () => {
  const virtual = network({ latencyMs: 0 })
  const senders = [new TestHost(virtual), new TestHost(virtual)]
  const receiver = new TestHost(virtual)
  for (let frame = 0; frame < 4; frame++) for (const sender of senders) sender.send(receiver, 10_000, `${frame}`)
  run(virtual)
  assert.deepEqual(receiver.log, [
    '10 0 from 0',
    '20 0 from 1',
    '30 1 from 0',
    '40 1 from 1',
    '50 2 from 0',
    '60 2 from 1',
    '70 3 from 0',
    '80 3 from 1',
  ])
})

test('a sender whose receiver is slow has no more under way to it than the window, and serves others meanwhile', () => {
  const virtual = network({ windowBytes: 20_000, latencyMs: 0 })
  const sender = new TestHost(virtual)
  const slow = new TestHost(virtual, { upBytesPerSec: 1, downBytesPerSec: 100_000 })
  const quick = new TestHost(virtual)
  for (let frame = 0; frame < 4; frame++) sender.send(slow, 10_000, `slow ${frame}`)
  for (let frame = 0; frame < 4; frame++) sender.send(quick, 10_000, `quick ${frame}`)
  virtual.run(60, () => false)
  assert.equal(virtual.hasRoom(sender.index, slow.index), false)
  assert.equal(quick.log.length, 4)
  assert.equal(slow.log.length, 0)
  run(virtual)
  assert.equal(slow.log.length, 4)
  assert.equal(virtual.hasRoom(sender.index, slow.index), true)
})

test('hosts of different zones share the links of the zones, those of one zone do not use them', () => {
  const virtual = network({ latencyMs: 0, coreBytesPerSec: 500_000 })
  const [a, b] = [new TestHost(virtual, { ...LINK, zone: 'a' }), new TestHost(virtual, { ...LINK, zone: 'a' })]
  const [c, d] = [new TestHost(virtual, { ...LINK, zone: 'b' }), new TestHost(virtual, { ...LINK, zone: 'b' })]
  a.send(c, 10_000, 'across')
  b.send(d, 10_000, 'across')
  run(virtual)
  a.send(b, 10_000, 'within')
  run(virtual)
  assert.deepEqual(c.log, ['20 across from 0'])
  assert.deepEqual(d.log, ['40 across from 1'])
  assert.deepEqual(b.log, ['50 within from 0'])
  assert.deepEqual(virtual.zoneBytes('a'), { up: 20_000, down: 0 })
  assert.deepEqual(virtual.zoneBytes('b'), { up: 0, down: 20_000 })
})

test('loss delays and slows, and keeps the order; what was sent again is counted as lost', () => {
  const [clean, lossy] = [0, 0.02].map((loss) => {
    const virtual = network({ latencyMs: 5, loss })
    const [a, b] = [new TestHost(virtual), new TestHost(virtual)]
    for (let frame = 0; frame < 50; frame++) a.send(b, 14_600, `${frame}`)
    run(virtual)
    assert.deepEqual(
      b.log.map((line) => line.split(' ')[1]),
      Array.from({ length: 50 }, (_, frame) => `${frame}`),
    )
    assert.ok(isBalanced(virtual))
    return virtual
  })
  assert.equal(clean!.lostBytes, 0)
  assert.ok(lossy!.lostBytes > 0)
  assert.ok(lossy!.now > clean!.now)
})

test('a partition that heals soon delays, and nothing is lost', () => {
  const virtual = network()
  const [a, b] = [new TestHost(virtual), new TestHost(virtual)]
  virtual.partition(new Map([[b.index, 1]]))
  assert.ok(virtual.isCut(a.index, b.index))
  a.send(b, 1000, 'first')
  a.send(b, 1000, 'second')
  virtual.at(100, () => virtual.heal())
  virtual.run(99, () => false)
  assert.deepEqual(b.log, [])
  assert.ok(isBalanced(virtual))
  run(virtual)
  assert.deepEqual(b.log, ['102 first from 0', '102 second from 0'])
  assert.ok(!virtual.isCut(a.index, b.index))
})

test('a partition that lasts ends connections on both sides, and what they had under way is lost', () => {
  const virtual = network()
  const [a, b, c] = [new TestHost(virtual), new TestHost(virtual), new TestHost(virtual)]
  a.send(c, 1000, 'before')
  b.send(a, 1000, 'before')
  run(virtual, 10)
  virtual.partition(new Map([[b.index, 1]]))
  a.send(b, 1000, 'cut off')
  run(virtual, 10 + DEAD_AFTER_MS)
  assert.deepEqual(a.log.at(-1), `${3 + DEAD_AFTER_MS} 1 is gone`)
  assert.deepEqual(b.log, [`${3 + DEAD_AFTER_MS} 0 is gone`])
  assert.deepEqual(c.log, ['3 before from 0'])
  assert.equal(virtual.lostBytes, 1000)
  assert.ok(isBalanced(virtual))
  virtual.heal()
  a.send(b, 1000, 'again')
  run(virtual)
  assert.match(b.log.at(-1)!, /again from 0/)
})

test('a process that ends is noticed at once, a host that loses power when it has been silent for long', () => {
  for (const isSilent of [false, true]) {
    const virtual = network()
    const [a, b] = [new TestHost(virtual), new TestHost(virtual)]
    a.send(b, 1000, 'before')
    a.send(b, 1000, 'on the way')
    virtual.at(3.5, () => virtual.crash(a.index, isSilent))
    run(virtual)
    assert.deepEqual(b.log, ['3 before from 0', `${3.5 + (isSilent ? DEAD_AFTER_MS : 2)} 0 is gone`])
    assert.equal(virtual.lostBytes, 1000)
    assert.ok(isBalanced(virtual))
  }
})

test('a host that starts again ends the connections of its last life', () => {
  const virtual = network()
  const [a, b] = [new TestHost(virtual), new TestHost(virtual)]
  a.send(b, 1000, 'before')
  virtual.at(5, () => virtual.crash(a.index, true))
  virtual.at(20, () => {
    virtual.restart(a.index)
    a.send(b, 1000, 'after')
  })
  run(virtual)
  assert.deepEqual(b.log, ['3 before from 0', '22 0 is gone', '23 after from 0'])
})

test('who ends a connection is not told, the other one is, and what was under way is lost', () => {
  const virtual = network()
  const [a, b] = [new TestHost(virtual), new TestHost(virtual)]
  a.send(b, 1000, 'on the way')
  virtual.at(2, () => virtual.disconnect(b.index, a.index))
  run(virtual)
  assert.deepEqual(a.log, ['4 1 is gone'])
  assert.deepEqual(b.log, [])
  assert.ok(isBalanced(virtual))
})

test('a host with a slow disk takes its backlog at the rate of the network and the rest at that of the disk', () => {
  const virtual = network({ latencyMs: 0, windowBytes: MIB })
  const quick = { upBytesPerSec: 100 * MIB, downBytesPerSec: 100 * MIB }
  const a = new TestHost(virtual, quick)
  const b = new TestHost(virtual, { ...quick, diskBytesPerSec: MIB })
  for (let frame = 0; frame < 32; frame++) a.send(b, MIB, `${frame}`)
  run(virtual, 200)
  assert.equal(b.log.length, 16 + 1)
  run(virtual)
  assert.equal(b.log.length, 32)
  assert.ok(virtual.now > 15_000 && virtual.now < 16_000, `the last one came at ${virtual.now} ms`)
})

test('a timer goes off once, when it was last set to', () => {
  const virtual = network()
  const host = new TestHost(virtual)
  virtual.setTimer(host.index, 10)
  virtual.setTimer(host.index, 30)
  virtual.setTimer(host.index, 20)
  run(virtual)
  assert.deepEqual(host.log, ['20 timer'])
  virtual.setTimer(host.index, 40)
  virtual.setTimer(host.index, Infinity)
  virtual.at(50, () => virtual.setTimer(host.index, 45))
  host.onTimeout = () => {
    if (virtual.now < 60) virtual.setTimer(host.index, virtual.now + 5)
  }
  run(virtual)
  assert.deepEqual(host.log.slice(1), ['50 timer', '55 timer', '60 timer'])
})

test('the same seed gives the same trace, another seed another one', () => {
  const hashOf = (seed: number): number => {
    const virtual = network({ seed, loss: 0.05 })
    const hosts = Array.from({ length: 5 }, () => new TestHost(virtual))
    for (const from of hosts) for (const to of hosts) if (from !== to) from.send(to, 20_000, 'x')
    run(virtual)
    return virtual.traceHash
  }
  assert.equal(hashOf(1), hashOf(1))
  assert.notEqual(hashOf(1), hashOf(2))
})
