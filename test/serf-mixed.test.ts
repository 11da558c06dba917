/**
 * A cluster of eight agents of each kind in which everything happens at once: events and queries flow, tags change, keys are rotated, one
 * of each kind is killed and comes back. Nobody is taken for dead who is not, no event is lost or told twice.
 *
 * For some seconds of each thing; `TEST_SECONDS=600` for longer.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { runMs, until } from './cluster.ts'
import { MixedCluster, serfMissing, untilAcquainted, untilStatus, type Heard, type PolycastAgent, type SerfAgent } from './serf-agents.ts'

const OF_EACH = 8
const EVENT_EVERY_MS = 100
const RUN_MS = runMs(5)

test('a cluster of both kinds: no false alarm, no event lost or doubled', { skip: serfMissing }, async (t) => {
  const bed = await open(t)
  const { all, serfs, polycasts } = bed
  const heard = new Map<SerfAgent | PolycastAgent, Heard[]>()
  for (const agent of all) heard.set(agent, await agent.follow())
  const rejoining = new Set<SerfAgent | PolycastAgent>([serfs.at(-1)!, polycasts.at(-1)!])
  const steady = all.filter((agent) => !rejoining.has(agent))

  const sent: string[] = []
  let isRunning = true
  const events = (async () => {
    while (isRunning) {
      const name = `e${sent.length}`
      const sender = steady[sent.length % steady.length]!
      if ('agent' in sender) await sender.agent.api('POST', '/v1/events', { name, text: sender.name })
      else await sender.output('event', '-coalesce=false', name, sender.name)
      sent.push(`${name} ${sender.name}`)
      await pause(EVENT_EVERY_MS)
    }
  })()
  const endsAt = performance.now() + RUN_MS
  let round = 0
  do {
    round++
    await changeTags(bed, round)
    await rotateKeys(bed)
    await askAll(bed)
    if (round === 1) await killAndRestart(bed, [serfs.at(-1)!, polycasts.at(-1)!], steady)
  } while (performance.now() < endsAt)
  isRunning = false
  await events

  for (const agent of steady) {
    const list = heard.get(agent)!
    const told = (): string[] => list.flatMap(({ kind, name, text }) => (kind === 'user' ? [`${name} ${text}`] : []))
    await until(`${agent.name} hears all ${sent.length} events`, () => told().length >= sent.length)
    assert.deepEqual(told().toSorted(), sent.toSorted(), agent.name)
    const alarms = list.filter(({ kind, name }) => kind === 'member-failed' && ![...rejoining].some((one) => one.name === name))
    assert.deepEqual(alarms, [], `${agent.name} took somebody for dead`)
    assert.ok(!list.some(({ kind, name }) => kind === 'member-leave' && name !== ''), agent.name)
  }
  await untilAcquainted(all)
  t.diagnostic(`${sent.length} events, ${round} rounds`)
})

interface Bed {
  readonly mixed: MixedCluster
  readonly serfs: readonly SerfAgent[]
  readonly polycasts: readonly PolycastAgent[]
  readonly all: readonly (SerfAgent | PolycastAgent)[]
  /** The present one, in base64. */
  key: string
}

async function open(t: TestContext): Promise<Bed> {
  const mixed = await MixedCluster.open(t)
  const key = randomBytes(32).toString('base64')
  const keyFile = async (name: string): Promise<string> => {
    const file = path.join(mixed.directory, `${name}.keys`)
    await writeFile(file, JSON.stringify([key]), { mode: 0o600 })
    return file
  }
  const first = await mixed.startSerf('s0', { flags: [`-keyring-file=${await keyFile('s0')}`] })
  const numbers = Array.from({ length: OF_EACH }, (_, k) => k)
  const serfs = [first]
  const polycasts: PolycastAgent[] = []
  for (const k of numbers) {
    if (k > 0) serfs.push(await mixed.startSerf(`s${k}`, { join: [first], flags: [`-keyring-file=${await keyFile(`s${k}`)}`] }))
    const flags = ['--gossip-key-file', await keyFile(`p${k}`), '--tag', 'kind=polycast']
    polycasts.push(await mixed.startPolycast(`p${k}`, { join: [first], flags }))
  }
  const all = [...serfs, ...polycasts]
  await untilAcquainted(all)
  return { mixed, serfs, polycasts, all, key }
}

async function changeTags({ serfs, polycasts, all }: Bed, round: number): Promise<void> {
  await serfs[1]!.output('tags', '-set', `round=${round}`)
  await polycasts[1]!.output('tags', '--set', `round=${round}`)
  for (const agent of all) {
    await until(`${agent.name} sees the tags of round ${round}`, async () => {
      const members = 'agent' in agent ? await agent.agent.members() : await agent.members()
      return members.filter(({ tags }) => tags['round'] === String(round)).length === 2
    })
  }
}

async function rotateKeys(bed: Bed): Promise<void> {
  const { mixed, serfs, polycasts, all } = bed
  const old = bed.key
  const fresh = randomBytes(32).toString('base64')
  const freshFile = path.join(mixed.directory, 'fresh')
  await writeFile(freshFile, fresh, { mode: 0o600 })
  await polycasts[0]!.output('keys', 'install', freshFile)
  await serfs[0]!.output('keys', '-use', fresh)
  await serfs[0]!.output('keys', '-remove', old)
  for (const { name } of all) {
    const kept = JSON.parse(await readFile(path.join(mixed.directory, `${name}.keys`), 'utf8'))
    assert.deepEqual(kept, [fresh], name)
  }
  bed.key = fresh
}

async function askAll({ serfs, polycasts, all }: Bed): Promise<void> {
  const names = all.map(({ name }) => name).toSorted()
  const { Acks: acks } = JSON.parse(await serfs[2]!.output('query', '-format=json', '-timeout=2s', 'load')) as { Acks: string[] }
  assert.deepEqual(acks.toSorted(), names)
  const result = await polycasts[2]!.agent.api<{ acknowledgedBy: string[] }>('POST', '/v1/queries?reply=end', {
    name: 'load',
    timeoutMs: 2000,
  })
  assert.deepEqual(result.acknowledgedBy.toSorted(), names)
}

async function killAndRestart({ all }: Bed, [serf, polycast]: readonly [SerfAgent, PolycastAgent], steady: Bed['all']): Promise<void> {
  await Promise.all([serf.end('SIGKILL'), polycast.agent.end('SIGKILL')])
  await untilStatus(steady, { [serf.name]: 'failed', [polycast.name]: 'failed' })
  await Promise.all([serf.start(), polycast.agent.start()])
  await untilAcquainted(all)
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}
