/** Agents that are told no address find each other on real networks: by DNS-SD, by beacons, by Serf's own way, and only their own. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { Avahi, avahiMissing, type SeenService } from '../avahi.ts'
import { Cluster, until, type Agent } from '../cluster.ts'
import { MixedCluster, serfMissing, type PolycastAgent, type SerfAgent } from '../serf-agents.ts'

const TESTBED = path.resolve(import.meta.dirname, '../../../../shared/testbed/testbed')
const PREFIX = 'discovery'
const HOSTS = 7
/** How long a name is probed for before it is announced, and somewhat more. */
const CLAIM_MS = 1500

function run(command: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  assert.equal(status, 0, `${command} ${args.join(' ')}: ${stderr}`)
}

const testbed = (...args: string[]): void => run(TESTBED, '--prefix', PREFIX, ...args)
const launcherOf = (k: number | 'sw'): string[] => ['nsenter', `--net=/run/netns/tb-${PREFIX}-${k === 'sw' ? 'sw' : `h${k}`}`]
const onHost = (k: number | 'sw', ...args: string[]): void => run(launcherOf(k)[0]!, ...launcherOf(k).slice(1), ...args)
const addressOf = (k: number): string => (k === 0 ? '10.77.0.1' : `10.77.1.${k}`)

/** Agents of one test, on hosts by number. */
class Lan {
  readonly cluster: Cluster
  readonly #flags: readonly string[]

  private constructor(cluster: Cluster, flags: readonly string[]) {
    this.cluster = cluster
    this.#flags = flags
  }

  static async open(t: TestContext, ...flags: string[]): Promise<Lan> {
    return new Lan(await Cluster.open(t), flags)
  }

  start(k: number, flags: readonly string[] = [], address: string = addressOf(k)): Promise<Agent> {
    const own = ['--insecure', '--http-bind', '127.0.0.1', '--log-level', 'debug', ...this.#flags, ...flags]
    return this.cluster.start(`h${k}`, { address, launcher: launcherOf(k), flags: own })
  }
}

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
  testbed('up', String(HOSTS), '--rate', 'none')
  t.after(() => testbed('down'))

  await t.test('by DNS-SD, which other programs see and speak', { skip: avahiMissing }, async (t) => {
    const lan = await Lan.open(t, '--cluster', 'one')
    // Beacons to different ports are not heard.
    const agents = await Promise.all([0, 1, 2].map((k) => lan.start(k, ['--discovery-port', String(8000 + k)])))
    await acquainted(...agents)
    assert.deepEqual(waysOf(...agents), new Set(['dns-sd']))
    const avahi = await Avahi.start(t, lan.cluster.directory, launcherOf(3))
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
    const silent = await lan.start(3, ['--no-discovery'])
    assert.deepEqual(joinedAt(silent), [])
    avahi.publish(t, 'h3', '_polycast._tcp', Number(silent.gossip.split(':').at(-1)), ['txtvers=1', 'cluster=one', 'node=h3'])
    await acquainted(...agents, silent)
    await agents[2]!.end('SIGTERM')
    await until('avahi sees it no more', async () => (await avahi.browse('_polycast._tcp')).every(({ name }) => name !== 'h2'))
  })

  await t.test('by beacons, where the switch drops multicast', async (t) => {
    const flood = (state: string): void => {
      for (const k of [0, 1, 2]) onHost('sw', 'bridge', 'link', 'set', 'dev', `h${k}`, 'mcast_flood', state)
    }
    t.after(() => flood('on'))
    flood('off')
    const lan = await Lan.open(t, '--cluster', 'two', '--gossip-key-file', await keyFile(t))
    const agents = await Promise.all([0, 1, 2].map((k) => lan.start(k)))
    await acquainted(...agents)
    assert.deepEqual(waysOf(...agents), new Set(['beacon']))
  })

  await t.test('but none of another cluster, label or key', async (t) => {
    const [key, otherKey] = [await keyFile(t), await keyFile(t)]
    const lan = await Lan.open(t)
    const own = ['--cluster', 'three', '--gossip-key-file', key]
    const [a, b, ...others] = await Promise.all([
      lan.start(0, own),
      lan.start(1, own),
      lan.start(2, ['--cluster', 'four', '--gossip-key-file', key]),
      lan.start(3, [...own, '--gossip-label', 'label']),
      lan.start(4, ['--cluster', 'three', '--gossip-key-file', otherKey]),
      lan.start(5, ['--cluster', 'three']),
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
    t.after(() => testbed('heal'))
    testbed('partition', 'h0,h1', 'h2,h3')
    const lan = await Lan.open(t, '--cluster', 'five')
    const agents = await Promise.all([0, 1, 2, 3].map((k) => lan.start(k)))
    await acquainted(agents[0]!, agents[1]!)
    await acquainted(agents[2]!, agents[3]!)
    for (const agent of agents) assert.equal(joinedAt(agent).length, 1)
    testbed('heal')
    await acquainted(...agents)
  })

  await t.test('by IPv6 alone', async (t) => {
    for (const k of [6, 7]) {
      enableIpv6(k)
      onHost(k, 'ip', '-4', 'addr', 'flush', 'dev', 'eth0')
      onHost(k, 'ip', 'addr', 'add', `fd00:77::${k}/64`, 'dev', 'eth0', 'nodad')
    }
    const lan = await Lan.open(t, '--cluster', 'six')
    const agents = await Promise.all([lan.start(6, [], '::'), lan.start(7, [], 'fd00:77::7')])
    await acquainted(...agents)
    assert.deepEqual(waysOf(...agents), new Set(['dns-sd']))
    const { address } = agents.flatMap((agent) => agent.logged('joining it'))[0]!
    assert.match(String(address), /^\[fd00:77::[67]\]:\d+$/)
  })

  await t.test('on each interface, and on one that comes later, with the address of that interface', async (t) => {
    const lan = await Lan.open(t, '--cluster', 'seven')
    onHost(4, 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
    onHost(3, 'ip', 'route', 'add', '10.88.0.0/24', 'via', addressOf(4))
    onHost(5, 'ip', 'link', 'set', 'eth0', 'down')
    const between = await lan.start(4, [], '0.0.0.0')
    const there = await lan.start(3)
    await acquainted(between, there)
    onHost(4, 'ip', 'link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'eth1', 'netns', `tb-${PREFIX}-h5`)
    for (const k of [4, 5]) {
      onHost(k, 'ip', 'addr', 'add', `10.88.0.${k}/24`, 'brd', '+', 'dev', 'eth1')
      onHost(k, 'ip', 'link', 'set', 'eth1', 'up')
    }
    onHost(5, 'ip', 'route', 'add', 'default', 'via', '10.88.0.4')
    const here = await lan.start(5, [], '10.88.0.5')
    await acquainted(between, there, here)
    if (avahiMissing !== false) return
    for (const [k, address] of [
      [3, '10.77.1.4'],
      [5, '10.88.0.4'],
    ] as const) {
      const avahi = await Avahi.start(t, `${lan.cluster.directory}/${k}`, launcherOf(k))
      await until(`h4 is at ${address} for h${k}`, async () => {
        const addresses = (await avahi.browse('_polycast._tcp')).filter(({ name }) => name === 'h4').map((service) => service.address)
        return addresses.length === 1 && addresses[0] === address
      })
    }
  })

  await t.test("and agents of Serf, by Serf's own way, in both directions", { skip: serfMissing }, async (t) => {
    const mixed = await MixedCluster.open(t)
    const flags = ['--insecure', '--http-bind', '127.0.0.1', '--gossip-port', '7946', '--log-level', 'debug', '--no-discovery']
    const startSerf = (name: string, k: number, discover: string): Promise<SerfAgent> =>
      mixed.startSerf(name, { address: addressOf(k), launcher: launcherOf(k), flags: [`-discover=${discover}`, '-iface=eth0'] })
    const startPolycast = (name: string, k: number, discover: string): Promise<PolycastAgent> =>
      mixed.startPolycast(name, { address: addressOf(k), launcher: launcherOf(k), flags: [...flags, '--serf-discover', discover] })
    // An agent of Serf that is told its interface ends where that has no IPv6.
    for (const k of [0, 3]) enableIpv6(k)
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

function enableIpv6(k: number): void {
  for (const setting of ['all.disable_ipv6', 'eth0.accept_dad', 'eth0.disable_ipv6'])
    onHost(k, 'sysctl', '-qw', `net.ipv6.conf.${setting}=0`)
}

/** A file with a new key of gossip. */
async function keyFile(t: TestContext): Promise<string> {
  const cluster = await Cluster.open(t)
  return cluster.file('key', Buffer.from(randomBytes(32).toString('base64')))
}
