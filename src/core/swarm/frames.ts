/**
 * The swarm protocol's frames: what two nodes say to each other about the contents they exchange.
 *
 * A connection carries frames of `u32 body length | u8 type | u8 zero | u16 channel | body` (docs/specs/02-swarm.md §2).
 * A channel stands for one content on one connection; each side names its own channels by `open`. This file turns bodies
 * into messages and back. It knows no socket; cutting a byte stream into frames is the link's work.
 *
 * `data` is the one frame whose body is not copied: its 8-byte preamble is encoded here, the payload follows it on the wire.
 */
import { copyBytes } from '../lib/bytes.ts'
import { Reader } from '../wire/reader.ts'
import { Writer } from '../wire/writer.ts'
import { isWireError, wireError, type WireError } from '../wire/wire-error.ts'
import { readRanges, writeRanges, type Ranges } from './ranges.ts'

export const FRAME_HEADER_BYTES = 8
/** Bytes of a `data` body before its payload: u32 first chunk, u32 chunk count. */
export const DATA_PREAMBLE_BYTES = 8
/** The longest body of a `data` frame: one chunk of the greatest size there is, or a run of smaller ones. */
export const MAX_DATA_BODY_BYTES: number = 16 * 1024 * 1024 + DATA_PREAMBLE_BYTES
/** The longest body of any other frame about a content. */
export const MAX_CONTROL_BODY_BYTES: number = 128 * 1024
/** The longest body of a node-to-node call or its reply. */
export const MAX_CALL_BODY_BYTES: number = 1024 * 1024
export const MAX_STRIPES = 32
export const MAX_ID_BYTES = 255
const MAX_PEERS = 256
/** Peers that one `peers` message names at the most. */
export const MAX_NAMED_PEERS = 64
/** The longest invitation to a multicast session. */
export const MAX_INVITATION_BYTES = 512
/** The longest reason of a `close`: room for an error as JSON. */
export const MAX_REASON_BYTES = 4096

export const FRAME_TYPES = {
  hello: 1,
  bye: 2,
  ping: 3,
  pong: 4,
  call: 5,
  reply: 6,
  ack: 7,
  open: 16,
  close: 17,
  have: 18,
  lost: 19,
  request: 20,
  cancel: 21,
  subscribe: 22,
  withheld: 23,
  clear: 24,
  manifest: 25,
  announce: 26,
  plan: 27,
  peers: 28,
  invite: 29,
  data: 32,
} as const

/** A peer as the tracker names it to others. */
export interface PeerAddress {
  readonly id: string
  /** `host:port` of its swarm port. */
  readonly address: string
  /** It had the content first, and is to send each chunk about once: asked last. */
  readonly isOrigin: boolean
}

/** A peer that a neighbour names while there is no tracker. */
export interface NamedPeer {
  readonly id: string
  /** `host:port` of its swarm port. */
  readonly address: string
}

export type ManifestPartKind = 'header' | 'segment' | 'seal' | 'root' | 'page'
export interface ManifestPart {
  readonly kind: ManifestPartKind
  /** The page's index; 0 for other kinds. */
  readonly index: number
  readonly bytes: Uint8Array
}

export interface PlanMessage {
  readonly type: 'plan'
  /** Chunks of one relay unit; unit u travels in stripe u mod `stripes`. */
  readonly runChunks: number
  readonly stripes: number
  /** Per stripe, the index into `peers` of the parent, or -1 for none. */
  readonly parents: readonly number[]
  /** Everyone this peer should have a connection with. */
  readonly peers: readonly PeerAddress[]
}

export interface AnnounceMessage {
  readonly type: 'announce'
  readonly address: string
  readonly zone: string
  readonly haveBytes: number
  readonly isComplete: boolean
  /** Stripes whose parent does not deliver what others already have. */
  readonly lateStripes: readonly number[]
  /** Peers that take what is sent to them far slower than the others do. */
  readonly slowPeers: readonly string[]
  /** Peers that can't be reached or were dropped. */
  readonly lostPeers: readonly string[]
}

/** What is said about one content. */
export type SwarmMessage =
  /** Names the channel: all further frames on it are about this content. */
  | { readonly type: 'open'; readonly swarmId: Uint8Array }
  /** The sender leaves the swarm of this content; `reason` is a sentence, or the JSON of an error where the origin gives up. */
  | { readonly type: 'close'; readonly reason: string }
  /** Chunks that the sender has got and does not send by itself. */
  | { readonly type: 'have'; readonly ranges: Ranges }
  /** Chunks that the sender announced and no longer has. */
  | { readonly type: 'lost'; readonly ranges: Ranges }
  | { readonly type: 'request'; readonly ranges: Ranges }
  | { readonly type: 'cancel'; readonly ranges: Ranges }
  /** From now on send, unasked, every chunk of these stripes that I lack, as soon as you have it. Replaces the last one. */
  | {
      readonly type: 'subscribe'
      readonly runChunks: number
      readonly stripes: number
      /** Bit s is set: stripe s is wanted. */
      readonly mask: number
      /** Send the manifest's entries from this chunk on and keep sending; -1: don't. */
      readonly manifestFrom: number
    }
  /** Chunks below `to` may be sent unasked: I know their manifest entries, and have looked on my own disk for them. */
  | { readonly type: 'clear'; readonly to: number }
  /** Chunks of a subscription that the sender has handed to another peer and leaves to it. */
  | { readonly type: 'withheld'; readonly ranges: Ranges }
  | { readonly type: 'manifest'; readonly part: ManifestPart }
  | AnnounceMessage
  | PlanMessage
  /** Live neighbours of the sender, which lacks a tracker. */
  | { readonly type: 'peers'; readonly peers: readonly NamedPeer[] }
  /**
   * The origin will send what is missing by multicast; what is in it is the matter of core/multicast. An empty one goes back: the receiver
   * does not follow it, or hears nothing of it any more.
   */
  | { readonly type: 'invite'; readonly invitation: Uint8Array }
  | { readonly type: 'data'; readonly firstChunk: number; readonly count: number; readonly payload: Uint8Array }

const PART_KINDS: readonly ManifestPartKind[] = ['header', 'segment', 'seal', 'root', 'page']

/** The type byte of a message's frame. */
export function frameTypeOf(message: SwarmMessage): number {
  return FRAME_TYPES[message.type]
}

/** How long a frame's body may be, by its type byte; 0 for a type that does not exist. */
export function maxBodyBytes(frameType: number): number {
  switch (frameType) {
    case FRAME_TYPES.data:
      return MAX_DATA_BODY_BYTES
    case FRAME_TYPES.call:
    case FRAME_TYPES.reply:
      return MAX_CALL_BODY_BYTES
    case FRAME_TYPES.hello:
    case FRAME_TYPES.bye:
      return 4096
    case FRAME_TYPES.ping:
    case FRAME_TYPES.pong:
    case FRAME_TYPES.ack:
      return 8
    default:
      return frameType >= FRAME_TYPES.open && frameType <= FRAME_TYPES.invite ? MAX_CONTROL_BODY_BYTES : 0
  }
}

/** Writes a frame's 8-byte header into `target` at `offset`. */
export function writeFrameHeader(target: Uint8Array, offset: number, bodyBytes: number, frameType: number, channel: number): void {
  target[offset] = bodyBytes >>> 24
  target[offset + 1] = bodyBytes >>> 16
  target[offset + 2] = bodyBytes >>> 8
  target[offset + 3] = bodyBytes
  target[offset + 4] = frameType
  target[offset + 5] = 0
  target[offset + 6] = channel >>> 8
  target[offset + 7] = channel
}

/** Header and preamble of a `data` frame: 16 bytes, to be followed by `payloadBytes` of payload. */
export function dataFrameHead(channel: number, firstChunk: number, count: number, payloadBytes: number): Uint8Array {
  const head = new Uint8Array(FRAME_HEADER_BYTES + DATA_PREAMBLE_BYTES)
  writeFrameHeader(head, 0, DATA_PREAMBLE_BYTES + payloadBytes, FRAME_TYPES.data, channel)
  const view = new DataView(head.buffer)
  view.setUint32(8, firstChunk)
  view.setUint32(12, count)
  return head
}

/** A whole frame of any message but `data`. */
export function encodeFrame(channel: number, message: Exclude<SwarmMessage, { type: 'data' }>): Uint8Array {
  const body = encodeBody(message)
  const frame = new Uint8Array(FRAME_HEADER_BYTES + body.length)
  writeFrameHeader(frame, 0, body.length, frameTypeOf(message), channel)
  frame.set(body, FRAME_HEADER_BYTES)
  return frame
}

function encodeBody(message: Exclude<SwarmMessage, { type: 'data' }>): Uint8Array {
  const out = new Writer(64)
  switch (message.type) {
    case 'open':
      out.bytes(message.swarmId)
      break
    case 'close':
      out.text(message.reason)
      break
    case 'have':
    case 'lost':
    case 'request':
    case 'cancel':
    case 'withheld':
      writeRanges(out, message.ranges)
      break
    case 'subscribe':
      out.varint(message.runChunks)
      out.u8(message.stripes)
      out.u32(message.mask >>> 0)
      out.varint(message.manifestFrom + 1)
      break
    case 'clear':
      out.varint(message.to)
      break
    case 'manifest':
      out.u8(PART_KINDS.indexOf(message.part.kind))
      out.varint(message.part.index)
      out.bytes(message.part.bytes)
      break
    case 'announce':
      out.text(message.address)
      out.text(message.zone)
      out.varint(message.haveBytes)
      out.u8(message.isComplete ? 1 : 0)
      writeList(out, message.lateStripes, (stripe) => out.u8(stripe))
      writeList(out, message.slowPeers, (id) => out.text(id))
      writeList(out, message.lostPeers, (id) => out.text(id))
      break
    case 'plan':
      out.varint(message.runChunks)
      out.u8(message.stripes)
      for (const parent of message.parents) out.varint(parent + 1)
      writeList(out, message.peers, (peer) => {
        out.text(peer.id)
        out.text(peer.address)
        out.u8(peer.isOrigin ? 1 : 0)
      })
      break
    case 'peers':
      writeList(out, message.peers, (peer) => {
        out.text(peer.id)
        out.text(peer.address)
      })
      break
    case 'invite':
      out.bytes(message.invitation)
      break
  }
  return out.finish()
}

/**
 * Decodes a frame's body.
 *
 * The payload of `data` and the bytes of `manifest` are views into `body`. Never throws; what breaks the grammar or a limit is
 * a WireError with disposition `disconnect`.
 */
export function decodeBody(frameType: number, body: Uint8Array): SwarmMessage | WireError {
  const input = new Reader(body)
  const message = readBody(frameType, input)
  if (isWireError(message)) return message
  if (input.failed) return wireError('disconnect', 'a frame that ends before its fields do, or has one that is longer than it may be')
  if (!input.done()) return wireError('disconnect', 'a frame with bytes left over')
  return message
}

function readBody(frameType: number, input: Reader): SwarmMessage | WireError {
  switch (frameType) {
    case FRAME_TYPES.open:
      return { type: 'open', swarmId: copyBytes(input.bytes(32)) }
    case FRAME_TYPES.close:
      return { type: 'close', reason: input.text(MAX_REASON_BYTES) }
    case FRAME_TYPES.have:
      return withRanges('have', input)
    case FRAME_TYPES.lost:
      return withRanges('lost', input)
    case FRAME_TYPES.request:
      return withRanges('request', input)
    case FRAME_TYPES.cancel:
      return withRanges('cancel', input)
    case FRAME_TYPES.withheld:
      return withRanges('withheld', input)
    case FRAME_TYPES.subscribe: {
      const runChunks = input.varint()
      const stripes = input.u8()
      const mask = input.u32()
      const manifestFrom = input.varint() - 1
      if (!isGeometry(runChunks, stripes)) return wireError('disconnect', 'a subscription with an impossible geometry')
      return { type: 'subscribe', runChunks, stripes, mask, manifestFrom }
    }
    case FRAME_TYPES.clear:
      return { type: 'clear', to: input.varint() }
    case FRAME_TYPES.manifest: {
      const kind = PART_KINDS[input.u8()]
      const index = input.varint()
      if (kind === undefined) return wireError('disconnect', 'a manifest part of an unknown kind')
      return { type: 'manifest', part: { kind, index, bytes: input.bytes(input.remaining) } }
    }
    case FRAME_TYPES.announce: {
      const address = input.text(MAX_ID_BYTES)
      const zone = input.text(MAX_ID_BYTES)
      const haveBytes = input.varint()
      const isComplete = readFlag(input)
      const lateStripes = readList(input, MAX_STRIPES, () => input.u8())
      const slowPeers = readList(input, MAX_PEERS, () => input.text(MAX_ID_BYTES))
      const lostPeers = readList(input, MAX_PEERS, () => input.text(MAX_ID_BYTES))
      return { type: 'announce', address, zone, haveBytes, isComplete, lateStripes, slowPeers, lostPeers }
    }
    case FRAME_TYPES.plan:
      return readPlan(input)
    case FRAME_TYPES.peers:
      return {
        type: 'peers',
        peers: readList(input, MAX_NAMED_PEERS, () => ({ id: input.text(MAX_ID_BYTES), address: input.text(MAX_ID_BYTES) })),
      }
    case FRAME_TYPES.invite: {
      if (input.remaining > MAX_INVITATION_BYTES) return wireError('disconnect', 'an invitation that is longer than it may be')
      return { type: 'invite', invitation: copyBytes(input.bytes(input.remaining)) }
    }
    case FRAME_TYPES.data: {
      const firstChunk = input.u32()
      const count = input.u32()
      const payload = input.bytes(input.remaining)
      if (count === 0) return wireError('disconnect', 'a data frame of no chunk')
      return { type: 'data', firstChunk, count, payload }
    }
    default:
      return wireError('disconnect', `a frame of unknown type ${frameType}`)
  }
}

function readPlan(input: Reader): PlanMessage | WireError {
  const runChunks = input.varint()
  const stripes = input.u8()
  if (!isGeometry(runChunks, stripes)) return wireError('disconnect', 'a plan with an impossible geometry')
  const parents: number[] = []
  for (let stripe = 0; stripe < stripes; stripe++) parents.push(input.varint() - 1)
  const peers = readList(input, MAX_PEERS, () => ({
    id: input.text(MAX_ID_BYTES),
    address: input.text(MAX_ID_BYTES),
    isOrigin: readFlag(input),
  }))
  if (parents.some((parent) => parent >= peers.length)) return wireError('disconnect', 'a plan that names a parent it does not list')
  return { type: 'plan', runChunks, stripes, parents, peers }
}

function isGeometry(runChunks: number, stripes: number): boolean {
  return runChunks >= 1 && runChunks <= 65536 && stripes >= 1 && stripes <= MAX_STRIPES
}

type RangesType = 'have' | 'lost' | 'request' | 'cancel' | 'withheld'

function withRanges(type: RangesType, input: Reader): SwarmMessage | WireError {
  const ranges = readRanges(input)
  return isWireError(ranges) ? ranges : { type, ranges }
}

function writeList<T>(out: Writer, list: readonly T[], write: (item: T) => void): void {
  out.varint(list.length)
  for (const item of list) write(item)
}

/** 0 or 1, so that each value has one encoding. */
function readFlag(input: Reader): boolean {
  const value = input.u8()
  if (value > 1) input.fail()
  return value === 1
}

function readList<T>(input: Reader, most: number, read: () => T): T[] {
  const count = input.varint()
  const list: T[] = []
  if (count > most) {
    input.fail()
    return list
  }
  for (let i = 0; i < count && !input.failed; i++) list.push(read())
  return list
}
