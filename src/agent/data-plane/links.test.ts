/** Connections between real sockets on loopback; the other side is either `Links` too, or bytes written by hand. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type AddressInfo, createServer, type Socket } from 'node:net'
import test, { type TestContext } from 'node:test'
import { encodeFrame, FRAME_TYPES, writeFrameHeader, type SwarmMessage } from '../../core/swarm/frames.ts'
import { Writer } from '../../core/wire/writer.ts'
import { isPolycastError } from '../errors.ts'
import { Links } from './links.ts'
import { type Link, PROTOCOL_VERSION } from './link.ts'
import { RateLimit } from './rate-limit.ts'
import { Payload, Slab, SLAB_BYTES } from './slabs.ts'

const SWARM = 'ab'.repeat(32)
const WINDOW_BYTES = 256 * 1024

/** A node's connections, and what came over them. */
class TestNode {
  readonly links: Links
  readonly messages: SwarmMessage[] = []
  readonly closed: string[] = []
  room = 0
  receivedBytes = 0
  address = ''
  last: Link | undefined

  private constructor(name: string, now: () => number, dialTimeoutMs: number) {
    this.links = new Links({
      self: () => ({ name, address: this.address, instance: Buffer.alloc(16, name) }),
      minWindowBytes: 64 * 1024,
      maxWindowBytes: WINDOW_BYTES,
      dialTimeoutMs,
      downloadLimit: new RateLimit(0, () => 0),
      now,
      owner: {
        onHello: (link) => (this.last = link),
        onMessage: (_link, _swarmId, message) => {
          if (message.type === 'data') this.receivedBytes += message.payload.length
          else this.messages.push(message)
        },
        onCall: () => undefined,
        onRoom: () => this.room++,
        onClose: (_link, reason) => this.closed.push(reason),
      },
    })
  }

  static async open(
    t: TestContext,
    name: string,
    now: () => number = () => performance.now(),
    dialTimeoutMs: number = 2000,
  ): Promise<TestNode> {
    const node = new TestNode(name, now, dialTimeoutMs)
    node.address = `127.0.0.1:${await node.links.listen('127.0.0.1', 0)}`
    t.after(() => node.links.close())
    return node
  }
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    assert.ok(tries < 5000, `it never happened: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

function frame(frameType: number, body: Uint8Array, channel = 0): Buffer {
  const bytes = Buffer.alloc(8 + body.length)
  writeFrameHeader(bytes, 0, body.length, frameType, channel)
  bytes.set(body, 8)
  return bytes
}

function encodedPing(): Buffer {
  return frame(FRAME_TYPES.ping, Buffer.alloc(8))
}

function hello(name: string, version = PROTOCOL_VERSION): Buffer {
  const body = new Writer(64)
  body.varint(version)
  body.text(name)
  body.text('127.0.0.1:1')
  body.bytes(Buffer.alloc(16, name))
  return frame(FRAME_TYPES.hello, body.finish())
}

/** A connection to a node over which the test says what it likes. */
async function speakTo(node: TestNode, t: TestContext, ...bytes: Uint8Array[]): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: Number(node.address.split(':')[1]) })
  t.after(() => socket.destroy())
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  for (const piece of bytes) socket.write(piece)
  return socket
}

test('two nodes know each other by name, and what one says about a content the other hears', async (t) => {
  const [a, b] = [await TestNode.open(t, 'a'), await TestNode.open(t, 'b')]
  const link = await a.links.dial(b.address)
  assert.equal(link.name, 'b')
  assert.equal(await a.links.dial(b.address), link, 'one connection is enough')
  link.send(SWARM, { type: 'have', ranges: [0, 5] })
  await until('b hears it', () => b.messages.some(({ type }) => type === 'have'))
  assert.equal(b.links.byName('a')?.name, 'a')
  assert.equal(await b.links.dial(a.address), b.last, 'the way back is the same connection')
})

test('no more than the window is under way; acknowledgements make room, and it is told once', async (t) => {
  const [a, b] = [await TestNode.open(t, 'a'), await TestNode.open(t, 'b')]
  const link = await a.links.dial(b.address)
  let sent = 0
  for (; link.hasRoom(); sent += 32 * 1024) link.sendData(SWARM, sent / 1024, 1, new Payload(Buffer.alloc(32 * 1024)))
  assert.ok(sent > 0 && sent <= WINDOW_BYTES + 32 * 1024, `${sent} bytes under way`)
  await until('all is acknowledged', () => b.receivedBytes === sent && link.hasRoom())
  assert.equal(a.room, 1)
})

test('the window of a link that takes seconds shrinks to what it carries in one, and that of a quick one does not', async (t) => {
  for (const [everyMs, most, least] of [
    [700, 56 * 1024, 24 * 1024],
    [20, WINDOW_BYTES, 128 * 1024],
  ] as const) {
    let time = 1000
    const node = await TestNode.open(t, 'a', () => time)
    const socket = await speakTo(node, t, hello('b'))
    socket.resume()
    await until('the other side is known', () => node.last !== undefined)
    const link = node.last!
    let sent = 0
    let acked = 0
    const fill = (): void => {
      for (; link.hasRoom(); sent += 8 * 1024) link.sendData(SWARM, 0, 1, new Payload(Buffer.alloc(8 * 1024)))
    }
    const acknowledge = async (bytes: number): Promise<void> => {
      const body = Buffer.alloc(4)
      body.writeUInt32BE((acked += bytes))
      socket.write(frame(FRAME_TYPES.ack, body))
      await until('the acknowledgement came', () => link.heardAt === time)
    }
    fill()
    time += 5
    await acknowledge(8 * 1024)
    let underWay = 0
    for (let i = 0; i < 60; i++) {
      time += everyMs
      if (acked < sent) await acknowledge(Math.min(24 * 1024, sent - acked))
      fill()
      // From here on the window has found its size, about which it swings.
      if (i >= 20) underWay += (sent - acked) / 40
    }
    for (const bytes of [underWay, sent - acked]) {
      assert.ok(bytes <= most && bytes >= least, `${bytes} bytes under way, acknowledged every ${everyMs} ms`)
    }
  }
})

test('several who want nothing to be read hold a link: it is read on when the last lets go', async (t) => {
  const [a, b] = [await TestNode.open(t, 'a'), await TestNode.open(t, 'b')]
  const link = await a.links.dial(b.address)
  const [first, second] = [link.hold(), link.hold()]
  link.rest(5)
  await new Promise((resolve) => setTimeout(resolve, 20))
  assert.equal(link.socket.isPaused(), true, 'a rest that is over does not end what others hold')
  first()
  assert.equal(link.socket.isPaused(), true)
  second()
  assert.equal(link.socket.isPaused(), false)
})

test('who reads nothing is given up; what it left unread is bounded', async (t) => {
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.pause()
    socket.write(hello('deaf'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const a = await TestNode.open(t, 'a')
  const link = await a.links.dial(`127.0.0.1:${(server.address() as AddressInfo).port}`)
  const ranges = Array.from({ length: 1024 }, (_, k) => (k % 2 === 0 ? k : 1))
  for (let i = 0; i < 100_000 && !link.isClosed; i++) link.send(SWARM, { type: 'have', ranges })
  assert.deepEqual(a.closed, ['it does not read what it is sent'])
})

test("what still comes over a connection that was given up touches nobody else's buffer", async (t) => {
  const flood = Buffer.alloc(64 * 1024, encodedPing())
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => undefined)
    socket.pause()
    socket.write(hello('talker'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const a = await TestNode.open(t, 'a')
  const link = await a.links.dial(`127.0.0.1:${(server.address() as AddressInfo).port}`)
  // So much waits for the other side that the last words do, too: until they are out, the socket reads on.
  for (let sent = 0; sent < 32 * 1024 * 1024; sent += SLAB_BYTES) link.sendData(SWARM, sent, 1, new Payload(Buffer.alloc(SLAB_BYTES)))
  link.ping()
  assert.equal(link.isClosed, false, 'data that waits is bounded by the window, and no reason to end it')
  link.close('the test has enough of it')
  const mine = Array.from({ length: 40 }, () => Slab.take(SLAB_BYTES))
  for (const slab of mine) slab.buffer.fill(7)
  for (let round = 0; round < 20; round++) {
    sockets[0]!.write(flood)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  assert.ok(mine.every((slab) => slab.buffer.every((byte) => byte === 7)))
})

test('data that is read from the disk for a link counts as under way', async (t) => {
  const [a, b] = [await TestNode.open(t, 'a'), await TestNode.open(t, 'b')]
  const link = await a.links.dial(b.address)
  const unreserve = link.reserve(WINDOW_BYTES)
  assert.equal(link.hasRoom(), false)
  unreserve()
  assert.ok(link.hasRoom())
})

test('a link over which answers take seconds has longer to answer, and one that nothing goes over is asked rarely', async (t) => {
  let time = 1000
  const node = await TestNode.open(t, 'n', () => time)
  const socket = await speakTo(node, t)
  await until('it is accepted', () => node.links.count === 1)
  time += 3000
  socket.write(hello('slow'))
  await until('it is known', () => node.last !== undefined)
  const slow = node.last!
  slow.sendCall(FRAME_TYPES.call, new Uint8Array(4))
  time += 11_900
  slow.checkSilence()
  assert.equal(slow.isClosed, false, 'four times as long as its hello took')
  time += 200
  slow.checkSilence()
  assert.deepEqual(node.closed, ['nothing was heard for 12 s'])

  await speakTo(node, t, hello('quick'))
  await until('the other one is known', () => node.last !== slow)
  const quick = node.last!
  const pinged = (afterMs: number): boolean => {
    time += afterMs
    const before = quick.sentBytes
    quick.checkSilence()
    return quick.sentBytes > before
  }
  assert.equal(pinged(1900), false)
  assert.equal(pinged(200), true)
  assert.equal(pinged(2000), false, 'one at a time')
  time += 6000
  quick.heardAt = time
  assert.equal(pinged(29_900), false, 'neither chunks nor calls went over it')
  assert.equal(pinged(200), true)
  pinged(5800)
  assert.equal(quick.isClosed, false)
  pinged(200)
  assert.equal(quick.isClosed, true)
})

test('who connects and says no whole hello is closed, however often it says a little of it', async (t) => {
  let time = 1000
  const node = await TestNode.open(t, 'n', () => time)
  const socket = await speakTo(node, t)
  let isEnded = false
  socket.resume().once('close', () => (isEnded = true))
  const said = hello('x')
  for (let second = 1; second <= 15; second++) {
    socket.write(said.subarray(second - 1, second))
    time += 1000
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  assert.equal(node.links.count, 1, 'a full link is given its time')
  time += 1000
  await until('it is closed', () => isEnded)
  assert.equal(node.links.count, 0)
})

test('each dial that nobody answers in time makes the next one more patient, until one is answered', async (t) => {
  const mute = createServer(() => undefined)
  mute.listen(0, '127.0.0.1')
  await once(mute, 'listening')
  t.after(() => mute.close())
  const [a, b] = [await TestNode.open(t, 'a', undefined, 40), await TestNode.open(t, 'b')]
  const limits: string[] = []
  const dial = async (): Promise<void> => {
    const address = `127.0.0.1:${(mute.address() as AddressInfo).port}`
    const error: unknown = await a.links.dial(address).catch((reason: unknown) => reason)
    limits.push(/within (\d+ ms)/.exec(String(error))?.[1] ?? 'no limit')
  }
  for (let tries = 0; tries < 4; tries++) await dial()
  assert.deepEqual(limits, ['40 ms', '60 ms', '90 ms', '120 ms'])
  await a.links.dial(b.address)
  await dial()
  assert.notEqual(limits.at(-1), '120 ms', 'the way is free again')
})

test('of a frame that takes long to come the rest is read in one go, and one that comes at once is not waited for', async (t) => {
  for (const stepMs of [0, 100]) {
    let time = 1000
    const node = await TestNode.open(t, 'n', () => time)
    const data = frame(FRAME_TYPES.data, Buffer.alloc(8 + 64 * 1024), 3)
    data.writeUInt32BE(1, 12)
    const socket = await speakTo(node, t, hello('x'), open)
    await until('it is known', () => node.last !== undefined)
    const link = node.last!
    for (let part = 0; part < 3; part++) {
      time += stepMs
      const before = link.receivedBytes
      socket.write(data.subarray(part * 8192, (part + 1) * 8192))
      await until('it is read', () => link.receivedBytes >= before + 8192)
    }
    assert.equal(link.socket.isPaused(), stepMs > 0, `8 KiB every ${stepMs} ms`)
    socket.write(data.subarray(3 * 8192))
    await until('it is there', () => node.receivedBytes === 64 * 1024)
  }
})

const open = encodeFrame(3, { type: 'open', swarmId: Buffer.from(SWARM, 'hex') })
const cases: [what: string, bytes: Uint8Array[], reason: RegExp][] = [
  ['something before its hello', [frame(FRAME_TYPES.ping, Buffer.alloc(8))], /before hello/],
  ['another version', [hello('x', 99)], /speaks version 99/],
  ['half a hello', [frame(FRAME_TYPES.hello, Buffer.from([1, 200]))], /hello is not understood/],
  ['hello twice', [hello('x'), hello('x')], /hello is not understood/],
  ['a channel that it did not open', [hello('x'), encodeFrame(7, { type: 'have', ranges: [0, 1] })], /had not opened/],
  ['a length beyond its type', [hello('x'), Buffer.from([0xff, 0xff, 0xff, 0xff, FRAME_TYPES.have, 0, 0, 0])], /at most/],
  ['nonsense about a content', [hello('x'), open, frame(FRAME_TYPES.have, Buffer.from([9, 0xff]), 3)], /it sent /],
  [
    'an acknowledgement of what it was never sent',
    [hello('x'), frame(FRAME_TYPES.ack, Buffer.from([0, 0, 9, 9]))],
    /more than it was sent/,
  ],
  ['an acknowledgement without a number', [hello('x'), frame(FRAME_TYPES.ack, Buffer.from([1]))], /acknowledgement is not understood/],
]
for (const [what, bytes, reason] of cases) {
  test(`who says ${what} is cut off and told why`, async (t) => {
    const node = await TestNode.open(t, 'n')
    const socket = await speakTo(node, t, ...bytes)
    const answer: Buffer[] = []
    socket.on('data', (piece: Buffer) => answer.push(piece))
    await once(socket, 'close')
    assert.match(Buffer.concat(answer).toString('latin1'), reason)
    assert.equal(node.links.count, 0)
    // Who never said a name is nobody to the rest of the node.
    for (const told of node.closed) assert.match(told, reason)
  })
}

test('nobody there, and nobody that answers, are errors that name the address', async (t) => {
  const a = await TestNode.open(t, 'a')
  const named = (error: unknown): boolean => isPolycastError(error, 'member-unreachable') && error.message.includes('127.0.0.1:')
  await assert.rejects(a.links.dial('127.0.0.1:1'), named)
  await assert.rejects(a.links.dial('nonsense:port'), (error) => isPolycastError(error, 'member-unreachable'))
  const rude = createServer((socket) => socket.destroy())
  rude.listen(0, '127.0.0.1')
  await once(rude, 'listening')
  t.after(() => rude.close())
  await assert.rejects(a.links.dial(`127.0.0.1:${(rude.address() as AddressInfo).port}`), named)
  assert.equal(a.links.count, 0)
})
