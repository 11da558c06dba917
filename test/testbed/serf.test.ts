/** Agents of Polycast and of Serf on hosts of their own: packets that are dropped between them, and IPv6. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { test } from 'node:test'
import { until } from '../cluster.ts'
import { MixedCluster, serfMissing, untilAcquainted, untilStatus, type AnyAgent } from '../serf-agents.ts'

const TESTBED = path.resolve(import.meta.dirname, '../../../../shared/testbed/testbed')
const PREFIX = 'serf'
const HOSTS = 4
/** Probes that are to be answered by streams alone, at each of them: with fewer than that, whoever is suspected is taken for dead. */
const PROBES = 4

function run(command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  assert.equal(status, 0, `${command} ${args.join(' ')}: ${stderr}`)
  return stdout
}

function onHost(k: number): string[] {
  return ['nsenter', `--net=/run/netns/tb-${PREFIX}-h${k}`]
}

test('without packets, and by IPv6, agents of both kinds stay together', { skip: serfMissing }, async (t) => {
  run(TESTBED, '--prefix', PREFIX, 'up', String(HOSTS))
  t.after(() => run(TESTBED, '--prefix', PREFIX, 'down'))
  for (let k = 1; k <= HOSTS; k++) {
    for (const device of ['all', 'default', 'eth0', 'lo']) {
      run('nsenter', ...onHost(k).slice(1), 'sysctl', '-qw', `net.ipv6.conf.${device}.disable_ipv6=0`)
    }
    run('nsenter', ...onHost(k).slice(1), 'ip', 'addr', 'add', `fd00:77::${k}/64`, 'dev', 'eth0', 'nodad')
  }
  const mixed = await MixedCluster.open(t)
  const flags = ['--insecure', '--http-bind', '127.0.0.1', '--gossip-port', '7946']
  const addresses = ['', 'fd00:77::1', 'fd00:77::2', 'fd00:77::3', 'fd00:77::4']
  const s1 = await mixed.startSerf('s1', { address: addresses[1]!, launcher: onHost(1) })
  const p2 = await mixed.startPolycast('p2', { address: addresses[2]!, launcher: onHost(2), flags, join: [s1] })
  const s3 = await mixed.startSerf('s3', { address: addresses[3]!, launcher: onHost(3), join: [p2] })
  const p4 = await mixed.startPolycast('p4', { address: addresses[4]!, launcher: onHost(4), flags, join: [s3] })
  const seenByPolycast = (name: string, ...command: string[]): AnyAgent => ({
    name,
    gossip: '',
    statuses: async () => {
      const { stdout } = await (name === 'p2' ? p2 : p4).agent.cli('members', '--json', ...command)
      const { members } = JSON.parse(stdout) as { members: { name: string; status: string }[] }
      return Object.fromEntries(members.map(({ name: member, status }) => [member, status === 'dead' ? 'failed' : status]))
    },
  })
  const all = [s1, s3, seenByPolycast('p2'), seenByPolycast('p4')]
  await untilAcquainted(all)
  const listed = new Map((await s1.members()).map(({ name, addr }) => [name, addr]))
  assert.deepEqual([listed.get('p2'), listed.get('s3')], ['[fd00:77::2]:7946', '[fd00:77::3]:7946'])
  await p4.output('event', 'by-v6', 'x')
  await until('s1 hears it', () => s1.logged('by-v6').length > 0)

  // No packet reaches p2, so none of its probes is answered and nobody's by it; streams are.
  for (const rule of [
    'add table ip6 drops',
    'add chain ip6 drops in { type filter hook input priority 0; }',
    'add rule ip6 drops in meta l4proto udp drop',
  ]) {
    run('nsenter', ...onHost(2).slice(1), 'nft', rule)
  }
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
