/** How the times of a profile grow with the cluster. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GOSSIP_PROFILES, pushPullIntervalMs, retransmitLimit } from './profile.ts'

test('a broadcast is sent 4 · ⌈log10(n + 1)⌉ times', () => {
  for (const [members, limit] of [
    [1, 4],
    [9, 4],
    [10, 8],
    [99, 8],
    [100, 12],
    [10_000, 20],
  ] as const) {
    assert.equal(retransmitLimit(GOSSIP_PROFILES.serf, members), limit, `${members} members`)
  }
})

test('the push/pull interval grows by one of itself for each doubling above 32 members', () => {
  for (const [members, seconds] of [
    [2, 30],
    [32, 30],
    [33, 60],
    [64, 60],
    [65, 90],
    [128, 90],
    [10_000, 300],
  ] as const) {
    assert.equal(pushPullIntervalMs(GOSSIP_PROFILES.serf, members), seconds * 1000, `${members} members`)
  }
})
