/**
 * A connection with another node: frames in and out, acknowledged bytes, channels, calls.
 *
 * A link knows nothing of chunks. It tells whether there is room for more data: what was sent and not yet acknowledged by the
 * other side is held to a window that grows while acknowledgements are quick and shrinks when they are late, because what lies
 * in the kernel's buffers can neither be withdrawn nor counted against a slow receiver; and with that of all other links to what
 * the uplink carries (uplink.ts). docs/specs/02-swarm.md §3.
 */
import type { Socket } from 'node:net'
import {
  dataFrameHead,
  decodeBody,
  encodeFrame,
  FRAME_HEADER_BYTES,
  FRAME_TYPES,
  writeFrameHeader,
  type SwarmMessage,
} from '../../core/swarm/frames.ts'
import { Reader } from '../../core/wire/reader.ts'
import { isWireError, type WireError } from '../../core/wire/wire-error.ts'
import { Writer } from '../../core/wire/writer.ts'
import { FrameReader } from './frame-reader.ts'
import { Gather } from './gather.ts'
import type { Payload, Slab } from './slabs.ts'
import type { Uplink, UplinkUser } from './uplink.ts'

export const PROTOCOL_VERSION = 1
const INSTANCE_BYTES = 16
const MAX_CHANNELS = 4096
const START_WINDOW_BYTES = 128 * 1024
/**
 * How much longer than the quickest acknowledgement one may take to let the window grow, and from when on it makes it shrink, ms.
 * What waits in one link's queue delays all peers below it, and a queue that runs empty while a process waits for its turn on the
 * CPU costs all of them more: with 15 and 60 ms, 16 peers on two cores got 86 % of what their links carry.
 */
const QUICK_ACK_MS = 60
const LATE_ACK_MS = 250
/**
 * No way is so long that an acknowledgement takes this by itself, ms: of a queue that never empties the quickest has waited, too. So a window
 * does not grow beyond what is acknowledged in this time, either.
 */
const MOST_TRIP_MS = 1000
/**
 * The window never shrinks below what was acknowledged in this time of late, ms. With 250 ms, 64 processes on two cores made it ever smaller,
 * as small windows are acknowledged slowly, too: 1.7 instead of 1.3 of the bound at 12 Mbit/s.
 */
const LEAST_WINDOW_MS = 1000
const LEAST_WINDOW_BYTES = 32 * 1024
/** Over how long it is measured how fast data is acknowledged, ms. */
const RATE_PERIOD_MS = 500
/** After so long the quickest acknowledgement is measured anew, ms. */
const TRIP_MEMORY_MS = 10_000
/** What a peer may leave unread of all that isn't data until the connection is ended, and until pings are not answered any more. */
const MAX_UNREAD_BYTES = 8 * 1024 * 1024
const MAX_UNREAD_PONG_BYTES = 256 * 1024
/** Silence after which the other side is asked whether it is there, ms; and where neither chunks nor calls had gone for `IDLE_MS` when it was last heard. */
const PING_AFTER_MS = 2000
const IDLE_MS = 8000
const IDLE_PING_AFTER_MS = 30_000
/** A ping without an answer is not repeated sooner, ms: over a full link pings would be most of what fills it. */
const PING_AGAIN_MS = 5000
/** Over a slow link that has just filled, a hello waits for what is before it. */
const HELLO_WITHIN_MS = 15_000
/** Silence that ends a link: this long, ms, or so many times as long as the last answer to a ping took, but no longer than the most. */
const LEAST_SILENCE_MS = 8000
const SILENT_TRIPS = 4
const MOST_SILENCE_MS = 30_000
/** Bytes after which the receiver acknowledges at the latest. */
const ACK_EVERY_BYTES = 128 * 1024

/** Who is at the other end, as it said itself. */
export interface Hello {
  readonly name: string
  /** `host:port` of its swarm port. */
  readonly address: string
  /** Differs from start to start. */
  readonly instance: Uint8Array
}

/** What a link reports; all calls come after the hello. */
export interface LinkOwner {
  onHello(link: Link): void
  /** Something was said about a content on a channel that `open` has named. */
  onMessage(link: Link, swarmId: string, message: SwarmMessage, slab: Slab): void
  onCall(link: Link, frameType: number, body: Buffer): void
  /** There is room again after there was none. */
  onRoom(link: Link): void
  onClose(link: Link, reason: string): void
}

export interface LinkOptions {
  readonly self: Hello
  readonly owner: LinkOwner
  /** What the window never shrinks below where the link is quick, and its upper end, bytes. */
  readonly minWindowBytes: number
  readonly maxWindowBytes: number
  /** What all links of this node share. */
  readonly uplink: Uplink<Link>
  readonly now: () => number
}

export class Link implements UplinkUser {
  readonly socket: Socket
  remote: Hello | undefined
  isClosed = false
  /** When something was last received, ms. */
  heardAt: number
  /** When data was last acknowledged, or handed over while none was under way, ms. */
  movedAt = 0
  sentBytes = 0
  receivedBytes = 0
  /** How long an answer took: to a ping, or at first the hello, ms. */
  #tripMs = 0
  /** When the ping that waits for its answer was sent; at first, when there was a connection, ms. */
  #askedAt: number | undefined
  #pingedAt = -Infinity
  /** When chunks or calls last went over it, ms. */
  #usedAt: number
  readonly #options: LinkOptions
  readonly #reader: FrameReader
  readonly #gather: Gather = new Gather()
  /** Channel → swarm id in hex, as the other side named them. */
  readonly #theirs: Map<number, string> = new Map()
  /** Swarm id in hex → channel, as this side named them. */
  readonly #ours: Map<string, number> = new Map()
  #nextChannel = 1
  #windowBytes = START_WINDOW_BYTES
  /** Data bytes handed to the socket, and acknowledged, since the beginning. */
  #handedBytes = 0
  #ackedBytes = 0
  /** Data bytes on their way from the disk to this link. */
  #reservedBytes = 0
  /** Bytes of frames other than data that the kernel has not taken yet. */
  #unsentBytes = 0
  /** What was sent and when: pairs of handed bytes and time, for the round trip of an acknowledgement. */
  readonly #sendTimes: number[] = []
  #wasFull = false
  /** The quickest acknowledgement of late: the way there and back without any queue, ms. */
  #quickestMs = Infinity
  #quickestAt = 0
  /** What was acknowledged of late, bytes per ms, and where and when the measurement under way began. */
  #ackRate = Infinity
  #ratedBytes = 0
  #ratedAt = 0
  /** How many want nothing to be read for now. */
  #holds = 0
  #unackedInBytes = 0
  #receivedDataBytes = 0
  #ackTimer: NodeJS.Immediate | undefined

  /** Takes a socket that reads into `space()` and reports to `read` (see `link-sockets.ts`). */
  constructor(socket: Socket, options: LinkOptions) {
    this.socket = socket
    this.#options = options
    this.heardAt = options.now()
    this.#askedAt = this.heardAt
    this.#usedAt = this.heardAt
    this.#reader = new FrameReader((frameType, channel, body, slab) => this.#frame(frameType, channel, body, slab))
    socket.setNoDelay(true)
    socket.on('error', (error) => this.close(error.message))
    socket.on('close', () => {
      this.close('the connection ended')
      this.#reader.free()
    })
    this.#sendHello()
  }

  get name(): string {
    return this.remote?.name ?? ''
  }

  /** Where the socket's next bytes go. */
  space(): Buffer {
    return this.#reader.space()
  }

  /** `count` bytes were read into `space()`. */
  read(count: number): void {
    if (this.isClosed) return
    this.heardAt = this.#options.now()
    this.receivedBytes += count
    const { spaceBytes } = this.#reader
    const error = this.#reader.commit(count)
    if (error !== undefined) this.#refuse(error)
    else this.rest(this.#gather.waitMs(count, spaceBytes, this.#reader.missingBytes, this.heardAt))
  }

  /** Reads nothing until the function returned is called, and those of all others who hold it. */
  hold(): () => void {
    this.#holds++
    this.socket.pause()
    return () => {
      if (--this.#holds === 0) this.socket.resume()
    }
  }

  /** Reads nothing for so long, ms. */
  rest(waitMs: number): void {
    if (waitMs > 0 && !this.isClosed) setTimeout(this.hold(), waitMs).unref()
  }

  /** Whether more data may be sent now; if not, `onRoom` follows. */
  hasRoom(): boolean {
    if (this.isClosed) return false
    this.#wasFull = this.underWayBytes >= this.#windowBytes
    return !this.#wasFull && this.#options.uplink.admits(this)
  }

  get underWayBytes(): number {
    return this.#handedBytes + this.#reservedBytes - this.#ackedBytes
  }

  /** Counts data against the window that comes later, from the disk; the function returned ends that. */
  reserve(bytes: number): () => void {
    if (this.underWayBytes === 0) this.movedAt = this.#options.now()
    this.#count(bytes, 0)
    return () => this.#count(-bytes, 0)
  }

  /** Says something about a content; names the channel first where that is new. */
  send(swarmId: string, message: Exclude<SwarmMessage, { type: 'data' }>): void {
    if (this.isClosed) return
    this.#write(encodeFrame(this.#channel(swarmId), message))
  }

  /** Names the channel of a content, so that the other side knows that this one takes part. */
  open(swarmId: string): void {
    if (!this.isClosed) this.#channel(swarmId)
  }

  /** Sends chunks; the payload is released once the kernel has it. */
  sendData(swarmId: string, firstChunk: number, count: number, payload: Payload): void {
    if (this.isClosed) return payload.release()
    const { bytes } = payload
    const head = dataFrameHead(this.#channel(swarmId), firstChunk, count, bytes.length)
    this.#usedAt = this.#options.now()
    if (this.#handedBytes === this.#ackedBytes) this.movedAt = this.#usedAt
    this.#count(0, bytes.length)
    this.sentBytes += head.length + bytes.length
    this.#sendTimes.push(this.#handedBytes, this.#usedAt)
    this.socket.cork()
    this.socket.write(head)
    this.socket.write(bytes, () => payload.release())
    this.socket.uncork()
  }

  sendCall(frameType: number, body: Uint8Array): void {
    this.#usedAt = this.#options.now()
    if (!this.isClosed) this.#write(frameOf(frameType, body))
  }

  /** Keeps silence from lasting: asks whether the other side is there, and ends the link where that was in vain. */
  checkSilence(): void {
    const now = this.#options.now()
    if (this.remote === undefined) {
      if (now - this.#askedAt! > HELLO_WITHIN_MS) this.close('no hello came')
      return
    }
    const silentMs = now - this.heardAt
    // Who falls silent in the middle of things is not idle.
    const isIdle = this.heardAt - this.#usedAt > IDLE_MS && this.#handedBytes === this.#ackedBytes
    const moreMs = isIdle ? IDLE_PING_AFTER_MS - PING_AFTER_MS : 0
    const patienceMs = Math.min(MOST_SILENCE_MS, Math.max(LEAST_SILENCE_MS, SILENT_TRIPS * this.#tripMs)) + moreMs
    if (silentMs > patienceMs) this.close(`nothing was heard for ${Math.round(silentMs / 1000)} s`)
    else if (silentMs > PING_AFTER_MS + moreMs && now - this.#pingedAt > PING_AGAIN_MS) this.ping()
  }

  ping(): void {
    if (this.isClosed) return
    this.#pingedAt = this.#options.now()
    this.#askedAt ??= this.#pingedAt
    this.#write(frameOf(FRAME_TYPES.ping, new Uint8Array(8)))
  }

  /** The channel of a content is not needed any more on this side. */
  forget(swarmId: string): void {
    this.#ours.delete(swarmId)
  }

  isOpen(swarmId: string): boolean {
    return this.#ours.has(swarmId)
  }

  /** Ends the connection; the other side is told why, if it can still be told. */
  close(reason: string): void {
    if (this.isClosed) return
    this.isClosed = true
    clearImmediate(this.#ackTimer)
    const bye = new Writer(64)
    bye.text(reason.slice(0, 1000))
    this.socket.write(frameOf(FRAME_TYPES.bye, bye.finish()))
    this.socket.destroySoon()
    setTimeout(() => this.socket.destroy(), 1000).unref()
    this.#reader.stop()
    const { owner, uplink } = this.#options
    this.#count(0, this.#ackedBytes - this.#handedBytes)
    owner.onClose(this, reason)
    uplink.forget(this)
  }

  // ---- in ----

  #frame(frameType: number, channel: number, body: Buffer, slab: Slab): void {
    if (frameType === FRAME_TYPES.hello) return this.#takeHello(body)
    if (this.remote === undefined) return this.close('it said something before hello')
    switch (frameType) {
      case FRAME_TYPES.bye: {
        const reason = new Reader(body).text(1024)
        return this.close(`the other side ended it: ${reason}`)
      }
      case FRAME_TYPES.ping:
        // Who leaves so much unread has no use for another sign of life.
        if (this.#unsentBytes < MAX_UNREAD_PONG_BYTES) this.#write(frameOf(FRAME_TYPES.pong, body.subarray(0, 8)))
        return
      case FRAME_TYPES.pong:
        return this.#answered()
      case FRAME_TYPES.ack:
        return this.#takeAck(body)
      case FRAME_TYPES.call:
      case FRAME_TYPES.reply:
        this.#usedAt = this.heardAt
        return this.#options.owner.onCall(this, frameType, body)
      default:
        return this.#content(frameType, channel, body, slab)
    }
  }

  #content(frameType: number, channel: number, body: Buffer, slab: Slab): void {
    const message = decodeBody(frameType, body)
    if (isWireError(message)) return this.#refuse(message)
    if (message.type === 'open') {
      if (this.#theirs.size >= MAX_CHANNELS && !this.#theirs.has(channel)) return this.close('it opened too many channels')
      this.#theirs.set(channel, Buffer.from(message.swarmId).toString('hex'))
    }
    const swarmId = this.#theirs.get(channel)
    if (swarmId === undefined) return this.close('it used a channel that it had not opened')
    if (message.type === 'data') this.#countData(body.length)
    this.#options.owner.onMessage(this, swarmId, message, slab)
    if (message.type === 'close') this.#theirs.delete(channel)
  }

  #takeHello(body: Buffer): void {
    const input = new Reader(body)
    const version = input.varint()
    const name = input.text(255)
    const address = input.text(255)
    const instance = input.bytes(INSTANCE_BYTES)
    if (input.failed || this.remote !== undefined) return this.close('its hello is not understood')
    if (version !== PROTOCOL_VERSION) {
      return this.close(`it speaks version ${version} of the swarm protocol, this node version ${PROTOCOL_VERSION}`)
    }
    this.remote = { name, address, instance: Uint8Array.from(instance) }
    this.#answered()
    this.#options.owner.onHello(this)
  }

  #answered(): void {
    if (this.#askedAt !== undefined) this.#tripMs = this.#options.now() - this.#askedAt
    this.#askedAt = undefined
    this.#pingedAt = -Infinity
  }

  #refuse(error: WireError): void {
    this.close(`it sent ${error.message}`)
  }

  // ---- acknowledgements ----

  /** One acknowledgement for all data of a turn of the event loop, or of 128 KiB. */
  #countData(bodyBytes: number): void {
    this.#usedAt = this.heardAt
    this.#receivedDataBytes += bodyBytes - 8
    this.#unackedInBytes += bodyBytes - 8
    if (this.#unackedInBytes >= ACK_EVERY_BYTES) this.#sendAck()
    else this.#ackTimer ??= setImmediate(() => this.#sendAck())
  }

  #sendAck(): void {
    clearImmediate(this.#ackTimer)
    this.#ackTimer = undefined
    if (this.isClosed || this.#unackedInBytes === 0) return
    this.#unackedInBytes = 0
    const body = new Uint8Array(4)
    new DataView(body.buffer).setUint32(0, this.#receivedDataBytes % 2 ** 32)
    this.#write(frameOf(FRAME_TYPES.ack, body))
  }

  #takeAck(body: Buffer): void {
    if (body.length !== 4) return this.close('its acknowledgement is not understood')
    const advanced = (body.readUInt32BE(0) - (this.#ackedBytes % 2 ** 32) + 2 ** 32) % 2 ** 32
    if (this.#ackedBytes + advanced > this.#handedBytes) return this.close('it acknowledged more than it was sent')
    this.#ackedBytes += advanced
    this.movedAt = this.heardAt
    this.#adaptWindow(advanced)
    this.#options.uplink.acknowledged(this, advanced)
    if (this.#wasFull && this.hasRoom()) this.#options.owner.onRoom(this)
  }

  #adaptWindow(ackedBytes: number): void {
    const { maxWindowBytes } = this.#options
    const now = this.#options.now()
    this.#measureRate(now)
    let sentAt = 0
    while (this.#sendTimes.length > 0 && this.#sendTimes[0]! <= this.#ackedBytes) {
      sentAt = this.#sendTimes[1]!
      this.#sendTimes.splice(0, 2)
    }
    if (sentAt === 0) return
    const tripMs = now - sentAt
    if (tripMs < this.#quickestMs || now - this.#quickestAt > TRIP_MEMORY_MS) {
      this.#quickestMs = tripMs
      this.#quickestAt = now
    }
    const waitedMs = tripMs - this.#quickestMs
    const mayGrow = this.#wasFull && waitedMs < QUICK_ACK_MS && this.#windowBytes < this.#ackRate * MOST_TRIP_MS
    if (waitedMs > LATE_ACK_MS || tripMs > MOST_TRIP_MS)
      this.#windowBytes = Math.max(this.#leastWindowBytes(), this.#windowBytes - ackedBytes / 2)
    else if (mayGrow) this.#windowBytes = Math.min(maxWindowBytes, this.#windowBytes + ackedBytes)
  }

  /** Enough for the time that a process may wait for the CPU; over a slow link that is little, and more of it would have those below wait for seconds. */
  #leastWindowBytes(): number {
    return Math.min(this.#options.minWindowBytes, this.#windowBytes, Math.max(LEAST_WINDOW_BYTES, this.#ackRate * LEAST_WINDOW_MS))
  }

  /** Only while data is under way: what is not sent is not acknowledged. */
  #measureRate(now: number): void {
    if (this.#ratedAt === 0 || this.#handedBytes === this.#ackedBytes) {
      this.#ratedAt = now
      this.#ratedBytes = this.#ackedBytes
    } else if (now - this.#ratedAt >= RATE_PERIOD_MS) {
      this.#ackRate = (this.#ackedBytes - this.#ratedBytes) / (now - this.#ratedAt)
      this.#ratedAt = now
      this.#ratedBytes = this.#ackedBytes
    }
  }

  // ---- out ----

  #count(reservedBytes: number, handedBytes: number): void {
    this.#reservedBytes += reservedBytes
    this.#handedBytes += handedBytes
    this.#options.uplink.add(this, reservedBytes + handedBytes)
  }

  #channel(swarmId: string): number {
    let channel = this.#ours.get(swarmId)
    if (channel !== undefined) return channel
    do {
      channel = this.#nextChannel
      this.#nextChannel = (this.#nextChannel % 65535) + 1
    } while ([...this.#ours.values()].includes(channel))
    this.#ours.set(swarmId, channel)
    this.#write(encodeFrame(channel, { type: 'open', swarmId: Buffer.from(swarmId, 'hex') }))
    return channel
  }

  #sendHello(): void {
    const { name, address, instance } = this.#options.self
    const hello = new Writer(128)
    hello.varint(PROTOCOL_VERSION)
    hello.text(name)
    hello.text(address)
    hello.bytes(instance)
    this.#write(frameOf(FRAME_TYPES.hello, hello.finish()))
  }

  #write(frame: Uint8Array): void {
    this.sentBytes += frame.length
    this.#unsentBytes += frame.length
    this.socket.write(frame, () => (this.#unsentBytes -= frame.length))
    if (!this.isClosed && this.#unsentBytes > MAX_UNREAD_BYTES) this.close('it does not read what it is sent')
  }
}

function frameOf(frameType: number, body: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER_BYTES + body.length)
  writeFrameHeader(frame, 0, body.length, frameType, 0)
  frame.set(body, FRAME_HEADER_BYTES)
  return frame
}
