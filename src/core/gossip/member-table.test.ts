/** Whom a member turns to. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Random } from '../lib/random.ts'
import { MemberTable, type Member } from './member-table.ts'
import type { MemberState } from './messages.ts'
import { endpointOf } from './testing/scripted-machine.ts'

function memberOf(node: string, state: MemberState = 'alive', changedAt = 0): Member {
  return {
    node,
    endpoint: endpointOf(node),
    meta: new Uint8Array(0),
    versions: undefined,
    incarnation: 1,
    state,
    changedAt,
    verdict: undefined,
    lastRttMs: undefined,
  }
}

function tableOf(members: readonly Member[], seed: number | string = 1): MemberTable {
  const table = new MemberTable(memberOf('self'), new Random(seed))
  for (const member of members) table.add(member)
  return table
}

function probe(table: MemberTable, now = 0): string | undefined {
  return table.nextToProbe(now, 30_000, () => {})?.node
}

test('in each round every live and suspected member is probed once, in an order of its own, and nobody else', () => {
  const table = tableOf([
    memberOf('a'),
    memberOf('b', 'suspect'),
    memberOf('c', 'dead'),
    memberOf('d', 'left'),
    memberOf('e'),
    memberOf('f'),
  ])
  const rounds = new Set<string>()
  let seen: string[] = []
  for (let i = 0; i < 400; i++) {
    seen.push(probe(table)!)
    if (seen.length < 4) continue
    assert.deepEqual(seen.toSorted(), ['a', 'b', 'e', 'f'])
    rounds.add(seen.join(''))
    seen = []
  }
  assert.ok(rounds.size > 4, 'the order changes')
})

test('alone, or among the gone, there is nobody to probe', () => {
  assert.equal(probe(tableOf([])), undefined)
  assert.equal(probe(tableOf([memberOf('a', 'dead'), memberOf('b', 'left')])), undefined)
})

test('who has been gone for longer than the time is forgotten at the end of a round; this member never', () => {
  const table = tableOf([memberOf('old', 'dead', 0), memberOf('gone', 'left', 0), memberOf('new', 'dead', 20_000), memberOf('a')])
  table.set(table.self, 1, 'left', 0)
  const forgotten: string[] = []
  for (let i = 0; i < 4; i++) table.nextToProbe(30_001, 30_000, ({ node }) => forgotten.push(node))
  assert.deepEqual(forgotten.sort(), ['gone', 'old'])
  assert.equal(table.get('old'), undefined)
  assert.notEqual(table.get('new'), undefined)
  assert.notEqual(table.get('self'), undefined)
})

test('a pick has as many as are wanted and accepted, none twice', () => {
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 30 }), fc.nat(6), (seed, live, gone, count) => {
      const members = [
        ...Array.from({ length: live }, (_, i) => memberOf(`l${i}`)),
        ...Array.from({ length: gone }, (_, i) => memberOf(`g${i}`, 'dead')),
      ]
      const table = tableOf(members, seed)
      const picked = table.pick(count, (member) => member !== table.self && member.state === 'alive')
      assert.equal(picked.length, Math.min(count, live))
      assert.equal(new Set(picked).size, picked.length)
      assert.ok(picked.every(({ state, node }) => state === 'alive' && node !== 'self'))
    }),
  )
})

test('members that come in the middle of a round are probed within the next one', () => {
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 1, max: 20 }), fc.nat(20), (seed, count, done) => {
      const table = tableOf(
        Array.from({ length: count }, (_, i) => memberOf(`m${i}`)),
        seed,
      )
      for (let i = 0; i < done; i++) probe(table)
      table.add(memberOf('new'))
      const seen = Array.from({ length: 2 * (count + 2) }, () => probe(table))
      assert.ok(seen.includes('new'))
    }),
  )
})

test('on the ring each of the members that are not gone is followed by one, and all are one ring', () => {
  const names = Array.from({ length: 40 }, (_, i) => `n${i}`)
  const gone = new Set(['n3', 'n17', 'n18'])
  const live = names.filter((name) => !gone.has(name))
  const next = new Map<string, string>()
  for (const name of live) {
    const table = new MemberTable(memberOf(name), new Random(name))
    for (const other of names) if (other !== name) table.add(memberOf(other, gone.has(other) ? 'dead' : 'alive'))
    next.set(name, table.nextOnRing()!.node)
  }
  const seen: string[] = []
  for (let name = 'n0'; !seen.includes(name); name = next.get(name)!) seen.push(name)
  assert.deepEqual(seen.toSorted(), live.toSorted())
})

test('the next one on the ring is another when it goes, and the same again when it comes back', () => {
  const table = tableOf(['a', 'b', 'c', 'd'].map((name) => memberOf(name)))
  const first = table.nextOnRing()!
  table.set(first, 1, 'suspect', 5)
  assert.equal(table.nextOnRing(), first)
  table.set(first, 1, 'dead', 6)
  assert.notEqual(table.nextOnRing(), first)
  table.set(first, 2, 'alive', 7)
  assert.equal(table.nextOnRing(), first)
  assert.equal(tableOf([memberOf('a', 'dead')]).nextOnRing(), undefined)
})
