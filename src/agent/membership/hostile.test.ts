import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cluster, RawLink, TIMES, addressOf, claim, listen, statusOf, whenStatus } from './cluster.testing.ts'
import { MAX_LINE_CHARACTERS } from './messages.ts'
import type { TestContext } from 'node:test'
import type { MemberList } from './member-list.ts'

/** After whatever was done to it, the list works: somebody can join it. */
async function assertWorks(cluster: Cluster, list: MemberList): Promise<void> {
  const name = 'check'
  const check = await cluster.join(name, list)
  await whenStatus(list, name, 'alive')
  await check.leave()
}

async function assertRefused(t: TestContext, line: string, because: RegExp): Promise<void> {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  const link = await RawLink.to(t, n1)
  link.write(line)
  const bye = await link.closed()
  assert.equal(bye?.reason, 'protocol', line.slice(0, 100))
  assert.match(bye.text, because)
  assert.deepEqual(
    n1.members().map((member) => member.name),
    ['n1'],
  )
  await assertWorks(cluster, n1)
}

test('lines that are no messages end the connection with the reason', async (t) => {
  await assertRefused(t, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', /no JSON/)
  await assertRefused(t, '\u0016\u0003\u0001\u0002\u0000\n', /no JSON/)
  await assertRefused(t, '\n', /no JSON/)
  await assertRefused(t, '{"type":"fly"}\n', /type/)
  await assertRefused(t, '{"type":"ping"}\n', /no place here/)
  await assertRefused(t, '{"type":"synced"}\n', /no place here/)
  await assertRefused(t, `${JSON.stringify({ type: 'members', members: [claim({})] })}\n`, /no place here/)
  await assertRefused(t, `${JSON.stringify({ type: 'welcome', protocol: 1, member: claim({}) })}\n`, /no place here/)
  await assertRefused(t, `${JSON.stringify({ type: 'hello', protocol: 99, member: claim({}) })}\n`, /version 1 .* not 99/)
  await assertRefused(t, `${JSON.stringify({ type: 'hello', protocol: 1, member: claim({ status: 'dead' }) })}\n`, /alive/)
  await assertRefused(t, `${JSON.stringify({ type: 'hello', protocol: 1, member: claim({ name: '../x' }) })}\n`, /is no name/)
})

test('a line without end is cut off at its limit', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  const link = await RawLink.to(t, n1)
  link.write('x'.repeat(MAX_LINE_CHARACTERS + 1))
  assert.match((await link.closed())?.text ?? '', /too long/)
  const other = await RawLink.to(t, n1)
  other.write(`${'x'.repeat(MAX_LINE_CHARACTERS + 1)}\n`)
  assert.match((await other.closed())?.text ?? '', /too long/)
  await assertWorks(cluster, n1)
})

test('a flood ends its connection, and the list forgets nothing for it', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1', { limits: { burst: 500, refill: 100 } })
  const link = await RawLink.greeted(t, n1, claim({ name: 'flood' }))
  link.write('{"type":"ping"}\n'.repeat(1000))
  assert.match((await link.closed())?.text ?? '', /more messages than a link may send/)
  assert.ok(cluster.refused.includes('flood'))
  await assertWorks(cluster, n1)
})

test('what a link may send grows again with time', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1', { limits: { burst: 500, refill: 100 } })
  const link = await RawLink.greeted(t, n1, claim({ name: 'busy' }))
  for (let round = 0; round < 20; round++) {
    link.write('{"type":"ping"}\n'.repeat(98))
    link.send({ type: 'members', members: [claim({ name: 'marker', incarnation: round + 1 })] })
    await new Promise<void>((resolve) => {
      const end = n1.onChange((member) => {
        if (member.name !== 'marker') return
        end()
        resolve()
      })
    })
    cluster.clock.advance(TIMES.heartbeatIntervalMs)
  }
  assert.equal(link.isClosed, false)
})

test('more members than there is room for are not taken in', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1', { limits: { maxMembers: 50 } })
  const link = await RawLink.greeted(t, n1, claim({ name: 'a-raw' }))
  for (let first = 0; first < 320; first += 32) {
    link.send({ type: 'members', members: Array.from({ length: 32 }, (_, index) => claim({ name: `x${first + index}` })) })
  }
  link.send({ type: 'members', members: [claim({ name: 'x0', incarnation: 2 })] })
  await whenStatus(n1, 'x0', 'alive')
  await new Promise<void>((resolve) => {
    if (cluster.refused.filter((reason) => reason === 'members').length > 200) resolve()
    else n1.onChange((member) => member.incarnation === 2 && resolve())
  })
  assert.equal(n1.members().length, 51)
})

test('connections that never greet are bounded and end', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1', { limits: { maxPending: 4 } })
  const links = await Promise.all(Array.from({ length: 10 }, () => RawLink.to(t, n1)))
  await cluster.pass(() => links.filter((link) => link.isClosed).length >= 6, 0)
  assert.equal(links.filter((link) => link.isClosed).length, 6)
  cluster.clock.advance(TIMES.dialTimeoutMs + TIMES.heartbeatIntervalMs)
  await Promise.all(links.map((link) => link.closed()))
  await assertWorks(cluster, n1)
})

test('a member that does not read is given up before its queue fills the memory', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1', { limits: { maxQueuedBytes: 20_000 } })
  const talker = await RawLink.greeted(t, n1, claim({ name: 'talker' }))
  const { connect } = await import('node:net')
  const deaf = connect({ host: '127.0.0.1', port: n1.self.gossipPort })
  t.after(() => deaf.destroy())
  deaf.on('error', () => undefined)
  deaf.pause()
  deaf.write(`${JSON.stringify({ type: 'hello', protocol: 1, member: claim({ name: 'deaf', instance: '6'.repeat(32) }) })}\n`)
  await whenStatus(n1, 'deaf', 'alive')
  const tags = { long: 'x'.repeat(250), longer: 'y'.repeat(200) }
  let incarnation = 1
  const suspected = whenStatus(n1, 'deaf', 'suspect')
  let isOver = false
  void suspected.then(() => {
    isOver = true
  })
  while (!isOver) {
    incarnation++
    talker.send({ type: 'members', members: Array.from({ length: 32 }, (_, index) => claim({ name: `x${index}`, incarnation, tags })) })
    await new Promise((resolve) => setImmediate(resolve))
    cluster.clock.advance(1)
    talker.messages.length = 0
  }
  assert.ok(cluster.refused.includes('slow'))
  assert.equal(statusOf(n1, 'talker'), 'alive')
})

test('whoever asks who is there gets an answer and nothing else', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  const link = await RawLink.to(t, n1)
  link.send({ type: 'who' })
  await link.closed()
  assert.deepEqual(
    link.messages.map((message) => message.type === 'iam' && message.name),
    ['n1'],
  )
  assert.equal(n1.members().length, 1)
})

test('an agent that is joined and answers nonsense is a failed join with its reason', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  for (const answer of [
    'HTTP/1.1 400 Bad Request\r\n\r\n',
    '{"type":"ping"}\n',
    `${JSON.stringify({ type: 'welcome', protocol: 9, member: claim({}) })}\n`,
  ]) {
    const port = await listen(t, (socket) => socket.end(answer))
    await assert.rejects(n1.join([`127.0.0.1:${port}`]), { code: 'join-failed' })
  }
  await assertWorks(cluster, n1)
  assert.match(addressOf(n1), /^127\.0\.0\.1:\d+$/)
})
