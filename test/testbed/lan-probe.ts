/**
 * What one host hears and sends, with plain sockets of Node: a program that takes orders (`host-program.ts`). It joins groups, counts what
 * comes, and sends; lan.test.ts starts one on each host. A socket that cannot do what it is told says why.
 */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { takeOrders } from './host-program.ts'

/** What the process is told. */
export type Order =
  /** Opens a socket at a port, and joins; `source` for a source-specific group, `at` is the interface as Node wants it. */
  | { do: 'listen'; port: number; group?: string; source?: string; at?: string; isIpv6?: boolean }
  /** How many datagrams came to the socket of a port, how often some were missing in between, and how many at once at most. */
  | { do: 'heard'; port: number }
  /** Sends numbered datagrams, a few at a time. */
  | {
      do: 'send'
      to: string
      port: number
      count: number
      bytes: number
      ttl?: number
      at?: string
      isIpv6?: boolean
      isBroadcast?: boolean
    }

/** What it answers. */
export type Answer = { ok: true } | { ok: true; count: number; gaps: number; longestGap: number } | { ok: false; code: string }

const SENDS_PER_TURN = 32
const RECEIVE_BUFFER_BYTES = 4 << 20

const listeners = new Map<number, { count: number; last: number; gaps: number; longestGap: number }>()

async function carryOut(order: Order): Promise<Answer> {
  switch (order.do) {
    case 'listen':
      await listen(order)
      return { ok: true }
    case 'heard': {
      const { count, gaps, longestGap } = listeners.get(order.port)!
      return { ok: true, count, gaps, longestGap }
    }
    case 'send':
      await send(order)
      return { ok: true }
  }
}

async function listen({ port, group, source, at, isIpv6 = false }: Extract<Order, { do: 'listen' }>): Promise<void> {
  const heard = { count: 0, last: -1, gaps: 0, longestGap: 0 }
  const socket = createSocket({ type: isIpv6 ? 'udp6' : 'udp4', reuseAddr: true })
  socket.on('message', (bytes) => {
    const number = bytes.readUInt32BE(0)
    const gap = number - heard.last - 1
    if (gap > 0) heard.gaps++
    heard.longestGap = Math.max(heard.longestGap, gap)
    heard.last = number
    heard.count++
  })
  socket.bind(port)
  await once(socket, 'listening')
  socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES)
  if (group !== undefined && source !== undefined) socket.addSourceSpecificMembership(source, group, at)
  else if (group !== undefined) socket.addMembership(group, at)
  listeners.set(port, heard)
}

async function send({
  to,
  port,
  count,
  bytes,
  ttl = 1,
  at,
  isIpv6 = false,
  isBroadcast = false,
}: Extract<Order, { do: 'send' }>): Promise<void> {
  const socket = createSocket(isIpv6 ? 'udp6' : 'udp4')
  try {
    // At the interface's address: a host without a default route cannot send to 255.255.255.255 otherwise.
    socket.bind(0, isBroadcast ? at : undefined)
    await once(socket, 'listening')
    socket.setMulticastTTL(ttl)
    socket.setTTL(Math.max(ttl, 2))
    if (isBroadcast) socket.setBroadcast(true)
    else if (at !== undefined) socket.setMulticastInterface(at)
    for (let sent = 0; sent < count; sent += SENDS_PER_TURN) {
      const batch = Array.from({ length: Math.min(SENDS_PER_TURN, count - sent) }, (_, i) => sendOne(socket, sent + i, bytes, to, port))
      await Promise.all(batch)
    }
  } finally {
    socket.close()
  }
}

function sendOne(socket: Socket, number: number, bytes: number, to: string, port: number): Promise<void> {
  const datagram = Buffer.alloc(bytes)
  datagram.writeUInt32BE(number, 0)
  return new Promise((resolve, reject) => {
    socket.send(datagram, port, to, (error) => (error === null ? resolve() : reject(error)))
  })
}

await takeOrders<Order, Answer>((order) =>
  carryOut(order).catch((error: NodeJS.ErrnoException) => ({ ok: false, code: error.code ?? String(error) })),
)
