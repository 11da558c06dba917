/**
 * TCP streams of memberlist: one message for each direction of a connection, with the layers around it (docs/specs/04-gossip.md §6). Not
 * who connects to whom, nor for how long one waits.
 *
 *   stream     = label header?, ( frame | inner )       the label from who opened the connection only
 *   frame      = 0a, u32 length, sealed                 sealed: `keyring.ts`, around an inner; it authenticates the 5 bytes and the label
 *   inner      = 09, {Algo, Buf} around a message | message
 *   message    = push/pull | user | ping | ack | error
 *   push/pull  = 06, {Join, Nodes, UserStateLen}, Nodes times a member, UserStateLen bytes
 *   user       = 08, {UserMsgLen}, UserMsgLen bytes
 *
 * Only a frame says beforehand how long it is. A plain push/pull ends where its fields say, so the decoder keeps what came and goes on
 * after the last member that was whole.
 */
import { concatBytes } from '../lib/bytes.ts'
import { Reader } from '../wire/reader.ts'
import { isWireError, wireError, type WireError } from '../wire/wire-error.ts'
import { Writer } from '../wire/writer.ts'
import { compress, decompress } from './compression.ts'
import type { Framing } from './framing.ts'
import { decrypt, encrypt, sealedBytes } from './keyring.ts'
import { addLabel, removeLabel } from './label.ts'
import {
  encodeStreamMessage,
  readAck,
  readMember,
  readPing,
  readPushPullHeader,
  readStreamError,
  readUserHeader,
  type PushPullHeader,
} from './memberlist-codec.ts'
import { MESSAGE_TYPES } from './message-types.ts'
import type { MemberRecord, StreamMessage } from './messages.ts'
import { MsgpackReader } from './msgpack.ts'

/** What nobody may make a member keep. */
export interface StreamLimits {
  /** Members of a push/pull. */
  readonly maxMembers: number
  /** The layer above's part of a push/pull, and its message. */
  readonly maxUserBytes: number
  /** An encrypted frame. */
  readonly maxFrameBytes: number
  /** A message without its layers, and so everything that is kept of a stream. */
  readonly maxMessageBytes: number
}

/** As memberlist has them, but for the members: that many fill a frame. */
export const DEFAULT_STREAM_LIMITS: StreamLimits = {
  maxMembers: 131_072,
  maxUserBytes: 20 * 1024 * 1024,
  maxFrameBytes: 20 * 1024 * 1024,
  maxMessageBytes: 40 * 1024 * 1024,
}

const FRAME_HEADER_BYTES = 5
/** Everything that is read in one go: a header, a member, a short message. */
const MAX_ITEM_BYTES = 8192

/** What one direction of a connection carries. `isOpener` says that the sender opened it. */
export function composeStream(message: StreamMessage, { label, isCompressing, encryption }: Framing, isOpener: boolean): Uint8Array {
  const plain = encodeStreamMessage(message)
  let stream = isCompressing ? compress(plain) : plain
  if (encryption?.isSending) {
    const header = new Writer(FRAME_HEADER_BYTES)
    header.u8(MESSAGE_TYPES.encrypted)
    header.u32(sealedBytes(stream.length, encryption.version))
    const head = header.finish()
    stream = concatBytes([head, encrypt(stream, concatBytes([head, label]), encryption)])
  }
  return isOpener ? addLabel(stream, label) : stream
}

/** Takes one direction of a connection, in whatever pieces it comes, and gives its message. */
export class StreamDecoder {
  readonly #framing: Framing
  readonly #limits: StreamLimits
  #buffer: Uint8Array = new Uint8Array(0)
  #length = 0
  #isLabelDue: boolean
  /** Where the label ended. */
  #start = 0
  #body: BodyReader | undefined
  #result: StreamMessage | WireError | undefined

  /** `isFromOpener` says that the other side opened the connection. */
  constructor(framing: Framing, isFromOpener: boolean, limits: StreamLimits = DEFAULT_STREAM_LIMITS) {
    this.#framing = framing
    this.#limits = limits
    this.#isLabelDue = isFromOpener
  }

  /** The message, an error, or undefined while more bytes are needed. What comes after either is not looked at. */
  push(bytes: Uint8Array): StreamMessage | WireError | undefined {
    if (this.#result !== undefined) return this.#result
    if (this.#length + bytes.length > this.#limits.maxMessageBytes) {
      this.#result = wireError('disconnect', `a stream of more than ${this.#limits.maxMessageBytes} bytes`)
    } else {
      this.#append(bytes)
      const result = this.#decode()
      this.#result = isWireError(result) ? wireError('disconnect', result.message) : result
    }
    if (this.#result !== undefined) this.#buffer = new Uint8Array(0)
    return this.#result
  }

  #append(bytes: Uint8Array): void {
    const needed = this.#length + bytes.length
    if (needed > this.#buffer.length) {
      const grown = new Uint8Array(Math.min(this.#limits.maxMessageBytes, Math.max(needed, 2 * this.#buffer.length)))
      grown.set(this.#buffer.subarray(0, this.#length))
      this.#buffer = grown
    }
    this.#buffer.set(bytes, this.#length)
    this.#length = needed
  }

  #decode(): StreamMessage | WireError | undefined {
    const buffer = this.#buffer.subarray(0, this.#length)
    if (this.#isLabelDue) {
      const rest = removeLabel(buffer, this.#framing.label)
      if (rest === undefined || isWireError(rest)) return rest
      this.#isLabelDue = false
      this.#start = buffer.length - rest.length
    }
    const stream = buffer.subarray(this.#start)
    if (stream.length === 0) return undefined
    if (stream[0] === MESSAGE_TYPES.encrypted) return this.#frame(stream)
    if (this.#framing.encryption?.isRequired) return wireError('ignore', 'Encryption is configured but remote state is not encrypted')
    return this.#inner(stream, false)
  }

  #frame(stream: Uint8Array): StreamMessage | WireError | undefined {
    const { encryption, label } = this.#framing
    if (encryption === undefined) return wireError('ignore', 'Remote state is encrypted and encryption is not configured')
    if (stream.length < FRAME_HEADER_BYTES) return undefined
    const reader = new Reader(stream.subarray(1))
    const length = reader.u32()
    if (length > this.#limits.maxFrameBytes) return wireError('ignore', `a frame of ${length} bytes`)
    if (reader.remaining < length) return undefined
    const plain = decrypt(reader.bytes(length), concatBytes([stream.subarray(0, FRAME_HEADER_BYTES), label]), encryption)
    if (plain === undefined) return wireError('ignore', 'a frame that no key of the ring decrypts')
    return this.#inner(plain, true)
  }

  /** `isWhole` says that nothing follows. */
  #inner(bytes: Uint8Array, isWhole: boolean): StreamMessage | WireError | undefined {
    if (bytes[0] !== MESSAGE_TYPES.compressed) return this.#message(bytes, isWhole)
    const reader = new MsgpackReader(bytes, 1)
    const plain = decompress(reader, this.#limits.maxMessageBytes)
    if (reader.isCutOff && !isWhole) return undefined
    return isWireError(plain) ? plain : this.#message(plain, true)
  }

  #message(bytes: Uint8Array, isWhole: boolean): StreamMessage | WireError | undefined {
    this.#body ??= new BodyReader(this.#limits)
    const message = this.#body.read(bytes)
    if (message === undefined && isWhole) return wireError('ignore', 'a message that is cut off')
    return message
  }
}

/** Reads a message without layers from bytes that become more. */
class BodyReader {
  readonly #limits: StreamLimits
  readonly #members: MemberRecord[] = []
  #header: PushPullHeader | undefined
  #userBytes: number | undefined
  /** Offset of the next thing to read. */
  #at = 1

  constructor(limits: StreamLimits) {
    this.#limits = limits
  }

  /** Undefined while more is needed; `bytes` begins with what it began with the last time. */
  read(bytes: Uint8Array): StreamMessage | WireError | undefined {
    switch (bytes[0]) {
      case undefined:
        return undefined
      case MESSAGE_TYPES.ping:
        return this.#item(bytes, readPing)
      case MESSAGE_TYPES.ack:
        return this.#item(bytes, readAck)
      case MESSAGE_TYPES.error:
        return this.#item(bytes, readStreamError)
      case MESSAGE_TYPES.user:
        return this.#user(bytes)
      case MESSAGE_TYPES.pushPull:
        return this.#pushPull(bytes)
      default:
        return wireError('ignore', `a message of type ${bytes[0]}, which no stream has`)
    }
  }

  #user(bytes: Uint8Array): StreamMessage | WireError | undefined {
    if (this.#userBytes === undefined) {
      const count = this.#item(bytes, readUserHeader)
      if (typeof count !== 'number') return count
      if (count > this.#limits.maxUserBytes) return wireError('ignore', `a message of ${count} bytes`)
      this.#userBytes = count
    }
    const end = this.#at + this.#userBytes
    return bytes.length < end ? undefined : { type: 'user', bytes: bytes.subarray(this.#at, end) }
  }

  #pushPull(bytes: Uint8Array): StreamMessage | WireError | undefined {
    if (this.#header === undefined) {
      const header = this.#item(bytes, readPushPullHeader)
      if (header === undefined || isWireError(header)) return header
      const { memberCount, userStateBytes } = header
      if (memberCount > this.#limits.maxMembers) return wireError('ignore', `a push/pull of ${memberCount} members`)
      if (userStateBytes > this.#limits.maxUserBytes) return wireError('ignore', `a push/pull with ${userStateBytes} bytes of user state`)
      this.#header = header
    }
    const { isJoin, memberCount, userStateBytes } = this.#header
    while (this.#members.length < memberCount) {
      const member = this.#item(bytes, readMember)
      if (member === undefined || isWireError(member)) return member
      this.#members.push(member)
    }
    const end = this.#at + userStateBytes
    if (bytes.length < end) return undefined
    return { type: 'push-pull', isJoin, members: this.#members, userState: bytes.subarray(this.#at, end) }
  }

  /** Reads one thing, and moves on if it is whole. It may begin again as often as bytes come, so it must not be long. */
  #item<T>(bytes: Uint8Array, read: (reader: MsgpackReader) => T): T | WireError | undefined {
    const reader = new MsgpackReader(bytes.subarray(0, this.#at + MAX_ITEM_BYTES), this.#at)
    const item = read(reader)
    if (!reader.failed) {
      this.#at = reader.at
      return item
    }
    if (reader.isCutOff && bytes.length < this.#at + MAX_ITEM_BYTES) return undefined
    return wireError('ignore', 'a message whose fields are wrong or too long')
  }
}
