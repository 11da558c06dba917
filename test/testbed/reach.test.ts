/** Who is reached by multicast, on real kernels behind a real switch: as it should be, and with each fault that can be made here. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DoctorReport } from '#src/agent/gossip/gossip.js'
import type { MulticastReport } from '#src/agent/multicast/reach/doctor-report.js'
import { Cluster, until, type Agent } from '../cluster.ts'
import { keyFlags, startOn } from './host-agents.ts'
import { Lan, type Querier } from './lan.ts'

/**
 * Where there is a querier, what nobody has joined is not forwarded. With this one, entries live for 2 s, instead of 260, and the questions
 * that would renew them come once an hour.
 */
const FORGETFUL: Querier = { igmp: 2, mld: 1, startupQueries: 0, membershipSec: 2, intervalSec: 3600, responseSec: 0.1 }

/** What a host's doctor tells of multicast. */
async function multicastOf(agent: Agent): Promise<MulticastReport> {
  const { stdout, stderr, code, signal } = await agent.cli('doctor', '--json')
  assert.ok(stdout !== '', `${agent.name}: exit ${code}, ${signal}, ${stderr}`)
  const { multicast } = JSON.parse(stdout) as DoctorReport
  assert.ok(multicast !== undefined, stdout)
  return multicast
}

/** Who hears whom in a family, as `by<of bytes`, with a plus for broadcast. */
function pathsOf(report: MulticastReport | undefined, family: number): string[] | undefined {
  const link = report?.links.find((one) => one.family === family && one.isSending)
  return link?.matrix.map(({ by, of, multicastBytes, broadcast }) => `${by}<${of} ${multicastBytes}${broadcast ? '+' : ''}`).toSorted()
}

function all(bytes: number, suffix = '+'): string[] {
  return ['h0<h1', 'h0<h2', 'h1<h0', 'h1<h2', 'h2<h0', 'h2<h1'].map((pair) => `${pair} ${bytes}${suffix}`)
}

test('who hears whom by multicast, and why not', async (t) => {
  const lan = Lan.up({ prefix: 'reach', hosts: 4, mtuBytes: 9000 })
  t.after(() => lan.down())
  // The switch has no IPv6, so it asks for no groups of that.
  for (let host = 0; host < lan.hosts; host++) lan.enableIpv6(host)
  // A second network of h3, where the others are not.
  lan.onSwitch('ip', 'link', 'add', 'side', 'type', 'veth', 'peer', 'name', 'eth1', 'netns', lan.namespace('h3'))
  lan.onSwitch('ip', 'link', 'set', 'side', 'up')
  lan.onHost(3, 'sh', '-c', `ip link set eth1 up; ip addr add 192.168.7.1/24 brd + dev eth1; ip route add default via ${lan.address(0)}`)
  lan.snooping(true)
  // Turned off again, it leaves its times behind: how long an entry lives is settled when somebody joins.
  lan.querier(FORGETFUL)
  lan.querier(undefined)

  const cluster = await Cluster.open(t)
  const flags = [...(await keyFlags(cluster)), '--gossip-label', 'reach']
  const start = (host: number, join: readonly Agent[] = [], address: string = lan.address(host)): Promise<Agent> =>
    startOn(cluster, lan, host, { address, flags, join })
  const h0 = await start(0)
  const [h1, h2] = await Promise.all([start(1, [h0]), start(2, [h0])])
  await cluster.acquainted(h0, h1, h2)

  /** Waits until a host's doctor says what is expected: paths of IPv4 as `by<of bytes`, and codes of findings. */
  const says = async (
    what: string,
    agent: Agent,
    paths: readonly string[],
    codes: readonly string[],
    also: (report: MulticastReport) => boolean = () => true,
  ): Promise<MulticastReport> => {
    let last: MulticastReport | undefined
    const seen = (): string =>
      JSON.stringify([pathsOf(last, 4), last?.findings.map(({ code }) => code).filter((code) => code !== 'multicast-lossy')])
    await until(what, async () => {
      last = await multicastOf(agent)
      return seen() === JSON.stringify([paths, codes]) && also(last)
    }).catch((error: unknown) => assert.fail(`${String(error)}: ${seen()} ${JSON.stringify(last)}`))
    return last!
  }
  const names = async (what: string, agent: Agent, code: string, advice: RegExp): Promise<void> => {
    let last: MulticastReport | undefined
    await until(what, async () => {
      last = await multicastOf(agent)
      return last.findings.some((finding) => finding.code === code && advice.test(finding.advice))
    }).catch((error: unknown) => assert.fail(`${String(error)}: ${JSON.stringify(last)}`))
  }

  await t.test('all hear all, up to the largest frames, by both families', async () => {
    await says('all hear all', h0, all(8972), [], (report) => JSON.stringify(pathsOf(report, 6)) === JSON.stringify(all(8952, '')))
  })

  await t.test('a port of 1500 bytes, and one that swallows multicast and lets broadcast through', async () => {
    lan.portMtu(1, 1500)
    lan.multicastFlood(2, false)
    const paths = ['h0<h1 1472+', 'h0<h2 8972+', 'h1<h0 1472+', 'h1<h2 1472+', 'h2<h0 0+', 'h2<h1 0+']
    // Of IPv4 and of IPv6.
    const codes = ['multicast-peers-deaf', 'multicast-mtu-mismatch', 'multicast-peers-deaf', 'multicast-mtu-mismatch']
    const [there, here] = await Promise.all([
      says('the faults, from afar', h0, paths, codes),
      says('what does not come, where it does not come', h2, paths, ['multicast-stopped', 'multicast-stopped']),
    ])
    assert.match(JSON.stringify(there.findings), /h1 gets 1472 bytes of this node in one datagram, and not 8972/)
    assert.match(JSON.stringify(there.findings), /h2 hears no multicast of anybody, and hears its broadcasts/)
    assert.match(JSON.stringify(here.findings), /broadcasts of h[01], h[01] arrive on the same interface/)
    lan.portMtu(1, 9000)
    lan.multicastFlood(2, true)
    await Promise.all([h0, h2].map((agent) => says('that all is well again', agent, all(8972), [])))
  })

  await t.test('multicast that never came: a firewall; and a node that is bound to the wrong interface', async () => {
    await h2.end('SIGKILL')
    // It comes back on another port: until it is known that it had gone, there would be two of its name.
    const isDead = async (agent: Agent): Promise<boolean> =>
      (await agent.members()).some(({ name, status }) => name === 'h2' && status === 'dead')
    for (const agent of [h0, h1]) await until(`${agent.name} knows that h2 is gone`, () => isDead(agent))
    const endFilter = lan.drop(2, 'ip daddr 224.0.0.0/4 udp dport 7949')
    const [again, h3] = await Promise.all([start(2, [h0]), start(3, [h0], '192.168.7.1')])
    await Promise.all([
      names('the filter', again, 'multicast-filtered', /firewall/),
      names('the interface', h3, 'multicast-wrong-interface', /--bind 10\.77\.1\.3/),
    ])
    await h3.end('SIGKILL')
    endFilter()
  })

  await t.test('a switch that forgets who joined, as nobody asks; and an address without a network', async () => {
    lan.querier(FORGETFUL)
    lan.onHost(2, 'sh', '-c', 'ip addr del 10.77.1.2/16 dev eth0; ip addr add 10.77.1.2/32 dev eth0')
    const again = cluster.agents.findLast(({ name }) => name === 'h2')!
    await Promise.all([
      names('the missing querier', h1, 'multicast-no-querier', /querier/),
      names('the missing route', again, 'multicast-no-route', /ip route add/),
    ])
  })
})
