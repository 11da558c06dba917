/** Sockets of multicast on the kernel's loopback interface: groups, sources, broadcast's absence, errors in words, drops, faults. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { test, type TestContext } from 'node:test'
import { PolycastError } from '#src/agent/errors.js'
import { openGroupSocket, type GroupSocket, type GroupSocketOptions } from '#src/agent/multicast/sockets/group-socket.js'
import { interfaceArgument, listInterfaces, type NetworkInterface } from '#src/agent/multicast/sockets/interfaces.js'
import { openBroadcastSocket, openLinkSocket } from '#src/agent/multicast/sockets/link-socket.js'
import { Random } from '#src/core/lib/random.js'
import { freePort, until } from './cluster.ts'

const LOOPBACK = listInterfaces().find(({ isLoopback, family }) => isLoopback && family === 4)!
/** Groups that nobody else of this machine uses. */
let nextGroup = 1 + Math.floor(Math.random() * 60_000)
const anyGroup = (first = '239.200'): string => {
  const number = nextGroup++
  return `${first}.${(number >> 8) & 0xff}.${number & 0xff}`
}

async function open(
  t: TestContext,
  options: Partial<GroupSocketOptions> & { readonly group: string; readonly port: number },
): Promise<GroupSocket & { readonly heard: string[] }> {
  const heard: string[] = []
  const socket = await openGroupSocket({ interface: LOOPBACK, onPacket: (bytes) => heard.push(String(bytes)), ...options })
  t.after(() => socket.close())
  return { ...socket, heard }
}

test('a group on an interface: what is sent to it comes, of its own group alone, until it is left', async (t) => {
  const port = await freePort()
  const groups = [anyGroup(), anyGroup()]
  const [one, two] = await Promise.all(groups.map((group) => open(t, { group, port })))
  const sender = await open(t, { group: groups[0]!, port, sendOnly: true })
  sender.send(Buffer.from('to one'))
  one!.send(Buffer.from('from a receiver'))
  await until('both have come', async () => one!.heard.length === 2)
  assert.deepEqual(one!.heard, ['to one', 'from a receiver'])
  assert.deepEqual(two!.heard, [])
  assert.equal(two!.rejoin(), undefined)
  two!.send(Buffer.from('after joining again'))
  await until('it comes', async () => two!.heard.length === 1)
  assert.deepEqual({ ...sender.socket.counters }, { sentPackets: 1, sentBytes: 6, receivedPackets: 0, receivedBytes: 0, sendErrors: 0 })
})

test('of a source-specific group, what the source sends comes, and nothing else', async (t) => {
  const port = await freePort()
  const group = anyGroup('232.200')
  const own = await open(t, { group, port, source: '127.0.0.1' })
  const foreign = await open(t, { group, port, source: '127.0.0.2' })
  const sender = await open(t, { group, port, sendOnly: true })
  sender.send(Buffer.from('mine'))
  await until('it comes', async () => own.heard.length === 1)
  assert.deepEqual(foreign.heard, [])
  assert.equal(own.rejoin(), undefined)
  sender.send(Buffer.from('again'))
  await until('it comes again', async () => own.heard.length === 2)
})

test('a socket of the interface sends to groups and to nodes, and gets what is sent to its address', async (t) => {
  const port = await freePort()
  const group = anyGroup()
  const receiver = await open(t, { group, port })
  const answers: string[] = []
  const link = await openLinkSocket({ interface: LOOPBACK, onPacket: (bytes) => answers.push(String(bytes)) })
  t.after(() => link.close())
  link.send(Buffer.from('to the group'), port, group)
  receiver.socket.send(Buffer.from('to the node'), link.port, '127.0.0.1')
  await until('both have come', async () => receiver.heard.length === 1 && answers.length === 1)
  const single: NetworkInterface = { ...LOOPBACK, broadcast: undefined }
  assert.equal(await openBroadcastSocket({ interface: single, port, onPacket: () => undefined }), undefined)
})

test('what does not work says why, and what to do', async (t) => {
  const port = await freePort()
  const group = anyGroup()
  const rejects = async (what: Promise<unknown>, code: string, text: RegExp): Promise<void> => {
    await assert.rejects(what, (error: unknown) => {
      assert.ok(error instanceof PolycastError, String(error))
      assert.equal(error.code, code)
      assert.match(error.message, text)
      return true
    })
  }
  const gone: NetworkInterface = { ...LOOPBACK, name: 'gone0', address: '192.0.2.7' }
  await rejects(open(t, { group, port, interface: gone }), 'multicast-interface-gone', /gone0/)
  const occupant = createSocket('udp4')
  t.after(() => occupant.close())
  await new Promise<void>((resolve) => occupant.bind(port, group, resolve))
  await rejects(open(t, { group, port }), 'address-in-use', /for multicast is in use/)
})

test('it knows how large its buffer is, and how many datagrams the system dropped', { skip: process.platform !== 'linux' }, async (t) => {
  const port = await freePort()
  const group = anyGroup()
  const receiver = await open(t, { group, port, receiveBufferBytes: 16 * 1024 })
  const twin = await open(t, { group, port, receiveBufferBytes: 4 * 1024 * 1024 })
  assert.ok(receiver.socket.receiveBufferBytes < twin.socket.receiveBufferBytes)
  const sender = await open(t, { group, port, sendOnly: true })
  // Nobody reads while this loop runs.
  for (let i = 0; i < 100; i++) sender.send(Buffer.alloc(1400))
  await until('the rest has come', async () => twin.heard.length === 100)
  assert.equal(receiver.socket.drops(), 100 - receiver.heard.length)
  assert.ok(receiver.heard.length < 50)
  assert.equal(twin.socket.drops(), 0)
})

test('faults are what their seed says', async (t) => {
  const port = await freePort()
  const group = anyGroup()
  const impairment = { options: { lossShare: 0.3, duplicateShare: 0.2, jitterMs: 5 }, random: new Random('faults') }
  const receiver = await open(t, { group, port, impairment })
  const sender = await open(t, { group, port, sendOnly: true })
  const sent = Array.from({ length: 100 }, (_, index) => String(index))
  for (const text of sent) sender.send(Buffer.from(text))
  const bystander = await open(t, { group, port })
  await until('the last has come', async () => {
    sender.send(Buffer.from('end'))
    return bystander.heard.includes('end') && receiver.heard.includes('end')
  })
  const heard = receiver.heard.filter((text) => text !== 'end')
  const kinds = new Set(heard)
  assert.ok(kinds.size > 50 && kinds.size < 90, `${kinds.size} of 100`)
  assert.ok(heard.length > kinds.size, 'some twice')
  assert.notDeepEqual(
    [...kinds],
    sent.filter((text) => kinds.has(text)),
    'out of order',
  )
})

test(
  'IPv6: an interface is named, so that no other one is joined',
  { skip: listInterfaces().every(({ family }) => family === 4) },
  async (t) => {
    const v6 = listInterfaces().find(({ family }) => family === 6)!
    assert.match(interfaceArgument(v6), /^::%/)
    const port = await freePort()
    const receiver = await open(t, { group: 'ff15::7777:1', port, interface: v6 })
    const sender = await open(t, { group: 'ff15::7777:1', port, interface: v6, sendOnly: true })
    sender.send(Buffer.from('six'))
    await until('it comes', async () => receiver.heard.length === 1)
  },
)
