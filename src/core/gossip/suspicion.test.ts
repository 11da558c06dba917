/** How long a suspected member has to refute. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { GOSSIP_PROFILES } from './profile.ts'
import { Suspicion, suspicionBounds, Suspicions, suspicionTimeoutMs } from './suspicion.ts'

const { lan, wan, local, serf } = GOSSIP_PROFILES

test('the least time is the multiplier times the logarithm of the cluster, the most six times that', () => {
  assert.deepEqual(suspicionBounds(serf, 10), { wantedConfirmations: 2, minMs: 4000, maxMs: 24_000, refusedMs: Infinity, isAlone: false })
  assert.deepEqual(suspicionBounds(serf, 100), { wantedConfirmations: 2, minMs: 8000, maxMs: 48_000, refusedMs: Infinity, isAlone: false })
  assert.deepEqual(suspicionBounds(wan, 1000), { wantedConfirmations: 4, minMs: 90_000, maxMs: 540_000, refusedMs: 3000, isAlone: false })
  assert.deepEqual(suspicionBounds(local, 4), { wantedConfirmations: 1, minMs: 10_000, maxMs: 18_000, refusedMs: 500, isAlone: false })
})

test('where there are too few to confirm, none is waited for and the time is the least', () => {
  const bounds = suspicionBounds(serf, 3)
  assert.equal(bounds.wantedConfirmations, 0)
  assert.equal(new Suspicion('a', bounds, 100).deadline, 4100)
  assert.equal(suspicionBounds(serf, 4).wantedConfirmations, 2)
})

test('each confirmation shortens the time, the first the most', () => {
  const bounds = { wantedConfirmations: 3, minMs: 2000, maxMs: 30_000, refusedMs: Infinity, isAlone: false }
  // The figures of memberlist's suspicion.go.
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((confirmations) => suspicionTimeoutMs(bounds, confirmations)),
    [30_000, 16_000, 7810, 2000, 2000],
  )
})

test('an accuser counts once, and those beyond the wanted ones not at all', () => {
  const suspicion = new Suspicion('a', { wantedConfirmations: 2, minMs: 1000, maxMs: 6000, refusedMs: Infinity, isAlone: false }, 0)
  assert.equal(suspicion.confirm('a', 10), false)
  assert.equal(suspicion.confirm('b', 20), true)
  assert.equal(suspicion.confirm('b', 30), false)
  assert.equal(suspicion.confirm('c', 40), true)
  assert.equal(suspicion.deadline, 1000)
  assert.equal(suspicion.confirm('d', 50), false)
  assert.deepEqual(suspicion.accusers, [
    { by: 'a', at: 0 },
    { by: 'b', at: 20 },
    { by: 'c', at: 40 },
  ])
})

test('those whose time is over are named, and all can be given more time', () => {
  const suspicions = new Suspicions()
  const bounds = { wantedConfirmations: 1, minMs: 100, maxMs: 600, refusedMs: Infinity, isAlone: false }
  assert.equal(suspicions.nextDeadline(), Infinity)
  suspicions.start('x', 'a', bounds, 0)
  suspicions.start('y', 'a', bounds, 50)
  assert.equal(suspicions.nextDeadline(), 600)
  suspicions.confirm('y', 'b', 60)
  assert.equal(suspicions.nextDeadline(), 150)
  suspicions.postpone(1000)
  assert.equal(suspicions.nextDeadline(), 1150)
  assert.deepEqual(suspicions.due(1149), [])
  assert.deepEqual(suspicions.due(1150), ['y'])
  suspicions.end('y')
  assert.equal(suspicions.nextDeadline(), 1600)
})

test('the time is finite, from the least to the most, and never grows with confirmations', () => {
  const size = fc.integer({ min: 1, max: 1_000_000 })
  fc.assert(
    fc.property(fc.constantFrom(lan, wan, local, serf), size, fc.nat(20), (profile, members, confirmations) => {
      const bounds = suspicionBounds(profile, members)
      const now = suspicionTimeoutMs(bounds, confirmations)
      assert.ok(Number.isFinite(now) && now >= bounds.minMs && now <= bounds.maxMs)
      assert.ok(suspicionTimeoutMs(bounds, confirmations + 1) <= now)
    }),
  )
})

test('a process is gone when this member was refused, and a relay or another accuser could not reach it either', () => {
  const bounds = { wantedConfirmations: 2, minMs: 10_000, maxMs: 60_000, refusedMs: 500, isAlone: false }
  const path = { via: 'x', sentAt: 0, afterMs: 1, reason: undefined }
  const evidence = { by: 'me', about: 'x', startedAt: 0, endedAt: 9, healthScore: 0, lastRttMs: 1 }
  const refused = { ...path, kind: 'stream', outcome: 'refused' } as const
  const nack = { ...path, kind: 'indirect', outcome: 'nack' } as const

  const alone = new Suspicion('me', bounds, 0)
  alone.noteProbe({ ...evidence, paths: [refused] }, 0)
  assert.deepEqual([alone.grounds, alone.deadline], ['silent', 60_000])
  alone.confirm('you', 300)
  assert.deepEqual([alone.grounds, alone.deadline], ['gone', 800])

  const relayed = new Suspicion('me', bounds, 0)
  relayed.noteProbe({ ...evidence, paths: [refused, nack] }, 0)
  assert.deepEqual([relayed.grounds, relayed.deadline, relayed.timeoutMs], ['gone', 500, 500])
  relayed.postpone(2000)
  assert.equal(relayed.deadline, 2500)

  const silent = new Suspicion('me', bounds, 0)
  silent.noteProbe({ ...evidence, paths: [nack] }, 0)
  silent.confirm('you', 10)
  silent.confirm('they', 10)
  assert.deepEqual([silent.grounds, silent.deadline], ['silent', 10_000])

  const lone = new Suspicion('me', { ...bounds, isAlone: true }, 0)
  lone.noteProbe({ ...evidence, paths: [refused] }, 0)
  lone.noteProbe({ ...evidence, paths: [] }, 500)
  assert.equal(lone.grounds, 'silent')
  lone.noteProbe({ ...evidence, paths: [refused] }, 1000)
  assert.deepEqual([lone.grounds, lone.deadline], ['gone', 1500])
  assert.deepEqual([suspicionBounds(lan, 2).isAlone, suspicionBounds(lan, 3).isAlone], [true, false])

  const classic = new Suspicion('me', { ...bounds, refusedMs: Infinity }, 0)
  classic.noteProbe({ ...evidence, paths: [refused, nack] }, 0)
  assert.deepEqual([classic.grounds, classic.deadline], ['silent', 60_000])
})
