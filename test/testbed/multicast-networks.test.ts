/** Multicast where hosts and networks are not as usual: without routes, without IPv4, without the calls for many packets, and two LANs with a router between them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cluster, MIB } from '../cluster.ts'
import { agentsOn, startOn } from './host-agents.ts'
import { Lan, smcrouteMissing } from './lan.ts'
import { reachable } from './multicast-agents.ts'
import { Sending } from './sending.ts'

const SIZE = 16 * MIB

test('hosts without a default route and without one for groups', async (t) => {
  const lan = Lan.up({ prefix: 'mcroute', hosts: 3, rate: '200mbit' })
  t.after(() => lan.down())
  for (let host = 0; host < lan.hosts; host++) lan.withoutMulticastRoute(host)
  const cluster = await Cluster.open(t)
  const [sender, ...receivers] = await agentsOn(cluster, lan, [0, 1, 2])
  await reachable(cluster, sender!, receivers)
  const begun = await Sending.begin(cluster, sender!, 'app.bin', SIZE)
  for (const bytes of await begun.delivered(receivers)) assert.ok(bytes > 0.8 * SIZE, `${bytes} bytes by multicast`)
})

test('hosts that send and read many packets at once, and hosts that cannot, send to each other', async (t) => {
  const lan = Lan.up({ prefix: 'mcplain', hosts: 4, rate: '200mbit' })
  t.after(() => lan.down())
  const cluster = await Cluster.open(t)
  const plain = { environment: ['POLYCAST_PLAIN_UDP=1'] }
  const h0 = await startOn(cluster, lan, 0)
  const h1 = await startOn(cluster, lan, 1, { ...plain, join: [h0] })
  const h2 = await startOn(cluster, lan, 2, { join: [h0] })
  const h3 = await startOn(cluster, lan, 3, { ...plain, join: [h0] })
  await cluster.acquainted(h0, h1, h2, h3)
  for (const [sender, receivers] of [
    [h0, [h1, h2, h3]],
    [h1, [h0, h2, h3]],
  ] as const) {
    await reachable(cluster, sender, receivers)
    const begun = await Sending.begin(cluster, sender, `from-${sender.name}.bin`, SIZE)
    for (const bytes of await begun.delivered(receivers)) assert.ok(bytes > 0.8 * SIZE, `${bytes} bytes by multicast`)
  }
})

test('hosts that have IPv6 alone', async (t) => {
  const lan = Lan.up({ prefix: 'mcsix', hosts: 3, rate: '200mbit', isIpv6: true })
  t.after(() => lan.down())
  for (let host = 0; host < lan.hosts; host++) lan.ipv6Only(host)
  const cluster = await Cluster.open(t)
  const [sender, ...receivers] = await agentsOn(cluster, lan, [0, 1, 2])
  await reachable(cluster, sender!, receivers)
  const begun = await Sending.begin(cluster, sender!, 'app.bin', SIZE)
  for (const bytes of await begun.delivered(receivers)) assert.ok(bytes > 0.8 * SIZE, `${bytes} bytes by multicast`)
})

test(
  'two LANs: by the router where it forwards groups and the TTL allows it, by the swarm where not',
  { skip: smcrouteMissing },
  async (t) => {
    const lan = Lan.up({ prefix: 'mclans', hosts: 4, rate: '200mbit' })
    t.after(() => lan.down())
    // Beacons and transfers, from either side.
    const groups = ['239.255.0.0/16', '232.0.0.0/8']
    await lan.routed(
      [3],
      groups.flatMap((group) => [
        { group, from: 'first' as const },
        { group, from: 'second' as const },
      ]),
    )
    for (const { ttl, isByMulticast } of [
      { ttl: 1, isByMulticast: false },
      { ttl: 4, isByMulticast: true },
    ]) {
      const cluster = await Cluster.open(t)
      const flags = ['--multicast-ttl', String(ttl)]
      const [sender, ...receivers] = await agentsOn(cluster, lan, [0, 1, 2, 3], { flags })
      await reachable(cluster, sender!, isByMulticast ? receivers : receivers.slice(0, 2), receivers)
      const begun = await Sending.begin(cluster, sender!, `ttl-${ttl}.bin`, SIZE)
      const [first, second, other] = await begun.delivered(receivers)
      for (const bytes of [first!, second!]) assert.ok(bytes > 0.8 * SIZE, `${bytes} bytes by multicast`)
      if (isByMulticast) assert.ok(other! > 0.8 * SIZE, `${other} bytes by multicast in the other LAN`)
      else assert.equal(other, 0)
      await Promise.all(cluster.agents.map((agent) => agent.end('SIGKILL')))
    }
  },
)
