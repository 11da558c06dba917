/** What outsiders and a broken network may send: nothing of it gets through, and nothing of it costs more than its limit. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Random } from '../lib/random.ts'
import { DATA_HEADER_BYTES, writeDataHeader } from './data-packet.ts'
import { loadKernel } from './fec/load-kernel.ts'
import { SENDER_ID, encodeControl, sessionIdBytes } from './session-packets.ts'
import { testCipher } from './testing/test-cipher.ts'
import { VirtualGroup, type VirtualReceiver } from './testing/virtual-group.ts'

const WHOLE = { datagramBytes: 256, blockSymbols: 200 }
const stranger = testCipher(loadKernel(), 99)

/** Every so often while the session goes on. */
function every(group: VirtualGroup, intervalMs: number, action: (count: number) => void): void {
  let count = 0
  const again = (): void => {
    if (group.finished !== undefined) return
    action(count++)
    group.at(group.now + intervalMs, again)
  }
  group.at(group.now, again)
}

function receiving(group: VirtualGroup): VirtualReceiver[] {
  return group.receivers.filter(({ ended }) => ended === undefined)
}

test('garbage, foreign sessions and cut packets are counted and dropped', () => {
  const group = new VirtualGroup({ blocks: 20, path: { loss: 0.02 } })
  const random = new Random('garbage')
  const session = sessionIdBytes(group.parameters.sessionId)
  every(group, 0.05, (count) => {
    const bytes = Uint8Array.from({ length: random.below(300) }, () => random.below(256))
    if (count % 2 === 0) bytes.set(session.subarray(0, Math.min(8, bytes.length)))
    for (const receiver of receiving(group)) group.injectTo(receiver, bytes)
    group.injectToSender(bytes, 'garbage:1')
  })
  group.run()
  group.assertDelivered()
  const { foreignPackets, malformedPackets, forgedPackets, limitedPackets } = group.sender.status()
  assert.ok(foreignPackets > 0 && malformedPackets > 0 && forgedPackets + limitedPackets > 0)
  const status = group.receivers[0]!.machine.status()
  assert.ok(status.foreignPackets > 0 && status.malformedPackets > 0)
})

test('two sessions on one group do not see each other', () => {
  const packets: Uint8Array[] = []
  const other = new VirtualGroup({ seed: 'other', blocks: 10, parameters: { sessionId: 'fedcba9876543210' } })
  other.onDatagram = (bytes) => packets.push(bytes)
  other.run()
  const group = new VirtualGroup({ blocks: 20, path: { loss: 0.02 } })
  every(group, 0.1, (count) => {
    for (const receiver of receiving(group)) group.injectTo(receiver, packets[count % packets.length]!)
  })
  group.run()
  group.assertDelivered()
  const { foreignPackets, malformedPackets, forgedPackets } = group.receivers[0]!.machine.status()
  assert.ok(foreignPackets > 100)
  assert.deepEqual([malformedPackets, forgedPackets], [0, 0])
})

/** A symbol that an outsider made up: of the session, and plausible in all that can be seen. */
function forgedSymbol(group: VirtualGroup, block: number, index: number, sequence: number): Uint8Array {
  const packet = new Uint8Array(group.parameters.datagramBytes).fill(0x66)
  packet.set(sessionIdBytes(group.parameters.sessionId))
  writeDataHeader(packet, group.parameters.blockSymbols, index, group.parameters.blockSymbols - 1 - index, sequence, 5, block)
  return packet
}

test('forged symbols spoil blocks, are found by their tags, and every block comes all the same', () => {
  const group = new VirtualGroup({ blocks: 40, parameters: WHOLE, path: { loss: 0.02 }, receiverLimits: { suspectMs: 20 } })
  let sequence = 0
  let block = 0
  group.onDatagram = (bytes) => {
    if (bytes[8] !== 1) return
    sequence++
    block = bytes[31]!
    // Early in the block, for a symbol that is still to come.
    if (bytes[18] === 20)
      for (const receiver of receiving(group))
        group.at(group.now + 0.3, () => group.injectTo(receiver, forgedSymbol(group, block, 150, sequence + 130)))
  }
  group.run()
  group.assertDelivered()
  for (const { machine } of group.receivers) {
    const { spoiledBlocks, forgedPackets } = machine.status()
    assert.ok(spoiledBlocks > 0, 'some got in')
    assert.ok(forgedPackets > spoiledBlocks, 'and then they were looked for')
  }
})

test('an outsider can neither open blocks nor shape them, nor shift what counts as lost', () => {
  const group = new VirtualGroup({ blocks: 20, parameters: WHOLE })
  every(group, 1, (count) => {
    for (const receiver of receiving(group)) {
      // Far ahead; of another shape; with a sequence out of nowhere.
      group.injectTo(receiver, forgedSymbol(group, 1_000_000 + count, 0, count))
      group.injectTo(receiver, forgedSymbol(group, count % 20, 1, 0x70000000).subarray(0, DATA_HEADER_BYTES + 40))
      group.injectTo(receiver, forgedSymbol(group, count % 20, 1, 0x70000000))
    }
  })
  group.run()
  group.assertDelivered()
  for (const { machine } of group.receivers) {
    const { forgedPackets, lostPackets, spoiledBlocks } = machine.status()
    assert.ok(forgedPackets > 50)
    assert.deepEqual([lostPackets, spoiledBlocks], [0, 0])
  }
  assert.equal(group.sender.status().repairPackets, 0)
})

test('without a key a block that does not open is asked for again in whole, and at last given up', () => {
  const group = new VirtualGroup({ blocks: 3, parameters: WHOLE, isKeyed: false, receivers: 2 })
  const victim = group.receivers[0]!
  let spoiled = 0
  group.onDatagram = (bytes) => {
    if (bytes[8] !== 1 || bytes[31] !== 1) return
    // Its tag is as right as any, without a key; and it comes before the true one.
    spoiled++
    const forged = new Uint8Array(bytes)
    forged[40] = forged[40]! ^ 0xff
    group.injectTo(victim, forged)
  }
  group.run()
  assert.ok(spoiled > 200)
  assert.deepEqual([...victim.givenUp], [1])
  assert.deepEqual([victim.blocks.has(0), victim.blocks.has(2)], [true, true])
  assert.equal(victim.ended, 'complete')
  assert.equal(group.receivers[1]!.blocks.size, 3)
  assert.ok(group.sender.status().repairPackets <= 6 * 256, 'at a bounded cost')
})

test('packets that are recorded and sent again do nothing', () => {
  const group = new VirtualGroup({ blocks: 40, parameters: WHOLE, path: { loss: 0.02 } })
  const fromSender: Uint8Array[] = []
  const toSender: Uint8Array[] = []
  group.onDatagram = (bytes) => {
    if (fromSender.length < 3000) fromSender.push(bytes)
  }
  group.onFeedback = (bytes) => {
    if (toSender.length < 300) toSender.push(bytes)
  }
  let replays = 0
  every(group, 0.2, (count) => {
    if (group.now < 1020) return
    replays++
    for (const receiver of receiving(group)) group.injectTo(receiver, fromSender[(count * 7) % fromSender.length]!)
    group.injectToSender(toSender[count % toSender.length]!, 'replayer:1')
  })
  group.run()
  group.assertDelivered()
  assert.ok(replays > 500)
  assert.deepEqual(group.joined.toSorted(), ['r0', 'r1', 'r2'])
  const { replayedPackets, sourcePackets, repairPackets } = group.sender.status()
  assert.ok(replayedPackets > 400, `${replayedPackets}`)
  assert.ok(repairPackets / sourcePackets < 0.04)
})

test('a storm of requests from a member costs no more than its share, and nothing is sent that nobody lacks', () => {
  const group = new VirtualGroup({ blocks: 40, parameters: WHOLE, senderLimits: { maxPacketsPerReceiver: 100 } })
  const session = sessionIdBytes(group.parameters.sessionId)
  let senderId = 0
  let counter = 1000
  group.onFeedback = (bytes, from) => {
    if (from.name === 'r2' && bytes[8] === 16) for (let at = 9; at < 15; at++) senderId = senderId * 256 + bytes[at]!
  }
  every(group, 0.05, () => {
    const { receiver, firstMissing } = { receiver: 2, firstMissing: 0 }
    const blocks = Array.from({ length: 40 }, (_, block) => ({ block, missing: 200, held: new Uint8Array(0) }))
    const packet = { type: 'nack' as const, receiver, echoUs: 0, holdUs: 0, sequence: 0, firstMissing, backoff: 0, blocks }
    group.injectToSender(encodeControl(group.cipher, session, senderId, counter++, packet), 'r2:1')
  })
  group.run()
  const { limitedPackets, nacks, givenUpBlocks, sourcePackets, repairPackets } = group.sender.status()
  assert.ok(limitedPackets > 1000)
  assert.ok(nacks < 1000)
  assert.equal(givenUpBlocks, 0)
  // Asked for from the very beginning, what was sent since then answers each request.
  assert.ok(repairPackets <= sourcePackets / 10, `${repairPackets}`)
  group.assertDelivered([group.receivers[0]!, group.receivers[1]!])
})

test('a request that contradicts itself is answered by nothing', () => {
  const group = new VirtualGroup({ blocks: 40, parameters: { datagramBytes: 256, blockSymbols: 255 } })
  const session = sessionIdBytes(group.parameters.sessionId)
  let senderId = 0
  group.onFeedback = (bytes, from) => {
    if (from.name === 'r2' && bytes[8] === 16) for (let at = 9; at < 15; at++) senderId = senderId * 256 + bytes[at]!
  }
  every(group, 0.5, (count) => {
    // It has all 255 symbols of the block and lacks five, again and again.
    const blocks = Array.from({ length: 30 }, (_, block) => ({ block, missing: 5, held: new Uint8Array(32).fill(0xff) }))
    const packet = { type: 'nack' as const, receiver: 2, echoUs: 0, holdUs: 0, sequence: 0, firstMissing: 0, backoff: 0, blocks }
    group.injectToSender(encodeControl(group.cipher, session, senderId, 10_000 + count, packet), 'r2:1')
  })
  group.run()
  group.assertDelivered([group.receivers[0]!, group.receivers[1]!])
  // One row of parity is left for each block.
  assert.ok(group.sender.status().repairPackets <= 40)
})

test('a storm from strangers is dropped unread beyond a limit, and members are heard all the same', () => {
  const group = new VirtualGroup({ blocks: 60, parameters: WHOLE, path: { loss: 0.02 }, senderLimits: { maxUnknownPackets: 200 } })
  const session = sessionIdBytes(group.parameters.sessionId)
  let sent = 0
  every(group, 0.02, (count) => {
    if (group.now < 1010) return
    sent++
    const packet = { type: 'join' as const, name: `x${count}`, app: new Uint8Array(0) }
    group.injectToSender(encodeControl(stranger, session, 1 + count, 1, packet), `10.0.${count & 255}.${(count >> 8) & 255}:9`)
  })
  let fromSender = 0
  group.onDatagram = (bytes) => {
    if (bytes[8] !== 1) fromSender++
  }
  group.run()
  group.assertDelivered()
  const { forgedPackets, limitedPackets } = group.sender.status()
  assert.ok(sent > 5000)
  assert.ok(forgedPackets <= 200 + 200 * 2, `${forgedPackets} were opened`)
  assert.ok(limitedPackets > sent / 2)
  assert.ok(fromSender < 200, 'and nothing was answered')
})

test("an outsider's control packets move nobody", () => {
  const group = new VirtualGroup({ blocks: 40, parameters: WHOLE })
  const session = sessionIdBytes(group.parameters.sessionId)
  every(group, 1, (count) => {
    const packet = {
      type: 'status' as const,
      timestampUs: 0,
      isEnd: true,
      isOver: true,
      isPoll: true,
      isStopped: true,
      sequence: 9,
      firstBlock: 30,
      nextBlock: 40,
      grttUs: 1,
      backoffUs: 1,
      aggregateUs: 1,
      reportMs: 1,
      groupSize: 1,
      usualNeed: 1,
      repairs: [],
    }
    const forged = encodeControl(stranger, session, SENDER_ID, 100_000 + count, packet)
    for (const receiver of receiving(group)) group.injectTo(receiver, forged)
  })
  group.run()
  group.assertDelivered()
  assert.ok(group.receivers[0]!.machine.status().forgedPackets > 100)
})
