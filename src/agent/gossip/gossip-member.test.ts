import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GossipMember } from './gossip.ts'
import { asMember, MemberCopies } from './gossip-member.ts'

function member(name: string, tags: Record<string, string>): GossipMember {
  return {
    name,
    address: '127.0.0.1',
    port: 7946,
    tags,
    status: 'alive',
    isSuspect: false,
    incarnation: 1,
    versions: [1, 5, 2, 2, 5, 5],
    isPolycast: true,
    changedAt: 1,
    lastRttMs: undefined,
  }
}

test('members that say the same share it, and each is what it was', () => {
  const copies = new MemberCopies()
  const [a, b, c] = [
    { role: 'web', polycast: '7947' },
    { role: 'web', polycast: '7947' },
    { role: 'db', polycast: '7947' },
  ].map((tags, k) => copies.keep(member(`n${k}`, tags))) as [GossipMember, GossipMember, GossipMember]
  assert.equal(a.tags, b.tags)
  assert.equal(a.versions, c.versions)
  assert.equal(asMember(a).tags, asMember(b).tags)
  assert.deepEqual(c, member('n2', { role: 'db', polycast: '7947' }))
  const { tags, swarmPort } = asMember(c)
  assert.deepEqual([tags, swarmPort], [{ role: 'db' }, 7947])
})

test('the copies of ever new tags do not pile up', () => {
  const copies = new MemberCopies()
  const first = copies.keep(member('n', { id: '0' })).tags
  for (let k = 1; k < 2000; k++) copies.keep(member('n', { id: String(k) }))
  assert.notEqual(copies.keep(member('n', { id: '0' })).tags, first)
})
