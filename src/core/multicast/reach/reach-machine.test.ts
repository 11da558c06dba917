import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EventQueue } from '../../lib/event-queue.ts'
import { Random } from '../../lib/random.ts'
import { PLAIN_BEACONS, type BeaconCipher } from './group-datagram.ts'
import { nodeOf, ReachMachine } from './reach-machine.ts'
import type { PathState, ReachEntry, ReachLimits, ReachLink, ReachPath } from './reach-types.ts'

const HEADERS_BYTES = 28

interface Sent {
  readonly from: string
  readonly to: string
  readonly path: ReachPath
  readonly bytes: number
  readonly now: number
}

interface LanOptions {
  readonly nodes: number
  readonly mtu?: number
  readonly seed?: string
  readonly limits?: Partial<ReachLimits>
  readonly cipher?: (name: string) => BeaconCipher
  /** Between the starts of two nodes, ms. */
  readonly startGapMs?: number
}

/** One LAN of machines in virtual time. */
class Lan {
  readonly random: Random
  readonly agenda: EventQueue<() => void> = new EventQueue()
  readonly machines: Map<string, ReachMachine> = new Map()
  readonly paths: Map<string, { readonly state: PathState; readonly at: number }[]> = new Map()
  readonly rejoins: Map<string, number[]> = new Map()
  readonly #wakes: Map<string, number> = new Map()
  readonly #frozen: Map<string, number> = new Map()
  now = 0
  /** Datagrams that went on the wire: to a group or to all counts once. */
  sent = 0
  direct = 0
  /** Whether a datagram arrives. */
  passes: (sent: Sent) => boolean = () => true
  readonly options: LanOptions

  constructor(options: LanOptions) {
    this.options = options
    this.random = new Random(options.seed ?? 'lan')
    const names = Array.from({ length: options.nodes }, (_, index) => `n${index}`)
    names.forEach((name, index) => {
      const at = index * (options.startGapMs ?? 0)
      this.agenda.push(at, () => {
        this.start(name)
        if (index + 1 === options.nodes) this.tellMembers()
      })
    })
  }

  start(name: string, run = 1): void {
    const { cipher, limits, mtu = 1500 } = this.options
    const machine = new ReachMachine(
      { name, cluster: 'test', run, cipher: cipher?.(name) ?? PLAIN_BEACONS, ...(limits === undefined ? {} : { limits }) },
      this.random.fork(`${name} ${run}`),
    )
    const link: ReachLink = {
      id: 'eth0/4',
      interface: 'eth0',
      family: 4,
      maxBytes: mtu - HEADERS_BYTES,
      hasBroadcast: true,
      isSending: true,
    }
    this.machines.set(name, machine)
    this.paths.set(name, [])
    this.rejoins.set(name, [])
    machine.handle({ type: 'links', links: [link] }, this.now)
    this.settle(name)
  }

  tellMembers(): void {
    const names = [...this.machines.keys()]
    for (const [name, machine] of this.machines) {
      machine.handle({ type: 'members', names: names.filter((other) => other !== name) }, this.now)
      this.settle(name)
    }
  }

  /** Dies; the others learn it from gossip later. */
  kill(name: string): void {
    this.machines.delete(name)
  }

  settle(name: string): void {
    const machine = this.machines.get(name)
    if (machine === undefined) return
    for (const output of machine.drain()) {
      if (output.type === 'path') this.paths.get(name)!.push({ state: output.state, at: this.now })
      if (output.type === 'rejoin') this.rejoins.get(name)!.push(this.now)
      if (output.type !== 'send') continue
      if (output.path === 'direct') this.direct++
      else this.sent++
      const targets = output.path === 'direct' ? [output.to] : this.machines.keys()
      for (const to of targets) {
        if (to === name || !this.passes({ from: name, to, path: output.path, bytes: output.bytes.length, now: this.now })) continue
        this.agenda.push(this.now + 0.2, () => {
          if ((this.#frozen.get(to) ?? 0) > this.now) return
          this.machines.get(to)?.handle({ type: 'packet', link: 'eth0/4', path: output.path, from: name, bytes: output.bytes }, this.now)
          this.settle(to)
        })
      }
    }
    const next = Math.max(machine.nextDeadline(), this.#frozen.get(name) ?? 0)
    if ((this.#wakes.get(name) ?? Infinity) <= next) return
    this.#wakes.set(name, next)
    this.agenda.push(next, () => {
      if (this.#wakes.get(name) === next) this.#wakes.delete(name)
      const current = this.machines.get(name)
      if (current === undefined) return
      if (current.nextDeadline() <= this.now && (this.#frozen.get(name) ?? 0) <= this.now) current.handleTimeout(this.now)
      this.settle(name)
    })
  }

  run(untilMs: number): void {
    while (this.agenda.peekTime() <= untilMs) {
      this.now = this.agenda.peekTime()
      this.agenda.pop()!()
    }
    this.now = untilMs
  }

  /** Its process is stopped until then: what comes meanwhile is lost. */
  freeze(name: string, untilMs: number): void {
    this.#frozen.set(name, untilMs)
  }

  /** How `from` reaches each of the others. */
  table(from: string): Map<string, ReachEntry> {
    return new Map(
      this.machines
        .get(from)!
        .table(this.now)
        .map((entry) => [entry.member, entry]),
    )
  }

  /** What all know of all: `from>to`, largest multicast, broadcast. */
  matrix(): Record<string, string> {
    const all: Record<string, string> = {}
    for (const name of this.machines.keys()) {
      for (const { member, multicastBytes, broadcast } of this.table(name).values())
        all[`${name}>${member}`] = `${multicastBytes}${broadcast ? '+' : ''}`
    }
    return all
  }

  state(name: string): PathState {
    return this.machines.get(name)!.report(this.now)[0]!.state
  }

  fast(): string[] {
    return [...this.machines].filter(([, machine]) => machine.report(this.now)[0]!.isFast).map(([name]) => name)
  }
}

test('on a clean LAN all know within a second that they reach all', () => {
  const lan = new Lan({ nodes: 4, mtu: 9000 })
  lan.run(1000)
  const matrix = lan.matrix()
  assert.equal(Object.keys(matrix).length, 12)
  assert.deepEqual([...new Set(Object.values(matrix))], ['8972+'])
})

test('a port of 1500 bytes among jumbo frames is told by name and size, in both directions', () => {
  const lan = new Lan({ nodes: 4, mtu: 9000 })
  lan.passes = ({ from, to, bytes }) => (from !== 'n3' && to !== 'n3') || bytes <= 1472
  lan.run(1000)
  const matrix = lan.matrix()
  for (const [path, what] of Object.entries(matrix)) assert.equal(what, path.includes('n3') ? '1472+' : '8972+', path)
  assert.equal(Object.keys(matrix).length, 12)
  const [report] = lan.machines.get('n0')!.report(lan.now)
  assert.equal(report!.peers.find(({ member }) => member === 'n3')!.sentBytes, 8972)
  // The frames shrink later.
  lan.passes = ({ bytes }) => bytes <= 1200
  lan.run(12_000)
  assert.deepEqual([...new Set(Object.values(lan.matrix()))], ['1200+'])
})

test('loss is measured, and does not look like a path that died', () => {
  for (const loss of [0.02, 0.2]) {
    const lan = new Lan({ nodes: 5, seed: `loss ${loss}` })
    const chance = new Random('loss')
    lan.passes = () => chance.float() >= loss
    lan.run(60_000)
    const table = [...lan.table('n0').values()]
    assert.equal(table.length, 4)
    for (const { member, multicastBytes, broadcast, lossShare } of table) {
      assert.ok(multicastBytes >= 200 && broadcast, member)
      assert.ok(Math.abs(lossShare - loss) < 0.25, `${member}: ${lossShare}`)
    }
    const mean = table.reduce((sum, { lossShare }) => sum + lossShare, 0) / table.length
    assert.ok(Math.abs(mean - loss) < 0.12, `${mean} of ${loss}`)
    for (const [name, path] of lan.paths)
      assert.deepEqual(
        path.map(({ state }) => state),
        ['open'],
        name,
      )
  }
})

test('a port that swallows multicast is noticed within 3 s by all, joined again, given up; and it is back within 5 s', () => {
  const lan = new Lan({ nodes: 6 })
  lan.run(5000)
  assert.equal(lan.table('n0').get('n5')!.multicastBytes, 1472)
  lan.passes = ({ to, path }) => to !== 'n5' || path !== 'group'
  lan.run(8000)
  for (const name of ['n0', 'n1', 'n2', 'n3', 'n4']) {
    const { multicastBytes, broadcast } = lan.table(name).get('n5')!
    assert.deepEqual([name, multicastBytes, broadcast], [name, 0, true])
    assert.equal(lan.table(name).get('n1')?.multicastBytes ?? 1472, 1472)
  }
  assert.equal(lan.table('n5').get('n0')!.multicastBytes, 1472, 'the way out is open')
  lan.run(30_000)
  assert.equal(lan.state('n5'), 'blocked')
  const rejoins = lan.rejoins.get('n5')!
  assert.ok(rejoins.length >= 6 && rejoins.length <= 9, `${rejoins.length} attempts`)
  assert.deepEqual(
    lan.paths.get('n5')!.map(({ state }) => state),
    ['open', 'rejoining', 'blocked'],
  )
  for (const name of ['n0', 'n1', 'n2', 'n3', 'n4']) assert.deepEqual(lan.rejoins.get(name), [])
  lan.passes = () => true
  lan.run(32_000)
  for (const name of ['n0', 'n1', 'n2', 'n3', 'n4']) assert.equal(lan.table(name).get('n5')!.multicastBytes, 1472, name)
})

test('a switch that forgot the member passes multicast again once it is joined again', () => {
  const lan = new Lan({ nodes: 3 })
  let forgetsAt = 10_000
  lan.passes = ({ to, path, now }) => {
    const rejoined = lan.rejoins.get('n2')?.at(-1) ?? -1
    return to !== 'n2' || path !== 'group' || now < forgetsAt || rejoined >= forgetsAt
  }
  lan.run(20_000)
  assert.equal(lan.state('n2'), 'open')
  assert.equal(lan.rejoins.get('n2')!.length, 1)
  const stopped = lan.paths.get('n2')!.find(({ state }) => state === 'rejoining')!
  assert.ok(stopped.at - forgetsAt <= 3000, `${stopped.at - forgetsAt} ms`)
  forgetsAt = 30_000
  lan.run(40_000)
  const [report] = lan.machines.get('n2')!.report(lan.now)
  assert.deepEqual([report!.state, report!.revivals], ['open', 2])
  assert.ok(report!.livedMs! > 10_000 && report!.livedMs! < 20_000)
})

test('where multicast never comes and broadcast does, that is what is told', () => {
  const lan = new Lan({ nodes: 3 })
  lan.passes = ({ path }) => path !== 'group'
  lan.run(10_000)
  assert.deepEqual([...new Set(Object.values(lan.matrix()))], ['0+'])
  for (const name of lan.machines.keys()) assert.equal(lan.state(name), 'blocked')
})

test('a way out that is blocked: the node learns that nobody hears it, and still tells whom it hears', () => {
  const lan = new Lan({ nodes: 5 })
  lan.passes = ({ from, path }) => from !== 'n1' || path === 'direct'
  lan.run(15_000)
  for (const name of ['n0', 'n2', 'n3', 'n4']) assert.equal(lan.table(name).get('n1')?.multicastBytes, 1472, name)
  assert.equal([...lan.table('n1').values()].filter(({ multicastBytes }) => multicastBytes > 0).length, 0)
})

test('those with the lowest hashes beat fast, and others take over when they die', () => {
  const lan = new Lan({ nodes: 12 })
  lan.run(20_000)
  const order = [...lan.machines.keys()].toSorted((a, b) => nodeOf(a) - nodeOf(b))
  assert.deepEqual(lan.fast().toSorted(), order.slice(0, 3).toSorted())
  lan.kill(order[0]!)
  lan.kill(order[1]!)
  lan.run(40_000)
  lan.tellMembers()
  lan.run(41_000)
  assert.deepEqual(lan.fast().toSorted(), order.slice(2, 5).toSorted())
  assert.ok([...lan.machines.keys()].every((name) => lan.state(name) === 'open'))
})

test('when the last other node is gone, nothing is waited for', () => {
  const lan = new Lan({ nodes: 2 })
  lan.run(5000)
  lan.kill('n1')
  lan.run(6000)
  lan.tellMembers()
  lan.run(20_000)
  assert.equal(lan.state('n0'), 'listening')
  assert.deepEqual(lan.rejoins.get('n0'), [])
  assert.equal(lan.table('n0').size, 0)
})

test('however many nodes: the LAN carries about 50 beacons a second', () => {
  for (const nodes of [4, 20, 48]) {
    const lan = new Lan({ nodes, startGapMs: 20 })
    lan.run(nodes * 20 + 15_000)
    const before = lan.sent
    lan.run(lan.now + 10_000)
    const perSec = (lan.sent - before) / 10
    assert.ok(lan.direct < 20 * nodes, `${lan.direct} to single nodes`)
    assert.ok(perSec <= 55, `${nodes} nodes: ${perSec} a second`)
    assert.ok(lan.fast().length <= 3)
  }
})

test('of 1,000 nodes, each sends its share, and what a node remembers is bounded', () => {
  const lan = new Lan({ nodes: 1, limits: { maxPeers: 900 } })
  lan.run(1000)
  // A thousand others that never hear anything, so that they cost little: what they beat is made here.
  const names = Array.from({ length: 1000 }, (_, index) => `o${index}`)
  lan.machines.get('n0')!.handle({ type: 'members', names }, lan.now)
  for (let round = 0; round < 2; round++) {
    for (const [index, name] of names.entries()) {
      const other = new ReachMachine({ name, cluster: 'test', run: 1 + round, cipher: PLAIN_BEACONS }, new Random(name))
      other.handle(
        { type: 'links', links: [{ id: 'a', interface: 'a', family: 4, maxBytes: 1472, hasBroadcast: false, isSending: true }] },
        0,
      )
      other.handleTimeout(200)
      const [first] = other.drain().filter((output) => output.type === 'send')
      assert.ok(first?.type === 'send')
      lan.machines.get('n0')!.handle({ type: 'packet', link: 'eth0/4', path: 'group', from: name, bytes: first.bytes }, lan.now + index)
    }
  }
  lan.settle('n0')
  const { isFast, peers } = lan.machines.get('n0')!.report(lan.now + 1000)[0]!
  assert.equal(peers.length, 900)
  assert.equal(isFast, [...names, 'n0'].toSorted((a, b) => nodeOf(a) - nodeOf(b)).indexOf('n0') < 3)
  const before = lan.sent
  lan.run(lan.now + 6000)
  assert.ok(lan.sent - before <= 12, `${lan.sent - before} in 6 s`)
})

test('a node that did not get to run takes its own silence for nobody else’s', () => {
  const lan = new Lan({ nodes: 4 })
  lan.run(5000)
  lan.freeze('n2', 14_000)
  lan.run(14_300)
  assert.deepEqual(
    lan.paths.get('n2')!.map(({ state }) => state),
    ['open'],
  )
  assert.equal(
    lan.machines
      .get('n2')!
      .report(lan.now)[0]!
      .peers.every(({ heardBytes, lossShare }) => heardBytes === 1472 && lossShare === 0),
    true,
  )
  lan.run(17_000)
  assert.deepEqual(
    lan.paths.get('n2')!.map(({ state }) => state),
    ['open'],
  )
  assert.deepEqual([...new Set(Object.values(lan.matrix()))], ['1472+'])
})

test('who is to send to many is told by all soon', () => {
  const lan = new Lan({ nodes: 40, startGapMs: 10 })
  lan.run(20_000)
  const order = [...lan.machines.keys()].toSorted((a, b) => nodeOf(a) - nodeOf(b))
  const slow = order.at(-1)!
  lan.machines.get(slow)!.handle({ type: 'wanted' }, lan.now)
  lan.settle(slow)
  lan.run(25_000)
  const reached = [...lan.table(slow).values()].filter(({ multicastBytes }) => multicastBytes === 1472)
  assert.equal(reached.length, 39)
})

test('beacons of another cluster, with another key, or repeated are not taken', () => {
  const sealed = (key: number): BeaconCipher => ({
    overheadBytes: 1,
    seal: (body) => Uint8Array.from([key, ...body]),
    open: (bytes) => (bytes[0] === key ? bytes.subarray(1) : undefined),
  })
  const lan = new Lan({ nodes: 3, cipher: (name) => sealed(name === 'n2' ? 2 : 1) })
  lan.run(3000)
  assert.deepEqual([...lan.table('n0').keys()], ['n1'])
  const [report] = lan.machines.get('n0')!.report(lan.now)
  assert.ok(report!.unreadable > 0)
  // A restart has numbers of its own; what was sent before it is then refused.
  const taken: Uint8Array[] = []
  const machine = lan.machines.get('n0')!
  const spare = new ReachMachine({ name: 'n1', cluster: 'test', run: 0, cipher: sealed(1) }, new Random('spare'))
  spare.handle({ type: 'links', links: [{ id: 'a', interface: 'a', family: 4, maxBytes: 1472, hasBroadcast: false, isSending: true }] }, 0)
  spare.handleTimeout(300)
  for (const output of spare.drain()) if (output.type === 'send') taken.push(output.bytes)
  const before = report!.replayed
  for (const bytes of taken) machine.handle({ type: 'packet', link: 'eth0/4', path: 'group', from: 'n1', bytes }, lan.now)
  assert.equal(machine.report(lan.now)[0]!.replayed - before, taken.length)
})

test('a node that was started again is known at once', () => {
  const lan = new Lan({ nodes: 3 })
  lan.run(5000)
  lan.kill('n1')
  lan.run(6000)
  lan.start('n1', 2)
  lan.tellMembers()
  lan.run(7500)
  assert.equal(lan.table('n0').get('n1')!.multicastBytes, 1472)
  assert.equal(lan.table('n1').get('n0')!.multicastBytes, 1472)
})
