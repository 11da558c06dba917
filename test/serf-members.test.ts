/** Agents of Polycast and of Serf in one cluster: joining, tags, leaving, failing, coming back. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { until } from './cluster.ts'
import { MixedCluster, runSerf, SerfAgent, serfMissing, untilAcquainted, untilStatus } from './serf-agents.ts'

describe('members of both kinds', { skip: serfMissing, concurrency: 3 }, () => {
  test('each joins the other, both know the tags, and changes of them', async (t) => {
    const mixed = await MixedCluster.open(t)
    const s1 = await mixed.startSerf('s1', { flags: ['-tag', 'role=web', '-tag', 'zone=eu'] })
    const p1 = await mixed.startPolycast('p1', { join: [s1], flags: ['--tag', 'role=db'] })
    const s2 = await mixed.startSerf('s2', { join: [p1] })
    await untilAcquainted([s1, p1, s2])
    const tagsAtSerf = async (name: string): Promise<unknown> => (await s2.members()).find((member) => member.name === name)?.tags
    const tagsAtPolycast = async (name: string): Promise<unknown> => (await p1.agent.members()).find((member) => member.name === name)?.tags
    const polycast = p1.agent.swarm.split(':').at(-1)
    assert.deepEqual(await tagsAtSerf('p1'), { role: 'db', polycast })
    assert.deepEqual(await tagsAtPolycast('s1'), { role: 'web', zone: 'eu' })
    await s1.output('tags', '-set', 'rack=r1', '-delete', 'zone')
    await p1.output('tags', '--set', 'rack=r2', '--delete', 'role')
    await until('the changed tags are known to the other kind', async () => {
      const [ofPolycast, ofSerf] = [await tagsAtSerf('p1'), await tagsAtPolycast('s1')]
      return isDeepStrictEqual(ofPolycast, { polycast, rack: 'r2' }) && isDeepStrictEqual(ofSerf, { rack: 'r1', role: 'web' })
    })
  })

  test('who leaves has left for both, who dies has failed; then it is given up, and forgotten', async (t) => {
    const mixed = await MixedCluster.open(t)
    const s1 = await mixed.startSerf('s1')
    const p1 = await mixed.startPolycast('p1', { join: [s1] })
    const [s2, s3, s4] = await Promise.all(['s2', 's3', 's4'].map((name) => mixed.startSerf(name, { join: [s1] })))
    const [p2, p3, p4] = await Promise.all(['p2', 'p3', 'p4'].map((name) => mixed.startPolycast(name, { join: [p1] })))
    await untilAcquainted([s1, p1, s2!, p2!, s3!, p3!, s4!, p4!])
    const heard = await Promise.all([s1.follow(), p1.follow()])
    await Promise.all([s2!.output('leave'), p2!.output('leave')])
    await untilStatus([s1, p1], { s2: 'left', p2: 'left' })
    await Promise.all([s3!, s4!, p3!.agent, p4!.agent].map((agent) => agent.end('SIGKILL')))
    await untilStatus([s1, p1], { s3: 'failed', p3: 'failed', s4: 'failed', p4: 'failed' })
    for (const list of heard) {
      await until('what became of all is told', () => list.filter(({ kind }) => /leave$|failed/.test(kind)).length >= 6)
      const told = list.filter(({ kind }) => /leave$|failed/.test(kind)).map(({ kind, name }) => `${kind} ${name}`)
      assert.deepEqual(told.toSorted(), [
        ...['member-failed p3', 'member-failed p4', 'member-failed s3', 'member-failed s4'],
        ...['member-leave p2', 'member-leave s2'],
      ])
    }
    // An intent is sent a few times only, by Serf also to those that died shortly before: it may reach nobody, and is said again then.
    await until('both are given up', async () => {
      await s1.output('force-leave', 'p3')
      await p1.output('forget', 's3')
      return [await s1.statuses(), await p1.statuses()].every(({ s3, p3 }) => s3 === 'left' && p3 === 'left')
    })
    // Those that failed, and those that were given up just now.
    await until('all four are forgotten', async () => {
      for (const name of ['s3', 's4']) await p1.output('forget', name, '--prune')
      for (const name of ['p3', 'p4']) await s1.output('force-leave', '-prune', name)
      const left = [await s1.statuses(), await p1.statuses()].map((seen) => Object.keys(seen).toSorted().join(' '))
      return isDeepStrictEqual(left, ['p1 p2 s1 s2', 'p1 p2 s1 s2'])
    })
    await untilStatus([s1, p1], { s2: 'left', p2: 'left' })
  })

  test('after kill -9 both find the cluster by their snapshot alone', async (t) => {
    const mixed = await MixedCluster.open(t)
    const s1 = await mixed.startSerf('s1')
    const p1 = await mixed.startPolycast('p1', { join: [s1] })
    const s2 = await mixed.startSerf('s2', { join: [s1], flags: ['-snapshot=snapshot'] })
    await untilAcquainted([s1, p1, s2])
    // The addresses to join are those of nobody from now on: p2 joins by its API.
    const p2 = await mixed.startPolycast('p2')
    await p2.output('join', s1.gossip)
    await untilAcquainted([s1, p1, s2, p2])
    await until('s2 has written down who is there', async () => (await readFile(s2.snapshot, 'utf8')).includes('alive: p2 '))
    await Promise.all([s2.end('SIGKILL'), p2.agent.end('SIGKILL')])
    await untilStatus([s1, p1], { s2: 'failed', p2: 'failed' })
    await Promise.all([s2.start(false), p2.agent.start()])
    await untilAcquainted([s1, p1, s2, p2])
  })

  test('of two with one name the one that most know stays, of whichever kind', async (t) => {
    const mixed = await MixedCluster.open(t)
    const s1 = await mixed.startSerf('s1')
    const p1 = await mixed.startPolycast('p1', { join: [s1] })
    const s2 = await mixed.startSerf('s2', { join: [s1] })
    const p2 = await mixed.startPolycast('p2', { join: [s1] })
    const all = [s1, p1, s2, p2]
    await untilAcquainted(all)
    const heard = await Promise.all([s1.follow(), p1.follow()])
    const serf = new SerfAgent('p2', mixed.directory, {})
    mixed.serfs.push(serf)
    await serf.start()
    await serf.run('join', s1.gossip)
    await until('the agent of Serf ends', () => !serf.isRunning)
    assert.ok(serf.logged('minority').length > 0, serf.log.join('\n'))
    const polycast = await mixed.startPolycast('s2')
    const joined = polycast.agent.cli('join', s1.gossip)
    await until('the agent of Polycast ends', () => !polycast.agent.isRunning)
    await joined
    assert.ok(polycast.agent.logged('name-conflict').length > 0, JSON.stringify(polycast.agent.log))
    await untilAcquainted(all)
    for (const list of heard) assert.ok(!list.some(({ kind, name }) => /failed|leave$/.test(kind) && name === 's2'), JSON.stringify(list))
    const addresses = new Map((await s1.members()).map(({ name, addr }) => [name, addr]))
    assert.deepEqual([addresses.get('p2'), addresses.get('s2')], [p2.gossip, s2.gossip])
  })

  test("Serf's commands to a Polycast agent in a cluster of both", async (t) => {
    const mixed = await MixedCluster.open(t)
    const s1 = await mixed.startSerf('s1', { flags: ['-tag', 'role=web', '-event-handler=query:load=echo s1 has $(cat)'] })
    const p1 = await mixed.startPolycast('p1', { join: [s1], flags: ['--serf-rpc', '127.0.0.1:0'] })
    await untilAcquainted([s1, p1])
    await until('it listens for tools of Serf', () => p1.agent.logged('listening for tools of Serf').length === 1)
    const rpc = String(p1.agent.logged('listening for tools of Serf')[0]?.['address'])
    const serf = async (command: string, ...args: string[]): Promise<string> => {
      const { code, text } = await runSerf(rpc, command, args)
      assert.equal(code, 0, `serf ${command} to a Polycast agent: ${text}`)
      return text
    }
    const listed = JSON.parse(await serf('members', '-format=json')) as { members: { name: string; addr: string; status: string }[] }
    assert.deepEqual(
      listed.members.map(({ name, addr, status }) => [name, addr, status]).toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1)),
      [
        ['p1', p1.gossip, 'alive'],
        ['s1', s1.gossip, 'alive'],
      ],
    )
    const heard = await s1.follow()
    await serf('event', '-coalesce=false', 'deploy', 'v1')
    await until('s1 hears the event', () => heard.some(({ name, text }) => name === 'deploy' && text === 'v1'))
    const answers = await serf('query', '-timeout=1s', 'load', '5')
    assert.match(answers, /Response from 's1': s1 has 5/)
    assert.match(answers, /Total Acks: 2/)
    assert.ok((await p1.agent.metric('polycast_serf_rpc_requests_total')) >= 6)
    await serf('tags', '-set', 'rack=r9')
    await until('s1 sees the tag', async () => (await s1.members()).find(({ name }) => name === 'p1')?.tags['rack'] === 'r9')
    assert.match(await serf('reachability'), /Successfully contacted all live nodes/)
    await s1.end('SIGKILL')
    await untilStatus([p1], { s1: 'failed' })
    await serf('force-leave', 's1')
    await untilStatus([p1], { s1: 'left' })
    await serf('force-leave', '-prune', 's1')
    await untilStatus([p1], { s1: undefined })
    await serf('leave')
    await until('the agent ends', () => !p1.agent.isRunning)
  })
})
