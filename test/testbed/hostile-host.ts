/**
 * A host on the LAN that has no key and wants to do harm: takes up what goes to a group, and sends it again, altered, made up, to the group
 * or to a sender's own address. A program that takes orders (`host-program.ts`); multicast-hostile.test.ts starts it.
 */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import { takeOrders } from './host-program.ts'

/** What it is told. */
export type HostileOrder =
  /** Joins a group and keeps the latest of what comes. */
  | { do: 'listen'; group: string; port: number; at: string }
  /** Sends a number of datagrams, so many a millisecond, made in this way. */
  | { do: 'send'; how: Malice; to: string; port: number; count: number; perMs: number; at: string }

/**
 * `garbage` is random bytes of any length; `replay` what it has taken up, as it is; `mutated` the same with a bit or two changed;
 * `header` the first bytes of what it has taken up, and random ones, or nothing, behind them.
 */
export type Malice = 'garbage' | 'replay' | 'mutated' | 'header'

/** What it answers: how many datagrams it sent, and how many it has taken up so far. */
export interface HostileAnswer {
  readonly count: number
  readonly kept: number
}

const MAX_KEPT = 2000
const MAX_BYTES = 1472
const HEADER_BYTES = 24

const kept: Buffer[] = []

async function listen({ group, port, at }: Extract<HostileOrder, { do: 'listen' }>): Promise<number> {
  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  let next = 0
  socket.on('message', (bytes) => {
    kept[next++ % MAX_KEPT] = bytes
  })
  socket.bind(port, group)
  await once(socket, 'listening')
  socket.addMembership(group, at)
  return 0
}

async function send({ how, to, port, count, perMs, at }: Extract<HostileOrder, { do: 'send' }>): Promise<number> {
  const socket = createSocket('udp4')
  socket.bind(0, at)
  await once(socket, 'listening')
  socket.setMulticastInterface(at)
  // What it has taken up is the others', not its own.
  socket.setMulticastLoopback(false)
  let sent = 0
  while (sent < count) {
    for (let i = 0; i < perMs && sent < count; i++) sendOne(socket, make(how, sent++), port, to)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  socket.close()
  return sent
}

function sendOne(socket: Socket, bytes: Buffer, port: number, to: string): void {
  socket.send(bytes, port, to, () => {}) // That it is refused is nothing to somebody who tries everything.
}

function make(how: Malice, i: number): Buffer {
  const original = kept.length === 0 ? randomBytes(MAX_BYTES) : kept[i % kept.length]!
  switch (how) {
    case 'garbage':
      return randomBytes(1 + ((i * 7919) % MAX_BYTES))
    case 'replay':
      return original
    case 'mutated': {
      const bytes = Buffer.from(original)
      const where = (i * 31) % bytes.length
      bytes[where]! ^= 1 << (i % 8)
      return bytes
    }
    case 'header':
      return Buffer.concat([original.subarray(0, HEADER_BYTES), randomBytes((i * 13) % (MAX_BYTES - HEADER_BYTES))])
  }
}

await takeOrders<HostileOrder, HostileAnswer>(async (order) => {
  const count = order.do === 'listen' ? await listen(order) : await send(order)
  return { count, kept: kept.length }
})
