import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Sizing } from '../sim/gossip/sizing.ts'
import { sizingChart } from './sim-chart.ts'

function result(nodes: number, loss = 0, changes: Partial<Sizing> = {}): Sizing {
  return {
    nodes,
    loss,
    profile: 'lan',
    seed: '<1>',
    crashFirstMs: 6000,
    crashAllMs: 7000 + nodes,
    joinAllMs: 400,
    changeAllMs: 500,
    packetBytesPerSec: 90,
    streamBytesPerSec: 140,
    idleSec: 60,
    falselyAccused: 0,
    falselyFailed: 0,
    whole: { eventAllMs: 20, wholeBytesPerSec: 300 },
    ...changes,
  }
}

const countOf = (text: string, what: string): number => text.split(what).length - 1

test('a line for each metric, a dot for each result, a label for each size', () => {
  const svg = sizingChart([result(16), result(64), result(1024)])
  assert.equal(countOf(svg, '<polyline'), 8)
  assert.equal(countOf(svg, '<circle'), 24)
  for (const label of ['>16<', '>64<', '>1,024<', 'nodes (logarithmic)', '0 % loss', 'seed &lt;1&gt;'])
    assert.ok(svg.includes(label), label)
  assert.ok(!svg.includes('NaN') && !svg.includes('Infinity'))
})

test('several losses are lines of their own; alone they are the axis', () => {
  const both = sizingChart([result(16), result(64), result(16, 0.01), result(64, 0.01)])
  assert.equal(countOf(both, '<polyline'), 16)
  assert.ok(both.includes('join known to all, 1 % loss'))
  const losses = sizingChart([result(64), result(64, 0.1), result(64, 0.3)])
  assert.equal(countOf(losses, '<polyline'), 8)
  assert.ok(losses.includes('packets lost') && losses.includes('>30 %<'))
})

test('one result alone has its dots; what never came has none', () => {
  const svg = sizingChart([result(64, 0, { joinAllMs: -1 })])
  assert.equal(countOf(svg, '<circle'), 7)
  assert.ok(!svg.includes('NaN'))
})
