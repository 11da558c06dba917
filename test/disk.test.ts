/** Disks, paths and sources that do not play along: named errors, nothing half-written, and a store that stays sound. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import type { DeliveryList } from '#src/agent/http/api.js'
import { answer, inTurn, serve, UnrulyServer, type Handler } from '#src/agent/sources/testing/unruly-server.js'
import { Random } from '#src/core/lib/random.js'
import { Cluster, hashOf, KIB, MIB, receiptOf, sampleBytes, sha256, startCli, until, type Agent } from './cluster.ts'

/** A small file system in memory, unmounted after the agents have ended (open the cluster first); undefined where there can't be one. */
async function smallDisk(t: TestContext, bytes: number): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const folder = await mkdtemp(path.join(tmpdir(), 'polycast-test-disk-'))
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder])
  t.after(async () => {
    spawnSync('umount', ['-l', folder])
    await rmdir(folder)
  })
  if (mounted.status !== 0) return undefined
  return folder
}

const NO_DISK = 'SKIPPED: mounting a small tmpfs needs root and CAP_SYS_ADMIN'

/** The contents of an agent are what their hashes say. */
async function assertSound(agent: Agent): Promise<void> {
  const { code, stdout, stderr } = await agent.cli('content', 'verify')
  assert.equal(code, 0, stdout + stderr)
}

test('a full destination is named, nothing is left there, and the delivery works once there is space', async (t) => {
  const cluster = await Cluster.open(t)
  const disk = await smallDisk(t, 4 * MIB)
  if (disk === undefined) return t.skip(NO_DISK)
  const [sender, member, other] = await cluster.startAll(['s', 'n1', 'n2'], (name) => ({
    flags: name === 'n1' ? ['--dest-root', disk] : ['--dest-root', path.join(cluster.directory, 'elsewhere')],
  }))
  const bytes = sampleBytes('full', 6 * MIB)
  const file = await cluster.file('app.bin', bytes)
  await writeFile(path.join(disk, 'app.bin'), 'the version before')
  const full = await sender!.send(file, { selector: 'all', dest: 'app.bin' })
  assert.equal(full.state, 'partial')
  const receipt = receiptOf(full, 'n1')
  assert.equal(receipt.status, 'failed')
  assert.equal(receipt.error?.code, 'no-space')
  assert.match(receipt.error.message, /disk/)
  assert.deepEqual(await readdir(disk), ['app.bin'])
  assert.equal(await readFile(path.join(disk, 'app.bin'), 'utf8'), 'the version before')
  assert.equal(receiptOf(full, 'n2').status, 'done')
  assert.equal(await hashOf(path.join(cluster.directory, 'elsewhere/app.bin')), sha256(bytes))
  await assertSound(member!)
  await assertSound(other!)

  assert.equal(spawnSync('mount', ['-o', 'remount,size=32m', disk]).status, 0)
  const again = await sender!.send(file, { selector: 'all', dest: 'app.bin' })
  assert.equal(again.state, 'done', JSON.stringify(again.members))
  assert.equal(receiptOf(again, 'n1').receivedBytes, 0, 'what had arrived was kept')
  assert.equal(await hashOf(path.join(disk, 'app.bin')), sha256(bytes))
})

test('a full data directory is named, and the agent lives and takes smaller contents', async (t) => {
  const cluster = await Cluster.open(t)
  const disk = await smallDisk(t, 6 * MIB)
  if (disk === undefined) return t.skip(NO_DISK)
  const [sender, member] = await cluster.startAll(['s', 'n1'], (name) =>
    name === 'n1' ? { dataDirectory: path.join(disk, 'data'), flags: ['--dest-root', path.join(cluster.directory, 'files')] } : {},
  )
  const large = await sender!.send(await cluster.file('large', sampleBytes('large', 12 * MIB)), { selector: 'all', dest: 'large' })
  assert.equal(large.state, 'failed')
  assert.equal(receiptOf(large, 'n1').error?.code, 'no-space')
  assert.ok(member!.isRunning)
  await assertSound(member!)
  const small = sampleBytes('small', 500 * KIB)
  const delivery = await sender!.send(await cluster.file('small', small), { selector: 'all', dest: 'small' })
  assert.equal(delivery.state, 'done', JSON.stringify(delivery.members))
  assert.equal(await hashOf(path.join(cluster.directory, 'files/small')), sha256(small))
})

test('destinations that cannot be are refused by name', async (t) => {
  const cluster = await Cluster.open(t)
  const [sender, member] = await cluster.startAll(['s', 'n1'])
  const file = await cluster.file('app.bin', sampleBytes('refused', 300 * KIB))
  await mkdir(member!.received('folder'), { recursive: true })
  await writeFile(member!.received('plain'), 'a file')
  const cases: [dest: string, code: string][] = [
    ['none/app.bin', 'dest-missing-directory'],
    ['../app.bin', 'dest-outside-root'],
    ['/etc/app.bin', 'dest-outside-root'],
    ['plain/app.bin', 'dest-missing-directory'],
    ['folder', 'dest-exists-as-directory'],
  ]
  for (const [dest, code] of cases) {
    const delivery = await sender!.send(file, { selector: 'all', dest })
    assert.equal(receiptOf(delivery, 'n1').error?.code, code, dest)
    assert.equal(receiptOf(delivery, 'n1').receivedBytes, 0, 'nothing is fetched for a destination that cannot be')
  }
  assert.deepEqual((await readdir(member!.received('.'))).toSorted(), ['folder', 'plain'])
  assert.equal(await readFile(member!.received('plain'), 'utf8'), 'a file')
})

test('a destination on a read-only file system is not writable', async (t) => {
  const cluster = await Cluster.open(t)
  const disk = await smallDisk(t, 4 * MIB)
  if (disk === undefined) return t.skip(NO_DISK)
  const [sender, member] = await cluster.startAll(['s', 'n1'], () => ({ flags: ['--dest-root', disk] }))
  assert.equal(spawnSync('mount', ['-o', 'remount,ro', disk]).status, 0)
  const file = await cluster.file('app.bin', sampleBytes('read-only', 300 * KIB))
  const delivery = await sender!.send(file, { selector: 'all', dest: 'app.bin' })
  assert.equal(receiptOf(delivery, 'n1').error?.code, 'dest-not-writable')
  assert.deepEqual(await readdir(disk), [])
  await assertSound(member!)
})

test('a second agent on a data directory refuses to start', async (t) => {
  const cluster = await Cluster.open(t)
  const first = await cluster.start('first')
  await assert.rejects(
    cluster.start('second', { dataDirectory: first.dataDirectory }),
    /ended with 1: [^]*data directory .* is in use by another agent \(process \d+\)/,
  )
  assert.equal((await fetch(`http://${first.http}/readyz`)).status, 200)
  await first.end('SIGKILL')
  await first.start()
  assert.ok(first.isRunning, 'a killed agent leaves no lock behind')
})

test('Ctrl-C in the middle of a get leaves no file, and the same get goes on from there', async (t) => {
  const cluster = await Cluster.open(t)
  const [sender, other] = await cluster.startAll(['s', 'n1'], () => ({ flags: ['--upload-rate', '2MiB'] }))
  const bytes = sampleBytes('interrupted', 8 * MIB)
  assert.equal((await sender!.get(`file://${await cluster.file('app.bin', bytes)}`)).state, 'done')
  const id = (await sender!.contents())[0]!.id
  await mkdir(path.join(cluster.directory, 'out'))
  const output = path.join(cluster.directory, 'out/app.bin')
  const getting = startCli('get', id, '-o', output, '--api', other!.http)
  await until('a part has arrived', async () => ((await other!.contents())[0]?.haveBytes ?? 0) > MIB)
  getting.kill('SIGINT')
  const interrupted = await getting.result
  assert.equal(interrupted.code, 130, interrupted.stderr)
  assert.deepEqual(await readdir(path.join(cluster.directory, 'out')), [])
  const done = await other!.get(id, { output })
  assert.equal(done.state, 'done', JSON.stringify(done.error))
  assert.equal(await hashOf(output), sha256(bytes))
  assert.ok((await sender!.metric('polycast_swarm_sent_bytes_total')) < 1.5 * bytes.length, 'what had arrived was kept')
  await assertSound(other!)
})

test('Ctrl-C in the middle of a send cancels it everywhere, and the same send goes on from there', async (t) => {
  const cluster = await Cluster.open(t)
  const [sender, member] = await cluster.startAll(['s', 'n1'], () => ({ flags: ['--upload-rate', '2MiB'] }))
  const bytes = sampleBytes('cancelled', 8 * MIB)
  const file = await cluster.file('app.bin', bytes)
  const sending = startCli('send', file, '--to', 'all', '--dest', 'app.bin', '--id', 'first', '--api', sender!.http)
  await until('a part has arrived', async () => ((await member!.contents())[0]?.haveBytes ?? 0) > MIB)
  sending.kill('SIGINT')
  const interrupted = await sending.result
  assert.equal(interrupted.code, 130, interrupted.stderr)
  assert.equal((await sender!.ended('first')).state, 'cancelled')
  assert.deepEqual(await readdir(member!.received('.')), [])
  const again = await sender!.send(file, { selector: 'all', dest: 'app.bin' })
  assert.equal(again.state, 'done', JSON.stringify(again.members))
  assert.ok(receiptOf(again, 'n1').receivedBytes < bytes.length, 'what had arrived was kept')
  assert.equal(await hashOf(member!.received('app.bin')), sha256(bytes))
})

test('Ctrl-C at any point of a send leaves all of the file or nothing', async (t) => {
  const random = new Random('interrupt')
  const cluster = await Cluster.open(t)
  const [sender, member] = await cluster.startAll(['s', 'n1'])
  const bytes = sampleBytes('any point', 4 * MIB)
  const file = await cluster.file('app.bin', bytes)
  for (let round = 0; round < 12; round++) {
    const sending = startCli('send', file, '--to', 'all', '--dest', `app-${round}.bin`, '--api', sender!.http)
    await new Promise((resolve) => setTimeout(resolve, random.below(500)))
    sending.kill('SIGINT')
    const { code, signal, stderr } = await sending.result
    assert.ok(code === 130 || code === 0 || signal === 'SIGINT', `${code} ${signal} ${stderr}`)
  }
  await until('no delivery runs', async () => {
    const { deliveries } = await sender!.api<DeliveryList>('GET', '/v1/deliveries')
    return deliveries.every(({ state }) => state !== 'running')
  })
  for (const name of await readdir(member!.received('.'))) {
    assert.match(name, /^app-\d+\.bin$/, 'nothing half-written')
    assert.equal(await hashOf(member!.received(name)), sha256(bytes))
  }
  assert.equal((await sender!.send(file, { selector: 'all', dest: 'last.bin' })).state, 'done')
  assert.equal(await hashOf(member!.received('last.bin')), sha256(bytes))
  await assertSound(member!)
})

const SOURCE = sampleBytes('source', 3 * MIB)
const CHANGED = sampleBytes('changed', 3 * MIB)

/** How a source behaves, and the error's code that a get of it ends with; none: it ends well. */
const sources: { name: string; handler: Handler; code?: string; orCode?: string; digest?: string }[] = [
  { name: '404', handler: answer(404), code: 'source-not-found' },
  { name: '403', handler: answer(403), code: 'source-forbidden' },
  { name: '500 for ever', handler: answer(500), code: 'source-failed' },
  { name: '500, then 200', handler: inTurn(answer(500), serve({ bytes: SOURCE })) },
  { name: 'a reset at 30 %', handler: inTurn(serve({ bytes: SOURCE, etag: '"1"', cutAt: MIB }), serve({ bytes: SOURCE, etag: '"1"' })) },
  {
    name: 'a reset at 30 % of one that does not know Range',
    handler: inTurn(serve({ bytes: SOURCE, etag: '"1"', cutAt: MIB }), serve({ bytes: SOURCE, etag: '"1"', knowsRange: false })),
  },
  {
    name: 'another version after a reset',
    handler: inTurn(serve({ bytes: SOURCE, etag: '"1"', cutAt: MIB }), serve({ bytes: CHANGED, etag: '"2"' })),
    code: 'source-changed',
  },
  {
    name: 'fewer bytes than announced',
    handler: serve({ bytes: SOURCE, announced: SOURCE.length + 1000, ending: 'close' }),
    code: 'source-short',
  },
  // What is seen of the surplus depends on which comes first, the bytes or the reset of a server that finds itself at fault.
  {
    name: 'more bytes than announced',
    handler: serve({ bytes: SOURCE, announced: SOURCE.length - 1000 }),
    code: 'source-short',
    orCode: 'source-failed',
  },
  { name: 'another digest', handler: serve({ bytes: SOURCE }), digest: `sha256:${sha256(CHANGED)}`, code: 'digest-mismatch' },
  { name: 'the right digest', handler: serve({ bytes: SOURCE }), digest: `sha256:${sha256(SOURCE)}` },
]

test('polycast get of sources that misbehave', async (t) => {
  const cluster = await Cluster.open(t)
  const server = await UnrulyServer.start()
  t.after(() => server.close())
  const agent = await cluster.start('s', { flags: ['--source-retry-pause', '10ms', '--source-retries', '3'] })
  for (const [index, { name, handler, code, orCode, digest }] of sources.entries()) {
    await t.test(name, async () => {
      server.on(`/${index}`, handler)
      const output = path.join(cluster.directory, `out-${index}`)
      const flags = digest === undefined ? [] : ['--digest', digest]
      const got = await agent.cli('get', server.url(`/${index}`).href, '-o', output, '--json', ...flags)
      const last = JSON.parse(got.stdout.trim().split('\n').at(-1) ?? '{}') as { event: string; error?: { code: string } }
      assert.equal(last.error?.code === orCode ? code : last.error?.code, code, got.stdout)
      assert.equal(got.code, code === undefined ? 0 : 1)
      if (code === undefined) assert.equal(await hashOf(output), sha256(SOURCE))
      else await assert.rejects(readFile(output), { code: 'ENOENT' })
    })
  }
  assert.ok(agent.isRunning)
  await assertSound(agent)
})
