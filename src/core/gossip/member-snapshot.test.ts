/** Members that are known from the start on. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Random } from '../lib/random.ts'
import { MemberSnapshot } from './member-snapshot.ts'
import { MemberTable, recordOf, type Member } from './member-table.ts'
import type { MemberRecord, MemberState } from './messages.ts'
import { aliveOf, endpointOf, ScriptedMachine, SELF } from './testing/scripted-machine.ts'
import { VERSIONS } from './testing/virtual-cluster.ts'

function recordFor(node: string, state: MemberState = 'alive', incarnation = 1): MemberRecord {
  return { node, ...endpointOf(node), meta: new Uint8Array(0), incarnation, state, versions: VERSIONS }
}

function memberFor(node: string, state: MemberState = 'alive', changedAt = 0): Member {
  const { incarnation, meta, versions } = recordFor(node)
  return { node, endpoint: endpointOf(node), meta, versions, incarnation, state, changedAt, verdict: undefined, lastRttMs: undefined }
}

test('a name twice, and one that is suspected, are refused', () => {
  assert.throws(() => new MemberSnapshot([recordFor('a'), recordFor('a')]), /each name once/)
  assert.throws(() => new MemberSnapshot([recordFor('a', 'suspect')]), /nobody suspected/)
})

test('a table with a snapshot is as one to which its members were added, whatever happens to them', () => {
  const names = ['self', 'a', 'b', 'c', 'd', 'e', 'f', 'g']
  const step = fc.oneof(
    fc.record({
      type: fc.constant('state' as const),
      node: fc.constantFrom(...names),
      state: fc.constantFrom<MemberState>('alive', 'dead', 'left'),
    }),
    fc.record({ type: fc.constant('round' as const) }),
  )
  fc.assert(
    fc.property(fc.nat(), fc.array(step, { maxLength: 40 }), fc.boolean(), (seed, steps, hasSelf) => {
      const known = names.slice(hasSelf ? 0 : 1, 6)
      const snapshot = new MemberSnapshot(known.map((node) => recordFor(node)))
      const shared = new MemberTable(memberFor('self'), new Random(seed), snapshot)
      const plain = new MemberTable(memberFor('self'), new Random(seed))
      for (const node of known) if (node !== 'self') plain.add(memberFor(node))
      for (const [now, one] of steps.entries()) {
        if (one.type === 'round') {
          const seen = [shared, plain].map((table) => {
            const forgotten: string[] = []
            for (let i = 0; i <= names.length; i++) table.nextToProbe(now, 3, ({ node }) => forgotten.push(node))
            return forgotten
          })
          // The rounds are in orders of their own, so that only one of the two may have come to its end.
          if (seen[0]!.length !== seen[1]!.length) return
        } else {
          for (const table of [shared, plain]) {
            const member = table.get(one.node)
            if (member === undefined) table.add(memberFor(one.node, one.state, now))
            else table.set(member, member.incarnation, one.state, now)
          }
        }
        const sorted = (table: MemberTable): MemberRecord[] => table.records().sort((x, y) => (x.node < y.node ? -1 : 1))
        assert.deepEqual(sorted(shared), sorted(plain))
        assert.deepEqual(shared.counts(), plain.counts())
        assert.equal(shared.size, plain.size)
        assert.equal(shared.hash, plain.hash)
        assert.equal(shared.nextOnRing()?.node, plain.nextOnRing()?.node)
        assert.equal(shared.records().length, shared.size)
      }
    }),
  )
})

test('nothing is to be learnt from a record of the snapshot until its member has an entry', () => {
  const snapshot = new MemberSnapshot([recordFor('a'), recordFor('b')])
  const table = new MemberTable(memberFor('self'), new Random(1), snapshot)
  const [a, b] = snapshot.records as [MemberRecord, MemberRecord]
  assert.ok(table.isUntouched(a, 0))
  assert.ok(table.isUntouched(b, 7), 'at another place')
  assert.ok(!table.isUntouched(recordFor('a'), 0), 'another record')
  const member = table.get('a')!
  assert.ok(!table.isUntouched(a, 0))
  assert.deepEqual(recordOf(member), a)
})

test('a member that others know as it is does not announce itself; another goes on after its last incarnation', () => {
  const others = ['amy', 'bob'].map((node) => recordFor(node))
  const startWith = (self: MemberRecord): ScriptedMachine => new ScriptedMachine({ members: new MemberSnapshot([...others, self]) })
  const known = startWith(recordFor(SELF, 'alive', 7))
  known.advance(3000)
  assert.deepEqual(known.takeSent('alive'), [])
  assert.deepEqual([known.machine.status().incarnation, known.machine.members().length], [7, 3])
  for (const self of [recordFor(SELF, 'left', 7), { ...recordFor(SELF, 'alive', 7), meta: Uint8Array.of(1) }]) {
    const back = startWith(self)
    assert.equal(back.awaitSent('alive', 3000).message.incarnation, 8)
  }
})

test('members of a snapshot are probed, and the news of them counts as of any', () => {
  const machine = new ScriptedMachine({ members: new MemberSnapshot([recordFor('amy'), recordFor('bob', 'dead', 4)]) })
  assert.equal(machine.awaitSent('ping', 3000).to, machine.nameOf(endpointOf('amy')))
  machine.hear(aliveOf('bob', { incarnation: 5 }))
  assert.equal(machine.takeOutputs('joined')[0]?.member.node, 'bob')
  machine.hear({ type: 'dead', incarnation: 1, node: 'amy', from: 'amy' })
  assert.equal(machine.stateOf('amy'), 'left')
})
