/**
 * A node that takes part in a swarm and means no good: it tells the tracker that it has everything, is planned as a source for
 * others, and then sends wrong bytes, nothing at all, or takes back what it announced. It speaks the project's own frames over
 * sockets of its own; nothing of the agent runs in it.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { decodeSegment, isWireError } from '#src/core/content/index.js'
import {
  dataFrameHead,
  decodeBody,
  encodeFrame,
  FRAME_HEADER_BYTES,
  FRAME_TYPES,
  writeFrameHeader,
  type SwarmMessage,
} from '#src/core/swarm/index.js'
import { Writer } from '#src/core/wire/writer.js'

/** What it does when it is asked for chunks: answers with garbage of the right length, is silent, or says that it lost them and has them again. */
export type Malice = 'wrong-bytes' | 'silence' | 'lies'

export interface HostileOptions {
  readonly name: string
  /** An address of this machine that no agent has. */
  readonly address: string
  readonly malice: Malice
  /** Of the content's swarm, hex. */
  readonly swarmId: string
  readonly totalBytes: number
  /** `host:port` of the tracker's swarm port. */
  readonly tracker: string
}

const CHANNEL = 1

export class HostilePeer {
  /** Chunks that it was asked for, or that it was to bring unasked. */
  asked = 0
  readonly #options: HostileOptions
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  /** Length of each chunk, as the tracker's manifest tells. */
  readonly #lengths: number[] = []

  private constructor(options: HostileOptions) {
    this.#options = options
    this.#server = createServer((socket) => this.#talk(socket))
  }

  /** Listens, announces itself to the tracker as complete, and resolves once the tracker has sent a plan. */
  static async join(options: HostileOptions): Promise<HostilePeer> {
    const peer = new HostilePeer(options)
    peer.#server.listen(0, options.address)
    await once(peer.#server, 'listening')
    const [host = '', port = ''] = options.tracker.split(':')
    const socket = connect(Number(port), host)
    await once(socket, 'connect')
    await new Promise<void>((resolve) => {
      peer.#talk(socket, (message) => {
        if (message.type === 'plan') resolve()
      })
      peer.#send(socket, { type: 'subscribe', runChunks: 1, stripes: 1, mask: 0, manifestFrom: 0 })
      peer.#announce(socket)
    })
    return peer
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    const closed = once(this.#server, 'close')
    this.#server.close()
    await closed
  }

  get #address(): string {
    return `${this.#options.address}:${(this.#server.address() as { port: number }).port}`
  }

  #announce(socket: Socket): void {
    const { totalBytes } = this.#options
    this.#send(socket, {
      type: 'announce',
      address: this.#address,
      zone: '',
      haveBytes: totalBytes,
      isComplete: true,
      lateStripes: [],
      slowPeers: [],
      lostPeers: [],
    })
  }

  #talk(socket: Socket, onMessage: (message: SwarmMessage) => void = () => undefined): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => undefined) // Being thrown out is what it is here for.
    socket.write(helloFrame(this.#options.name, this.#address))
    this.#send(socket, { type: 'open', swarmId: Buffer.from(this.#options.swarmId, 'hex') })
    readFrames(socket, (frameType, body) => {
      if (frameType === FRAME_TYPES.ping) socket.write(frame(FRAME_TYPES.pong, body))
      if (frameType < FRAME_TYPES.open) return
      const message = decodeBody(frameType, body)
      if (isWireError(message)) return
      this.#take(socket, message)
      onMessage(message)
    })
    if (this.#lengths.length > 0) this.#boast(socket)
  }

  #take(socket: Socket, message: SwarmMessage): void {
    if (message.type === 'manifest' && message.part.kind === 'segment') {
      const segment = decodeSegment(message.part.bytes)
      if (isWireError(segment) || segment.firstChunk !== this.#lengths.length) return
      this.#lengths.push(...segment.lengths)
      for (const one of this.#sockets) this.#boast(one)
    }
    if (message.type === 'have') this.#boast(socket)
    if (message.type === 'request') {
      for (let i = 0; i < message.ranges.length; i += 2) this.#answer(socket, message.ranges[i]!, message.ranges[i + 1]!)
    }
    if (message.type === 'subscribe' && message.mask !== 0) {
      for (let run = 0; run * message.runChunks < this.#lengths.length; run++) {
        const isWanted = ((message.mask >>> (run % message.stripes)) & 1) === 1
        if (isWanted) this.#answer(socket, run * message.runChunks, message.runChunks)
      }
    }
  }

  /** Announces every chunk that there is. */
  #boast(socket: Socket): void {
    if (this.#lengths.length > 0) this.#send(socket, { type: 'have', ranges: [0, this.#lengths.length] })
  }

  #answer(socket: Socket, firstChunk: number, wanted: number): void {
    const count = Math.min(wanted, this.#lengths.length - firstChunk)
    if (count <= 0) return
    this.asked += count
    if (this.#options.malice === 'silence') return
    if (this.#options.malice === 'lies') {
      this.#send(socket, { type: 'lost', ranges: [firstChunk, count] })
      this.#send(socket, { type: 'have', ranges: [firstChunk, count] })
      return
    }
    const bytes = this.#lengths.slice(firstChunk, firstChunk + count).reduce((sum, length) => sum + length, 0)
    socket.write(dataFrameHead(CHANNEL, firstChunk, count, bytes))
    socket.write(randomBytes(bytes))
  }

  #send(socket: Socket, message: Exclude<SwarmMessage, { type: 'data' }>): void {
    socket.write(encodeFrame(CHANNEL, message))
  }
}

/** The frame that begins a connection. */
export function helloFrame(name: string, address: string): Uint8Array {
  const hello = new Writer(128)
  hello.varint(1)
  hello.text(name)
  hello.text(address)
  hello.bytes(randomBytes(16))
  return frame(FRAME_TYPES.hello, hello.finish())
}

/** A frame of any type around a body. */
export function frame(frameType: number, body: Uint8Array, channel: number = 0): Uint8Array {
  const whole = new Uint8Array(FRAME_HEADER_BYTES + body.length)
  writeFrameHeader(whole, 0, body.length, frameType, channel)
  whole.set(body, FRAME_HEADER_BYTES)
  return whole
}

/** Cuts what a socket receives into frames. */
export function readFrames(socket: Socket, onFrame: (frameType: number, body: Buffer) => void): void {
  let pending = Buffer.alloc(0)
  socket.on('data', (piece: Buffer) => {
    pending = Buffer.concat([pending, piece])
    while (pending.length >= FRAME_HEADER_BYTES) {
      const end = FRAME_HEADER_BYTES + pending.readUInt32BE(0)
      if (pending.length < end) return
      onFrame(pending[4]!, pending.subarray(FRAME_HEADER_BYTES, end))
      pending = pending.subarray(end)
    }
  })
}
