import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test, type TestContext } from 'node:test'
import { isPolycastError } from '../errors.ts'
import { Random } from '../../core/lib/random.ts'
import { COMMANDS } from './commands.ts'
import { MAX_QUEUED_BYTES } from './connection.ts'
import { LogRing } from './log-tap.ts'
import { MAX_CLIENTS, startSerfRpc, type SerfRpcOptions, type SerfRpcServer } from './server.ts'
import { MAX_STREAMS } from './session.ts'
import { FakeGossipCluster, type ClusterGossip } from '../gossip/testing/fake-gossip-cluster.ts'
import { RpcClient, type Value } from './testing/rpc-client.ts'

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

interface Bed {
  readonly cluster: FakeGossipCluster
  readonly gossip: ClusterGossip
  readonly server: SerfRpcServer
  readonly connect: (greet?: boolean) => Promise<RpcClient>
}

async function open(t: TestContext, options: Partial<SerfRpcOptions> = {}): Promise<Bed> {
  const cluster = new FakeGossipCluster()
  const gossip = cluster.add('a', { tags: { role: 'web', zone: 'eu' } })
  cluster.add('b', { address: 'fd00::2', tags: { role: 'db' } })
  cluster.add('c')
  const server = await startSerfRpc({ host: '127.0.0.1', port: 0, gossip, log: SILENT, ...options })
  const clients: RpcClient[] = []
  t.after(async () => {
    for (const client of clients) client.close()
    await server.close()
  })
  return {
    cluster,
    gossip,
    server,
    async connect(greet) {
      const client = await RpcClient.open(server.port, greet)
      clients.push(client)
      return client
    },
  }
}

type Map = { readonly [key: string]: Value }

function names(reply: Value): string[] {
  return ((reply as Map)['Members'] as Map[]).map((member) => member['Name'] as string)
}

test('nothing is done before the handshake, and the connection ends', async (t) => {
  const { connect } = await open(t)
  const hasty = await connect(false)
  assert.equal(await hasty.ask('members'), 'Handshake required')
  assert.equal(await hasty.next(), 'closed')
  const wrong = await connect(false)
  assert.equal(await wrong.ask('handshake', { Version: 2 }), 'Unsupported IPC version')
  assert.equal(await wrong.ask('handshake', { Version: 1 }), '')
  assert.equal(await wrong.ask('handshake', { Version: 1 }), 'Handshake already performed')
})

test('a command that nobody knows ends the connection', async (t) => {
  const client = await (await open(t)).connect()
  assert.equal(await client.ask('nonsense'), 'Unsupported command')
  assert.equal(await client.next(), 'closed')
})

test('where there is a key, clients have to know it', async (t) => {
  const { connect } = await open(t, { authKey: 'secret' })
  const client = await connect()
  assert.equal(await client.ask('event', { Name: 'e', Payload: null, Coalesce: false }), 'Authentication required')
  assert.equal(await client.ask('members'), 'Authentication required')
  assert.equal(await client.ask('auth', { AuthKey: 'Secret' }), 'Invalid authentication token')
  assert.equal(await client.ask('members'), 'Authentication required')
  assert.equal(await client.ask('auth', { AuthKey: 'secret' }), '')
  assert.equal((await client.fetch('members')).error, '')
})

test('members come with everything that Serf says of them', async (t) => {
  const { connect, cluster } = await open(t)
  cluster.crash('c')
  const client = await connect()
  const { reply } = await client.fetch('members')
  const [a, b, c] = (reply as Map)['Members'] as Map[]
  assert.deepEqual(a, {
    Addr: '\x7f\0\0\x01',
    DelegateCur: 5,
    DelegateMax: 5,
    DelegateMin: 2,
    Name: 'a',
    Port: 7946,
    ProtocolCur: 2,
    ProtocolMax: 5,
    ProtocolMin: 1,
    Status: 'alive',
    Tags: { role: 'web', zone: 'eu' },
  })
  assert.equal(b!['Addr'], `\xfd${'\0'.repeat(14)}\x02`)
  assert.equal(c!['Status'], 'failed')
})

test('members are filtered by status, name and tags', async (t) => {
  const { connect, cluster } = await open(t)
  cluster.crash('c')
  const client = await connect()
  for (const [filter, expected] of [
    [{ Status: '', Name: '', Tags: null }, ['a', 'b', 'c']],
    [{ Status: 'alive' }, ['a', 'b']],
    [{ Status: 'ali' }, []],
    [{ Status: 'left|failed' }, ['c']],
    [{ Name: '[ab]', Tags: { role: 'd.' } }, ['b']],
    [{ Tags: { role: '' } }, ['c']],
  ] as [Value, string[]][]) {
    assert.deepEqual(names((await client.fetch('members-filtered', filter)).reply), expected, JSON.stringify(filter))
  }
  const { error, reply } = await client.fetch('members-filtered', { Name: '(' })
  assert.equal(error, 'Failed to compile regex: error parsing regexp: missing closing ): `^($`')
  assert.deepEqual(reply, { Members: [] })
})

test('events go out, and streams tell of them', async (t) => {
  const { connect, cluster } = await open(t)
  const [sender, watcher] = [await connect(), await connect()]
  const all = watcher.send('stream', { Type: '' })
  assert.deepEqual(await watcher.next(), { Seq: all, Error: '' })
  const some = watcher.send('stream', { Type: 'user:deploy,member-failed' })
  assert.deepEqual(await watcher.next(), { Seq: some, Error: '' })
  assert.equal(await sender.ask('event', { Name: 'other', Payload: 'x', Coalesce: true }), '')
  assert.deepEqual(await watcher.record(all), { Event: 'user', LTime: 1, Name: 'other', Payload: 'x', Coalesce: true })
  assert.equal(await sender.ask('event', { Name: 'deploy', Payload: null, Coalesce: false }), '')
  const expected = { Event: 'user', LTime: 2, Name: 'deploy', Payload: null, Coalesce: false }
  assert.deepEqual(await watcher.record(all), expected)
  assert.deepEqual(await watcher.record(some), expected)
  cluster.set({ ...cluster.members.get('b')!, tags: { role: 'new' } }, 'updated')
  cluster.set(cluster.members.get('b')!, 'suspected')
  cluster.crash('b')
  const updated = (await watcher.record(all)) as Map
  assert.equal(updated['Event'], 'member-update')
  assert.deepEqual((updated['Members'] as Map[])[0]!['Tags'], { role: 'new' })
  for (const seq of [all, some]) {
    const failed = (await watcher.record(seq)) as Map
    assert.equal(failed['Event'], 'member-failed')
    assert.equal((failed['Members'] as Map[])[0]!['Status'], 'failed')
  }
})

test('a stream ends when it is stopped, or its client goes', async (t) => {
  const { connect, gossip, server } = await open(t)
  const client = await connect()
  const stream = client.send('stream', { Type: 'user' })
  await client.next()
  assert.equal(await client.ask('stop', { Stop: stream }), '')
  assert.equal(gossip.listenerCount, 0)
  assert.equal(await client.ask('stop', { Stop: 99 }), '')
  await client.ask('event', { Name: 'unheard', Payload: null, Coalesce: false })
  client.send('stream', { Type: 'user' })
  await client.next()
  assert.ok(gossip.listenerCount > 0)
  client.close()
  await server.close()
  assert.equal(gossip.listenerCount, 0)
})

test('a client that goes at once leaves nothing behind', async (t) => {
  const { connect, gossip, server } = await open(t)
  for (let i = 0; i < 5; i++) {
    const client = await connect()
    client.send('query', { Name: 'q', Timeout: 3_600_000_000_000 })
    client.send('stream', { Type: '*' })
    client.socket.end()
    while ((await client.next()) !== 'closed') continue
  }
  await server.close()
  assert.equal(gossip.listenerCount, 0)
})

test('streams that are wrong, there already, or too many are refused', async (t) => {
  const { connect, server } = await open(t)
  const client = await connect()
  assert.equal(await client.ask('stream', { Type: 'bogus' }), 'Invalid event filter')
  const seq = client.send('stream', { Type: '*' })
  await client.next()
  client.send('stream', { Type: '*' }, seq)
  assert.deepEqual(await client.next(), { Seq: seq, Error: 'Stream with given sequence exists' })
  for (let i = 1; i < MAX_STREAMS; i++) assert.equal(await client.ask('stream', { Type: 'user' }), '')
  assert.match(JSON.stringify(await client.ask('stream', { Type: 'user' })), /Too many/)
  assert.match(JSON.stringify(await client.ask('monitor', { LogLevel: 'info' })), /Too many/)
  assert.equal(server.counters.refusedStreams, 2)
})

test('a query is answered with acks, responses and its end', async (t) => {
  const { connect, cluster, gossip } = await open(t)
  const client = await connect()
  cluster.nodes.get('b')!.onQuery((query) => {
    void cluster.nodes.get('b')!.respond(query.id, Buffer.from(`${query.name} ${Buffer.from(query.payload).toString()}`))
  })
  const request = { FilterNodes: ['a', 'b'], FilterTags: { role: 'web|db' }, RequestAck: true, RelayFactor: 2, Name: 'load', Payload: '5' }
  const seq = client.send('query', { ...request, Timeout: 20_000_000 })
  assert.deepEqual(await client.next(), { Seq: seq, Error: '' })
  assert.deepEqual(await client.record(seq), { Type: 'ack', From: 'a', Payload: null })
  assert.deepEqual(await client.record(seq), { Type: 'ack', From: 'b', Payload: null })
  assert.deepEqual(await client.record(seq), { Type: 'response', From: 'b', Payload: 'load 5' })
  assert.deepEqual(await client.record(seq), { Type: 'done', From: '', Payload: null })
  assert.deepEqual(gossip.lastQuery, {
    filters: [
      { type: 'nodes', nodes: ['a', 'b'] },
      { type: 'tag', tag: 'role', expression: 'web|db' },
    ],
    wantsAck: true,
    relayFactor: 2,
    timeoutMs: 20,
  })
})

test('queries that cannot be sent are refused before they begin', async (t) => {
  const client = await (await open(t)).connect()
  assert.match(JSON.stringify(await client.ask('query', { Name: 'q', Payload: 'x'.repeat(2000) })), /^"the query has 2001 bytes/)
  assert.equal(await client.ask('query', { Name: '_serf_conflict' }), "Queries cannot contain the '_serf_' prefix")
  assert.equal(await client.ask('query', { Name: '_serf_ping', Payload: 'x' }), "Queries cannot contain the '_serf_' prefix")
  const ping = client.send('query', { Name: '_serf_ping', RequestAck: true, Timeout: 1_000_000 })
  await client.next()
  const from = []
  for (let record = await client.record(ping); (record as Map)['Type'] === 'ack'; record = await client.record(ping))
    from.push((record as Map)['From'])
  assert.deepEqual(from, ['a', 'b', 'c'])
})

test('a client answers the queries that its stream tells of', async (t) => {
  const { connect, cluster } = await open(t)
  const client = await connect()
  const stream = client.send('stream', { Type: 'query:load' })
  await client.next()
  const asker = cluster.nodes.get('c')!
  const replies: unknown[] = []
  const asked = new AbortController()
  const over = asker.query('load', Buffer.from('now'), { timeoutMs: 5000 }, (reply) => replies.push(reply), asked.signal)
  assert.deepEqual(await client.record(stream), { Event: 'query', ID: 1, LTime: 1, Name: 'load', Payload: 'now' })
  assert.equal(await client.ask('respond', { ID: 2, Payload: 'x' }), 'No pending queries matching ID')
  assert.equal(await client.ask('respond', { ID: 1, Payload: '0.5' }), '')
  assert.notEqual(await client.ask('respond', { ID: 1, Payload: '0.5' }), '')
  asked.abort()
  await over
  assert.deepEqual(replies, [{ type: 'response', from: 'a', payload: new Uint8Array(Buffer.from('0.5')) }])
})

test('a client that goes takes its queries with it', async (t) => {
  const { connect, cluster } = await open(t)
  const client = await connect()
  client.send('query', { Name: 'q', Timeout: 3_600_000_000_000 })
  await client.next()
  assert.equal(cluster.asked.size, 1)
  client.close()
  while (cluster.asked.size > 0) await new Promise((resolve) => setImmediate(resolve))
})

test('tags are set and removed, and what was not named stays', async (t) => {
  const { connect, gossip } = await open(t)
  const client = await connect()
  assert.equal(await client.ask('tags', { Tags: { rack: 'r1' }, DeleteTags: ['zone', 'nothing'] }), '')
  assert.deepEqual(gossip.self.tags, { role: 'web', rack: 'r1' })
  assert.match(JSON.stringify(await client.ask('tags', { Tags: { a: 'b'.repeat(250), c: 'd'.repeat(250), e: 'f'.repeat(50) } })), /512/)
  assert.deepEqual(gossip.self.tags, { role: 'web', rack: 'r1' })
})

test('joining tells how many answered', async (t) => {
  const { connect } = await open(t)
  const client = await connect()
  assert.deepEqual(await client.fetch('join', { Existing: ['127.0.0.3:7946'], Replay: false }), { error: '', reply: { Num: 1 } })
  const refused = await client.fetch('join', { Existing: ['127.0.0.9:1'], Replay: false })
  assert.match(JSON.stringify(refused.error), /None of the agents to join answered/)
  assert.deepEqual(refused.reply, { Num: 0 })
  assert.deepEqual(await client.fetch('join', { Existing: null, Replay: true }), { error: '', reply: { Num: 0 } })
})

test('a failed member is made to leave, and forgotten', async (t) => {
  const { connect, cluster } = await open(t)
  const client = await connect()
  cluster.crash('b')
  assert.equal(await client.ask('force-leave', { Node: 'b', Prune: false }), '')
  assert.equal(cluster.members.get('b')?.status, 'left')
  assert.equal(await client.ask('force-leave', { Node: 'b', Prune: true }), '')
  assert.equal(cluster.members.get('b'), undefined)
  assert.equal(await client.ask('force-leave', { Node: 'b', Prune: true }), '', 'as with Serf, once more is no error')
})

test('leaving is answered, and then told to the agent', async (t) => {
  let hasLeft = false
  const { connect, cluster } = await open(t, {
    onLeft: () => {
      hasLeft = true
    },
  })
  const client = await connect()
  assert.equal(await client.ask('leave'), '')
  assert.equal(cluster.members.get('a')?.status, 'left')
  assert.ok(hasLeft)
})

test('keys are listed and changed on all members', async (t) => {
  const { connect, cluster } = await open(t)
  const client = await connect()
  const nothing = { Keys: null, Messages: {}, NumErr: 0, NumNodes: 0, NumResp: 0 }
  const plain = await client.fetch('list-keys')
  assert.match(JSON.stringify(plain.error), /not encrypted/)
  assert.deepEqual(plain.reply, nothing)
  const [old, fresh] = [Buffer.alloc(16, 1).toString('base64'), Buffer.alloc(16, 2).toString('base64')]
  cluster.keys = [old]
  const fine = { Keys: null, Messages: {}, NumErr: 0, NumNodes: 3, NumResp: 3 }
  assert.deepEqual(await client.fetch('install-key', { Key: fresh }), { error: '', reply: fine })
  assert.deepEqual(await client.fetch('use-key', { Key: fresh }), { error: '', reply: fine })
  assert.deepEqual((await client.fetch('list-keys')).reply, { ...fine, Keys: { [old]: 3, [fresh]: 3 } })
  const refused = await client.fetch('remove-key', { Key: fresh })
  assert.equal(refused.error, '3/3 nodes reported failure')
  assert.deepEqual(Object.keys((refused.reply as Map)['Messages'] as Map), ['a', 'b', 'c'])
  assert.deepEqual(await client.fetch('remove-key', { Key: old }), { error: '', reply: fine })
  assert.deepEqual(cluster.keys, [fresh])
  for (const [key, at] of [
    ['abc', 0],
    ['AAAA*AAA', 4],
    ['AA==AAAA', 4],
  ] as const) {
    assert.deepEqual(await client.fetch('install-key', { Key: key }), { error: `illegal base64 data at input byte ${at}`, reply: nothing })
  }
})

test('coordinates and figures', async (t) => {
  const { connect, cluster } = await open(t, { isEncrypted: true })
  cluster.crash('c')
  const client = await connect()
  const { reply } = await client.fetch('get-coordinate', { Node: 'b' })
  assert.deepEqual(reply, { Coord: { Adjustment: 0, Error: 0.1, Height: 0, Vec: [0.001, 0, 0, 0, 0, 0, 0, 0] }, Ok: true })
  const unknown = await client.fetch('get-coordinate', { Node: 'x' })
  assert.deepEqual(unknown, { error: '', reply: { Coord: { Adjustment: 0, Error: 0, Height: 0, Vec: null }, Ok: false } })
  const stats = (await client.fetch('stats')).reply as { readonly [group: string]: Map }
  assert.deepEqual(Object.keys(stats), ['agent', 'event_handlers', 'polycast', 'runtime', 'serf', 'tags'])
  assert.deepEqual([stats['agent'], stats['tags']], [{ name: 'a' }, { role: 'web', zone: 'eu' }])
  const { members, failed, left, encrypted, member_time: memberTime, query_queue: queryQueue } = stats['serf'] as Map
  assert.deepEqual([members, failed, left, encrypted, memberTime, queryQueue], ['3', '1', '0', 'true', '7', '0'])
})

test('a monitor gets what was logged and what will be, of its level', async (t) => {
  const logTap = new LogRing(() => new Date(2026, 0, 2, 3, 4, 5))
  logTap.onLine('info', 'membership: old')
  const client = await (await open(t, { logTap })).connect()
  assert.equal(await client.ask('monitor', { LogLevel: 'bogus' }), 'Unknown log level: BOGUS')
  const seq = client.send('monitor', { LogLevel: 'info' })
  assert.deepEqual(await client.next(), { Seq: seq, Error: '' })
  assert.deepEqual(await client.record(seq), { Log: '2026/01/02 03:04:05 [INFO] membership: old' })
  assert.equal(await client.ask('monitor', { LogLevel: 'info' }), 'Monitor already exists')
  logTap.onLine('debug', 'unheard')
  logTap.onLine('error', 'loud')
  assert.deepEqual(await client.record(seq), { Log: '2026/01/02 03:04:05 [ERR] loud' })
  assert.equal(await client.ask('stop', { Stop: seq }), '')
  logTap.onLine('error', 'unheard')
  assert.equal(await client.ask('stop', { Stop: seq }), '')
})

test('what is no request ends the connection', async (t) => {
  const { connect, server } = await open(t)
  const attempts: ((client: RpcClient) => void)[] = [
    (client) => client.write('garbage'),
    (client) => client.write([1]),
    (client) => client.send('event', { Name: 5 }),
    (client) => client.send('query', { Name: 'q', RelayFactor: 256 }),
    (client) => client.send('event', [1]),
    (client) => client.send('event', { Name: 'e', Payload: 'x'.repeat(1024 * 1024) }),
    (client) => client.socket.write(Uint8Array.of(0xc1)),
    // What a browser that was sent here would say.
    (client) => client.socket.write('POST / HTTP/1.1\r\n\r\n'),
  ]
  for (const attempt of attempts) {
    const client = await connect()
    attempt(client)
    assert.equal(await client.next(), 'closed', String(attempt))
  }
  assert.equal(server.counters.malformed, attempts.length)
})

test('whatever comes, the server goes on', async (t) => {
  const { connect, server } = await open(t)
  const random = new Random('bytes for the Serf RPC')
  const commands = [...COMMANDS.keys()].filter((name) => name !== 'leave')
  for (let i = 0; i < 200; i++) {
    const client = await connect()
    const bytes = Uint8Array.from({ length: random.below(60) }, () => random.below(256))
    if (i % 2 === 0) client.socket.write(bytes)
    else {
      // A body that has nothing to do with its command.
      client.write({ Command: commands[i % commands.length]!, Seq: i })
      client.socket.write(bytes)
    }
    client.socket.end()
    while ((await client.next()) !== 'closed') continue
  }
  assert.equal((await (await connect()).fetch('members')).error, '')
  assert.equal(server.counters.accepted, 201)
})

test('requests that come in one packet, or byte by byte, are answered in their order', async (t) => {
  const client = await (await open(t)).connect()
  const both = [
    { Command: 'get-coordinate', Seq: 70 },
    { Node: 'a' },
    { Command: 'members', Seq: 71 },
    { Command: 'stop', Seq: 72 },
    { Stop: 1 },
  ]
  client.write(...both)
  const bytes: Buffer[] = []
  const recorder = { write: (chunk: Uint8Array) => bytes.push(Buffer.from(chunk)) }
  RpcClient.prototype.write.call({ socket: recorder } as unknown as RpcClient, ...both)
  for (const byte of Buffer.concat(bytes)) client.socket.write(Uint8Array.of(byte))
  for (let round = 0; round < 2; round++) {
    assert.deepEqual(await client.next(), { Seq: 70, Error: '' })
    await client.next()
    assert.deepEqual(await client.next(), { Seq: 71, Error: '' })
    await client.next()
    assert.deepEqual(await client.next(), { Seq: 72, Error: '' })
  }
})

test('a client that does not read is closed', async (t) => {
  const { connect, cluster, server } = await open(t)
  const client = await connect()
  client.send('stream', { Type: 'user' })
  await client.next()
  client.socket.pause()
  const payload = new Uint8Array(512 * 1024)
  // The kernel takes some of it.
  for (let sent = 0; sent < 8 * MAX_QUEUED_BYTES && server.counters.closedForQueue === 0; sent += payload.length) {
    cluster.sendEvent('big', payload, false)
  }
  assert.equal(server.counters.closedForQueue, 1)
  assert.equal((await (await connect()).fetch('members')).error, '', 'others go on')
})

test('clients beyond the limit are closed', async (t) => {
  const { connect, server } = await open(t)
  const clients = []
  for (let i = 0; i < MAX_CLIENTS; i++) clients.push(await connect())
  const late = await connect(false)
  assert.equal(await late.next(), 'closed')
  assert.equal(server.counters.refused, 1)
  const [first] = clients
  first!.socket.end()
  await once(first!.socket, 'close')
  assert.equal(server.counters.accepted, MAX_CLIENTS)
})

test('addresses that others can reach are for those who say so', async (t) => {
  const { gossip } = await open(t)
  await assert.rejects(startSerfRpc({ host: '0.0.0.0', port: 0, gossip, log: SILENT }), (error) => isPolycastError(error, 'not-loopback'))
  const server = await startSerfRpc({ host: '0.0.0.0', port: 0, gossip, log: SILENT, isInsecure: true })
  await assert.rejects(startSerfRpc({ host: '127.0.0.1', port: server.port, gossip, log: SILENT }), (error) =>
    isPolycastError(error, 'address-in-use'),
  )
  await server.close()
  const local = await startSerfRpc({ host: 'localhost', port: 0, gossip, log: SILENT })
  await local.close()
})
