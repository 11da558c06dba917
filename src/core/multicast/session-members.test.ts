/** Who takes part: coming early, late, twice and in thousands; going, dying, being put out. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualGroup } from './testing/virtual-group.ts'

const WHOLE = { datagramBytes: 256, blockSymbols: 200 }

/** When about a share of the blocks has been sent, in a group of 200-symbol blocks at the rate that is the default there. */
function timeOf(share: number, blocks: number): number {
  return 1000 + 3 + (share * blocks * 200 * 302) / 10_000
}

test('the session begins once all who were invited hear it, without a pause', () => {
  const group = new VirtualGroup({ blocks: 1 })
  let firstData = NaN
  group.onDatagram = (bytes) => {
    if (bytes[8] === 1 && Number.isNaN(firstData)) firstData = group.now - 1000
  }
  group.run()
  assert.ok(firstData < 2, `${firstData} ms`)
})

test('it does not wait for an invited one that does not come, nor for one that nothing reaches', () => {
  const group = new VirtualGroup({ blocks: 40, parameters: WHOLE, path: (receiver) => (receiver === 2 ? { isBlocked: true } : {}) })
  group.sender.handle({ type: 'invited', names: ['nobody'] }, group.now)
  group.run()
  group.assertDelivered(group.receivers.slice(0, 2))
  assert.ok((group.receivers[0]?.completeAt as number) < 1000 + 400, 'settled soon')
  assert.equal(group.receivers[2]?.ended, 'unreached')
  assert.ok(group.receivers[2]?.endedAt <= 1000 + 1500)
  assert.ok(group.gone.has('r2'))
})

test('a session that nobody joins ends as such', () => {
  const group = new VirtualGroup({ receivers: 0 })
  group.run()
  assert.equal(group.finished, 'nobody')
  assert.equal(group.finishedAt, 2000)
})

test('a single receiver is served when nobody else comes', () => {
  const group = new VirtualGroup({ receivers: 1, isInvited: false, blocks: 3 })
  group.run()
  group.assertDelivered()
})

test('who comes in the middle gets everything from then on', () => {
  const group = new VirtualGroup({ blocks: 40, parameters: WHOLE, path: { loss: 0.02 } })
  group.at(timeOf(0.5, 40), () => group.join('late'))
  group.run()
  group.assertDelivered()
  const late = group.receivers[3]
  assert.equal(late?.name, 'late')
  assert.ok((late?.firstBlock as number) > 15 && (late?.firstBlock as number) < 25, `${late?.firstBlock}`)
  assert.ok(late?.blocks.size >= 40 - (late?.firstBlock as number))
})

test('who leaves is not waited for', () => {
  const group = new VirtualGroup({ blocks: 40, parameters: WHOLE, path: { loss: 0.02 } })
  const leaver = group.receivers[1]!
  group.at(timeOf(0.3, 40), () => group.tell(leaver, { type: 'leave' }))
  group.run()
  assert.equal(leaver.ended, 'left')
  assert.equal(group.gone.get('r1'), 'left')
  group.assertDelivered([group.receivers[0]!, group.receivers[2]!])
})

test('a receiver that is killed does not hold the others up, and may come again', () => {
  const group = new VirtualGroup({ blocks: 60, parameters: WHOLE, path: { loss: 0.05 } })
  const victim = group.receivers[1]!
  group.at(timeOf(0.3, 60), () => {
    victim.isDead = true
  })
  group.at(timeOf(0.6, 60), () => group.join('r1'))
  group.run()
  const again = group.receivers[3]!
  group.assertDelivered([group.receivers[0]!, group.receivers[2]!, again])
  assert.ok(again.blocks.size < 40 && again.blocks.size >= 60 - (again.firstBlock as number))
  assert.ok(group.sender.status().stalledMs < 100)
})

test('a receiver that is killed and stays away is given up in a bounded time', () => {
  const group = new VirtualGroup({ blocks: 60, parameters: WHOLE })
  group.at(timeOf(0.5, 60), () => {
    group.receivers[1]!.isDead = true
  })
  group.run()
  group.assertDelivered([group.receivers[0]!, group.receivers[2]!])
  assert.equal(group.gone.get('r1'), 'silent')
  assert.ok(group.finishedAt < timeOf(1, 60) + 2500)
  for (const { completeAt } of [group.receivers[0]!, group.receivers[2]!]) assert.ok(completeAt < timeOf(1, 60) + 20)
})

test('when the sender dies, receivers say so in a bounded time', () => {
  const group = new VirtualGroup({ blocks: 60, parameters: WHOLE })
  const diesAt = timeOf(0.5, 60)
  group.at(diesAt, () => group.killSender())
  group.run(5000)
  for (const { ended, endedAt, blocks } of group.receivers) {
    assert.equal(ended, 'silent')
    assert.ok(endedAt - diesAt <= 1001, `${endedAt - diesAt} ms`)
    assert.ok(blocks.size >= 28)
  }
})

test('a receiver that is cut off in the middle ends, and the others go on', () => {
  const group = new VirtualGroup({ blocks: 200, parameters: WHOLE, path: () => ({}), senderLimits: { windowBlocks: 20 } })
  const cutAt = timeOf(0.2, 200)
  group.at(cutAt, () => {
    group.receivers[2]!.path.isBlocked = true
  })
  group.run()
  group.assertDelivered(group.receivers.slice(0, 2))
  assert.equal(group.receivers[2]?.ended, 'silent')
  assert.ok(group.receivers[2]?.endedAt - cutAt <= 1100)
  // A receiver that lacks everything may hold a full window for as long as it says, no longer.
  assert.ok(
    (group.receivers[0]?.completeAt as number) < timeOf(1, 200) + 400,
    `${(group.receivers[0]?.completeAt as number) - timeOf(1, 200)}`,
  )
})

test('a receiver that loses nearly everything holds the others up by a bounded time, and hears what it will not get', () => {
  const options = { blocks: 60, receivers: 4, parameters: WHOLE, senderLimits: { windowBlocks: 20 } }
  const even = new VirtualGroup({ ...options, path: { loss: 0.01 } })
  even.run()
  const group = new VirtualGroup({ ...options, path: (receiver) => ({ loss: receiver === 3 ? 0.85 : 0.01 }) })
  group.run()
  group.assertDelivered(group.receivers.slice(0, 3))
  const whole = even.receivers[0]!.completeAt - 1000
  for (const { completeAt } of group.receivers.slice(0, 3))
    assert.ok(completeAt - 1000 < 1.3 * whole + 200, `${(completeAt - 1000) / whole}`)
  assert.ok(group.receivers[3]!.givenUp.size > 20)
})

test('whom the rate control names is put out and told so, and the others go on', () => {
  const group = new VirtualGroup({ blocks: 60, parameters: WHOLE, path: { loss: 0.02 } })
  group.at(timeOf(0.3, 60), () => {
    group.rate.slow = [1]
  })
  group.run()
  const slow = group.receivers.find(({ name }) => group.gone.get(name) === 'slow')
  assert.equal(slow?.ended, 'expelled')
  group.assertDelivered(group.receivers.filter((receiver) => receiver !== slow))
})

test('who did not hear that it was put out is told again', () => {
  const group = new VirtualGroup({ blocks: 60, parameters: WHOLE })
  const target = group.receivers[1]!
  let isLost = true
  group.onDatagram = (bytes) => {
    target.path.isBlocked = bytes[8] === 4 && isLost
    if (bytes[8] === 4) isLost = false
  }
  group.at(timeOf(0.2, 60), () => {
    group.rate.slow = [1]
  })
  group.run()
  assert.equal(isLost, false)
  assert.equal(group.receivers.find(({ name }) => group.gone.get(name) === 'slow')?.ended, 'expelled')
})

test('stop ends it for all at once', () => {
  const group = new VirtualGroup({ blocks: 200, parameters: WHOLE })
  group.at(timeOf(0.3, 200), () => group.stop())
  group.run()
  assert.equal(group.finished, 'stopped')
  for (const { ended, endedAt } of group.receivers) assert.deepEqual([ended, endedAt < timeOf(0.3, 200) + 1], ['stopped', true])
})

test('blocks that are skipped are neither asked for nor told of', () => {
  const group = new VirtualGroup({ blocks: 20, parameters: WHOLE, receivers: 2, path: (receiver) => (receiver === 1 ? { loss: 0.1 } : {}) })
  const skipping = group.receivers[1]!
  for (let block = 0; block < 20; block++)
    group.at(timeOf(block / 20, 20) + 3, () => {
      group.tell(skipping, { type: 'skip', block })
    })
  group.run()
  assert.equal(skipping.ended, 'complete')
  assert.equal(skipping.givenUp.size, 0)
  assert.ok(skipping.blocks.size <= 1, `${skipping.blocks.size}`)
  assert.ok(group.sender.status().repairPackets < 20)
})

test('more receivers than there are places are refused', () => {
  const group = new VirtualGroup({ receivers: 6, blocks: 10, senderLimits: { maxReceivers: 4 } })
  group.run()
  const ends = group.receivers.map(({ ended }) => ended)
  assert.deepEqual([ends.filter((end) => end === 'complete').length, ends.filter((end) => end === 'refused').length], [4, 2])
})

test('hundreds that are invited come spread over time, each once or twice, and are welcomed together', () => {
  const group = new VirtualGroup({ receivers: 400, blocks: 1, senderLimits: { startTimeoutMs: 3000, settleMs: 3000 } })
  const joins: number[] = []
  let welcomes = 0
  group.onFeedback = (bytes) => {
    if (bytes[8] === 16) joins.push(Math.floor((group.now - 1000) / 10))
  }
  group.onDatagram = (bytes) => {
    if (bytes[8] === 3) welcomes++
  }
  group.run()
  assert.ok(joins.length < 440, `${joins.length}`)
  assert.equal(group.receivers.filter(({ ended }) => ended === 'complete').length, 400)
  const perTen = new Map<number, number>()
  for (const at of joins) perTen.set(at, (perTen.get(at) ?? 0) + 1)
  assert.ok(Math.max(...perTen.values()) < 120, 'never many at once')
  assert.ok(welcomes < 200, `${welcomes}`)
})

test('a hundred receivers ask little: suppression, and the answer to who lacks the most', () => {
  const group = new VirtualGroup({ receivers: 100, blocks: 15, parameters: WHOLE, path: { loss: 0.02 } })
  let nacks = 0
  group.onFeedback = (bytes) => {
    if (bytes[8] === 17) nacks++
  }
  group.run()
  group.assertDelivered()
  assert.ok(nacks / 15 <= 5, `${nacks / 15} a block, where all hundred lack something`)
  const { sourcePackets, repairPackets } = group.sender.status()
  assert.ok(repairPackets / sourcePackets < 0.07, `${repairPackets / sourcePackets}`)
})
