/** Timers as a table of deadlines. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Timers } from './timers.ts'

test('timers go off when they are due, the earliest first', () => {
  const timers = new Timers<'a' | 'b'>()
  timers.set('a', 20)
  timers.set('b', 10)
  assert.equal(timers.earliest(), 10)
  assert.equal(timers.takeDue(9), undefined)
  assert.equal(timers.takeDue(30), 'b')
  assert.equal(timers.takeDue(30), 'a')
  assert.equal(timers.takeDue(30), undefined)
  assert.equal(timers.earliest(), Infinity)
})

test('a timer that is set sooner moves only towards now', () => {
  const timers = new Timers<'a'>()
  timers.setSooner('a', 20)
  timers.setSooner('a', 30)
  assert.equal(timers.earliest(), 20)
  timers.setSooner('a', 10)
  assert.equal(timers.earliest(), 10)
  assert.ok(timers.delete('a'))
  assert.ok(!timers.delete('a'))
})

test('the earliest is the least of all deadlines, whatever is set, moved and deleted', () => {
  const names = ['a', 'b', 'c', 'd'] as const
  const step = fc.record({ name: fc.constantFrom(...names), at: fc.option(fc.nat(50)) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const timers = new Timers<(typeof names)[number]>()
      const model = new Map<string, number>()
      for (const { name, at } of steps) {
        if (at === null) {
          assert.equal(timers.delete(name), model.delete(name))
        } else {
          timers.set(name, at)
          model.set(name, at)
        }
        assert.equal(timers.earliest(), Math.min(...model.values()))
        for (const one of names) assert.equal(timers.has(one), model.has(one))
      }
    }),
  )
})
