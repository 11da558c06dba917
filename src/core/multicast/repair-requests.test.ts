import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type BlockLayout, fillSymbols, layoutOf, sealedOf } from './block-layout.ts'
import { RepairRequests } from './repair-requests.ts'
import { SenderBlock } from './sender-block.ts'
import { addSymbol, hasSymbol, removeSymbol, trimSet } from './symbol-set.ts'

function setOf(...indices: number[]): Uint8Array {
  const set = new Uint8Array(32)
  for (const index of indices) addSymbol(set, index)
  return set
}

test('symbols that were sent before serve every request, and no more than that', () => {
  const requests = fc.array(
    fc.record({ held: fc.uniqueArray(fc.nat(59), { maxLength: 59 }), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
    {
      minLength: 1,
      maxLength: 6,
    },
  )
  fc.assert(
    fc.property(requests, (list) => {
      const gathered = new RepairRequests(8)
      const asked = list.map(({ held, share }, receiver) => {
        const missing = Math.max(1, Math.round(share * (60 - held.length)))
        gathered.add(receiver, missing, setOf(...held))
        return { missing, held: new Set(held) }
      })
      assert.equal(gathered.need, Math.max(...asked.map(({ missing }) => missing)))
      const chosen = gathered.chooseSent(60, 0)
      assert.equal(new Set(chosen).size, chosen.length)
      for (const { missing, held } of asked) assert.ok(chosen.filter((index) => !held.has(index)).length >= missing)
      let together = 0
      for (const { missing } of asked) together += missing
      assert.ok(chosen.length <= together)
    }),
  )
})

test('what most lack comes first', () => {
  const requests = new RepairRequests(8)
  requests.add(1, 1, setOf(0, 1, 3))
  requests.add(2, 1, setOf(0, 1))
  assert.deepEqual(requests.chooseSent(4, 0), [2])
})

test("a receiver's newer request counts instead of its older one; without a place it is merged", () => {
  const requests = new RepairRequests(2)
  requests.add(1, 3, setOf(0))
  requests.add(1, 1, setOf(0, 1, 2))
  requests.add(2, 1, setOf(0, 3))
  requests.add(3, 2, setOf(4, 5))
  assert.deepEqual(requests.chooseSent(6, 0), [1, 2, 3])
  assert.equal(requests.need, 3)
})

test('a request that was answered since it was made asks for less', () => {
  const block = new SenderBlock(0, { k: 10, symbolBytes: 1 }, new Uint8Array(10), 8)
  block.beginRun(
    100,
    Uint8Array.from({ length: 12 }, (_, index) => index),
  )
  block.beginRun(200, new Uint8Array([12, 13, 3]))
  assert.equal(block.underWay(112, new Uint8Array(0)), 3, 'made before the repair')
  assert.equal(block.underWay(202, new Uint8Array(0)), 1, 'in the middle of it')
  assert.equal(block.underWay(203, new Uint8Array(0)), 0, 'after it')
  assert.equal(block.underWay(112, setOf(3, 12)), 1, 'by one that has some of it')
})

test('a sealed block is the same after its symbols were cut and joined', () => {
  const parameters = { sessionId: '', datagramBytes: 32 + 100, blockSymbols: 50 }
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 50 * 100 - 1 }), (length) => {
      const sealed = Uint8Array.from({ length }, (_, index) => index)
      const layout: BlockLayout = layoutOf(length, parameters)
      assert.ok(layout.k >= 1 && layout.k <= 50 && layout.symbolBytes >= 1 && layout.symbolBytes <= 100)
      assert.ok(layout.k * layout.symbolBytes - length <= layout.k, 'no more padding than needed')
      const symbols = new Uint8Array(layout.k * layout.symbolBytes).fill(9)
      fillSymbols(symbols, sealed)
      assert.deepEqual(sealedOf(symbols), sealed)
    }),
  )
  assert.equal(sealedOf(new Uint8Array([1, 2, 3])), undefined, 'more padding than there is room')
})

test('a set of symbols travels in as few bytes as hold it', () => {
  const set = setOf(0, 9, 255)
  assert.equal(trimSet(set).length, 32)
  removeSymbol(set, 255)
  const short = trimSet(set)
  assert.deepEqual([...short], [1, 2])
  assert.deepEqual(
    [0, 1, 9, 10, 255].map((index) => hasSymbol(short, index)),
    [true, false, true, false, false],
  )
})
