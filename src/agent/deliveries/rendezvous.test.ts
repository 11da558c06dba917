import assert from 'node:assert/strict'
import test from 'node:test'
import { rendezvousOrder } from './rendezvous.ts'

const SEEDS = Array.from({ length: 5 }, (_, index) => ({ name: `seed${index}` }))
const KEYS = Array.from({ length: 1000 }, (_, index) => `http://host/${index}`)

test('the order depends on the key alone, not on the order of the candidates', () => {
  for (const key of KEYS.slice(0, 50)) assert.deepEqual(rendezvousOrder(SEEDS.toReversed(), key), rendezvousOrder(SEEDS, key))
})

test('each candidate owns about its share', () => {
  const counts = new Map<string, number>()
  for (const key of KEYS) {
    const owner = rendezvousOrder(SEEDS, key)[0]?.name ?? ''
    counts.set(owner, (counts.get(owner) ?? 0) + 1)
  }
  for (const { name } of SEEDS) assert.ok((counts.get(name) ?? 0) > 150, `${name}: ${counts.get(name)}`)
})

test('a candidate that goes leaves the order of the others as it was', () => {
  for (const key of KEYS.slice(0, 100)) {
    const order = rendezvousOrder(SEEDS, key)
    const gone = order[1]
    assert.deepEqual(
      rendezvousOrder(
        SEEDS.filter((seed) => seed !== gone),
        key,
      ),
      order.filter((seed) => seed !== gone),
    )
  }
})
