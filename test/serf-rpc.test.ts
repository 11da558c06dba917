/**
 * Serf's own commands against the RPC of an agent: what operators type, with the cluster in memory and the command of Debian's package.
 *
 * Where `serf` is not installed all of it is skipped; `npm test` installs it on Debian as root.
 */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { LogRing } from '#src/agent/serf-rpc/log-tap.js'
import { startSerfRpc, type SerfRpcOptions } from '#src/agent/serf-rpc/server.js'
import { FakeGossipCluster, type ClusterGossip } from '#src/agent/gossip/testing/fake-gossip-cluster.js'

const isInstalled = (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(path.join(folder, 'serf')))
const skip = isInstalled ? false : 'NOT RUN: the command serf is missing (Debian package serf; npm test installs it as root in containers)'

const COMMAND_LIMIT_MS = 20_000
const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

interface Run {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

interface Bed {
  readonly cluster: FakeGossipCluster
  readonly gossip: ClusterGossip
  readonly logTap: LogRing
  readonly port: number
  /** Runs `serf COMMAND -rpc-addr=… ARGUMENTS`. */
  readonly serf: (command: string, ...args: readonly string[]) => Promise<Run>
}

async function open(t: TestContext, options: Partial<SerfRpcOptions> = {}): Promise<Bed> {
  const cluster = new FakeGossipCluster()
  const gossip = cluster.add('web1', { tags: { role: 'web', zone: 'eu' } })
  cluster.add('web2', { tags: { role: 'web', zone: 'us' } })
  cluster.add('db1', { address: 'fd00::3', tags: { role: 'db' } })
  const logTap = new LogRing()
  const server = await startSerfRpc({ host: '127.0.0.1', port: 0, gossip, log: SILENT, logTap, ...options })
  t.after(() => server.close())
  const { port } = server
  return { cluster, gossip, logTap, port, serf: (command, ...args) => run(command, [`-rpc-addr=127.0.0.1:${port}`, ...args]) }
}

function run(command: string, args: readonly string[]): Promise<Run> {
  return new Promise((resolve) => {
    execFile('serf', [command, ...args], { timeout: COMMAND_LIMIT_MS }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr })
    })
  })
}

/** What the command said, where it ended well. */
async function output(running: Promise<Run>): Promise<string> {
  const { code, stdout, stderr } = await running
  assert.equal(code, 0, `${stdout}${stderr}`)
  return stdout
}

/** Lines and their columns; the command writes tags in an order of chance, so they are sorted. */
function rows(text: string): string[][] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) =>
      line
        .trimEnd()
        .split(/\s{2,}/)
        .map((column) => column.split(',').toSorted().join(',')),
    )
}

test('serf members', { skip }, async (t) => {
  const { serf, cluster } = await open(t)
  cluster.crash('web2')
  assert.deepEqual(rows(await output(serf('members'))), [
    ['db1', '[fd00::3]:7946', 'alive', 'role=db'],
    ['web1', '127.0.0.1:7946', 'alive', 'role=web,zone=eu'],
    ['web2', '127.0.0.2:7946', 'failed', 'role=web,zone=us'],
  ])
  const namesOf = async (...args: string[]): Promise<string[]> => {
    const text = await output(serf('members', ...args))
    return text.trim() === '' ? [] : rows(text).map(([name]) => name as string)
  }
  assert.deepEqual(await namesOf('-status=alive'), ['db1', 'web1'])
  assert.deepEqual(await namesOf('-status=failed|left'), ['web2'])
  assert.deepEqual(await namesOf('-name=web[0-9]'), ['web1', 'web2'])
  assert.deepEqual(await namesOf('-tag', 'role=web', '-tag', 'zone=e.'), ['web1'])
  assert.deepEqual(await namesOf('-name=nobody'), [])
  assert.match(await output(serf('members', '-detailed', '-name=db1')), /Protocol Version: 5 +Available Protocol Range: \[2, 5\]/)
  const { members } = JSON.parse(await output(serf('members', '-format', 'json', '-name=web1')))
  assert.deepEqual(members, [
    {
      name: 'web1',
      addr: '127.0.0.1:7946',
      port: 7946,
      tags: { role: 'web', zone: 'eu' },
      status: 'alive',
      protocol: { max: 5, min: 2, version: 5 },
    },
  ])
  const bad = await serf('members', '-name=(')
  assert.equal(bad.code, 1)
  assert.match(bad.stdout + bad.stderr, /Failed to compile regex/)
})

test('serf event', { skip }, async (t) => {
  const { serf, cluster } = await open(t)
  const heard: unknown[] = []
  cluster.nodes.get('db1')!.onEvent(({ name, payload, canCoalesce }) => heard.push([name, Buffer.from(payload).toString(), canCoalesce]))
  assert.match(await output(serf('event', 'deploy', 'v1')), /Event 'deploy' dispatched! Coalescing enabled: true/)
  await output(serf('event', '-coalesce=false', 'restart'))
  assert.deepEqual(heard, [
    ['deploy', 'v1', true],
    ['restart', '', false],
  ])
  const long = await serf('event', 'deploy', 'x'.repeat(600))
  assert.equal(long.code, 1)
  assert.match(long.stdout + long.stderr, /Error sending event: .*512/)
})

test('serf query', { skip }, async (t) => {
  const { serf, cluster, gossip } = await open(t)
  for (const name of ['web2', 'db1']) {
    const node = cluster.nodes.get(name)!
    node.onQuery((query) => {
      void node.respond(query.id, Buffer.from(`${name} has ${Buffer.from(query.payload).toString()}`))
    })
  }
  const text = await output(serf('query', '-timeout=300ms', 'load', '5'))
  for (const line of [
    "Query 'load' dispatched",
    "Ack from 'web1'",
    "Ack from 'db1'",
    "Response from 'web2': web2 has 5",
    "Response from 'db1': db1 has 5",
    'Total Acks: 3',
    'Total Responses: 2',
  ]) {
    assert.ok(text.includes(line), `${line} in:\n${text}`)
  }
  const few = await output(serf('query', '-no-ack', '-node=web2', '-tag', 'role=w.*', '-relay-factor=2', '-timeout=200ms', 'load', '6'))
  assert.ok(few.includes("Response from 'web2': web2 has 6") && !few.includes('Ack from') && !few.includes('db1'), few)
  assert.deepEqual(gossip.lastQuery, {
    filters: [
      { type: 'nodes', nodes: ['web2'] },
      { type: 'tag', tag: 'role', expression: 'w.*' },
    ],
    wantsAck: false,
    relayFactor: 2,
    timeoutMs: 200,
  })
  const json = JSON.parse(await output(serf('query', '-format', 'json', '-timeout=200ms', 'load', '7')))
  assert.deepEqual(json.Acks.toSorted(), ['db1', 'web1', 'web2'])
  assert.deepEqual(json.Responses, { web2: 'web2 has 7', db1: 'db1 has 7' })
  const internal = await serf('query', '_serf_conflict')
  assert.equal(internal.code, 1)
  assert.match(internal.stdout + internal.stderr, /cannot contain the '_serf_' prefix/)
})

test('serf reachability, rtt and info', { skip }, async (t) => {
  const { serf } = await open(t)
  assert.match(await output(serf('reachability')), /live members: 3[^]*Successfully contacted all live nodes/)
  assert.match(await output(serf('rtt', 'web1', 'db1')), /Estimated web1 <-> db1 rtt: 2\.000 ms/)
  assert.match(await output(serf('rtt', 'web2')), /Estimated web2 <-> web1 rtt: 1\.000 ms/)
  const unknown = await serf('rtt', 'nobody')
  assert.equal(unknown.code, 1)
  const info = await output(serf('info'))
  assert.match(info, /agent:\n\tname = web1\n/)
  assert.match(info, /serf:\n[^]*\tmembers = 3\n/)
  assert.match(info, /tags:\n\trole = web\n\tzone = eu\n/)
  assert.equal(JSON.parse(await output(serf('info', '-format', 'json'))).serf.encrypted, 'false')
})

test('serf tags, join and force-leave', { skip }, async (t) => {
  const { serf, cluster, gossip } = await open(t)
  assert.match(await output(serf('tags', '-set', 'rack=r1', '-delete', 'zone')), /Successfully updated agent tags/)
  assert.deepEqual(gossip.self.tags, { role: 'web', rack: 'r1' })
  assert.match(await output(serf('join', '-replay', '127.0.0.2:7946', '127.0.0.9:1')), /contacting 1 nodes/)
  const failed = await serf('join', '127.0.0.9:1')
  assert.equal(failed.code, 1)
  assert.match(failed.stdout + failed.stderr, /Error joining the cluster/)
  cluster.crash('web2')
  await output(serf('force-leave', 'web2'))
  assert.equal(cluster.members.get('web2')?.status, 'left')
  await output(serf('force-leave', '-prune', 'web2'))
  assert.equal(cluster.members.get('web2'), undefined)
})

test('serf keys', { skip }, async (t) => {
  const { serf, cluster } = await open(t)
  const plain = await serf('keys', '-list')
  assert.equal(plain.code, 1)
  assert.match(plain.stdout + plain.stderr, /not encrypted/)
  const [old, fresh] = [Buffer.alloc(32, 1).toString('base64'), Buffer.alloc(32, 2).toString('base64')]
  cluster.keys = [old]
  await output(serf('keys', '-install', fresh))
  const list = await output(serf('keys', '-list'))
  assert.ok(list.includes(`${old}  [3/3]`) && list.includes(`${fresh}  [3/3]`), list)
  await output(serf('keys', '-use', fresh))
  const primary = await serf('keys', '-remove', fresh)
  assert.equal(primary.code, 1)
  assert.match(primary.stdout + primary.stderr, /web2 +Removing the primary key is not allowed/)
  await output(serf('keys', '-remove', old))
  assert.deepEqual(cluster.keys, [fresh])
})

test('serf monitor', { skip }, async (t) => {
  const { port, cluster, logTap, gossip } = await open(t)
  logTap.onLine('info', 'membership: before')
  const child = spawn('serf', ['monitor', `-rpc-addr=127.0.0.1:${port}`, '-log-level=warn'], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill())
  let text = ''
  const until = async (wanted: string): Promise<void> => {
    while (!text.includes(wanted)) {
      const [chunk] = (await once(child.stdout, 'data', { signal: AbortSignal.timeout(COMMAND_LIMIT_MS) })) as [Buffer]
      text += chunk.toString()
    }
  }
  // It says nothing when it has begun: this is said until it is heard.
  const repeated = setInterval(() => logTap.onLine('error', 'store: the disk is full'), 20)
  await until('[ERR] store: the disk is full')
  clearInterval(repeated)
  await gossip.event('deploy', Buffer.from('v7'))
  await until('deploy')
  cluster.crash('db1')
  await until('db1')
  assert.ok(!text.includes('before'), 'lines of a lower level are left out')
})

test('serf leave, and a key for the RPC', { skip }, async (t) => {
  let hasLeft = false
  const onLeft = (): void => {
    hasLeft = true
  }
  const { serf, cluster } = await open(t, { authKey: 'a secret', onLeft })
  const refused = await serf('leave')
  assert.equal(refused.code, 1)
  const wrong = await serf('leave', '-rpc-auth=wrong')
  assert.match(wrong.stdout + wrong.stderr, /Invalid authentication token/)
  assert.equal(cluster.members.get('web1')?.status, 'alive')
  assert.match(await output(serf('leave', '-rpc-auth=a secret')), /Graceful leave complete/)
  assert.equal(cluster.members.get('web1')?.status, 'left')
  assert.ok(hasLeft)
})
