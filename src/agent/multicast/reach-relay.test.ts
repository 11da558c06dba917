import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ReachEntry } from '../../core/multicast/reach/reach-types.ts'
import type { ReachedNode } from '../data-plane/data-plane.ts'
import { ReachRelay } from './reach-relay.ts'

const KEY = new Uint8Array(16).fill(1)

function entry(member: string, multicastBytes: number, what: Partial<ReachEntry> = {}): ReachEntry {
  return { member, link: 'eth0/4', interface: 'eth0', family: 4, multicastBytes, broadcast: true, lossShare: 0, ...what }
}

/** A relay with what it told, and a way to change who is reached. */
function bed(isEncrypted: boolean): {
  relay: ReachRelay
  told: [readonly ReachedNode[], number][]
  reach: (...entries: ReachEntry[]) => void
} {
  const told: [readonly ReachedNode[], number][] = []
  let reach = new Map<string, ReachEntry[]>()
  let listener: (reach: Map<string, ReachEntry[]>) => void = () => undefined
  const relay = new ReachRelay({
    minReceivers: 2,
    gossip: {
      reach: () => reach,
      onReach: (given) => {
        listener = given
        return () => (listener = () => undefined)
      },
      reachWanted: () => Promise.resolve(),
      ringKeys: () => Promise.resolve([KEY]),
    },
    isEncrypted,
    tell: (reached, keys) => told.push([reached, keys.length]),
    log: () => undefined,
  })
  return {
    relay,
    told,
    reach: (...entries) => {
      reach = new Map()
      for (const one of entries) reach.set(one.member, [...(reach.get(one.member) ?? []), one])
      listener(reach)
    },
  }
}

void test('who is reached is told with each change, by each interface that reaches it', () => {
  const { relay, told, reach } = bed(false)
  relay.start()
  reach(entry('a', 1472), entry('b', 0), entry('a', 8972, { interface: 'eth1', family: 6 }))
  assert.deepEqual(told.at(-1), [
    [
      { name: 'a', interface: 'eth0', family: 4, datagramBytes: 1472 },
      { name: 'a', interface: 'eth1', family: 6, datagramBytes: 8972 },
    ],
    0,
  ])
  assert.ok(relay.isReached('a') && !relay.isReached('b'))
  reach(entry('b', 1472))
  assert.ok(!relay.isReached('a') && relay.isReached('b'))
  relay.close()
  reach(entry('a', 1472))
  assert.ok(!relay.isReached('a'))
})

void test('where gossip is encrypted nobody counts as reached before the keys are known', async () => {
  const { relay, told, reach } = bed(true)
  relay.start()
  reach(entry('a', 1472))
  assert.deepEqual(told, [])
  assert.ok(!relay.isReached('a'))
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(told.at(-1)![1], 1)
  assert.ok(relay.isReached('a'))
  relay.close()
})
