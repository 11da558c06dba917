import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualGroup } from './testing/virtual-group.ts'

test('without loss every block comes once, and nothing is sent twice', () => {
  const group = new VirtualGroup({ blocks: 20 })
  group.run()
  group.assertDelivered()
  const { sourcePackets, repairPackets, proactivePackets } = group.sender.status()
  assert.deepEqual([sourcePackets, repairPackets, proactivePackets], [20 * 40, 0, 0])
})

test('two percent of loss', () => {
  const group = new VirtualGroup({ blocks: 20, path: { loss: 0.02, feedbackLoss: 0.02 } })
  group.run()
  group.assertDelivered()
})
