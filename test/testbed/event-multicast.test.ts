/** Events on a LAN that carries multicast, where one port of the switch does not: how often they are heard, and what they cost. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cluster, until, type Agent } from '../cluster.ts'
import { keyFlags, startOn } from './host-agents.ts'
import { Lan } from './lan.ts'

/** h0 to h5; what is sent to a group does not come to the last one. */
const HOSTS = 6
const DEAF = 5
const EVENTS = 40
const PAUSE_MS = 10

/** What is counted of one agent. */
interface Counts {
  readonly reached: number
  readonly multicastsSent: number
  readonly multicastsReceived: number
  readonly payloadsSent: number
}

const METRICS: Readonly<Record<keyof Counts, string>> = {
  reached: 'polycast_multicast_reached_members',
  multicastsSent: 'polycast_multicast_events_sent_total',
  multicastsReceived: 'polycast_multicast_events_received_total',
  payloadsSent: 'polycast_event_payloads_sent_total',
}

/** The API of an agent is on its host's loopback; a shell asks it, since another Node for each question takes as long as all the rest. */
async function countsOf(lan: Lan, agent: Agent, k: number): Promise<Counts> {
  const [host, port] = agent.http.split(':')
  const ask = `exec 3<>/dev/tcp/${host}/${port}; printf 'GET /metrics HTTP/1.0\\r\\nHost: ${agent.http}\\r\\n\\r\\n' >&3; cat <&3`
  const printed = await lan.runOnHost(k, 'bash', '-c', ask)
  const lines = new Map(printed.split('\n').map((line) => line.split(' ') as [string, string]))
  const value = (name: keyof Counts): number => Number(lines.get(METRICS[name]))
  return {
    reached: value('reached'),
    multicastsSent: value('multicastsSent'),
    multicastsReceived: value('multicastsReceived'),
    payloadsSent: value('payloadsSent'),
  }
}

async function sendEvents(lan: Lan, agent: Agent, k: number, name: string): Promise<void> {
  await lan.runOnHost(
    k,
    process.execPath,
    '--input-type=module',
    '-e',
    `for (let i = 0; i < ${EVENTS}; i++) {
      const body = JSON.stringify({ name: '${name}', text: String(i) })
      const { status } = await fetch('http://${agent.http}/v1/events', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
      if (status !== 200) throw new Error('refused: ' + status)
      await new Promise((resolve) => setTimeout(resolve, ${PAUSE_MS}))
    }`,
  )
}

test('events ride multicast where it reaches, and the tree brings them to who is not reached', async (t) => {
  const lan = Lan.up({ prefix: 'events', hosts: HOSTS })
  t.after(() => lan.down())
  lan.multicastFlood(DEAF, false)
  const cluster = await Cluster.open(t)
  const flags = [...(await keyFlags(cluster)), '--gossip-label', 'events']
  const first = await startOn(cluster, lan, 0, { flags })
  // At the same time: the order in which they come shapes the tree, whose copies are counted here.
  const others = await Promise.all([1, 2, 3, 4, 5].map((host) => startOn(cluster, lan, host, { flags, join: [first] })))
  const agents = [first, ...others]
  const counts = (): Promise<Counts[]> => Promise.all(agents.map((agent, k) => countsOf(lan, agent, k)))

  const monitors = agents.map((agent) => agent.startCli('monitor', '--filter', 'user', '--json'))
  t.after(async () => {
    for (const monitor of monitors) monitor.kill('SIGTERM')
    await Promise.all(monitors.map((monitor) => monitor.result))
  })
  await until('all monitors follow', () => monitors.every((monitor) => monitor.printed().includes('"started"')))
  for (const [k, agent] of agents.entries()) {
    // All but itself and the deaf one; that one reaches all others.
    const most = k === DEAF ? HOSTS - 1 : HOSTS - 2
    let reached = 0
    await until(`h${k} knows whom it reaches`, async () => (reached = (await countsOf(lan, agent, k)).reached) === most).catch(
      (error: unknown) => assert.fail(`${String(error)}: ${reached} of ${most}`),
    )
  }

  /** Sends events from a host and waits until all have each of them; what each agent sent and got for them. */
  const measure = async (origin: number, name: string): Promise<Counts[]> => {
    const heardBy = (k: number): string[] =>
      monitors[k]!.printed()
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as { event: string; name?: string; text?: string })
        .flatMap((line) => (line.event === 'user' && line.name === name ? [line.text ?? ''] : []))
    const before = await counts()
    await sendEvents(lan, agents[origin]!, origin, name)
    await until('all have heard all', () => agents.every((_, k) => new Set(heardBy(k)).size >= EVENTS))
    const after = await counts()
    for (const k of agents.keys()) {
      const heard = heardBy(k)
      assert.deepEqual([heard.length, new Set(heard).size], [EVENTS, EVENTS], `h${k} heard each once`)
    }
    return after.map((one, k) => ({
      reached: one.reached,
      multicastsSent: one.multicastsSent - before[k]!.multicastsSent,
      multicastsReceived: one.multicastsReceived - before[k]!.multicastsReceived,
      payloadsSent: one.payloadsSent - before[k]!.payloadsSent,
    }))
  }
  const sentByAll = (all: readonly Counts[]): number => all.reduce((sum, { payloadsSent }) => sum + payloadsSent, 0)

  await t.test('one datagram for each event, and one copy for the one that is not reached', async () => {
    const all = await measure(0, 'calm')
    const seen = JSON.stringify(all)
    assert.equal(all[0]!.multicastsSent, EVENTS, seen)
    for (let k = 1; k < HOSTS; k++) {
      assert.equal(all[k]!.multicastsSent, 0, seen)
      // A machine that is busy may be late with one, and be asked before it reads it.
      if (k === DEAF) assert.equal(all[k]!.multicastsReceived, 0, seen)
      else assert.ok(all[k]!.multicastsReceived >= 0.9 * EVENTS, seen)
    }
    assert.ok(sentByAll(all) >= EVENTS && sentByAll(all) <= 1.5 * EVENTS, seen)
    assert.ok(all[0]!.payloadsSent <= 1.25 * EVENTS, seen)
  })

  await t.test('the one that is not reached sends by multicast all the same', async () => {
    const all = await measure(DEAF, 'deaf')
    const seen = JSON.stringify(all)
    assert.equal(all[DEAF]!.multicastsSent, EVENTS, seen)
    assert.ok(sentByAll(all) <= 0.5 * EVENTS, seen)
  })

  await t.test('5 % of all packets lost: still each once, and little more than what was lost is sent again', async () => {
    lan.testbed('loss', 'all', '5')
    const all = await measure(0, 'lossy')
    lan.testbed('loss', 'all', '0')
    const seen = JSON.stringify(all)
    assert.equal(all[0]!.multicastsSent, EVENTS, seen)
    assert.ok(sentByAll(all) <= 2.2 * EVENTS, seen)
  })
})
