import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Random } from '../../lib/random.ts'
import { JoinCandidates, type CandidateOutput, type DiscoveredBy } from './join-candidates.ts'
import type { Discovered } from './membership-proof.ts'

const nodeAt = (number: number, count = 1): Discovered => ({
  node: `n${number}`,
  endpoints: Array.from({ length: count }, (_, index) => ({ address: Uint8Array.of(10, index, number >> 8, number & 255), port: 7946 })),
})

class Bench {
  readonly members: Set<string> = new Set(['self'])
  memberCount = 1
  readonly joins: (CandidateOutput & { readonly at: number })[] = []
  readonly candidates: JoinCandidates
  /** How each join ends; undefined leaves it open. */
  answer: (join: CandidateOutput) => boolean | undefined = () => false
  now = 0

  constructor(seed: string) {
    this.candidates = new JoinCandidates({
      random: new Random(seed),
      isMember: ({ node }) => this.members.has(node),
      memberCount: () => this.memberCount,
    })
  }

  found(found: Discovered, by: DiscoveredBy = 'dns-sd'): void {
    this.candidates.handle({ type: 'found', by, found }, this.now)
  }

  runTo(at: number): void {
    for (let next = this.candidates.nextDeadline(); next <= at; next = this.candidates.nextDeadline()) {
      this.now = Math.max(this.now, next)
      this.candidates.handleTimeout(this.now)
      for (const join of this.candidates.drain()) {
        this.joins.push({ ...join, at: this.now })
        const isJoined = this.answer(join)
        if (isJoined === true) this.members.add(join.node)
        if (isJoined !== undefined) this.candidates.handle({ type: 'outcome', node: join.node, isJoined }, this.now)
      }
    }
    this.now = at
  }
}

test('somebody who was found and is no member is joined, once, and then left alone', () => {
  const bench = new Bench('join')
  bench.answer = () => true
  bench.found(nodeAt(1))
  bench.runTo(120_000)
  assert.deepEqual(
    bench.joins.map(({ node, by, attempt }) => [node, by, attempt]),
    [['n1', 'dns-sd', 1]],
  )
  assert.equal(bench.candidates.size, 0)
})

test('members are not joined, and whoever became one meanwhile neither', () => {
  const bench = new Bench('members')
  bench.members.add('n1')
  bench.found(nodeAt(1))
  bench.memberCount = 1000
  bench.found(nodeAt(2))
  bench.members.add('n2')
  bench.runTo(100_000)
  assert.deepEqual(bench.joins, [])
})

test('who does not answer is tried again, at each address in turn, in growing pauses, until it is lost', () => {
  const bench = new Bench('retry')
  bench.found(nodeAt(1, 2))
  bench.runTo(300_000)
  const times = bench.joins.map(({ at }) => at)
  assert.ok(times.length >= 8 && times.length <= 13, `${times.length} attempts`)
  assert.ok(times.at(-1)! - times.at(-2)! > 10 * (times[1]! - times[0]!))
  assert.deepEqual(
    bench.joins.slice(0, 4).map(({ endpoint }) => endpoint.address[1]),
    [0, 1, 0, 1],
  )
  bench.candidates.handle({ type: 'lost', by: 'dns-sd', node: 'n1' }, bench.now)
  bench.runTo(600_000)
  assert.equal(bench.joins.length, times.length)
})

test('what a beacon told is forgotten after ten minutes, unless it is told again', () => {
  const bench = new Bench('forget')
  bench.found(nodeAt(1), 'beacon')
  bench.runTo(601_000)
  assert.equal(bench.candidates.size, 0)
})

test('a thousand strangers are joined one by one, four a second at the most and few at a time', () => {
  const bench = new Bench('thousand')
  bench.answer = () => true
  for (let k = 0; k < 1000; k++) bench.found(nodeAt(k))
  bench.runTo(10_000)
  assert.ok(bench.joins.length >= 35 && bench.joins.length <= 41, `${bench.joins.length} joins`)
  const open = new Bench('open')
  open.answer = () => undefined
  for (let k = 0; k < 3000; k++) open.found(nodeAt(k))
  open.runTo(60_000)
  assert.equal(open.joins.length, 4)
  assert.ok(open.candidates.dropped > 0)
})

test('of many members that hear of one stranger, few join it before the news is round', () => {
  const firsts = Array.from({ length: 1000 }, (_, k) => {
    const bench = new Bench(`crowd ${k}`)
    bench.memberCount = 1000
    bench.answer = () => true
    bench.found(nodeAt(1))
    bench.runTo(60_000)
    return bench.joins[0]!.at
  }).sort((a, b) => a - b)
  assert.ok(firsts[0]! < 500)
  assert.ok(firsts.filter((at) => at < 1000).length <= 40)
})
