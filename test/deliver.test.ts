/** The main job, with agents as processes: what was sent is what arrives, and the receipts say what it cost. */
import assert from 'node:assert/strict'
import { chmod, lstat, mkdir, readFile, readlink, symlink } from 'node:fs/promises'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { Cluster, eventsOf, hashOf, KIB, MIB, receiptOf, runCli, sampleBytes, sha256, until } from './cluster.ts'

const MEMBERS = ['n1', 'n2', 'n3', 'n4']

test('a file reaches four members; again it costs nothing, and a new version only what changed', async (t) => {
  const cluster = await Cluster.open(t)
  const [sender, ...members] = await cluster.startAll(['s', ...MEMBERS])
  const bytes = sampleBytes('first', 24 * MIB)
  const file = await cluster.file('app.bin', bytes)

  const sent = await sender!.cli('send', file, '--to', 'all', '--dest', 'app.bin', '--json')
  assert.equal(sent.code, 0, sent.stderr)
  const events = eventsOf(sent)
  const last = events.at(-1)
  assert.ok(events[0]?.event === 'started' && last?.event === 'done')
  assert.deepEqual(events.flatMap((event) => (event.event === 'receipt' ? [event.receipt.member] : [])).toSorted(), MEMBERS)
  for (const member of members) {
    const receipt = receiptOf(last.delivery, member.name)
    assert.equal(receipt.status, 'done')
    assert.equal(receipt.totalBytes, bytes.length)
    assert.equal(receipt.receivedBytes, bytes.length, member.name)
    assert.equal(receipt.reusedBytes, 0)
    assert.equal(receipt.path, member.received('app.bin'))
    assert.equal(await hashOf(member.received('app.bin')), sha256(bytes))
  }
  assert.ok(last.delivery.sentBytes < 2 * bytes.length, `receivers relay: ${last.delivery.sentBytes} bytes left the sender`)

  const sentBefore = await sender!.metric('polycast_swarm_sent_bytes_total')
  assert.ok(sentBefore >= bytes.length)
  const again = await sender!.send(file, { selector: 'all', dest: 'again.bin' })
  assert.equal(again.state, 'done')
  assert.equal(await sender!.metric('polycast_swarm_sent_bytes_total'), sentBefore)
  for (const member of members) {
    assert.equal(receiptOf(again, member.name).receivedBytes, 0)
    assert.equal(await hashOf(member.received('again.bin')), sha256(bytes))
  }

  // Bytes inserted near the beginning move all that follows, which content-defined chunks don't mind.
  const changed = Buffer.concat([bytes.subarray(0, MIB), sampleBytes('inserted', 1000), bytes.subarray(MIB)])
  const version2 = await cluster.file('app-2.bin', changed)
  const update = await sender!.send(version2, { selector: 'all', dest: 'app.bin' })
  assert.equal(update.state, 'done', JSON.stringify(update.error))
  const sentForUpdate = (await sender!.metric('polycast_swarm_sent_bytes_total')) - sentBefore
  assert.ok(sentForUpdate > 0 && sentForUpdate <= 2 * MIB, `${sentForUpdate} bytes`)
  for (const member of members) {
    const { receivedBytes, reusedBytes } = receiptOf(update, member.name)
    assert.equal(receivedBytes + reusedBytes, changed.length)
    assert.ok(receivedBytes <= 512 * KIB, `${member.name} received ${receivedBytes} bytes`)
    assert.equal(await hashOf(member.received('app.bin')), sha256(changed))
  }
})

test('a directory arrives with its modes, links and empty places', async (t) => {
  const cluster = await Cluster.open(t)
  const [sender, ...members] = await cluster.startAll(['s', 'n1', 'n2'])
  const tree = path.join(cluster.directory, 'release')
  await cluster.file('release/bin/run', Buffer.from('#!/bin/sh\n'))
  await chmod(path.join(tree, 'bin/run'), 0o755)
  await cluster.file('release/secret', Buffer.from('s3cret'))
  await chmod(path.join(tree, 'secret'), 0o600)
  await cluster.file('release/data/large', sampleBytes('large', 3 * MIB))
  await cluster.file('release/nothing', Buffer.alloc(0))
  await mkdir(path.join(tree, 'empty'), { mode: 0o700 })
  await symlink('bin/run', path.join(tree, 'start'))
  await symlink('/does/not/exist', path.join(tree, 'dangling'))

  const delivery = await sender!.send(tree, { selector: 'all', dest: 'release' })
  assert.equal(delivery.state, 'done', JSON.stringify(delivery.error))
  for (const member of members) {
    const at = (name: string): string => path.join(member.received('release'), name)
    for (const name of ['bin/run', 'secret', 'data/large', 'nothing']) {
      assert.deepEqual(await readFile(at(name)), await readFile(path.join(tree, name)), name)
    }
    for (const name of ['bin/run', 'secret', 'empty', 'bin', 'data/large']) {
      assert.equal((await lstat(at(name))).mode, (await lstat(path.join(tree, name))).mode, name)
    }
    assert.equal(await readlink(at('start')), 'bin/run')
    assert.equal(await readlink(at('dangling')), '/does/not/exist')
  }
})

test('a thousand files in a directory arrive as one content', async (t) => {
  const cluster = await Cluster.open(t)
  const [sender, member] = await cluster.startAll(['s', 'n1'])
  const names = Array.from({ length: 1000 }, (_, i) => `d${i % 10}/f${i}`)
  for (const name of names) await cluster.file(`many/${name}`, sampleBytes(name, KIB))
  const delivery = await sender!.send(path.join(cluster.directory, 'many'), { selector: 'all', dest: 'many' })
  assert.equal(delivery.state, 'done', JSON.stringify(delivery.error))
  for (const name of names) assert.deepEqual(await readFile(path.join(member!.received('many'), name)), sampleBytes(name, KIB))
})

test('a member that joins before the end is included', async (t) => {
  const cluster = await Cluster.open(t)
  const [sender, first] = await cluster.startAll(['s', 'n1'])
  const bytes = sampleBytes('joined', 6 * MIB)
  let sendRest = (): void => undefined
  const url = await serve(t, (response) => {
    response.writeHead(200, { 'content-length': bytes.length }).write(bytes.subarray(0, 3 * MIB))
    sendRest = () => response.end(bytes.subarray(3 * MIB))
  })
  const { id } = await sender!.begin(url, { selector: 'all', dest: 'app.bin' })
  await until('half of it is at the first member', async () => (await sender!.haveBytes(id, 'n1')) > 2 * MIB)
  const late = await cluster.start('late', { join: [first!] })
  await until('the late member has some of it', async () => (await sender!.haveBytes(id, 'late')) > 0)
  sendRest()
  const delivery = await sender!.ended(id)
  assert.equal(delivery.state, 'done')
  assert.deepEqual(delivery.members.map(({ name }) => name).toSorted(), ['late', 'n1'])
  for (const member of [first!, late]) assert.equal(await hashOf(member.received('app.bin')), sha256(bytes))
})

test('selectors choose by tag and by name', async (t) => {
  const cluster = await Cluster.open(t)
  const tags: Record<string, string[]> = {
    n1: ['--tag', 'role=web', '--tag', 'zone=eu'],
    n2: ['--tag', 'role=web', '--tag', 'zone=us'],
    n3: ['--tag', 'role=db', '--tag', 'zone=eu'],
  }
  const [sender] = await cluster.startAll(['s', 'n1', 'n2', 'n3'], (name) => ({ flags: tags[name] ?? [] }))
  const file = await cluster.file('app.bin', sampleBytes('small', 100 * KIB))
  const cases: [selector: string, expected: string[]][] = [
    ['role=web', ['n1', 'n2']],
    ['role=web,zone=eu', ['n1']],
    ['zone=eu', ['n1', 'n3']],
    ['name=n3', ['n3']],
    ['name=n1,name=n3', ['n1', 'n3']],
    ['all', ['n1', 'n2', 'n3']],
  ]
  for (const [selector, expected] of cases) {
    const delivery = await sender!.send(file, { selector, dest: 'x' })
    assert.equal(delivery.state, 'done')
    assert.deepEqual(delivery.members.map(({ name }) => name).toSorted(), expected, selector)
  }
})

test('exit codes tell a script what happened', async (t) => {
  const cluster = await Cluster.open(t)
  const [sender, member] = await cluster.startAll(['s', 'n1', 'n2'], (name) =>
    name === 'n2' ? { flags: ['--dest-root', cluster.directory] } : {},
  )
  const file = await cluster.file('app.bin', sampleBytes('codes', 100 * KIB))
  assert.equal((await sender!.cli('send', file, '--to', 'all', '--dest', 'x')).code, 0)
  const partial = await sender!.cli('send', file, '--to', 'all', '--dest', path.join(member!.dataDirectory, 'files/y'), '--json')
  assert.equal(partial.code, 0, 'below the root of both')
  const outside = await sender!.cli('send', file, '--to', 'all', '--dest', path.join(cluster.directory, 'y'))
  assert.equal(outside.code, 3)
  assert.match(outside.stdout, /^n1: failed {2}dest-outside-root: /m)
  assert.match(outside.stdout, /^n2: done/m)
  assert.match(outside.stderr, /1 of 2 members do not have it: n1/)
  assert.equal((await sender!.cli('send', `${file}.none`, '--to', 'all')).code, 1)
  assert.equal((await sender!.cli('send', file, '--to', 'role')).code, 2)
  assert.equal((await sender!.cli('send', file)).code, 2)
  assert.equal((await sender!.cli('get', '00000000')).code, 1)
  assert.equal((await runCli('members', '--api', `${sender!.address}:1`)).code, 4)
})

test('four nodes that get one URL at once make one fetch, and one gets it from them by its id', async (t) => {
  const cluster = await Cluster.open(t)
  const bytes = sampleBytes('source', 8 * MIB)
  let requests = 0
  const url = await serve(t, (response) => {
    requests++
    response.writeHead(200, { 'content-length': bytes.length, etag: '"1"' }).end(bytes)
  })
  const agents = await cluster.startAll([...MEMBERS, 'n5'], (name) => (name === 'n1' ? { flags: ['--seed'] } : {}))
  const four = agents.slice(0, 4)
  const outputs = four.map(({ name }) => path.join(cluster.directory, `${name}.bin`))
  const results = await Promise.all(four.map((agent, i) => agent.cli('get', url, '-o', outputs[i]!)))
  for (const result of results) assert.equal(result.code, 0, result.stderr)
  assert.equal(requests, 1)
  for (const output of outputs) assert.equal(await hashOf(output), sha256(bytes))

  const id = (await agents[0]!.contents())[0]!.id
  const byId = await agents[4]!.get(id, { output: path.join(cluster.directory, 'n5.bin') })
  assert.equal(byId.state, 'done', JSON.stringify(byId.error))
  assert.equal(byId.result?.from, 'cluster')
  assert.equal(byId.result?.receivedBytes, bytes.length)
  assert.equal(await hashOf(path.join(cluster.directory, 'n5.bin')), sha256(bytes))
  assert.equal(requests, 1)
})

/** An HTTP server that answers every request in one way; gives a URL of it. */
async function serve(t: TestContext, answer: (response: http.ServerResponse) => void): Promise<string> {
  const server = http.createServer((_, response) => answer(response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/app.bin`
}
