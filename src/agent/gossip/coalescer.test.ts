import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../manual-clock.ts'
import { MAX_GATHERED, MemberCoalescer, UserEventCoalescer } from './coalescer.ts'
import type { GossipMember, MemberEvent, UserEventRecord } from './gossip.ts'

function member(name: string): GossipMember {
  const rest = { incarnation: 1, versions: [], isPolycast: true, changedAt: 0, lastRttMs: undefined }
  return { name, address: '10.0.0.1', port: 7946, tags: {}, status: 'alive', isSuspect: false, ...rest }
}

function members(): { clock: ManualClock; told: string[]; say: (change: MemberEvent['change'], name: string) => void; close: () => void } {
  const clock = new ManualClock()
  const told: string[] = []
  const coalescer = new MemberCoalescer(clock, (burst) => told.push(`${burst.kind} ${burst.members.map(({ name }) => name).join(' ')}`))
  return {
    clock,
    told,
    say: (change, name) => {
      coalescer.add({ change, member: member(name), verdict: undefined })
    },
    close: () => {
      coalescer.close()
    },
  }
}

test('a burst is told once it is quiet, members of one kind together', () => {
  const { clock, told, say } = members()
  say('joined', 'a')
  clock.advance(999)
  say('joined', 'b')
  say('failed', 'c')
  clock.advance(999)
  assert.deepEqual(told, [])
  clock.advance(1)
  assert.deepEqual(told, ['member-join a b', 'member-failed c'])
  assert.equal(clock.pending, 0)
})

test('a burst that does not end is told after three seconds', () => {
  const { clock, told, say } = members()
  for (let step = 0; step < 6; step++) {
    say('joined', `n${step}`)
    clock.advance(500)
  }
  assert.deepEqual(told, ['member-join n0 n1 n2 n3 n4 n5'])
})

test('the last of a member counts, and what was told is not told again', () => {
  const { clock, told, say } = members()
  const burst = (): void => {
    clock.advance(1000)
  }
  say('joined', 'a')
  say('failed', 'a')
  burst()
  say('joined', 'a')
  say('failed', 'a')
  burst()
  say('updated', 'a')
  burst()
  say('updated', 'a')
  burst()
  assert.deepEqual(told, ['member-failed a', 'member-update a', 'member-update a'])
})

test('a join is hidden neither by an update nor by a suspicion', () => {
  const { clock, told, say } = members()
  say('joined', 'a')
  say('updated', 'a')
  say('suspected', 'a')
  clock.advance(1000)
  assert.deepEqual(told, ['member-join a', 'member-suspect a'])
})

test('each suspicion is told: nothing need have been told between two of them', () => {
  const { clock, told, say } = members()
  for (let round = 0; round < 2; round++) {
    say('suspected', 'a')
    clock.advance(1000)
  }
  assert.deepEqual(told, ['member-suspect a', 'member-suspect a'])
})

test('a member that was reaped may come anew', () => {
  const { clock, told, say } = members()
  say('reaped', 'a')
  clock.advance(1000)
  say('reaped', 'a')
  clock.advance(1000)
  assert.deepEqual(told, ['member-reap a', 'member-reap a'])
})

test('closing tells nothing more', () => {
  const { clock, told, say, close } = members()
  say('joined', 'a')
  close()
  clock.advance(10_000)
  assert.deepEqual(told, [])
  assert.equal(clock.pending, 0)
})

test('of user events the last of each name is told, and all of its time', () => {
  const clock = new ManualClock()
  const told: string[] = []
  const coalescer = new UserEventCoalescer(clock, ({ name, payload }) => told.push(`${name} ${Buffer.from(payload).toString()}`))
  const say = (name: string, time: number, text: string): void => {
    const event: UserEventRecord = { name, payload: Buffer.from(text), time, canCoalesce: true }
    coalescer.add(event)
  }
  say('a', 1, 'first')
  say('a', 3, 'third')
  say('a', 2, 'late')
  say('a', 3, 'third too')
  say('b', 1, 'other')
  clock.advance(999)
  assert.deepEqual(told, [])
  clock.advance(1)
  assert.deepEqual(told, ['a third', 'a third too', 'b other'])
})

test('a burst of user events without end is told in parts', () => {
  const clock = new ManualClock()
  let told = 0
  const coalescer = new UserEventCoalescer(clock, () => told++)
  for (let index = 0; index < MAX_GATHERED + 1; index++)
    coalescer.add({ name: String(index), payload: new Uint8Array(), time: 1, canCoalesce: true })
  assert.equal(told, MAX_GATHERED)
  clock.advance(1000)
  assert.equal(told, MAX_GATHERED + 1)
})
