import assert from 'node:assert/strict'
import { test } from 'node:test'
import { METRICS, createMetrics, metricRow } from './metrics.ts'
import type { MetricName } from './metrics.ts'
import { newCounters } from './serf-rpc/parts.ts'

const names = Object.keys(METRICS) as MetricName[]

test('the table keeps the rules of Prometheus: unique names, units at the end, counters end in _total', () => {
  const rows = names.map((name) => metricRow(name))
  assert.equal(new Set(rows.map((row) => row.name)).size, rows.length)
  for (const row of rows) {
    assert.match(row.name, /^(polycast|process)_[a-z_]+$/)
    assert.equal(row.name.endsWith('_total'), row.type === 'counter', row.name)
    assert.match(row.help, /^[A-Z].*\.$/, row.name)
    assert.equal(row.buckets !== undefined, row.type === 'histogram', row.name)
    for (const label of row.labels) assert.match(label, /^[a-z]+$/)
  }
  const stats = rows.flatMap((row) => row.stat ?? [])
  assert.equal(new Set(stats).size, stats.length)
})

test('every metric is in what is served, with its help and type', async () => {
  const metrics = createMetrics({ version: '1.2.3' })
  const text = await metrics.render()
  for (const name of names) {
    const row = metricRow(name)
    assert.ok(text.includes(`# HELP ${row.name} ${row.help}\n# TYPE ${row.name} ${row.type}\n`), row.name)
  }
  assert.ok(text.includes(`polycast_build_info{version="1.2.3",node="${process.version}"} 1\n`))
  assert.match(text, /^process_resident_memory_bytes [1-9]\d+$/m)
  assert.match(text, /^process_cpu_seconds_total 0?[.\d]+$/m)
  assert.match(metrics.contentType, /^text\/plain/)
})

test('counting is seen in what is served, and agents do not share', async () => {
  const [one, other] = [createMetrics({ version: '1' }), createMetrics({ version: '1' })]
  one.errors.inc({ code: 'no-space' })
  one.members.set({ status: 'alive' }, 3)
  one.deliverySeconds.observe(0.2)
  const text = await one.render()
  assert.match(text, /^polycast_errors_total\{code="no-space"\} 1$/m)
  assert.match(text, /^polycast_members\{status="alive"\} 3$/m)
  assert.match(text, /^polycast_delivery_duration_seconds_bucket\{le="0\.5"\} 1$/m)
  assert.doesNotMatch(await other.render(), /no-space/)
})

test("all that Serf's RPC counts is a metric", () => {
  const counted = names.flatMap((name) => metricRow(name).stat ?? []).filter((stat) => stat.startsWith('rpc.'))
  assert.deepEqual(
    counted.toSorted(),
    Object.keys(newCounters())
      .map((name) => `rpc.${name}`)
      .toSorted(),
  )
})

test('what the data plane counted is taken over, again and again', async () => {
  const metrics = createMetrics({ version: '1' })
  metrics.applyStats({ 'swarm.sentBytes': 10, 'store.bytes': 7, 'unknown.key': 1, 'swarm.badBytes': Number.NaN })
  metrics.applyStats({ 'swarm.sentBytes': 25, 'store.bytes': 5 })
  const text = await metrics.render()
  assert.match(text, /^polycast_swarm_sent_bytes_total 25$/m)
  assert.match(text, /^polycast_store_bytes 5$/m)
  assert.match(text, /^polycast_swarm_bad_bytes_total 0$/m)
})
