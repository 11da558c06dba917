/** Agents of Polycast and of Serf on hosts of their own: packets that are dropped between them, and IPv6. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '../cluster.ts'
import { MixedCluster, serfMissing, untilAcquainted, untilStatus } from '../serf-agents.ts'
import { HOST_FLAGS } from './host-agents.ts'
import { Lan } from './lan.ts'

/** Probes that are to be answered by streams alone, at each of them: with fewer than that, whoever is suspected is taken for dead. */
const PROBES = 4

test('without packets, and by IPv6, agents of both kinds stay together', { skip: serfMissing }, async (t) => {
  const lan = Lan.up({ prefix: 'serf', hosts: 5 })
  t.after(() => lan.down())
  for (const host of [1, 2, 3, 4]) lan.enableIpv6(host)
  const mixed = await MixedCluster.open(t)
  const flags = [...HOST_FLAGS, '--gossip-port', '7946']
  const on = (host: number): { address: string; launcher: readonly string[] } => ({
    address: lan.address6(host),
    launcher: lan.launcher(host),
  })
  const s1 = await mixed.startSerf('s1', on(1))
  const p2 = await mixed.startPolycast('p2', { ...on(2), flags, join: [s1] })
  const s3 = await mixed.startSerf('s3', { ...on(3), join: [p2] })
  const p4 = await mixed.startPolycast('p4', { ...on(4), flags, join: [s3] })
  const all = [s1, p2, s3, p4]
  await untilAcquainted(all)
  const listed = new Map((await s1.members()).map(({ name, addr }) => [name, addr]))
  assert.deepEqual([listed.get('p2'), listed.get('s3')], [`[${lan.address6(2)}]:7946`, `[${lan.address6(3)}]:7946`])
  await p4.output('event', 'by-v6', 'x')
  await until('s1 hears it', () => s1.logged('by-v6').length > 0)

  // No packet reaches p2, so none of its probes is answered and nobody's by it; streams are.
  lan.drop(2, 'meta l4proto udp')
  await until('p2 says what is wrong', () => p2.agent.logged('answers over TCP and not over UDP').length >= PROBES)
  await until('p4 says what is wrong', () => p4.agent.logged('answers over TCP and not over UDP').length >= PROBES)
  await until('s1 says what is wrong', () => s1.logged('Was able to connect to p2').length >= PROBES)
  await untilStatus(all, { s1: 'alive', p2: 'alive', s3: 'alive', p4: 'alive' })
  for (const serf of [s1, s3]) assert.deepEqual(serf.logged('EventMemberFailed'), [])
  for (const { agent } of [p2, p4])
    assert.deepEqual(
      agent.log.filter(({ level }) => level === 'error'),
      [],
    )
})
