import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemberList } from './member-list.ts'
import { Cluster, RawLink, TIMES, addressOf, claim, listen, statusOf, when, whenStatus } from './cluster.testing.ts'
import type { PolycastError } from '../errors.ts'

function names(list: MemberList): string[] {
  return list.members().map((member) => `${member.name} ${member.status}`)
}

test('two members see each other once one joined the other', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1', { tags: { role: 'seed' }, swarmPort: 7001 })
  const n2 = await cluster.start('n2', { tags: { zone: 'eu' } })
  assert.equal(await n2.join([addressOf(n1)]), 1)
  assert.deepEqual(n2.members()[0], n1.self)
  assert.deepEqual([n1.self.isSeed, n2.self.isSeed, n1.self.swarmPort], [true, false, 7001])
  await whenStatus(n1, 'n2', 'alive')
  assert.deepEqual(n1.members(), n2.members())
})

test('a member joins through several, its own address among them', async (t) => {
  const cluster = new Cluster(t)
  const [n1, n2] = [await cluster.start('n1'), await cluster.start('n2')]
  const n3 = await cluster.start('n3')
  assert.equal(await n3.join([addressOf(n1), addressOf(n3), addressOf(n2)]), 2)
  const all = ['n1 alive', 'n2 alive', 'n3 alive']
  await when([n1, n2], () => [n1, n2].every((list) => names(list).join() === all.join()))
  assert.deepEqual(names(n3), all)
  const alone = await cluster.start('n4')
  assert.equal(await alone.join([addressOf(alone)]), 0)
})

test('who joins one learns of all, and all learn of it', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  const n2 = await cluster.join('n2', n1)
  const n3 = await cluster.join('n3', n2)
  assert.deepEqual(names(n3), ['n1 alive', 'n2 alive', 'n3 alive'])
  await whenStatus(n1, 'n3', 'alive')
})

test('two that join each other at the same time keep one link, and neither suspects the other', async (t) => {
  for (const [a, b] of [
    ['n1', 'n2'],
    ['n2', 'n1'],
  ] as const) {
    const cluster = new Cluster(t)
    const [one, other] = [await cluster.start(a), await cluster.start(b)]
    const seen: string[] = []
    for (const list of [one, other]) list.onChange((member) => seen.push(member.status))
    assert.deepEqual(await Promise.all([one.join([addressOf(other)]), other.join([addressOf(one)])]), [1, 1])
    let passes = 0
    await cluster.pass(() => ++passes > 200, 100)
    assert.deepEqual([one.linkCount, other.linkCount, one.self.incarnation, other.self.incarnation], [1, 1, 1, 1])
    assert.deepEqual(seen, ['alive', 'alive'])
  }
})

test('a killed member is suspected at once, dead after a while, and alive again with a higher incarnation', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  const n2 = await cluster.join('n2', n1)
  const n3 = await cluster.join('n3', n1)
  await when([n1, n2, n3], () => [n1, n2, n3].every((list) => list.members().length === 3))
  await n3.close()
  await Promise.all([whenStatus(n1, 'n3', 'suspect'), whenStatus(n2, 'n3', 'suspect')])
  cluster.clock.advance(TIMES.deadTimeoutMs + TIMES.heartbeatIntervalMs)
  await Promise.all([whenStatus(n1, 'n3', 'dead'), whenStatus(n2, 'n3', 'dead')])

  const again = await cluster.join('n3', n2)
  await whenStatus(n1, 'n3', 'alive')
  assert.equal(again.self.incarnation, 2)
  assert.deepEqual(
    n1.members().find((member) => member.name === 'n3'),
    again.self,
  )
})

test('a member that sends no sign of life is suspected', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  const silent = await RawLink.greeted(t, n1, claim({ name: 'silent' }))
  assert.equal(statusOf(n1, 'silent'), 'alive')
  cluster.clock.advance(TIMES.suspectTimeoutMs - 1)
  assert.equal(statusOf(n1, 'silent'), 'alive')
  cluster.clock.advance(1)
  await whenStatus(n1, 'silent', 'suspect')
  await silent.closed()
  assert.ok(silent.messages.some((message) => message.type === 'ping'))
})

test('a member whose link breaks is suspected at once, even where its port does not say no', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  const gossipPort = await listen(t, () => undefined)
  const link = await RawLink.greeted(t, n1, claim({ name: 'mute', gossipPort }))
  link.end()
  await whenStatus(n1, 'mute', 'suspect')
  await cluster.pass(() => statusOf(n1, 'mute') === 'dead')
})

test('signs of life keep members alive', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  const lively = await RawLink.greeted(t, n1, claim({ name: 'lively' }))
  for (let beat = 0; beat < 10; beat++) {
    lively.send({ type: 'ping' }, { type: 'members', members: [claim({ name: `m${beat}` })] })
    await whenStatus(n1, `m${beat}`, 'alive')
    cluster.clock.advance(TIMES.heartbeatIntervalMs)
  }
  assert.equal(statusOf(n1, 'lively'), 'alive')
  assert.equal(lively.isClosed, false)
})

test('a process that stood still suspects nobody for it', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  const lively = await RawLink.greeted(t, n1, claim({ name: 'lively' }))
  lively.send({ type: 'members', members: [claim({ name: 'doubted', status: 'suspect' })] })
  await whenStatus(n1, 'doubted', 'suspect')
  cluster.clock.stall(60_000)
  assert.equal(statusOf(n1, 'doubted'), 'suspect')
  lively.send({ type: 'members', members: [claim({ name: 'marker' })] })
  await whenStatus(n1, 'marker', 'alive')
  assert.equal(statusOf(n1, 'lively'), 'alive')
  assert.equal(lively.isClosed, false)
})

test('a live member contradicts what is said of it', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  const n2 = await cluster.join('n2', n1)
  await whenStatus(n1, 'n2', 'alive')
  const liar = await RawLink.greeted(t, n1, claim({ name: 'liar' }))
  const told = liar.messages
    .flatMap((message) => (message.type === 'members' ? message.members : []))
    .find((record) => record.name === 'n2')
  assert.ok(told)
  for (const status of ['suspect', 'dead', 'left'] as const) {
    const { incarnation } = n2.self
    liar.send({ type: 'members', members: [{ ...told, status, incarnation }] })
    await when([n1], () => n1.members().some((member) => member.name === 'n2' && member.incarnation > incarnation))
    assert.equal(statusOf(n1, 'n2'), 'alive')
  }
  assert.equal(n2.self.incarnation, 4)
})

test('a second live agent of one name is refused, by the first and by others, and changes nothing', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  const n2 = await cluster.join('n2', n1)
  await whenStatus(n1, 'n2', 'alive')
  for (const other of [n1, n2]) {
    const impostor = await cluster.start('n1')
    await assert.rejects(impostor.join([addressOf(other)]), {
      code: 'name-conflict',
      message: `The name n1 belongs to another live agent, at ${addressOf(n1)}.`,
    })
    await impostor.close()
  }
  assert.deepEqual(names(n1), ['n1 alive', 'n2 alive'])
  assert.deepEqual(n2.members()[0], n1.self)
  assert.equal(n1.self.incarnation, 1)
})

test('an agent that restarts at another port takes its name over from its former life', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  // Nobody listens at the port that this record names, but n1 has no reason yet to doubt it.
  await RawLink.greeted(t, n1, claim({ name: 'n2', gossipPort: 1, incarnation: 7 }))
  const n2 = await cluster.join('n2', n1)
  await when([n1], () => n1.members().some((member) => member.name === 'n2' && member.gossipPort === n2.self.gossipPort))
  assert.equal(n2.self.incarnation, 8)
  assert.equal(statusOf(n1, 'n2'), 'alive')
})

test('of two agents of one name in halves that meet, the one that started first keeps it and the other is told', async (t) => {
  const cluster = new Cluster(t)
  const [first, left] = [await cluster.start('twin'), await cluster.start('left')]
  cluster.clock.advance(10)
  const [second, right] = [await cluster.start('twin'), await cluster.start('right')]
  await left.join([addressOf(first)])
  await right.join([addressOf(second)])
  // The younger one has contradicted something already, so that its incarnation is the higher one.
  const liar = await RawLink.greeted(t, second, claim({ name: 'liar' }))
  const record = liar.messages.flatMap((message) => (message.type === 'members' ? message.members : [])).find(({ name }) => name === 'twin')
  assert.ok(record)
  liar.send({ type: 'members', members: [{ ...record, status: 'suspect', incarnation: 6 }] })
  await when([second], () => second.self.incarnation === 7)
  const told = new Promise<PolycastError>((resolve) => second.onConflict(resolve))
  await left.join([addressOf(right)])
  assert.equal((await told).code, 'name-conflict')
  const holder = (list: MemberList): number | undefined => list.members().find((member) => member.name === 'twin')?.gossipPort
  await when([left, right], () => [left, right].every((list) => holder(list) === first.self.gossipPort))
  assert.deepEqual([first.self.incarnation, second.self.incarnation], [8, 7])
})

test('a member that leaves is known to have left, at once and by all', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  const n2 = await cluster.join('n2', n1)
  const n3 = await cluster.join('n3', n1)
  await when([n2, n3], () => n2.members().length === 3 && n3.members().length === 3)
  await n3.leave()
  assert.equal(n3.self.status, 'left')
  await Promise.all([whenStatus(n1, 'n3', 'left'), whenStatus(n2, 'n3', 'left')])
  await n3.leave()
  await n3.close()
  cluster.clock.advance(TIMES.forgetTimeoutMs + TIMES.heartbeatIntervalMs)
  assert.equal(statusOf(n1, 'n3'), undefined)
  const again = await cluster.join('n3', n1)
  assert.equal(again.self.status, 'alive')
})

test('a member that left comes back', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  const n2 = await cluster.join('n2', n1)
  await n2.leave()
  await whenStatus(n1, 'n2', 'left')
  await cluster.join('n2', n1)
  await whenStatus(n1, 'n2', 'alive')
})

test('joining nobody who answers fails with the reasons, and goes on until somebody does', async (t) => {
  const cluster = new Cluster(t)
  const gone = await cluster.start('gone')
  const address = addressOf(gone)
  await gone.close()
  const n1 = await cluster.start('n1')
  await assert.rejects(n1.join([address]), { code: 'join-failed', message: new RegExp(`${address}: connection refused`) })
  await assert.rejects(n1.join(['http://x']), { code: 'join-failed', message: /"http:\/\/x" is no address/ })
  const late = await cluster.start('late', { gossipPort: Number(address.split(':')[1]) })
  await cluster.pass(() => statusOf(n1, 'late') === 'alive' && statusOf(late, 'n1') === 'alive')
})

test('an agent that does not answer in time is a failure with that reason', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  let accept: () => void = () => undefined
  const accepted = new Promise<void>((resolve) => {
    accept = resolve
  })
  const port = await listen(t, () => accept())
  const joining = assert.rejects(n1.join([`127.0.0.1:${port}`]), { code: 'join-failed', message: /no answer within 5000 ms/ })
  await accepted
  cluster.clock.advance(TIMES.dialTimeoutMs)
  await joining
})

test('a port that is taken is an error that names it', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  await assert.rejects(cluster.start('n2', { gossipPort: n1.self.gossipPort }), {
    code: 'address-in-use',
    message: new RegExp(addressOf(n1)),
  })
  await assert.rejects(cluster.start('n3', { bind: '192.0.2.1' }), {
    code: 'address-unusable',
    message: /192\.0\.2\.1:0.*does not have that address/,
  })
})

test('a dead member that is back without joining anybody is found again', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  const n2 = await cluster.join('n2', n1)
  const { gossipPort } = n2.self
  await n2.close()
  await cluster.pass(() => statusOf(n1, 'n2') === 'dead')
  await cluster.start('n2', { gossipPort })
  await cluster.pass(() => statusOf(n1, 'n2') === 'alive')
})

test('the end of a member that no link leads to is found by probes', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  const others = await Promise.all(['n2', 'n3', 'n4', 'n5'].map((name) => cluster.join(name, n1)))
  const all = [n1, ...others]
  await cluster.pass(() => all.every((list) => list.linkCount === 4))
  const teller = await RawLink.greeted(t, n1, claim({ name: 'teller' }))
  const ghosts = Array.from({ length: 4 }, (_, index) => claim({ name: `ghost${index}`, gossipPort: index + 1 }))
  teller.send({ type: 'members', members: ghosts }, { type: 'bye', reason: 'left', text: '' })
  await when([n1], () => n1.members().length === 10)
  await cluster.pass(() => ghosts.every(({ name }) => statusOf(n1, name) === 'dead'))
  assert.ok(others.every((list) => statusOf(n1, list.self.name) === 'alive'))
})

test('a member with as many links as it takes names others to turn to', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1', { limits: { maxLinks: 1 } })
  const n2 = await cluster.join('n2', n1)
  await whenStatus(n1, 'n2', 'alive')
  const n3 = await cluster.join('n3', n1)
  assert.deepEqual(names(n3), ['n1 alive', 'n2 alive', 'n3 alive'])
  await cluster.pass(() => statusOf(n1, 'n3') === 'alive' && statusOf(n2, 'n3') === 'alive')
  assert.ok(cluster.refused.includes('connections'))
  assert.equal(n1.linkCount, 1)
})

test('a few dozen members that join one all know each other and do not all hang on it', async (t) => {
  const cluster = new Cluster(t)
  const seed = await cluster.start('seed')
  const others = await Promise.all(Array.from({ length: 30 }, (_, index) => cluster.join(`n${index}`, seed)))
  const all = [seed, ...others]
  await when(all, () => all.every((list) => list.members().length === 31))
  await cluster.pass(() => others.every((list) => list.linkCount >= 4))
  assert.ok(others.every((list) => list.linkCount < 20))
  await seed.close()
  await when(others, () => others.every((list) => statusOf(list, 'seed') === 'suspect'))
  assert.ok(others.every((list) => list.members().filter((member) => member.status === 'alive').length === 30))
})

test('a closed list keeps neither timers nor links', async (t) => {
  const cluster = new Cluster(t)
  const n1 = await cluster.start('n1')
  const n2 = await cluster.join('n2', n1)
  await Promise.all([n1.close(), n2.close(), n1.close()])
  cluster.clock.advance(60_000)
  assert.equal(cluster.clock.pending, 0)
  assert.equal(await n1.join([]), 0)
  await new MemberList({ ...TIMES, name: 'x', bind: '127.0.0.1', gossipPort: 0, swarmPort: 1, tags: {} }).close()
})
