/**
 * A member that is not an agent but a test with two sockets: it says by the codec of `core/gossip` what no agent would, and looks at what
 * comes back.
 */
import assert from 'node:assert/strict'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import {
  composePacket,
  composeStream,
  encodePacketMessage,
  encodeSerfMessage,
  encodeTags,
  isWireError,
  peelPacket,
  StreamDecoder,
  type Endpoint,
  type Framing,
  type MemberRecord,
  type PacketMessage,
  type ProtocolVersions,
  type StreamMessage,
} from '#src/core/gossip/index.js'
import { nextAddress, until } from './cluster.ts'

export const PLAIN: Framing = { label: new Uint8Array(0), isCompressing: false, encryption: undefined }
const VERSIONS: ProtocolVersions = [1, 5, 2, 2, 5, 5]
const STREAM_LIMIT_MS = 10_000

export class RawPeer {
  readonly name: string
  readonly address: string
  readonly port: number
  readonly received: PacketMessage[] = []
  /** Whether it answers pings as an agent would. */
  isAnswering = true
  readonly #socket: Socket
  #sequence = 1

  private constructor(name: string, address: string, socket: Socket) {
    this.name = name
    this.address = address
    this.#socket = socket
    this.port = socket.address().port
    socket.on('message', (bytes, from) => {
      const content = peelPacket(bytes, PLAIN)
      if (isWireError(content)) return
      this.received.push(...content.messages)
      for (const message of content.messages) {
        if (message.type !== 'ping' || !this.isAnswering) continue
        this.send(`${from.address}:${from.port}`, { type: 'ack', sequence: message.sequence, payload: undefined })
      }
    })
  }

  static async open(t: TestContext, name: string): Promise<RawPeer> {
    const socket = createSocket('udp4')
    const address = nextAddress()
    socket.bind(0, address)
    await once(socket, 'listening')
    t.after(() => socket.close())
    return new RawPeer(name, address, socket)
  }

  get endpoint(): Endpoint {
    return { address: Uint8Array.from(this.address.split('.'), Number), port: this.port }
  }

  get record(): MemberRecord {
    return recordOf(this.name, this.endpoint)
  }

  send(to: string, ...messages: readonly PacketMessage[]): void {
    this.sendBytes(
      to,
      composePacket(
        messages.map((message) => encodePacketMessage(message)),
        PLAIN,
        false,
      ),
    )
  }

  sendBytes(to: string, bytes: Uint8Array): void {
    const [host = '', port = ''] = to.split(':')
    this.#socket.send(bytes, Number(port), host)
  }

  /** A ping of its own; resolves when the answer is here. */
  async ping(to: string, node: string): Promise<void> {
    const sequence = this.#sequence++
    this.send(to, { type: 'ping', sequence, node })
    await until(`${node} answers a ping`, () => this.answered('ack', sequence))
  }

  answered(type: 'ack' | 'nack', sequence: number): boolean {
    return this.received.some((message) => message.type === type && message.sequence === sequence)
  }

  nextSequence(): number {
    return this.#sequence++
  }

  /** Exchanges everything with an agent: it tells of these members, and learns of those of the answer. */
  async exchange(to: string, members: readonly MemberRecord[], framing: Framing = PLAIN): Promise<StreamMessage> {
    const message: StreamMessage = { type: 'push-pull', isJoin: true, members, userState: emptyState() }
    const answer = await stream(to, composeStream(message, framing, true), framing)
    assert.ok(answer !== undefined, `${to} answers`)
    return answer
  }
}

/** Writes bytes to a port; gives the message that comes back, or undefined where the connection ends without one. */
export async function stream(
  to: string,
  bytes: Uint8Array,
  framing: Framing = PLAIN,
  /** Says that nothing follows. */
  isEnding: boolean = false,
): Promise<StreamMessage | undefined> {
  const [host = '', port = ''] = to.split(':')
  const socket = connect({ host, port: Number(port) })
  const decoder = new StreamDecoder(framing, false)
  let answer: StreamMessage | undefined
  socket.setTimeout(STREAM_LIMIT_MS, () => socket.destroy())
  socket.on('error', () => undefined)
  socket.on('data', (piece) => {
    const result = decoder.push(piece)
    if (result === undefined) return
    if (!isWireError(result)) answer = result
    socket.destroy()
  })
  socket.write(bytes)
  if (isEnding) socket.end()
  await once(socket, 'close')
  return answer
}

/** A member that is alive, as a push/pull tells it. */
export function recordOf(node: string, { address, port }: Endpoint, tags: Record<string, string> = {}): MemberRecord {
  return { node, address, port, meta: encodeTags(new Map(Object.entries(tags))), incarnation: 1, state: 'alive', versions: VERSIONS }
}

function emptyState(): Uint8Array {
  return encodeSerfMessage({
    type: 'push-pull',
    time: 1,
    statusTimes: new Map(),
    leftMembers: [],
    eventTime: 1,
    events: [],
    queryTime: 1,
  })
}
