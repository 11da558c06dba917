/** Agents that are told no address find each other on real networks: by DNS-SD, by beacons, by Serf's own way, and only their own. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Avahi, avahiMissing, type SeenService } from '../avahi.ts'
import { Cluster, until, type Agent } from '../cluster.ts'
import { MixedCluster, serfMissing, type PolycastAgent, type SerfAgent } from '../serf-agents.ts'
import { HOST_FLAGS, keyFlags, startOn } from './host-agents.ts'
import { Lan } from './lan.ts'

/** How long a name is probed for before it is announced, and somewhat more. */
const CLAIM_MS = 1500

const joinedAt = (agent: Agent): string[] =>
  agent.log.flatMap(({ change, member }) => (change === 'joined' && member !== agent.name ? [String(member)] : []))

/** Waits until each of them has seen all the others join. */
async function acquainted(...agents: Agent[]): Promise<void> {
  for (const agent of agents) {
    const others = agents.filter((other) => other !== agent).map(({ name }) => name)
    await until(`${agent.name} knows ${others.join(', ')}`, () => others.every((name) => joinedAt(agent).includes(name)))
  }
}

/** By what agents were discovered that were joined then. */
const waysOf = (...agents: Agent[]): Set<unknown> =>
  new Set(agents.flatMap((agent) => agent.logged('an agent was discovered')).map(({ by }) => by))

test('agents find each other without an address', async (t) => {
  const lan = Lan.up({ prefix: 'discovery', hosts: 8 })
  t.after(() => lan.down())
  /** What starts agents of one cluster on hosts: with these flags, and with more and at other addresses where they are given. */
  const starter =
    (cluster: Cluster, ...common: readonly string[]) =>
    (host: number, flags: readonly string[] = [], address: string = lan.address(host)): Promise<Agent> =>
      startOn(cluster, lan, host, { address, flags: ['--log-level', 'debug', ...common, ...flags] })

  await t.test('by DNS-SD, which other programs see and speak', { skip: avahiMissing }, async (t) => {
    const cluster = await Cluster.open(t)
    const start = starter(cluster, '--cluster', 'one')
    // Beacons to different ports are not heard.
    const agents = await Promise.all([0, 1, 2].map((k) => start(k, ['--discovery-port', String(8000 + k)])))
    await acquainted(...agents)
    assert.deepEqual(waysOf(...agents), new Set(['dns-sd']))
    const avahi = await Avahi.start(t, cluster.directory, lan.launcher(3))
    let seen: SeenService[] = []
    await until('avahi sees all of them', async () => {
      seen = await avahi.browse('_polycast._tcp')
      return seen.length >= agents.length
    })
    for (const agent of agents) {
      const { address, port, txt } = seen.find(({ name }) => name === agent.name)!
      assert.equal(`${address}:${port}`, agent.gossip)
      assert.deepEqual(new Set(txt), new Set(['txtvers=1', 'cluster=one', `node=${agent.name}`]))
    }
    // One that says nothing itself is announced by avahi.
    const silent = await start(3, ['--no-discovery'])
    assert.deepEqual(joinedAt(silent), [])
    avahi.publish(t, 'h3', '_polycast._tcp', Number(silent.gossip.split(':').at(-1)), ['txtvers=1', 'cluster=one', 'node=h3'])
    await acquainted(...agents, silent)
    await agents[2]!.end('SIGTERM')
    await until('avahi sees it no more', async () => (await avahi.browse('_polycast._tcp')).every(({ name }) => name !== 'h2'))
  })

  await t.test('by beacons, where the switch drops multicast', async (t) => {
    const flood = (isOn: boolean): void => {
      for (const host of [0, 1, 2]) lan.multicastFlood(host, isOn)
    }
    t.after(() => flood(true))
    flood(false)
    const cluster = await Cluster.open(t)
    const start = starter(cluster, '--cluster', 'two', ...(await keyFlags(cluster)))
    const agents = await Promise.all([0, 1, 2].map((k) => start(k)))
    await acquainted(...agents)
    assert.deepEqual(waysOf(...agents), new Set(['beacon']))
  })

  await t.test('but none of another cluster, label or key', async (t) => {
    const cluster = await Cluster.open(t)
    const start = starter(cluster)
    const [key, otherKey] = [await keyFlags(cluster), await keyFlags(cluster)]
    const own = ['--cluster', 'three', ...key]
    const [a, b, ...others] = await Promise.all([
      start(0, own),
      start(1, own),
      start(2, ['--cluster', 'four', ...key]),
      start(3, [...own, '--gossip-label', 'label']),
      start(4, ['--cluster', 'three', ...otherKey]),
      start(5, ['--cluster', 'three']),
    ])
    await acquainted(a, b)
    // Each way has told them of each other before it is said that nothing came of it.
    for (const other of others) {
      await until(`${other.name} has heard of the others`, () => {
        const heard = [...other.logged('not of this cluster'), ...other.logged('has other keys')].map(({ name }) => name)
        return heard.includes('beacons') && heard.includes('h0') && heard.includes('h1')
      })
    }
    for (const other of others) assert.deepEqual([joinedAt(other), other.logged('joining it')], [[], []])
    assert.deepEqual([joinedAt(a), joinedAt(b)], [['h1'], ['h0']])
    assert.ok(others[2].logged('has other keys').length > 0)
  })

  await t.test('and two halves that were started apart become one', async (t) => {
    t.after(() => lan.testbed('heal'))
    lan.testbed('partition', 'h0,h1', 'h2,h3')
    const cluster = await Cluster.open(t)
    const start = starter(cluster, '--cluster', 'five')
    const agents = await Promise.all([0, 1, 2, 3].map((k) => start(k)))
    await acquainted(agents[0]!, agents[1]!)
    await acquainted(agents[2]!, agents[3]!)
    for (const agent of agents) assert.equal(joinedAt(agent).length, 1)
    lan.testbed('heal')
    await acquainted(...agents)
  })

  await t.test('by IPv6 alone', async (t) => {
    for (const k of [6, 7]) {
      lan.enableIpv6(k)
      lan.ipv6Only(k)
    }
    const cluster = await Cluster.open(t)
    const start = starter(cluster, '--cluster', 'six')
    const agents = await Promise.all([start(6, [], '::'), start(7)])
    await acquainted(...agents)
    assert.deepEqual(waysOf(...agents), new Set(['dns-sd']))
    const { address } = agents.flatMap((agent) => agent.logged('joining it'))[0]!
    assert.match(String(address), /^\[fd77::[78]\]:\d+$/)
  })

  await t.test('on each interface, and on one that comes later, with the address of that interface', async (t) => {
    const cluster = await Cluster.open(t)
    const start = starter(cluster, '--cluster', 'seven')
    lan.onHost(4, 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
    lan.onHost(3, 'ip', 'route', 'add', '10.88.0.0/24', 'via', lan.address(4))
    lan.link(5, 'down')
    const between = await start(4, [], '0.0.0.0')
    const there = await start(3)
    await acquainted(between, there)
    lan.onHost(4, 'ip', 'link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'eth1', 'netns', lan.namespace('h5'))
    for (const k of [4, 5]) {
      lan.onHost(k, 'ip', 'addr', 'add', `10.88.0.${k}/24`, 'brd', '+', 'dev', 'eth1')
      lan.onHost(k, 'ip', 'link', 'set', 'eth1', 'up')
    }
    lan.onHost(5, 'ip', 'route', 'add', 'default', 'via', '10.88.0.4')
    const here = await start(5, [], '10.88.0.5')
    await acquainted(between, there, here)
    if (avahiMissing !== false) return
    for (const [k, address] of [
      [3, '10.77.1.4'],
      [5, '10.88.0.4'],
    ] as const) {
      const avahi = await Avahi.start(t, `${cluster.directory}/${k}`, lan.launcher(k))
      await until(`h4 is at ${address} for h${k}`, async () => {
        const addresses = (await avahi.browse('_polycast._tcp')).filter(({ name }) => name === 'h4').map((service) => service.address)
        return addresses.length === 1 && addresses[0] === address
      })
    }
  })

  await t.test("and agents of Serf, by Serf's own way, in both directions", { skip: serfMissing }, async (t) => {
    const mixed = await MixedCluster.open(t)
    const flags = [...HOST_FLAGS, '--gossip-port', '7946', '--log-level', 'debug', '--no-discovery']
    const startSerf = (name: string, k: number, discover: string): Promise<SerfAgent> =>
      mixed.startSerf(name, { address: lan.address(k), launcher: lan.launcher(k), flags: [`-discover=${discover}`, '-iface=eth0'] })
    const startPolycast = (name: string, k: number, discover: string): Promise<PolycastAgent> =>
      mixed.startPolycast(name, { address: lan.address(k), launcher: lan.launcher(k), flags: [...flags, '--serf-discover', discover] })
    // An agent of Serf that is told its interface ends where that has no IPv6.
    for (const k of [0, 3]) lan.enableIpv6(k)
    const s0 = await startSerf('s0', 0, 'eight')
    const p1 = await startPolycast('p1', 1, 'eight')
    await until('p1 finds s0', () => joinedAt(p1.agent).includes('s0'))
    assert.deepEqual(waysOf(p1.agent), new Set(['serf']))
    await until('s0 knows p1', async () => (await s0.statuses())['p1'] === 'alive')
    const p2 = await startPolycast('p2', 2, 'nine')
    // Serf asks once at its start, and then a minute later: p2 is to have claimed its name by then.
    await new Promise((resolve) => setTimeout(resolve, CLAIM_MS))
    const s3 = await startSerf('s3', 3, 'nine')
    await until('s3 finds p2', () => s3.log.some((line) => /mdns: Joined [1-9]/.test(line)))
    await until('p2 knows s3', () => joinedAt(p2.agent).includes('s3'))
  })
})
