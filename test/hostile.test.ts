/** Peers that lie, are silent or send nonsense: the delivery succeeds all the same, the log names them, and the agents live on. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import { Random } from '#src/core/lib/random.js'
import { encodeFrame, FRAME_TYPES } from '#src/core/swarm/index.js'
import { Reader } from '#src/core/wire/reader.js'
import { Writer } from '#src/core/wire/writer.js'
import { Cluster, hashOf, MIB, nextAddress, receiptOf, sampleBytes, sha256, until, type Agent } from './cluster.ts'
import { frame, helloFrame, HostilePeer, readFrames, type Malice } from './hostile-peer.ts'

/** What an agent's memory may grow by under any attack of this file. */
const MAX_GROWTH_BYTES = 192 * MIB

/** Why each is dropped, as the log says, which names it. */
const malices: { malice: Malice; reason: RegExp }[] = [
  { malice: 'wrong-bytes', reason: /it sent wrong bytes for chunk \d+/ },
  { malice: 'silence', reason: /it announced chunks and left \d+ requests for them unanswered/ },
  { malice: 'lies', reason: /it took back what it had announced when it was asked for it, \d+ times in a row/ },
]

for (const { malice, reason } of malices) {
  test(`a peer that claims to have everything and answers with ${malice}`, async (t) => {
    const cluster = await Cluster.open(t)
    const [sender, ...receivers] = await cluster.startAll(['s', 'n1', 'n2', 'n3'], (name) => ({
      // With four stripes three honest receivers are short of slots, so that the one that claims to have everything gets children.
      flags: ['--swarm-request-timeout', '500ms', '--swarm-stripes', '4', ...(name === 's' ? ['--upload-rate', '2MiB'] : [])],
    }))
    const bytes = sampleBytes(malice, 12 * MIB)
    const file = await cluster.file('app.bin', bytes)
    const { id } = await sender!.begin(file, { selector: 'all', dest: 'app.bin' })
    await until('the content is sealed', async () => (await sender!.contents())[0]?.state === 'complete')
    const mallory = await HostilePeer.join({
      name: 'mallory',
      address: nextAddress(),
      malice,
      swarmId: path.basename(path.dirname((await sender!.contents())[0]!.path)),
      totalBytes: bytes.length,
      tracker: sender!.swarm,
    })
    t.after(() => mallory.close())
    const delivery = await sender!.ended(id)
    assert.equal(delivery.state, 'done', JSON.stringify(delivery.members))
    assert.ok(mallory.asked > 0, 'it was asked for chunks')
    for (const receiver of receivers) {
      assert.equal(receiptOf(delivery, receiver.name).receivedBytes >= bytes.length, true)
      assert.equal(await hashOf(receiver.received('app.bin')), sha256(bytes))
    }
    const said = cluster.agents.flatMap((agent) => agent.logged('mallory').map(({ msg }) => msg))
    assert.ok(
      said.some((msg) => msg.startsWith('peer mallory was dropped: ') && reason.test(msg)),
      `the log names it: ${JSON.stringify(said)}`,
    )
    const badBytes = await Promise.all(receivers.map((agent) => agent.metric('polycast_swarm_bad_bytes_total')))
    const hasBad = badBytes.some((count) => count > 0)
    assert.equal(hasBad, malice === 'wrong-bytes')
    t.diagnostic(`it was asked for ${mallory.asked} chunks; the log says: ${said.join('; ') || 'nothing'}`)
  })
}

/** A connection to an agent's swarm port; `reason` is why the agent ended it, undefined where it didn't say. */
async function attack(agent: Agent, send: (socket: Socket) => void): Promise<{ reason: string | undefined }> {
  const [host = '', port = ''] = agent.swarm.split(':')
  const socket = connect(Number(port), host)
  let reason: string | undefined
  readFrames(socket, (frameType, body) => {
    if (frameType === FRAME_TYPES.bye) reason = new Reader(body).text(4096)
  })
  socket.on('error', () => undefined) // A reset is one way to be thrown out.
  await once(socket, 'connect')
  const closed = once(socket, 'close')
  send(socket)
  await closed
  return { reason }
}

const SWARM_ID = new Uint8Array(32).fill(7)
const hello = (): Uint8Array => helloFrame('mallory', '127.0.0.1:1')
const open = (): Uint8Array => encodeFrame(1, { type: 'open', swarmId: SWARM_ID })

function headerOf(bodyBytes: number, frameType: number): Uint8Array {
  const header = Buffer.alloc(8)
  header.writeUInt32BE(bodyBytes, 0)
  header[4] = frameType
  return header
}

function endlessText(): Uint8Array {
  const body = new Writer(16)
  body.varint(1)
  body.varint(2 ** 40)
  return body.finish()
}

const faults: { name: string; bytes: () => Uint8Array[]; reason: RegExp }[] = [
  { name: 'a frame before hello', bytes: () => [open()], reason: /before hello/ },
  { name: 'a hello that ends early', bytes: () => [frame(FRAME_TYPES.hello, new Uint8Array([1, 5, 65]))], reason: /hello/ },
  { name: 'another version', bytes: () => [frame(FRAME_TYPES.hello, versioned(99))], reason: /version 99/ },
  { name: 'hello twice', bytes: () => [hello(), hello()], reason: /hello/ },
  { name: 'a frame of unknown type', bytes: () => [hello(), headerOf(4, 200), new Uint8Array(4)], reason: /type 200/ },
  { name: 'a frame of 4 GiB', bytes: () => [hello(), headerOf(0xffffffff, FRAME_TYPES.data)], reason: /4294967295 bytes/ },
  {
    name: 'a control frame above its limit',
    bytes: () => [hello(), open(), headerOf(2 * MIB, FRAME_TYPES.have)],
    reason: /2097152 bytes/,
  },
  { name: 'a channel that was not opened', bytes: () => [hello(), encodeFrame(9, { type: 'have', ranges: [0, 1] })], reason: /channel/ },
  { name: 'a list without end', bytes: () => [hello(), open(), frame(FRAME_TYPES.have, endlessText(), 1)], reason: /frame|range/ },
  { name: 'a call that is not JSON', bytes: () => [hello(), frame(FRAME_TYPES.call, new Uint8Array([1, 1, 65, 1, 123]))], reason: /call/ },
  {
    name: 'an acknowledgement of nothing',
    bytes: () => [hello(), frame(FRAME_TYPES.ack, new Uint8Array([0, 1, 0, 0]))],
    reason: /acknowledged/,
  },
]

function versioned(version: number): Uint8Array {
  const body = new Writer(64)
  body.varint(version)
  body.text('mallory')
  body.text('127.0.0.1:1')
  body.bytes(new Uint8Array(16))
  return body.finish()
}

test('what breaks the protocol is answered with a reason and the end of the connection', async (t) => {
  const cluster = await Cluster.open(t)
  const agent = await cluster.start('s')
  for (const { name, bytes, reason } of faults) {
    const told = await attack(agent, (socket) => bytes().forEach((part) => socket.write(part)))
    assert.match(told.reason ?? 'no reason', reason, name)
  }
  assert.ok(agent.isRunning)
})

/** What a peer in order says: every kind of frame once and more. */
function recorded(): Uint8Array[] {
  const address = '127.0.0.1:1'
  return [
    hello(),
    open(),
    encodeFrame(1, {
      type: 'announce',
      address,
      zone: 'z',
      haveBytes: 1000,
      isComplete: false,
      lateStripes: [1, 2],
      slowPeers: ['a'],
      lostPeers: ['b'],
    }),
    encodeFrame(1, { type: 'subscribe', runChunks: 16, stripes: 8, mask: 255, manifestFrom: 0 }),
    encodeFrame(1, { type: 'have', ranges: [0, 10, 20, 5] }),
    encodeFrame(1, { type: 'clear', to: 100 }),
    encodeFrame(1, { type: 'request', ranges: [0, 16, 32, 16] }),
    encodeFrame(1, { type: 'cancel', ranges: [0, 16] }),
    encodeFrame(1, { type: 'withheld', ranges: [64, 16] }),
    encodeFrame(1, { type: 'lost', ranges: [20, 2] }),
    encodeFrame(1, { type: 'manifest', part: { kind: 'segment', index: 0, bytes: randomBytes(200) } }),
    encodeFrame(1, { type: 'manifest', part: { kind: 'page', index: 0, bytes: randomBytes(200) } }),
    encodeFrame(1, { type: 'plan', runChunks: 16, stripes: 2, parents: [0, -1], peers: [{ id: 'a', address, isOrigin: true }] }),
    encodeFrame(1, { type: 'peers', peers: [{ id: 'a', address }] }),
    Buffer.concat([frame(FRAME_TYPES.data, new Uint8Array([0, 0, 0, 0, 0, 0, 0, 1, ...randomBytes(64)]), 1)]),
    frame(FRAME_TYPES.ping, new Uint8Array(8)),
    encodeFrame(1, { type: 'close', reason: 'done' }),
  ]
}

/** The same stream with a few faults: bytes changed, a piece gone, repeated or put elsewhere. The hello stays, so that more of it is looked at. */
function mutated(random: Random, swarmId: Uint8Array): Buffer {
  const frames = recorded()
  frames[1] = encodeFrame(1, { type: 'open', swarmId })
  if (random.below(2) === 0) frames.splice(2, frames.length, ...random.shuffle(frames.slice(2)))
  let bytes = Buffer.concat(frames.slice(1))
  for (let faultsLeft = random.below(6); faultsLeft > 0; faultsLeft--) {
    const at = random.below(bytes.length)
    const length = random.below(64)
    const kind = random.below(4)
    if (kind === 0) bytes[at] = random.below(256)
    else if (kind === 1) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)])
    else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at)])
    else bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(Array.from({ length }, () => random.below(256))), bytes.subarray(at)])
  }
  return Buffer.concat([hello(), bytes])
}

test('random bytes and mutated streams end connections, not agents; the next delivery works', async (t) => {
  const cluster = await Cluster.open(t)
  const [sender, member] = await cluster.startAll(['s', 'n1'])
  const bytes = sampleBytes('fuzzed', 2 * MIB)
  const file = await cluster.file('app.bin', bytes)
  assert.equal((await sender!.send(file, { selector: 'all', dest: 'before.bin' })).state, 'done')
  const swarmId = Buffer.from(path.basename(path.dirname((await sender!.contents())[0]!.path)), 'hex')
  const before = sender!.rssBytes()
  const random = new Random('fuzz the swarm port')
  for (let round = 0; round < 40; round++) {
    const streams = Array.from({ length: 25 }, (_, i) =>
      i % 5 === 0 ? Buffer.from(Array.from({ length: 1 + random.below(4096) }, () => random.below(256))) : mutated(random, swarmId),
    )
    await Promise.all(streams.map((stream) => attack(sender!, (socket) => socket.end(stream))))
    assert.ok(sender!.isRunning, `round ${round}`)
  }
  assert.equal((await fetch(`http://${sender!.http}/healthz`)).status, 200)
  const growth = sender!.rssBytes() - before
  assert.ok(growth < MAX_GROWTH_BYTES, `it grew by ${growth} bytes`)
  const after = await sender!.send(await cluster.file('next.bin', sampleBytes('after', MIB)), { selector: 'all', dest: 'after.bin' })
  assert.equal(after.state, 'done', JSON.stringify(after.members))
  assert.equal(await hashOf(member!.received('before.bin')), sha256(bytes))
  for (const line of sender!.log) assert.notEqual(line.level, 'stderr', line.msg)
})

test('a peer that talks and never reads does not fill the memory of an agent', async (t) => {
  const cluster = await Cluster.open(t)
  const agent = await cluster.start('s')
  const before = agent.rssBytes()
  const [host = '', port = ''] = agent.swarm.split(':')
  const socket = connect(Number(port), host)
  socket.on('error', () => undefined) // Being thrown out is one good end of this.
  await once(socket, 'connect')
  socket.pause()
  const closed = once(socket, 'close')
  socket.write(hello())
  const pings = Buffer.concat(Array.from({ length: 4096 }, () => frame(FRAME_TYPES.ping, new Uint8Array(8))))
  for (let sent = 0; sent < 32 * MIB && !socket.destroyed; sent += pings.length) {
    if (!socket.write(pings)) await Promise.race([once(socket, 'drain'), closed, new Promise((resolve) => setTimeout(resolve, 3000))])
  }
  const growth = agent.rssBytes() - before
  socket.destroy()
  assert.ok(agent.isRunning)
  assert.ok(growth < MAX_GROWTH_BYTES, `it grew by ${growth} bytes`)
})
