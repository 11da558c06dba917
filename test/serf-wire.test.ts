/** What goes between agents of Polycast and of Serf, message by message: a test in the part of a member says what no agent would. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { encodePacketMessage, encodeStreamMessage } from '#src/core/gossip/index.js'
import { MIB, sampleBytes, until } from './cluster.ts'
import { PLAIN, RawPeer, recordOf, stream } from './raw-peer.ts'
import { MixedCluster, serfMissing, untilAcquainted, untilStatus, type AnyAgent, type PolycastAgent } from './serf-agents.ts'

const FAKE_MEMBERS = 400
const RANDOM_INPUTS = 200
/** More than an agent grows by what is thrown at it here, and far less than what these inputs claim to hold. */
const MAX_GROWTH_BYTES = 150 * MIB

describe('messages between both kinds', { skip: serfMissing, concurrency: 3 }, () => {
  test('who is suspected contradicts, and stays', async (t) => {
    const mixed = await MixedCluster.open(t)
    const s1 = await mixed.startSerf('s1')
    const p1 = await mixed.startPolycast('p1', { join: [s1] })
    await untilAcquainted([s1, p1])
    const heard = await Promise.all([s1.follow(), p1.follow()])
    const peer = await RawPeer.open(t, 'raw')
    // To the accused itself and to the other one.
    for (const to of [p1.gossip, s1.gossip]) {
      for (const node of ['p1', 's1']) peer.send(to, { type: 'suspect', incarnation: 1, node, from: 'raw' })
    }
    await until('the agent of Serf has contradicted', () => s1.logged('Refuting a suspect message').length > 0)
    await until('the agent of Polycast has contradicted', () => p1.agent.logged('has contradicted').length > 0)
    await until('each knows the new incarnation of the other', async () => {
      const members = await p1.agent.members()
      return members.every(({ incarnation, status }) => incarnation >= 2 && status === 'alive')
    })
    assert.equal((await s1.statuses())['p1'], 'alive')
    for (const list of heard) assert.ok(!list.some(({ kind }) => /failed|leave$/.test(kind)))
  })

  test('pings are made for others; what is not answered is told', async (t) => {
    const mixed = await MixedCluster.open(t)
    const s1 = await mixed.startSerf('s1')
    const p1 = await mixed.startPolycast('p1', { join: [s1] })
    await untilAcquainted([s1, p1])
    const peer = await RawPeer.open(t, 'raw')
    const silent = await RawPeer.open(t, 'silent')
    silent.isAnswering = false
    for (const [relay, target] of [
      [p1, s1],
      [s1, p1],
    ] as const) {
      await peer.ping(relay.gossip, relay.name)
      const ask = (node: string, gossip: string): number => {
        const [address = '', port = ''] = gossip.split(':')
        const sequence = peer.nextSequence()
        const endpoint = { target: Uint8Array.from(address.split('.'), Number), port: Number(port) }
        const source = { sourceAddress: peer.endpoint.address, sourcePort: peer.port, sourceNode: 'raw' }
        peer.send(relay.gossip, { type: 'indirect-ping', sequence, ...endpoint, node, nack: true, ...source })
        return sequence
      }
      const reached = ask(target.name, target.gossip)
      await until(`${relay.name} has reached ${target.name}`, () => peer.answered('ack', reached))
      const missed = ask('silent', `${silent.address}:${silent.port}`)
      await until(`${relay.name} says that it did not reach the silent one`, () => peer.answered('nack', missed))
      assert.ok(!peer.answered('ack', missed) && !peer.answered('nack', reached))
      // A ping for another name than its own is answered by nobody.
      const wrong = ask('nobody', target.gossip)
      await until(`${relay.name} says that nobody is not there`, () => peer.answered('nack', wrong))
      const answer = await stream(relay.gossip, encodeStreamMessage({ type: 'ping', sequence: 77, node: relay.name }))
      assert.deepEqual(answer, { type: 'ack', sequence: 77, payload: undefined })
      assert.equal(await stream(relay.gossip, encodeStreamMessage({ type: 'ping', sequence: 78, node: 'nobody' })), undefined)
    }
  })

  test('a table of 400 members goes both ways, compressed or not', async (t) => {
    const mixed = await MixedCluster.open(t)
    const s1 = await mixed.startSerf('s1')
    const p1 = await mixed.startPolycast('p1')
    const peer = await RawPeer.open(t, 'raw')
    // All of them answer, where the peer does: nobody tells of members that he suspects.
    const records = Array.from({ length: FAKE_MEMBERS }, (_, k) => recordOf(`fake-${k}`, peer.endpoint, { rack: `r${k}` }))
    const names = ['raw', ...records.map(({ node }) => node)]
    for (const [agent, isCompressing] of [
      [s1, true],
      [p1, false],
    ] as const) {
      await peer.exchange(agent.gossip, [peer.record, ...records], { ...PLAIN, isCompressing })
      await untilKnown(agent, names)
      const answer = await peer.exchange(agent.gossip, [peer.record], { ...PLAIN, isCompressing: !isCompressing })
      assert.ok(answer.type === 'push-pull')
      const told = new Map(answer.members.map((member) => [member.node, Buffer.from(member.meta).toString('hex')]))
      assert.equal(told.size, FAKE_MEMBERS + 2)
      for (const { node, meta } of records) assert.equal(told.get(node), Buffer.from(meta).toString('hex'), node)
    }
    // And from the one kind to the other, whole.
    const [s2, p2] = [await mixed.startSerf('s2', { join: [p1] }), await mixed.startPolycast('p2', { join: [s1] })]
    for (const agent of [s2, p2]) {
      await untilKnown(agent, names)
    }
  })

  test('what is no message harms nobody', async (t) => {
    const mixed = await MixedCluster.open(t)
    const s1 = await mixed.startSerf('s1')
    const p1 = await mixed.startPolycast('p1', { join: [s1] })
    await untilAcquainted([s1, p1])
    const heard = await Promise.all([s1.follow(), p1.follow()])
    const before = p1.agent.rssBytes()
    const peer = await RawPeer.open(t, 'raw')
    for (const bytes of hostilePackets(p1)) {
      peer.sendBytes(p1.gossip, bytes)
      // So that none is lost in a queue: the next one goes when this one was read.
      await peer.ping(p1.gossip, 'p1')
    }
    // Claims of what is to follow, and nothing follows: those connections are cut from this side.
    await Promise.all(hostileStreams(p1).map((bytes) => openAndDrop(p1.gossip, bytes)))
    for (let k = 0; k < RANDOM_INPUTS; k++) {
      const bytes = sampleBytes(`random-${k}`, 1 + ((k * 37) % 1400))
      bytes[0] = k % 16
      peer.sendBytes(p1.gossip, bytes)
      await openAndDrop(p1.gossip, bytes)
    }
    await peer.ping(p1.gossip, 'p1')
    assert.ok(p1.agent.isRunning)
    assert.ok(p1.agent.rssBytes() - before < MAX_GROWTH_BYTES, `it grew by ${p1.agent.rssBytes() - before} bytes`)
    assert.ok((await p1.agent.metric('polycast_gossip_unreadable_packets_total')) > 10)
    await p1.output('event', 'after', 'all')
    await until('the other one still hears it', () => heard[0].some(({ name, text }) => name === 'after' && text === 'all'))
    await untilStatus([s1, p1], { s1: 'alive', p1: 'alive' })
    for (const list of heard) assert.ok(!list.some(({ kind }) => /failed|leave$/.test(kind)))
    assert.ok(!p1.agent.log.some(({ level }) => level === 'error' || level === 'fatal' || level === 'stderr'))
  })
})

async function untilKnown(agent: AnyAgent, names: readonly string[]): Promise<void> {
  await until(`${agent.name} knows all ${names.length}`, async () => {
    const known = await agent.statuses()
    return names.every((name) => name in known)
  })
}

async function openAndDrop(to: string, bytes: Uint8Array): Promise<void> {
  await stream(to, bytes, PLAIN, true)
}

/** Packets that are wrong in the ways that have broken such agents before. */
function hostilePackets({ agent }: PolycastAgent): Uint8Array[] {
  const ping = encodePacketMessage({ type: 'ping', sequence: 1, node: agent.name })
  const text = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex')
  const bomb = lzwBomb()
  return [
    // A compound: cut off, of no parts, of parts that are longer than the packet, in itself.
    Buffer.concat([text('07 05 0020 ffff'), ping]),
    text('07'),
    text('07 00'),
    text('07 ff'),
    text('07 01 ffff 00'),
    Buffer.concat([text('07 01 0004'), text('07 01 0000')]),
    // A checksum that does not fit, and none at all.
    Buffer.concat([text('0c 00000000'), ping]),
    text('0c'),
    text('0c 00'),
    // Compressed bytes that are none, an unknown algorithm, and those that become very much.
    text('09 82 a4416c676f 00 a3427566 a4 ffffffff'),
    text('09 82 a4416c676f 07 a3427566 a4 ffffffff'),
    text('09 82 a4416c676f 00 a3427566 db ffffffff'),
    Buffer.concat([text('09 82 a4416c676f 00 a3427566 da'), Buffer.of(bomb.length >> 8, bomb.length & 255), bomb]),
    // A float where an integer belongs; lengths beyond everything; maps without an end.
    text('00 82 a44e6f6465 a27031 a55365714e6f cb 3ff0000000000000'),
    text('00 82 a44e6f6465 db ffffffff 70 a55365714e6f 01'),
    text('00 df ffffffff'),
    text('04 dd ffffffff'),
    Buffer.concat([Buffer.of(0), Buffer.alloc(1300, 0x91)]),
    // An alive with a short Vsn, with none, with an address of 3 bytes, and one of incarnation 0.
    alive('a3 010502'),
    alive('a0'),
    alive('a6 000000000000'),
    text('04 86 a441646472 a3 7f0000 ab496e6361726e6174696f6e 01 a44d657461 a0 a44e6f6465 a178 a4506f7274 01 a356736e a6 010502020505'),
    // Messages of the layer above that are nothing.
    text('08'),
    text('08 ff'),
    text('08 04 df ffffffff'),
    text('08 09 82'),
    text('08 50 02 70 31 01 ff ff ff ff ff'),
    text('f4 ff 00'),
    text('0a ffffffff'),
  ]
}

function alive(vsn: string): Buffer {
  const hex = `04 86 a441646472 a4 7f000001 ab496e6361726e6174696f6e 00 a44d657461 a0 a44e6f6465 a178 a4506f7274 01 a356736e ${vsn}`
  return Buffer.from(hex.replaceAll(' ', ''), 'hex')
}

function hostileStreams(agent: PolycastAgent): Uint8Array[] {
  const text = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex')
  return [
    ...hostilePackets(agent),
    // A push/pull of four billion members, and one with so much of the layer above.
    text('06 83 a44a6f696e c3 a54e6f646573 ce ffffffff ac557365725374617465 4c656e 00'),
    text('06 83 a44a6f696e c3 a54e6f646573 ce 0001ffff ac5573657253746174654c656e 00'),
    text('06 83 a44a6f696e c3 a54e6f646573 00 ac5573657253746174654c656e ce ffffffff'),
    text('06 83 a44a6f696e c3 a54e6f646573 d0 ff ac5573657253746174654c656e d0 ff'),
    text('08 81 aa557365724d73674c656e ce ffffffff'),
    text('0a ffffffff 01'),
    text('0d'),
    text('f4 05 61'),
  ]
}

/** Codes of LZW (9 bits and more, least significant bit first) each of which is the one before and a byte more. */
function lzwBomb(): Buffer {
  const bytes: number[] = []
  let [bits, count, width] = [0, 0, 9]
  const put = (code: number): void => {
    bits |= code << count
    for (count += width; count >= 8; count -= 8) {
      bytes.push(bits & 255)
      bits >>>= 8
    }
  }
  put(256)
  put(0)
  for (let code = 258; code < 1000; code++) {
    if (code >= 1 << width) width++
    put(code)
  }
  put(257)
  bytes.push(bits & 255)
  return Buffer.from(bytes)
}
