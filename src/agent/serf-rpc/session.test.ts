import assert from 'node:assert/strict'
import { setMaxListeners } from 'node:events'
import { test } from 'node:test'
import { fail } from '../errors.ts'
import { parseEventFilter } from './event-filter.ts'
import { LogRing } from './log-tap.ts'
import { newCounters, type RpcParts } from './parts.ts'
import { Session } from './session.ts'
import { FakeGossipCluster, type ClusterGossip } from '../gossip/testing/fake-gossip-cluster.ts'

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
const ALL = parseEventFilter('*')!
const NOTHING = new Uint8Array(0)

function open(): { session: Session; gossip: ClusterGossip; parts: RpcParts; cluster: FakeGossipCluster; written: Uint8Array[] } {
  const cluster = new FakeGossipCluster()
  const gossip = cluster.add('a')
  const written: Uint8Array[] = []
  const parts = {
    gossip,
    log: SILENT,
    logTap: new LogRing(),
    authKey: undefined,
    isEncrypted: false,
    onLeft: () => undefined,
    counters: newCounters(),
  }
  return { session: new Session(parts, (bytes) => written.push(bytes)), gossip, parts, cluster, written }
}

test('what begins after the client has gone listens to nothing', () => {
  const { session, gossip, parts, written } = open()
  const stream = session.openStream(1, ALL)
  const monitor = session.openMonitor(2, 'info')
  session.close()
  assert.ok(stream.error === undefined && monitor.error === undefined)
  stream.begin()
  monitor.begin()
  assert.equal(gossip.listenerCount, 0)
  parts.logTap!.onLine('info', 'unheard')
  assert.deepEqual(written, [])
})

test('a query that gossip refuses some time later is refused before it begins', async () => {
  const { session, gossip } = open()
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  // As a worker does it: what is asked first is answered first, and not at once.
  let previous: Promise<unknown> = Promise.resolve()
  const inOrder = <T>(answer: () => T): Promise<T> => {
    const mine = previous.then(turn).then(answer)
    previous = mine.catch(() => undefined)
    return mine
  }
  gossip.query = () =>
    inOrder(() => {
      throw fail('bad-request', { reason: 'too long' })
    })
  gossip.gossipStats = () => inOrder(() => ({}))
  assert.deepEqual(await session.openQuery(1, 'q', NOTHING, {}), { error: 'too long' })
})

test('replies that come before the response was sent come after it', async () => {
  const { session, cluster, written } = open()
  const opening = await session.openQuery(1, 'q', NOTHING, { wantsAck: true, timeoutMs: 2000 })
  assert.deepEqual(written, [])
  assert.ok(opening.error === undefined)
  opening.begin()
  assert.equal(written.length, 1)
  session.close()
  assert.equal(await new Promise((resolve) => setImmediate(() => resolve(cluster.asked.size))), 0)
  assert.equal(written.length, 1, 'the end of a query that its client ended is not told')
})

test('of the queries that may be answered, the oldest is forgotten', async () => {
  const { session, cluster, parts } = open()
  const stream = session.openStream(1, ALL)
  assert.ok(stream.error === undefined)
  stream.begin()
  const asker = cluster.add('b')
  const ended = new AbortController()
  setMaxListeners(0, ended.signal)
  const queries = []
  for (let i = 0; i < 1025; i++) queries.push(asker.query('q', NOTHING, { timeoutMs: 2000 }, () => undefined, ended.signal))
  assert.equal(parts.counters.forgottenQueries, 1)
  assert.equal(await session.respond(1, NOTHING), 'No pending queries matching ID')
  assert.equal(await session.respond(2, NOTHING), undefined)
  assert.equal(await session.respond(1025, NOTHING), undefined)
  ended.abort()
  await Promise.all(queries)
})
