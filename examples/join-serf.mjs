// Joins a Serf cluster by `polycast/gossip` alone and prints its members and events: node examples/join-serf.mjs BIND-ADDRESS SERF-ADDRESS
//
// The library decides, this owns a UDP and a TCP socket: what comes goes into the machine, what the machine puts out is sent.
import { createSocket } from 'node:dgram'
import { connect, createServer } from 'node:net'
import * as gossip from 'polycast/gossip'

const [bind, target] = process.argv.slice(2)
const port = 7946
const endpoint = (address, at) => ({ address: Uint8Array.from(address.split('.'), Number), port: at })
const framing = { label: new Uint8Array(), isCompressing: true, encryption: undefined }
const random = new gossip.Random(String(process.hrtime.bigint()))
const messageBytes = (message) => gossip.encodePacketMessage(message).length + gossip.PART_OVERHEAD_BYTES
const self = { node: 'example', endpoint: endpoint(bind, port), tags: new Map([['role', 'example']]), versions: [1, 5, 2, 2, 5, 5] }
const settings = {
  profile: gossip.GOSSIP_PROFILES.lan,
  packetBytes: gossip.packetRoom(framing, true),
  messageBytes,
  random,
  keyring: undefined,
}
const machine = new gossip.SerfMachine({ ...self, ...settings }, performance.now())
const print = (...words) => process.stdout.write(`${words.join(' ')}\n`)
const requests = new Map()
let timer

function handle(input) {
  if (input === undefined) machine.handleTimeout(performance.now())
  else machine.handle(input, performance.now())
  for (const output of machine.drain()) carryOut[output.type]?.(output)
  clearTimeout(timer)
  timer = setTimeout(handle, Math.max(0, Math.min(1000, machine.nextDeadline() - performance.now())))
}

const carryOut = {
  send: ({ to, messages }) =>
    packets.send(gossip.composePacket(messages.map(gossip.encodePacketMessage), framing, false), to.port, to.address.join('.')),
  'open-stream': ({ stream, to, message }) => {
    const socket = connect(to.port, to.address.join('.')).on('error', ({ message: reason }) =>
      handle({ type: 'stream-failed', stream, reason }),
    )
    read(socket, false, (answer) => handle({ type: 'stream-answered', stream, message: answer }))
    socket.write(gossip.composeStream(message, framing, true))
  },
  answer: ({ request, message }) => requests.get(request)?.end(gossip.composeStream(message, framing, false)),
  refuse: ({ request }) => requests.get(request)?.destroy(),
  member: ({ change, member }) => print('member', member.name, change, member.status),
  event: ({ event }) => print('event', event.name, Buffer.from(event.payload).toString()),
}

function read(socket, isFromOpener, callback) {
  const decoder = new gossip.StreamDecoder(framing, isFromOpener)
  socket
    .setTimeout(10_000, () => socket.destroy())
    .on('data', (bytes) => {
      const message = decoder.push(bytes)
      if (message !== undefined && !gossip.isWireError(message)) callback(message)
    })
}

const packets = createSocket('udp4').bind(port, bind)
packets.on('message', (bytes, from) => {
  const content = gossip.peelPacket(bytes, framing)
  if (!gossip.isWireError(content)) handle({ type: 'packet', from: endpoint(from.address, from.port), messages: content.messages })
})
const server = createServer((socket) => {
  const request = performance.now()
  requests.set(request, socket)
  socket.on('error', () => undefined).on('close', () => requests.delete(request))
  read(socket, true, (message) =>
    handle({ type: 'stream-opened', request, from: endpoint(socket.remoteAddress, socket.remotePort), message }),
  )
})
const [targetHost, targetPort] = target.split(':')
server.listen(port, bind, () => handle({ type: 'join', endpoints: [endpoint(targetHost, Number(targetPort))], ignoreOldEvents: true }))
