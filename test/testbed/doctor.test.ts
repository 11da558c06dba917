/** Each fault of the network, made for real, and what the doctor says of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DoctorReport } from '#src/agent/gossip/gossip.js'
import { Cluster, until, type Agent } from '../cluster.ts'
import { agentsOn, keyFlags, startOn } from './host-agents.ts'
import { Lan } from './lan.ts'

interface Answer {
  readonly code: number | null
  readonly codes: readonly string[]
  readonly text: string
}

async function doctor(agent: Agent, target: string): Promise<Answer> {
  const { code, stdout, stderr } = await agent.cli('doctor', target, '--json')
  assert.equal(stderr, '')
  const { examined } = JSON.parse(stdout) as DoctorReport
  const findings = examined.filter(({ status }) => status !== 'self').flatMap((one) => one.findings)
  return { code, codes: findings.map((finding) => finding.code), text: JSON.stringify(findings) }
}

test('the doctor names each fault of the network', async (t) => {
  const lan = Lan.up({ prefix: 'doctor', hosts: 6 })
  t.after(() => lan.down())
  const cluster = await Cluster.open(t)
  const [key, otherKey] = [await keyFlags(cluster), await keyFlags(cluster)]
  const own = [...key, '--gossip-label', 'one']
  const [h0, h1, , h3] = (await agentsOn(cluster, lan, [0, 1, 2, 3], { flags: own })) as [Agent, Agent, Agent, Agent]

  const says = async (what: string, codes: readonly string[], target = 'h1'): Promise<Answer> => {
    let last: Answer | undefined
    await until(`${what} is named`, async () => {
      last = await doctor(h0, target)
      return JSON.stringify(last.codes) === JSON.stringify(codes)
    }).catch((error: unknown) => assert.fail(`${String(error)}: ${last?.text ?? ''}`))
    assert.equal(last!.code, codes.length === 0 ? 0 : 3)
    return last!
  }

  await says('that all is well', [])

  await t.test('UDP blocked towards it', async () => {
    const end = lan.drop(1, 'ip saddr 10.77.0.1 meta l4proto udp')
    await says('one way', ['udp-blocked-to'])
    end()
  })
  await t.test('UDP blocked from it: it hears this node, and is not heard', async () => {
    const end = lan.drop(0, 'ip saddr 10.77.1.1 meta l4proto udp')
    await says('the other way', ['udp-blocked-from'])
    end()
  })
  await t.test('UDP blocked both ways', async () => {
    const ends = [lan.drop(0, 'ip saddr 10.77.1.1 meta l4proto udp'), lan.drop(1, 'ip saddr 10.77.0.1 meta l4proto udp')]
    const { text } = await says('both ways', ['udp-blocked'])
    assert.match(text, /both ways/)
    for (const end of ends) end()
  })
  await t.test('large packets lost', async () => {
    const end = lan.drop(1, 'ip saddr 10.77.0.1 meta l4proto udp ip length > 900')
    const { text } = await says('the MTU', ['large-packets-lost'])
    assert.match(text, /576 bytes get through, 1200 bytes do not/)
    end()
  })
  await t.test('TCP blocked, and UDP not', async () => {
    const end = lan.drop(1, 'ip saddr 10.77.0.1 meta l4proto tcp')
    await says('TCP', ['tcp-blocked'])
    end()
  })
  await t.test('all blocked between the two: others reach it', async () => {
    const end = lan.drop(1, 'ip saddr 10.77.0.1')
    const { text } = await says('the path', ['path-blocked'])
    assert.match(text, /h[23].* can reach it/)
    end()
  })
  await says('that all is well again', [])

  await t.test('another key, another label, no encryption', async () => {
    const start = (name: string, ...flags: readonly string[]): Promise<Agent> => startOn(cluster, lan, 4, { name, flags })
    await start('key', ...otherKey, '--gossip-label', 'one', '--gossip-port', '7950')
    await start('label', ...key, '--gossip-label', 'two', '--gossip-port', '7951')
    await start('plain', '--gossip-label', 'one', '--gossip-port', '7952')
    await start('same', ...own, '--gossip-port', '7953')
    for (const [port, codes] of [
      [7950, ['wrong-key']],
      [7951, ['wrong-label']],
      [7952, ['plain-there']],
      [7953, []],
    ] as const) {
      await says(`what is at ${port}`, codes, `10.77.1.4:${port}`)
    }
    const unencrypted = cluster.agents.find(({ name }) => name === 'plain')!
    assert.deepEqual((await doctor(unencrypted, h0.gossip)).codes, ['encrypted-there'])
    const labelled = cluster.agents.find(({ name }) => name === 'label')!
    assert.deepEqual((await doctor(labelled, h0.gossip)).codes, ['wrong-label'])
    // They asked this node, too.
    const { stdout } = await h0.cli('doctor', '--json')
    const self = (JSON.parse(stdout) as DoctorReport).examined.find(({ status }) => status === 'self')
    assert.match(JSON.stringify(self), /unreadable-senders.*10\.77\.1\.4/)
  })

  await t.test('a process that is stopped, and one that was', async () => {
    h3.signal('SIGSTOP')
    await says('the stop', ['process-stalled'], 'h3')
    h3.signal('SIGCONT')
    await says('that it was held up', ['member-held-up'], 'h3')
    const { stdout } = await h3.cli('doctor', 'h1', '--json')
    const self = (JSON.parse(stdout) as DoctorReport).examined.find(({ status }) => status === 'self')
    assert.ok(self?.findings.some(({ code }) => code === 'node-held-up'))
  })
  await t.test('a process that is gone', async () => {
    await h1.end('SIGKILL')
    await says('the process', ['process-gone'])
  })
  await t.test('a host that is gone', async () => {
    lan.testbed('cut', 'h3')
    const { text } = await says('the host', ['host-gone'], 'h3')
    assert.match(text, /no other member reaches it/)
  })
  await t.test('a name that stands for nothing, and an address where nobody is', async () => {
    const { code, codes } = await doctor(h0, 'no such name')
    assert.deepEqual([code, codes], [3, ['name-unknown']])
    await says('the empty address', ['host-gone'], '10.77.1.99')
  })
})
