/** Sessions over networks that lose, delay, overtake and double packets: every block comes once, at a bounded cost. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type GroupOptions, VirtualGroup } from './testing/virtual-group.ts'

/** Blocks as large as they are meant to be, of short symbols: what counts is how many. */
const WHOLE = { datagramBytes: 256, blockSymbols: 200 }

/** What must not decide these tests: whether a receiver that is hard to reach comes before the first block. */
const PATIENT = { settleMs: 3000, startTimeoutMs: 3000 }

function deliver(options: GroupOptions): VirtualGroup {
  const group = new VirtualGroup(options)
  group.run()
  group.assertDelivered()
  return group
}

/** Symbols sent for each of the source. */
function costOf(group: VirtualGroup): number {
  const { sourcePackets, proactivePackets, repairPackets } = group.sender.status()
  return (sourcePackets + proactivePackets + repairPackets) / sourcePackets
}

test('without loss every block comes once, and nothing is sent twice', () => {
  const group = deliver({ blocks: 20 })
  const { sourcePackets, repairPackets, proactivePackets, nacks } = group.sender.status()
  assert.deepEqual([sourcePackets, repairPackets, proactivePackets, nacks], [20 * 40, 0, 0, 0])
})

test('two percent of independent loss at three receivers cost less than four percent', () => {
  const group = deliver({ blocks: 60, parameters: WHOLE, path: { loss: 0.02, feedbackLoss: 0.02 } })
  assert.ok(costOf(group) <= 1.04, `${costOf(group)}`)
  assert.ok(costOf(group) > 1.01, 'and there was loss')
})

test('parity that is sent before anybody asks spares requests', () => {
  const options = { blocks: 40, parameters: WHOLE, path: { loss: 0.02 } }
  const without = deliver(options)
  const proactive = deliver({ ...options, proactiveShare: 0.03 })
  assert.ok(proactive.sender.status().nacks < without.sender.status().nacks / 2)
  assert.ok(costOf(proactive) < 1.045, `${costOf(proactive)}`)
})

for (const loss of [0.1, 0.3, 0.5])
  test(`${100 * loss} percent of loss, both ways`, () => {
    const group = deliver({
      seed: `loss-${loss}`,
      blocks: 20,
      parameters: WHOLE,
      path: { loss, feedbackLoss: loss },
      senderLimits: PATIENT,
    })
    assert.ok(costOf(group) < 1.6 / (1 - loss), `${costOf(group)}`)
    assert.equal(group.sender.status().givenUpBlocks, 0)
  })

test('bursts of fifty packets', () => {
  const group = deliver({ blocks: 40, parameters: WHOLE, path: { loss: 0.05, burst: 50 } })
  assert.ok(costOf(group) < 1.25, `${costOf(group)}`)
})

test('bursts that are longer than several blocks', () => {
  deliver({ blocks: 60, parameters: { blockSymbols: 8 }, path: { loss: 0.1, burst: 50 } })
})

test('the same loss at all is repaired once for all', () => {
  const group = new VirtualGroup({ blocks: 20, receivers: 8, parameters: WHOLE })
  let packets = 0
  let isLost = false
  group.onDatagram = (bytes) => {
    if (bytes[8] === 1) isLost = ++packets % 40 === 0
    for (const { path } of group.receivers) path.isBlocked = bytes[8] === 1 && isLost
  }
  group.run()
  group.assertDelivered()
  assert.ok(costOf(group) < 1.04, `${costOf(group)}`)
})

test('packets that overtake one another are not asked for once it is known how late they can be', () => {
  const group = deliver({ blocks: 60, parameters: WHOLE, path: { jitterMs: 1 } })
  assert.ok(costOf(group) < 1.01, `${costOf(group)}`)
})

test('packets that come twice', () => {
  const group = deliver({ blocks: 20, path: { doubled: 0.5 } })
  assert.equal(costOf(group), 1)
  for (const { machine } of group.receivers) assert.ok(machine.status().duplicatePackets > 200)
})

test('blocks of one symbol, of one byte, of none', () => {
  deliver({ blocks: 100, parameters: { blockSymbols: 1 }, path: { loss: 0.1 } })
  deliver({ blocks: 60, parameters: WHOLE, payloadBytes: (block) => block % 3, path: { loss: 0.1 } })
})

test('a session of one packet, which gets lost', () => {
  for (let seed = 0; seed < 20; seed++)
    deliver({ seed: `one-${seed}`, blocks: 1, payloadBytes: () => 5, path: { loss: 0.5 }, senderLimits: PATIENT })
})

test('blocks of every size between nothing and all', () => {
  deliver({ blocks: 60, parameters: WHOLE, payloadBytes: (block, most) => Math.floor((most * block) / 59), path: { loss: 0.05 } })
})

test('blocks of 255 symbols, which leave one row of parity', () => {
  const group = deliver({ blocks: 10, parameters: { blockSymbols: 255 }, path: { loss: 0.1 } })
  assert.ok(group.sender.status().resentPackets > 0)
})

test('datagrams as long as UDP has them', () => {
  deliver({ blocks: 3, parameters: { datagramBytes: 65_507, blockSymbols: 20 }, path: { loss: 0.1 }, rateBytesPerSec: 100_000_000 })
})

test('a session without blocks', () => {
  const group = deliver({ blocks: 0 })
  assert.ok(group.finishedAt - 1000 < 20, 'is over at once')
})

test('blocks in their order, if that is asked for', () => {
  const group = deliver({ blocks: 40, isOrdered: true, path: { loss: 0.1, burst: 20 } })
  for (const { order } of group.receivers)
    assert.deepEqual(
      order,
      Array.from({ length: 40 }, (_, block) => block),
    )
  const unordered = deliver({ blocks: 40, path: { loss: 0.1, burst: 20 } })
  assert.ok(unordered.receivers.some(({ order }) => order.some((block, place) => block !== place)))
})

test('a repair takes milliseconds on a LAN, and so does the end', () => {
  // The last block alone: whatever is lost of it is lost at the very end.
  const lossless = deliver({ blocks: 1, parameters: WHOLE, path: { delayMs: 0.1 } })
  for (let seed = 0; seed < 10; seed++) {
    const group = deliver({ seed: `end-${seed}`, blocks: 1, parameters: WHOLE, path: { delayMs: 0.1, loss: 0.05 } })
    const moreMs = group.finishedAt - lossless.finishedAt
    assert.ok(moreMs < 30, `${moreMs} ms for seed ${seed}`)
  }
})

test('any mixture of faults', () => {
  const options = fc.record({
    seed: fc.string(),
    receivers: fc.integer({ min: 1, max: 12 }),
    blocks: fc.integer({ min: 0, max: 12 }),
    blockSymbols: fc.integer({ min: 1, max: 120 }),
    loss: fc.double({ min: 0, max: 0.4, noNaN: true }),
    feedbackLoss: fc.double({ min: 0, max: 0.4, noNaN: true }),
    burst: fc.integer({ min: 1, max: 50 }),
    jitterMs: fc.double({ min: 0, max: 3, noNaN: true }),
    doubled: fc.double({ min: 0, max: 0.5, noNaN: true }),
    delayMs: fc.double({ min: 0.01, max: 20, noNaN: true }),
    proactiveShare: fc.double({ min: 0, max: 0.3, noNaN: true }),
    isOrdered: fc.boolean(),
  })
  fc.assert(
    fc.property(options, ({ seed, receivers, blocks, blockSymbols, proactiveShare, isOrdered, ...path }) => {
      const group = new VirtualGroup({
        seed,
        receivers,
        blocks,
        proactiveShare,
        isOrdered,
        parameters: { blockSymbols },
        path,
        senderLimits: PATIENT,
      })
      group.run()
      assert.notEqual(group.finished, undefined)
      for (const receiver of group.receivers) {
        // Whoever was told its first block has every one from there on, or was put out; nobody hangs.
        assert.notEqual(receiver.ended, undefined)
        if (receiver.ended !== 'complete' || receiver.firstBlock === undefined) continue
        for (let block = receiver.firstBlock; block < blocks; block++)
          assert.ok(receiver.blocks.has(block) || receiver.givenUp.has(block), `${receiver.name} knows of block ${block}`)
      }
    }),
    { numRuns: 60, seed: 1 },
  )
})
