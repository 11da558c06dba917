import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { DigestTree, hashDigest, positionOf, POSITIONS, rangeBounds, TREE_DEPTH, type TreeItem } from './digest-tree.ts'

const itemOf = (node: string, version: number): TreeItem => ({ node, position: positionOf(node), hash: hashDigest(node, 1, version) })

test('the hash of a range depends on what is in it, not on how it came there', () => {
  const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 60 })
  fc.assert(
    fc.property(names, fc.infiniteStream(fc.nat(5)), (nodes, versions) => {
      const [one, other] = [new DigestTree<TreeItem>(), new DigestTree<TreeItem>()]
      const items = nodes.map((node) => itemOf(node, versions.next().value as number))
      for (const item of items) one.add({ ...item })
      const twisted = items.map((item) => ({ ...item, hash: hashDigest(item.node, 1, 99) }))
      const passing = itemOf('passing by', 3)
      other.add(passing)
      for (const item of twisted.toReversed()) other.add(item)
      twisted.forEach((item, i) => other.update(item, items[i]!.hash))
      other.remove(passing)
      for (let prefix = 0; prefix < 256; prefix++) assert.deepEqual(one.hash(2, prefix), other.hash(2, prefix))
      assert.deepEqual(one.root, other.root)
      assert.equal(one.count(0, 0), nodes.length)
    }),
    { numRuns: 30 },
  )
})

test('a change changes the hashes of the ranges that the node is in, and of no others', () => {
  const tree = new DigestTree<TreeItem>()
  const items = Array.from({ length: 100 }, (_, i) => itemOf(`node ${i}`, 1))
  for (const item of items) tree.add(item)
  for (const item of items.slice(0, 10)) {
    const before = Array.from({ length: 16 }, (_, digit) => tree.hash(1, digit))
    const { root } = tree
    tree.update(item, hashDigest(item.node, 1, 2))
    assert.notDeepEqual(tree.root, root)
    const changed = before.flatMap((hash, digit) => (JSON.stringify(hash) === JSON.stringify(tree.hash(1, digit)) ? [] : [digit]))
    assert.deepEqual(changed, [Math.floor(item.position / 2 ** 28)])
  }
})

test('ranges hold the items between their bounds, in order', () => {
  const tree = new DigestTree<TreeItem>()
  for (let i = 0; i < 300; i++) tree.add(itemOf(`node ${i}`, 1))
  let seen = 0
  let last = -1
  for (let prefix = 0; prefix < 16 ** TREE_DEPTH; prefix++) {
    const { first, last: end } = rangeBounds(TREE_DEPTH, prefix)
    const items = [...tree.between(first, end)]
    assert.equal(items.length, tree.count(TREE_DEPTH, prefix))
    for (const { position } of items) {
      assert.ok(position >= first && position <= end && position >= last)
      last = position
    }
    seen += items.length
  }
  assert.equal(seen, 300)
  assert.equal([...tree.between(0, POSITIONS - 1)].length, 300)
  assert.equal(tree.parts(0, 0).children.filter((hash) => hash !== undefined).length, 16)
})
