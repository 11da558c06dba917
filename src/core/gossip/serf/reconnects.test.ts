/** What a machine makes of failed members, and of one that comes back. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GOSSIP_PROFILES } from '../profile.ts'
import { aliveOf, endpointOf } from '../testing/scripted-machine.ts'
import { ScriptedSerf } from '../testing/scripted-serf.ts'
import { CLASSIC_SERF_TIMES, SERF_TIMES } from './serf-profile.ts'

const NEVER = 1e9

/** Knows a to d, of whom those given have failed, each at its time. */
function withFailed(times: typeof SERF_TIMES, failedAt: Readonly<Record<string, number>>): ScriptedSerf {
  const script = new ScriptedSerf({ times, profile: { ...GOSSIP_PROFILES.serf, probeIntervalMs: NEVER } }).meet('a', 'b', 'c', 'd')
  for (const [node, at] of Object.entries(failedAt)) {
    script.advance(at - script.now)
    script.packet([{ type: 'dead', node, from: 'teller', incarnation: 1 }])
  }
  script.outputs = []
  return script
}

/** Whom it tries in the next seconds, and when. */
function tries(script: ScriptedSerf, ms: number): [string, number][] {
  const found: [string, number][] = []
  const start = script.now
  while (script.now < start + ms) {
    script.advance(100)
    for (const { stream, to, message } of script.take('open-stream')) {
      if (message.type !== 'push-pull') continue
      const name = ['a', 'b', 'c', 'd'].find((one) => endpointOf(one).address.join() === to.address.join())!
      found.push([name, script.now - start])
      script.input({ type: 'stream-failed', stream, reason: 'nobody is there' })
    }
  }
  return found
}

test('those that failed together with one that is back are tried soon; one that failed long before is not', () => {
  const script = withFailed({ ...SERF_TIMES, reconnectIntervalMs: NEVER }, { a: 1000, b: 41_000, c: 42_000, d: 43_000 })
  script.packet([aliveOf('b', { incarnation: 2 })])
  const found = tries(script, 12_000)
  assert.deepEqual(new Set(found.map(([name]) => name)), new Set(['c', 'd']))
  assert.equal(found[0]![1], 500)
  assert.ok(found.length >= 18 && found.length <= 20, `${found.length} in 10 s`)
  assert.ok(found.at(-1)![1] <= 10_000)
})

test('it waits while more come back, but not for long, and ends when all are', () => {
  const script = withFailed({ ...SERF_TIMES, reconnectIntervalMs: NEVER }, { a: 1000, b: 1000, c: 1000, d: 1000 })
  const start = script.now
  let first: number | undefined
  for (let incarnation = 2; script.now < start + 3000; incarnation++) {
    script.packet([{ type: 'dead', node: 'a', from: 'teller', incarnation: incarnation - 1 }, aliveOf('a', { incarnation })])
    if (tries(script, 300).length > 0) first ??= script.now - start
  }
  assert.ok(first! >= 2000 && first! <= 2400, `${first}`)
  script.packet(['b', 'c', 'd'].map((node) => aliveOf(node, { incarnation: 2 })))
  assert.equal(tries(script, 1500).length, 0)
})

test('Serf itself waits for its half a minute', () => {
  const script = withFailed(CLASSIC_SERF_TIMES, { c: 31_000, d: 31_000 })
  script.packet([aliveOf('c', { incarnation: 2 })])
  assert.ok(tries(script, 12_000).length <= 1)
})
