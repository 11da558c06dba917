/** Sockets that send and read many datagrams per system call, on the kernel's loopback interface. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { openGroupSocket, type GroupSocket } from '#src/agent/multicast/sockets/group-socket.js'
import { listInterfaces } from '#src/agent/multicast/sockets/interfaces.js'
import { systemCalls } from '#src/agent/multicast/sockets/system-calls.js'
import { freePort, until } from './cluster.ts'

const LOOPBACK = listInterfaces().find(({ isLoopback, family }) => isLoopback && family === 4)!
const BYTES = 1400
const COUNT = 600
const skip = process.platform === 'linux' && (process.arch === 'x64' || process.arch === 'arm64') ? false : 'only Linux has these calls'

/** Each tells its number; most have the usual size, some are shorter. */
function datagram(number: number): Buffer {
  const bytes = Buffer.alloc(number % 7 === 6 ? 40 + (number % 300) : BYTES, number % 251)
  bytes.writeUInt32BE(number)
  return bytes
}

interface Heard {
  readonly group: GroupSocket
  readonly numbers: number[]
  wrong: number
}

async function pair(t: TestContext, isBulk: boolean): Promise<{ readonly sender: GroupSocket; readonly heard: Heard }> {
  const port = await freePort()
  const number = 1 + Math.floor(Math.random() * 60_000)
  const place = { interface: LOOPBACK, group: `239.201.${number >> 8}.${number & 0xff}`, port }
  const numbers: number[] = []
  const take = (bytes: Buffer): void => {
    const one = bytes.readUInt32BE(0)
    if (!bytes.equals(datagram(one))) heard.wrong++
    numbers.push(one)
  }
  const group = await openGroupSocket({ ...place, onPacket: take, ...(isBulk ? { bulk: { onDatagram: take } } : {}) })
  const heard: Heard = { group, numbers, wrong: 0 }
  const sender = await openGroupSocket({ ...place, sendOnly: true, onPacket: () => undefined, bulk: { sendBytes: BYTES } })
  t.after(() => {
    group.close()
    sender.close()
  })
  return { sender, heard }
}

/** Sends datagrams by the dozen, each time when those before are there. */
async function send({ socket }: GroupSocket, from: number, count: number, { numbers }: Heard, read?: () => void): Promise<void> {
  for (let at = from; at < from + count; at += 24) {
    for (let number = at; number < Math.min(at + 24, from + count); number++) {
      assert.ok(socket.hasRoom)
      socket.queue(datagram(number))
    }
    assert.ok(socket.flush())
    const wanted = Math.min(at + 24, from + count)
    await until(`${wanted} have come`, async () => {
      read?.()
      return numbers.length >= wanted
    })
  }
}

const inOrder = Array.from({ length: COUNT }, (_, number) => number)

test('the calls are there, and do not depend on anything that has to be built', { skip }, () => {
  assert.ok(systemCalls() !== undefined)
})

test('datagrams that go by bundles come as they are to whoever reads one by one', { skip }, async (t) => {
  const { sender, heard } = await pair(t, false)
  assert.equal(heard.group.socket.beginReading(), false)
  await send(sender, 0, COUNT, heard)
  assert.deepEqual(heard.numbers, inOrder)
  assert.equal(heard.wrong, 0)
  assert.deepEqual([sender.socket.counters.sentPackets, sender.socket.counters.sendErrors], [COUNT, 0])
})

test('who reads all that waits gets the same; and everything by itself again when it has ended', { skip }, async (t) => {
  const { sender, heard } = await pair(t, true)
  const { socket } = heard.group
  await send(sender, 0, 24, heard)
  assert.equal(socket.beginReading(), true)
  await send(sender, 24, COUNT - 48, heard, () => socket.read())
  // What waits when reading ends is read as well.
  for (let number = COUNT - 24; number < COUNT - 12; number++) sender.socket.queue(datagram(number))
  sender.socket.flush()
  socket.endReading()
  await send(sender, COUNT - 12, 12, heard)
  assert.deepEqual(heard.numbers, inOrder)
  assert.equal(heard.wrong, 0)
  assert.equal(socket.counters.receivedPackets, COUNT)
})

test('what was sent before an end of reading and what is read by nobody after a close does no harm', { skip }, async (t) => {
  const { sender, heard } = await pair(t, true)
  const { socket } = heard.group
  assert.ok(socket.beginReading())
  sender.socket.queue(datagram(0))
  sender.close()
  await until('what was queued when it closed has come', async () => socket.read() > 0)
  heard.group.close()
  assert.equal(socket.read(), 0)
  assert.equal(socket.beginReading(), false)
  socket.endReading()
  sender.socket.queue(datagram(1))
  assert.deepEqual(heard.numbers, [0])
})
