import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Random } from './random.ts'

const take = (random: Random, count: number): number[] => Array.from({ length: count }, () => random.uint32())

test('a seed gives these numbers, on every engine', () => {
  assert.deepEqual(take(new Random('polycast'), 4), [915339728, 177903800, 1993885157, 3911426258])
  assert.deepEqual(take(new Random(1), 4), [3164301708, 3365774296, 886861858, 1531232378])
  assert.deepEqual(take(new Random(1).fork('links'), 4), [1881867535, 1340839999, 2052474829, 505787358])
})

test('a number seeds as its decimal text does', () => {
  assert.deepEqual(take(new Random(42), 8), take(new Random('42'), 8))
})

test('a fork depends on the seed and its name, not on what was drawn before', () => {
  const early = new Random(7)
  const late = new Random(7)
  take(late, 100)
  assert.deepEqual(take(early.fork('a'), 8), take(late.fork('a'), 8))
  assert.notDeepEqual(take(early.fork('a'), 8), take(early.fork('b'), 8))
  assert.notDeepEqual(take(early.fork('a').fork('b'), 8), take(early.fork('b').fork('a'), 8))
  assert.notDeepEqual(take(new Random(7), 8), take(new Random(7).fork(''), 8))
})

test('close seeds give streams that have nothing in common', () => {
  const seen = new Set<number>()
  for (let seed = 0; seed < 1000; seed++) for (const value of take(new Random(seed), 4)) seen.add(value)
  assert.ok(seen.size > 3990, `${seen.size} of 4000 differ`)
})

test('integers below a bound are all there, about equally often', () => {
  const random = new Random('below')
  const counts = Array.from({ length: 10 }, () => 0)
  for (let i = 0; i < 100_000; i++) counts[random.below(10)]!++
  // The 99.99 % point of chi-square with 9 degrees of freedom is 33.7; the seed is fixed, so it never fails by chance.
  const chiSquare = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0)
  assert.ok(chiSquare < 33.7, `chi-square ${chiSquare}`)
  assert.equal(random.below(1), 0)
  assert.ok(random.below(0x100000000) < 0x100000000)
})

test('a bound that is none is a bug', () => {
  for (const bound of [0, -1, 1.5, NaN, 2 ** 33]) assert.throws(() => new Random(0).below(bound), /a bound/)
})

test('floats lie from 0 to below 1', () => {
  const random = new Random('float')
  const values = Array.from({ length: 10_000 }, () => random.float())
  assert.ok(values.every((value) => value >= 0 && value < 1))
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  assert.ok(Math.abs(mean - 0.5) < 0.02, `mean ${mean}`)
})

test('shuffling keeps the elements and reaches every order', () => {
  const random = new Random('shuffle')
  const orders = new Set<string>()
  for (let i = 0; i < 500; i++) orders.add(random.shuffle(['a', 'b', 'c', 'd']).join(''))
  assert.equal(orders.size, 24)
  for (const order of orders) assert.equal(order.split('').toSorted().join(''), 'abcd')
})

test('picking takes an element of the list, and nothing from none', () => {
  const random = new Random('pick')
  const seen = new Set(Array.from({ length: 100 }, () => random.pick(['a', 'b', 'c'])))
  assert.deepEqual([...seen].toSorted(), ['a', 'b', 'c'])
  assert.throws(() => random.pick([]), /something to pick from/)
})
