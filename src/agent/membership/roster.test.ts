import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Roster, wins } from './roster.ts'
import { Self } from './self.ts'
import type { MemberRecord } from './messages.ts'
import type { MemberStatus } from './member.ts'

function record(changes: Partial<MemberRecord> = {}): MemberRecord {
  return {
    name: 'n1',
    address: '127.0.0.1',
    gossipPort: 1,
    swarmPort: 2,
    status: 'alive',
    tags: {},
    incarnation: 1,
    instance: 'a'.repeat(32),
    startedAt: 100,
    ...changes,
  }
}

const OPTIONS = { deadTimeoutMs: 50, forgetTimeoutMs: 1000, maxMembers: 3 }

test('the higher incarnation wins, and within one the worse status', () => {
  const order: [MemberStatus, number][] = [
    ['alive', 1],
    ['suspect', 1],
    ['dead', 1],
    ['left', 1],
    ['alive', 2],
    ['suspect', 2],
  ]
  for (const [i, [status, incarnation]] of order.entries()) {
    for (const [j, [knownStatus, knownIncarnation]] of order.entries()) {
      const known = record({ status: knownStatus, incarnation: knownIncarnation })
      assert.equal(wins(record({ status, incarnation }), known), i > j, `${status} ${incarnation} over ${knownStatus} ${knownIncarnation}`)
    }
  }
})

test('of two agents with one name the one that started first wins, the same way for everyone', () => {
  const older = record({ instance: 'f'.repeat(32), startedAt: 99 })
  const younger = record()
  assert.deepEqual([wins(older, younger), wins(younger, older)], [true, false])
  const twin = record({ instance: 'b'.repeat(32) })
  assert.notEqual(wins(twin, younger), wins(younger, twin))
})

test('a suspect is dead when its time is over, and forgotten when that of the dead is', () => {
  const roster = new Roster(OPTIONS)
  assert.equal(roster.apply(record(), 0), 'newer')
  assert.equal(roster.apply(record(), 10), 'known')
  assert.equal(roster.apply(record({ status: 'suspect' }), 10), 'newer')
  assert.deepEqual(roster.expire(59), [])
  assert.deepEqual(roster.expire(60), [record({ status: 'dead' })])
  assert.equal(roster.get('n1')?.status, 'dead')
  assert.deepEqual(roster.expire(1059), [])
  assert.equal(roster.get('n1')?.status, 'dead')
  assert.deepEqual(roster.expire(1060), [])
  assert.equal(roster.get('n1'), undefined)
})

test('a suspect that contradicts in time lives, and time that this node slept does not count', () => {
  const roster = new Roster(OPTIONS)
  roster.apply(record({ status: 'suspect' }), 0)
  roster.postpone(100)
  assert.deepEqual(roster.expire(100), [])
  roster.apply(record({ incarnation: 2 }), 100)
  assert.deepEqual(roster.expire(100_000), [])
  assert.equal(roster.get('n1')?.status, 'alive')
})

test('dead and left members that were never known are not taken in, and there is room for so many only', () => {
  const roster = new Roster(OPTIONS)
  assert.equal(roster.apply(record({ status: 'dead' }), 0), 'known')
  assert.equal(roster.apply(record({ status: 'left' }), 0), 'known')
  for (const name of ['a', 'b', 'c']) assert.equal(roster.apply(record({ name }), 0), 'newer')
  assert.equal(roster.apply(record({ name: 'd' }), 0), 'full')
  assert.equal(roster.apply(record({ name: 'a', incarnation: 2 }), 0), 'newer')
  assert.equal(roster.records().length, 3)
})

test('a node contradicts what is wrong of it, checks who else has its name, and ignores what is old', () => {
  const self = new Self(record())
  const other = { instance: 'c'.repeat(32), address: '127.0.0.2' }
  const cases: [Partial<MemberRecord>, string][] = [
    [{}, 'nothing'],
    [{ status: 'suspect' }, 'contradict'],
    [{ status: 'dead' }, 'contradict'],
    [{ status: 'left' }, 'contradict'],
    [{ incarnation: 9 }, 'contradict'],
    [{ ...other }, 'verify'],
    [{ ...other, status: 'suspect' }, 'verify'],
    [{ ...other, status: 'dead' }, 'contradict'],
    [{ ...other, address: '127.0.0.1' }, 'contradict'],
  ]
  for (const [changes, judgement] of cases) assert.equal(self.judge(record(changes)), judgement, JSON.stringify(changes))
  assert.equal(self.riseAbove(4), true)
  assert.equal(self.record.incarnation, 5)
  assert.equal(self.riseAbove(4), false)
  assert.equal(self.judge(record({ status: 'dead', incarnation: 4 })), 'nothing')
  self.leave()
  assert.equal(self.judge(record({ status: 'dead', incarnation: 99 })), 'nothing')
  assert.equal(new Self(record()).riseAbove(2 ** 48), false)
})
