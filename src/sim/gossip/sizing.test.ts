import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sizeCluster } from './sizing.ts'

const OPTIONS = { nodes: 24, loss: 0, profile: 'lan', seed: '1', idleMs: 10_000 } as const

test('a cluster without loss: a crash is known within seconds, a join and a change much sooner, and nobody is accused', () => {
  const { crashFirstMs, crashAllMs, joinAllMs, changeAllMs, falselyAccused, falselyFailed, packetBytesPerSec, whole } = sizeCluster(OPTIONS)
  assert.ok(crashFirstMs >= 500 && crashAllMs >= crashFirstMs && crashAllMs < 3000, `${crashFirstMs} ${crashAllMs}`)
  assert.ok(joinAllMs > 0 && joinAllMs < 3000 && changeAllMs > 0 && changeAllMs < 3000)
  assert.deepEqual([falselyAccused, falselyFailed], [0, 0])
  assert.ok(packetBytesPerSec > 40 && packetBytesPerSec < 100)
  assert.ok(whole!.eventAllMs > 0 && whole!.eventAllMs < 150)
  assert.ok(whole!.wholeBytesPerSec > packetBytesPerSec && whole!.wholeBytesPerSec < 1000)
})

test('the seed decides the numbers; loss makes false accusations', () => {
  assert.deepEqual(sizeCluster(OPTIONS), sizeCluster(OPTIONS))
  assert.notDeepEqual(sizeCluster(OPTIONS), sizeCluster({ ...OPTIONS, seed: '2' }))
  assert.ok(sizeCluster({ ...OPTIONS, loss: 0.3 }).falselyAccused > 0)
})

test('three nodes are a cluster', () => {
  const { crashAllMs, joinAllMs } = sizeCluster({ ...OPTIONS, nodes: 3 })
  assert.ok(crashAllMs > 0 && joinAllMs > 0)
})
