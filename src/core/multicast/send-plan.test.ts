import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bitfield } from '../lib/bitfield.ts'
import { Random } from '../lib/random.ts'
import { isWireError } from '../wire/wire-error.ts'
import { encodeNeeds } from './needs.ts'
import { SendPlan, type PlannedRun, type SendPlanOptions } from './send-plan.ts'

function holding(chunks: number, ...ranges: [first: number, count: number][]): Uint8Array {
  const held = new Bitfield(chunks)
  for (const [first, count] of ranges) held.setRange(first, count)
  return encodeNeeds(held)
}

function planOf(chunks: number, options: Partial<SendPlanOptions> = {}): SendPlan {
  const plan = new SendPlan(options)
  plan.grow(chunks)
  plan.setAvailable(0, chunks)
  return plan
}

function takeAll(plan: SendPlan, maxChunks = 1000): [number, number][] {
  const runs: [number, number][] = []
  for (let run = plan.next(maxChunks); run !== undefined; run = plan.next(maxChunks)) runs.push([run.firstChunk, run.count])
  return runs
}

test('what nobody lacks is not sent; what most lack comes first, then by index', () => {
  const plan = planOf(100)
  assert.equal(plan.next(10), undefined)
  plan.join('a', holding(100, [0, 50]))
  plan.join('b', holding(100, [0, 20], [60, 40]))
  assert.equal(plan.status().pending, 80)
  assert.deepEqual(takeAll(plan, 8), [
    [50, 8],
    [58, 2],
    [20, 8],
    [28, 8],
    [36, 8],
    [44, 6],
    [60, 8],
    [68, 8],
    [76, 8],
    [84, 8],
    [92, 8],
  ])
  assert.deepEqual(plan.status(), { receivers: 2, refused: 0, pending: 0, handedOut: 80 })
})

test('a late receiver: again at the end if two need it, else left to others', () => {
  const plan = planOf(10)
  plan.join('a', holding(10))
  assert.deepEqual(plan.next(6), { firstChunk: 0, count: 6 })
  plan.join('b', holding(10, [0, 2]))
  assert.equal(plan.status().pending, 4)
  assert.deepEqual(plan.next(2), { firstChunk: 6, count: 2 })
  plan.join('c', holding(10, [4, 1]))
  // Two lack 2, 3 and 5, which were sent before they came; c alone lacks 0, 1, 6 and 7.
  assert.deepEqual(takeAll(plan), [
    [8, 2],
    [2, 2],
    [5, 1],
  ])
})

test('how many late receivers it takes, and how many for a first time, are options', () => {
  const eager = planOf(4, { minLateReceivers: 1 })
  eager.join('a', holding(4))
  assert.deepEqual(takeAll(eager), [[0, 4]])
  eager.join('b', holding(4, [1, 1]))
  assert.deepEqual(takeAll(eager), [
    [0, 1],
    [2, 2],
  ])
  const shy = planOf(4, { minReceivers: 2 })
  shy.join('a', holding(4))
  assert.deepEqual(takeAll(shy), [])
  shy.join('b', holding(4, [0, 3]))
  assert.deepEqual(takeAll(shy), [[3, 1]])
})

test('who leaves is not sent for, whether it came before or after what was sent', () => {
  const plan = planOf(10)
  plan.join('a', holding(10, [0, 5]))
  plan.join('b', holding(10, [5, 5]))
  assert.deepEqual(plan.next(3), { firstChunk: 0, count: 3 })
  plan.join('c', holding(10))
  plan.join('d', holding(10))
  plan.leave('b')
  plan.leave('nobody')
  plan.leave('d')
  // c alone lacks 0 to 2 again, and 3 and 4 as a first time; a and c lack the rest.
  assert.deepEqual(takeAll(plan), [
    [5, 5],
    [3, 2],
  ])
  plan.leave('a')
  plan.leave('c')
  assert.deepEqual(takeAll(plan), [])
})

test('who comes again lacks what it says now', () => {
  const plan = planOf(6)
  plan.join('a', holding(6))
  plan.join('b', holding(6, [3, 3]))
  plan.join('a', holding(6, [0, 4]))
  assert.equal(plan.status().receivers, 2)
  assert.deepEqual(takeAll(plan), [
    [0, 3],
    [4, 2],
  ])
})

test('a content that grows: new chunks are lacked by all, and sent once they are available', () => {
  const plan = new SendPlan()
  plan.join('a', holding(0))
  // It claims what is not known yet; that is passed over.
  plan.join('b', holding(100, [0, 100]))
  assert.deepEqual(takeAll(plan), [])
  plan.grow(10)
  assert.deepEqual(takeAll(plan), [])
  plan.setAvailable(4, 2)
  assert.deepEqual(takeAll(plan), [[4, 2]])
  plan.setAvailable(0, 10)
  assert.deepEqual(plan.next(3), { firstChunk: 0, count: 3 })
  plan.setUnavailable(7, 1)
  plan.grow(12)
  assert.equal(plan.knownChunks, 12)
  plan.setAvailable(10, 2)
  plan.leave('b')
  assert.deepEqual(takeAll(plan), [
    [3, 1],
    [6, 1],
    [8, 4],
  ])
})

test('needs that are none and receivers without number are refused, and change nothing', () => {
  const plan = planOf(5, { maxReceivers: 2 })
  assert.ok(isWireError(plan.join('a', Uint8Array.of(7))))
  assert.equal(plan.join('a', holding(5)), undefined)
  assert.equal(plan.join('b', holding(5)), undefined)
  const error = plan.join('c', holding(5))
  assert.ok(isWireError(error) && error.disposition === 'ignore')
  assert.equal(plan.join('a', holding(5, [0, 5])), undefined)
  assert.deepEqual(plan.status(), { receivers: 2, refused: 1, pending: 5, handedOut: 0 })
  assert.throws(() => plan.grow(4), /a content that grows/)
  assert.throws(() => new SendPlan({ minReceivers: 0 }), /nobody lacks/)
})

/** The same by lists of what each receiver lacks. */
class Model {
  readonly options = { minReceivers: 1, minLateReceivers: 2 }
  readonly lacks = new Map<string, Set<number>>()
  readonly sent = new Set<number>()
  readonly available = new Set<number>()
  known = 0

  lacking(chunk: number): number {
    let count = 0
    for (const set of this.lacks.values()) if (set.has(chunk)) count++
    return count
  }

  /** What comes next, with whether it goes out a first time. */
  best(): { chunk: number; isFirst: boolean; lacking: number } | undefined {
    const pending = [...this.available]
      .map((chunk) => ({ chunk, isFirst: !this.sent.has(chunk), lacking: this.lacking(chunk) }))
      .filter(({ isFirst, lacking }) => lacking >= (isFirst ? this.options.minReceivers : this.options.minLateReceivers))
    return pending.toSorted((a, b) => Number(b.isFirst) - Number(a.isFirst) || b.lacking - a.lacking || a.chunk - b.chunk)[0]
  }

  check(run: PlannedRun | undefined, maxChunks: number): void {
    const best = this.best()
    assert.equal(run?.firstChunk, best?.chunk)
    if (run === undefined || best === undefined) return
    assert.ok(run.count >= 1 && run.count <= maxChunks)
    for (let chunk = run.firstChunk; chunk < run.firstChunk + run.count; chunk++) {
      assert.ok(this.available.has(chunk))
      assert.equal(this.lacking(chunk), best.lacking, 'a run of what equally many lack')
      assert.equal(!this.sent.has(chunk), best.isFirst)
    }
    for (let chunk = run.firstChunk; chunk < run.firstChunk + run.count; chunk++) {
      this.sent.add(chunk)
      for (const set of this.lacks.values()) set.delete(chunk)
    }
  }
}

test('whatever happens, it sends what a list of everybody’s needs says', () => {
  for (let seed = 0; seed < 60; seed++) {
    const random = new Random(`plan ${seed}`)
    const plan = new SendPlan()
    const model = new Model()
    for (let step = 0; step < 120; step++) {
      const name = `r${random.below(6)}`
      switch (random.below(6)) {
        case 0: {
          const ranges: [number, number][] = []
          for (let at = random.below(9); at < model.known; at += 2 + random.below(20)) ranges.push([at, 1])
          plan.join(name, holding(Math.max(model.known, 1), ...ranges))
          const held = new Set(ranges.map(([first]) => first))
          model.lacks.set(name, new Set(Array.from({ length: model.known }, (_, i) => i).filter((chunk) => !held.has(chunk))))
          break
        }
        case 1:
          plan.leave(name)
          model.lacks.delete(name)
          break
        case 2: {
          const more = random.below(12)
          plan.grow(model.known + more)
          for (const set of model.lacks.values()) for (let i = 0; i < more; i++) set.add(model.known + i)
          model.known += more
          break
        }
        case 3: {
          const first = random.below(model.known + 1)
          const count = random.below(model.known - first + 1)
          const isGone = random.below(4) === 0
          if (isGone) plan.setUnavailable(first, count)
          else plan.setAvailable(first, count)
          for (let chunk = first; chunk < first + count; chunk++) {
            if (isGone) model.available.delete(chunk)
            else model.available.add(chunk)
          }
          break
        }
        default: {
          const maxChunks = 1 + random.below(9)
          model.check(plan.next(maxChunks), maxChunks)
        }
      }
    }
    for (let run = plan.next(5); run !== undefined; run = plan.next(5)) model.check(run, 5)
    model.check(undefined, 5)
    assert.equal(plan.status().pending, 0)
  }
})
