/**
 * The sockets of gossip: packets over UDP and streams over TCP, on one port, to and from messages. Carries out what the machine wants
 * sent and tells it what came; decides nothing about the protocol. docs/specs/04-gossip.md §1, §4, §6.
 *
 * Bytes that can't be read are counted and logged at debug level by their reason: an agent with another key or label on the same network is
 * no event, but an operator who asks why a node is alone finds it in the counters (`doctor` reads them).
 */
import { randomBytes } from 'node:crypto'
import { createSocket, type RemoteInfo, type Socket as PacketSocket } from 'node:dgram'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Framing } from '../../core/gossip/framing.ts'
import { encodePacketMessage } from '../../core/gossip/memberlist-codec.ts'
import type { Endpoint, PacketMessage, Ping, StreamMessage } from '../../core/gossip/messages.ts'
import { composePacket, groupParts, packetRoom, PART_OVERHEAD_BYTES, peelPacket } from '../../core/gossip/packet.ts'
import { composeStream, StreamDecoder } from '../../core/gossip/stream.ts'
import type { SwimInput, SwimOutput } from '../../core/gossip/swim-types.ts'
import { unreadableCause } from '../../core/gossip/unreadable.ts'
import { concatBytes, copyBytes } from '../../core/lib/bytes.ts'
import { isWireError } from '../../core/wire/wire-error.ts'
import { formatAddress, isUnspecified } from '../addresses.ts'
import { explainError, fromErrno } from '../errors.ts'
import { ipBytes, ipText } from './ip-bytes.ts'
import type { StreamObservation } from './observations.ts'
import { BARE, pingStream } from './stream-ping.ts'

/** What the network tells the machine. */
export type TransportInput = Extract<SwimInput, { type: 'packet' | 'send-failed' | 'stream-opened' | 'stream-answered' | 'stream-failed' }>

/** What the machine wants of the network. */
export type TransportOutput =
  | Extract<SwimOutput, { type: 'send' | 'open-stream' | 'close-stream' | 'answer' | 'refuse' }>
  /** A stream that is written, closed, and not answered. */
  | { readonly type: 'send-stream'; readonly to: Endpoint; readonly node: string | undefined; readonly message: StreamMessage }

export interface GossipSocketsOptions {
  readonly bind: string
  /** 0 takes any port that is free for both protocols. */
  readonly port: number
  /** Payload of a packet, bytes. */
  readonly packetBytes: number
  readonly framing: Framing
  /** How long a stream may take in all, ms. */
  readonly streamTimeoutMs: number
  readonly maxStreamsIn: number
  readonly maxStreamsOut: number
  /** Whether packets to this member carry a checksum: it is known to read it. */
  readonly hasChecksum: (node: string) => boolean
  readonly onInput: (input: TransportInput) => void
  readonly onUnreadable: (from: string, kind: 'packet' | 'stream', reason: string) => void
}

/** What went over the sockets since the start. */
export interface TrafficCounters {
  packetsSent: number
  packetsReceived: number
  packetBytesSent: number
  packetBytesReceived: number
  streamsOpened: number
  streamsAccepted: number
  streamBytesSent: number
  streamBytesReceived: number
  unreadablePackets: number
  unreadableStreams: number
  refusedStreams: number
}

const RECEIVE_BUFFER_BYTES = 2 * 1024 * 1024
const MIN_RECEIVE_BUFFER_BYTES = 64 * 1024
/** Attempts to find a port that is free for both protocols. */
const MAX_PORT_TRIES = 32

export class GossipSockets {
  readonly counters: TrafficCounters = {
    packetsSent: 0,
    packetsReceived: 0,
    packetBytesSent: 0,
    packetBytesReceived: 0,
    streamsOpened: 0,
    streamsAccepted: 0,
    streamBytesSent: 0,
    streamBytesReceived: 0,
    unreadablePackets: 0,
    unreadableStreams: 0,
    refusedStreams: 0,
  }
  readonly #options: GossipSocketsOptions
  readonly #isV6: boolean
  #packets: PacketSocket | undefined
  #server: Server | undefined
  /** Streams that this node opened, by the machine's number. */
  readonly #opened: Map<number, Socket> = new Map()
  /** Streams that others opened, by a number of this object's. */
  readonly #requests: Map<number, Socket> = new Map()
  readonly #sockets: Set<Socket> = new Set()
  #streamsIn = 0
  #streamsOut = 0
  #nextRequest = 1
  /** A broadcast is sent again and again: its bytes are made once. */
  readonly #encoded: WeakMap<PacketMessage, Uint8Array> = new WeakMap()
  #isClosed = false

  constructor(options: GossipSocketsOptions) {
    this.#options = options
    this.#isV6 = options.bind.includes(':')
  }

  /** Bytes that a message takes in a packet. */
  messageBytes(message: PacketMessage): number {
    return this.#encode(message).length + PART_OVERHEAD_BYTES
  }

  /** Bytes of messages that a packet holds. */
  get packetRoom(): number {
    return packetRoom(this.#options.framing, true, this.#options.packetBytes)
  }

  /** Binds both; the port. Rejects with `address-in-use` or `address-unusable`. */
  async start(): Promise<number> {
    for (let tries = 1; ; tries++) {
      const server = await this.#listen(this.#options.port)
      const address = server.address()
      const port = address !== null && typeof address === 'object' ? address.port : this.#options.port
      try {
        this.#packets = await this.#bindPackets(port)
        this.#server = server
        return port
      } catch (error) {
        server.close()
        // The stream's port was picked by the system, and another program has the same one for packets.
        if (this.#options.port !== 0 || tries >= MAX_PORT_TRIES) throw error
      }
    }
  }

  carryOut(output: TransportOutput): void {
    switch (output.type) {
      case 'send':
        return this.#send(output.to, output.node, output.messages)
      case 'open-stream':
        return this.#openStream(output.stream, output.to, output.message)
      case 'send-stream':
        return this.#sendStream(output.to, output.message)
      case 'close-stream':
        this.#opened.get(output.stream)?.destroy()
        this.#opened.delete(output.stream)
        return
      case 'answer':
        return this.#answer(output.request, output.message)
      case 'refuse':
        this.#requests.get(output.request)?.end()
        this.#requests.delete(output.request)
    }
  }

  /** Sends one message in a packet of so many bytes, where it does not have more without that: receivers do not look at what follows it. */
  sendPadded(to: Endpoint, message: PacketMessage, bytes: number): void {
    const plain = encodePacketMessage(message)
    const { framing } = this.#options
    const bare = composePacket([plain], { ...framing, isCompressing: false }, false)
    // By chance, that no layer makes it shorter.
    const padding = randomBytes(Math.max(0, bytes - bare.length))
    const packet = composePacket([concatBytes([plain, padding])], { ...framing, isCompressing: false }, false)
    this.counters.packetsSent++
    this.counters.packetBytesSent += packet.length
    // A packet that cannot be sent is one that is not answered.
    this.#packets?.send(packet, to.port, this.#host(to), () => undefined)
  }

  /** Pings by TCP, and tells what becomes of it in more words than the machine needs. Never rejects. */
  pingStream(to: Endpoint, ping: Ping, timeoutMs: number): Promise<StreamObservation> {
    const socket = connect({ host: this.#host(to), port: to.port })
    this.#sockets.add(socket)
    return pingStream(socket, ping, this.#options.framing, timeoutMs).finally(() => this.#sockets.delete(socket))
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const socket of this.#sockets) socket.destroy()
    this.#packets?.close()
    await new Promise<void>((resolve) => (this.#server === undefined ? resolve() : this.#server.close(() => resolve())))
  }

  // ---- packets ----

  #bindPackets(port: number): Promise<PacketSocket> {
    const socket = createSocket({ type: this.#isV6 ? 'udp6' : 'udp4' })
    return new Promise((resolve, reject) => {
      socket.once('error', (error) => {
        socket.close()
        reject(fromErrno(error, { doing: 'listen', address: formatAddress(this.#options.bind, port), purpose: 'gossip' }))
      })
      socket.bind(port, this.#options.bind, () => {
        socket.removeAllListeners('error')
        // What the system reports of an earlier packet (nobody listens there) is known from the silence.
        socket.on('error', () => undefined)
        socket.on('message', (bytes, from) => this.#packet(bytes, from))
        growReceiveBuffer(socket)
        resolve(socket)
      })
    })
  }

  #packet(bytes: Buffer, from: RemoteInfo): void {
    this.counters.packetsReceived++
    this.counters.packetBytesReceived += bytes.length
    const endpoint = endpointOf(from.address, from.port)
    if (endpoint === undefined) return
    const content = peelPacket(bytes, this.#options.framing)
    const errors = isWireError(content) ? [content] : content.errors
    if (errors.length > 0) {
      this.counters.unreadablePackets++
      this.#options.onUnreadable(formatAddress(from.address, from.port), 'packet', errors[0]!.message)
    }
    if (isWireError(content) || content.messages.length === 0) return
    this.#options.onInput({ type: 'packet', from: endpoint, messages: content.messages })
  }

  #send(to: Endpoint, node: string | undefined, messages: readonly PacketMessage[]): void {
    const hasChecksum = node !== undefined && this.#options.hasChecksum(node)
    const parts = messages.map((message) => this.#encode(message))
    const room = packetRoom(this.#options.framing, hasChecksum, this.#options.packetBytes)
    for (const group of groupParts(parts, room)) {
      const packet = composePacket(group, this.#options.framing, hasChecksum)
      this.counters.packetsSent++
      this.counters.packetBytesSent += packet.length
      this.#packets?.send(packet, to.port, this.#host(to), (error) => {
        if (error !== null && !this.#isClosed) this.#options.onInput({ type: 'send-failed', to, reason: explainError(error) })
      })
    }
  }

  #encode(message: PacketMessage): Uint8Array {
    const known = this.#encoded.get(message)
    if (known !== undefined) return known
    // A copy: what they were written into has room for more, and thousands of broadcasts may wait.
    const bytes = copyBytes(encodePacketMessage(message))
    this.#encoded.set(message, bytes)
    return bytes
  }

  /** An IPv4 member as a socket of IPv6 reaches it, where it takes both. */
  #host({ address }: Endpoint): string {
    const text = ipText(address)
    return this.#isV6 && !text.includes(':') && isUnspecified(this.#options.bind) ? `::ffff:${text}` : text
  }

  // ---- streams of others ----

  async #listen(port: number): Promise<Server> {
    const server = createServer((socket) => this.#accept(socket))
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => {
        reject(fromErrno(error, { doing: 'listen', address: formatAddress(this.#options.bind, port), purpose: 'gossip' }))
      })
      server.listen(port, this.#options.bind, () => resolve())
    })
    server.removeAllListeners('error')
    server.on('error', () => undefined)
    return server
  }

  #accept(socket: Socket): void {
    const from = endpointOf(socket.remoteAddress ?? '', socket.remotePort ?? 0)
    if (from === undefined || this.#isClosed || this.#streamsIn >= this.#options.maxStreamsIn) {
      this.counters.refusedStreams++
      socket.on('error', () => undefined)
      socket.destroy()
      return
    }
    this.counters.streamsAccepted++
    this.#streamsIn++
    const request = this.#nextRequest++
    this.#requests.set(request, socket)
    this.#watch(socket, () => {
      this.#streamsIn--
      this.#requests.delete(request)
    })
    this.#decode(socket, true, (message) => {
      if (typeof message !== 'string') return this.#options.onInput({ type: 'stream-opened', request, from, message })
      this.counters.unreadableStreams++
      this.#options.onUnreadable(formatAddress(ipText(from.address), from.port), 'stream', message)
      // As memberlist's own agents answer: whoever joins with another key learns why.
      // One of another label could not read it with any key: what it says is no secret.
      const isOfAnother = unreadableCause(message) === 'label'
      this.#answer(request, { type: 'error', reason: message }, isOfAnother ? BARE : this.#options.framing)
    })
  }

  #answer(request: number, message: StreamMessage, framing: Framing = this.#options.framing): void {
    const socket = this.#requests.get(request)
    this.#requests.delete(request)
    if (socket === undefined) return
    const bytes = composeStream(message, framing, false)
    this.counters.streamBytesSent += bytes.length
    socket.end(bytes)
  }

  // ---- streams of this node ----

  #openStream(stream: number, to: Endpoint, message: StreamMessage): void {
    let isOver = false
    const failed = (reason: string, isRefused = false): void => {
      if (isOver) return
      isOver = true
      this.#opened.delete(stream)
      this.#options.onInput({ type: 'stream-failed', stream, reason, isRefused })
    }
    const socket = this.#connect(to, message, failed)
    if (socket === undefined) return
    this.#opened.set(stream, socket)
    this.#decode(socket, false, (answer) => {
      if (typeof answer === 'string') return failed(answer)
      if (isOver) return
      isOver = true
      this.#opened.delete(stream)
      socket.destroy()
      this.#options.onInput({ type: 'stream-answered', stream, message: answer })
    })
    socket.on('close', () => failed('it closed the connection without an answer'))
  }

  #sendStream(to: Endpoint, message: StreamMessage): void {
    const socket = this.#connect(to, message, (reason) => this.#options.onInput({ type: 'send-failed', to, reason }))
    socket?.resume()
    socket?.end()
  }

  /** Connects and writes; undefined, and `failed` called soon, where there are too many streams already. */
  #connect(to: Endpoint, message: StreamMessage, failed: (reason: string, isRefused?: boolean) => void): Socket | undefined {
    if (this.#isClosed || this.#streamsOut >= this.#options.maxStreamsOut) {
      setImmediate(() => failed(`${this.#options.maxStreamsOut} connections are open already`))
      return undefined
    }
    this.counters.streamsOpened++
    this.#streamsOut++
    const socket = connect({ host: this.#host(to), port: to.port })
    this.#watch(socket, () => this.#streamsOut--)
    socket.on('error', (error: NodeJS.ErrnoException) => failed(explainError(error), error.code === 'ECONNREFUSED'))
    const bytes = composeStream(message, this.#options.framing, true)
    this.counters.streamBytesSent += bytes.length
    socket.write(bytes)
    return socket
  }

  /** What holds for every stream: an end in time, and no error that nobody hears. */
  #watch(socket: Socket, closed: () => void): void {
    this.#sockets.add(socket)
    socket.setNoDelay(true)
    const timer = setTimeout(() => socket.destroy(new Error('it took too long')), this.#options.streamTimeoutMs)
    socket.on('error', () => undefined)
    socket.on('close', () => {
      clearTimeout(timer)
      this.#sockets.delete(socket)
      closed()
    })
  }

  /** Calls back once, with the message or what is wrong. */
  #decode(socket: Socket, isFromOpener: boolean, callback: (message: StreamMessage | string) => void): void {
    const decoder = new StreamDecoder(this.#options.framing, isFromOpener)
    let isDone = false
    socket.on('data', (bytes) => {
      this.counters.streamBytesReceived += bytes.length
      if (isDone) return
      const result = decoder.push(bytes)
      if (result === undefined) return
      isDone = true
      callback(isWireError(result) ? result.message : result)
    })
  }
}

function endpointOf(address: string, port: number): Endpoint | undefined {
  const bytes = ipBytes(address)
  if (bytes === undefined) return undefined
  return { address: ipText(bytes).includes(':') ? bytes : (ipBytes(ipText(bytes)) ?? bytes), port }
}

/** As much as the system gives, up to 2 MiB: what comes while the thread is busy waits there. */
function growReceiveBuffer(socket: PacketSocket): void {
  for (let bytes = RECEIVE_BUFFER_BYTES; bytes >= MIN_RECEIVE_BUFFER_BYTES; bytes /= 2) {
    try {
      socket.setRecvBufferSize(bytes)
      return
    } catch {
      // The system allows less; half of it may do.
    }
  }
}
