/**
 * What the machines of a session cost per packet: CPU time of one sender and one receiver in one process, without sockets and without
 * sealing. Prints one JSON line per run. README.md beside this file.
 *
 *   node bench/multicast/machines.mjs [--datagram-bytes 1432] [--blocks 1500] [--loss 0.02]
 */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const at = (path) => fileURLToPath(new URL(`../../dist/core/${path}`, import.meta.url))
const { loadKernel, MulticastReceiver, MulticastSender } = await import(at('multicast/index.js'))
const { Random } = await import(at('lib/random.js'))

const { values } = parseArgs({
  options: {
    'datagram-bytes': { type: 'string', default: '1432' },
    blocks: { type: 'string', default: '1500' },
    loss: { type: 'string', default: '0.02' },
  },
})
const datagramBytes = Number(values['datagram-bytes'])
const blocks = Number(values.blocks)
const loss = Number(values.loss)

/** Datagrams between two looks at the CPU clock. */
const BATCH = 250

const kernel = loadKernel()
const tagKey = new Uint8Array(16).fill(7)
const cipher = {
  blockOverheadBytes: 0,
  controlOverheadBytes: 0,
  sealBlock: (_block, payload) => payload,
  openBlock: (_block, sealed) => sealed,
  sealControl: (_sender, _counter, _header, payload) => payload,
  openControl: (_sender, _counter, _header, sealed) => sealed,
  tagData: (covered) => kernel.sipHash(tagKey, covered),
}
/** As fast as it is asked. */
const rate = {
  rateBytesPerSec: 1e15,
  proactiveShare: 0,
  isSlow: () => false,
  takeSlow: () => [],
  report() {},
  sent() {},
  handleTimeout() {},
  nextDeadline: () => Infinity,
}

for (const share of [0, loss]) print(share, run(share))

function run(share) {
  const random = new Random(`loss-${share}`)
  const parameters = { sessionId: '0011223344556677', datagramBytes, blockSymbols: 200 }
  const limits = { burstMs: 1e9, burstBytes: 1e15 }
  const code = kernel.code
  const sender = new MulticastSender({ parameters, cipher, code, rate, limits }, 0)
  const receiver = new MulticastReceiver(
    { parameters, cipher, code, random: random.fork('receiver'), name: 'r', app: new Uint8Array(0) },
    0,
  )
  sender.handle({ type: 'invited', names: ['r'] }, 0)
  const payload = Uint8Array.from({ length: sender.maxPayloadBytes }, () => random.below(256))
  const slots = Array.from({ length: BATCH }, () => new Uint8Array(datagramBytes))
  const cost = { sender: 0, receiver: 0, packets: 0, blocks: 0 }
  let given = 0
  let now = 0
  for (let isOver = false; !isOver;) {
    now += 0.1
    const toReceiver = []
    const from = cpuMs()
    sender.handleTimeout(now)
    for (let i = 0; i < BATCH; i++) {
      const datagram = sender.nextDatagram(now)
      if (datagram === undefined) break
      cost.packets++
      if (random.float() < share) continue
      slots[i].set(datagram)
      toReceiver.push(datagram.length === datagramBytes ? slots[i] : slots[i].subarray(0, datagram.length))
    }
    for (const output of sender.drain()) {
      if (output.type === 'send') toReceiver.push(output.bytes)
      if (output.type !== 'want-blocks') continue
      for (let i = 0; i < output.count && given < blocks; i++, given++) sender.handle({ type: 'block', payload }, now)
      if (given === blocks) sender.handle({ type: 'end' }, now)
    }
    const between = cpuMs()
    receiver.handleTimeout(now)
    for (const bytes of toReceiver) receiver.handle({ type: 'packet', bytes }, now)
    const until = cpuMs()
    cost.sender += between - from
    cost.receiver += until - between
    for (const output of receiver.drain()) {
      if (output.type === 'send') sender.handle({ type: 'packet', from: 'r', bytes: output.bytes }, now)
      if (output.type === 'block') cost.blocks++
      if (output.type === 'ended') isOver = true
    }
  }
  if (cost.blocks !== blocks) throw new Error(`${cost.blocks} of ${blocks} blocks came`)
  return cost
}

function print(share, { sender, receiver, packets }) {
  const perPacket = (ms) => Math.round((100 * ms * 1000) / packets) / 100
  const figures = { what: 'machines', loss: share, datagram_bytes: datagramBytes, packets }
  console.log(JSON.stringify({ ...figures, sender_us_per_packet: perPacket(sender), receiver_us_per_packet: perPacket(receiver) }))
}

/** CPU time of this process, ms: other work on the machine does not count into it. */
function cpuMs() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
