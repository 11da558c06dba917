/** A client of Serf's RPC for tests: sends requests as maps and gives what comes back as plain values, in the order in which it comes. */
import { connect, type Socket } from 'node:net'
import { MsgpackSplitter } from '../../../core/gossip/msgpack-splitter.ts'
import { MsgpackWriter } from '../../../core/gossip/msgpack.ts'
import { isWireError } from '../../../core/wire/wire-error.ts'

/** What tests send and get. Bytes and texts are one in this dialect: both come back as text. */
export type Value = null | boolean | number | string | Uint8Array | readonly Value[] | { readonly [key: string]: Value }

export class RpcClient {
  readonly socket: Socket
  readonly #splitter: MsgpackSplitter = new MsgpackSplitter(64 * 1024 * 1024)
  readonly #values: Value[] = []
  #wake: (() => void) | undefined
  #isClosed = false
  #seq = 0

  /** Connects; `greet` says whether it begins with the handshake. */
  static async open(port: number, greet: boolean = true, host: string = '127.0.0.1'): Promise<RpcClient> {
    const client = new RpcClient(connect(port, host))
    if (greet) await client.ask('handshake', { Version: 1 })
    return client
  }

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (bytes: Buffer) => {
      this.#splitter.push(bytes)
      for (let value = this.#splitter.next(); value !== undefined && !isWireError(value); value = this.#splitter.next()) {
        this.#values.push(new Plain(value).read())
      }
      this.#wake?.()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.#isClosed = true
      this.#wake?.()
    })
  }

  /** Sends a request and gives its number. */
  send(command: string, body?: Value, seq: number = ++this.#seq): number {
    this.write({ Command: command, Seq: seq }, ...(body === undefined ? [] : [body]))
    return seq
  }

  write(...values: readonly Value[]): void {
    const writer = new MsgpackWriter()
    for (const value of values) put(writer, value)
    this.socket.write(writer.finish())
  }

  /** The next value that comes; 'closed' where the connection ends before. */
  async next(): Promise<Value> {
    while (this.#values.length === 0 && !this.#isClosed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.#values.shift() ?? 'closed'
  }

  /** Sends a request and gives the error of its response. */
  async ask(command: string, body?: Value): Promise<Value> {
    const seq = this.send(command, body)
    return errorOf(await this.next(), seq)
  }

  /** As `ask`, with the body of the response. */
  async fetch(command: string, body?: Value): Promise<{ error: Value; reply: Value }> {
    const error = await this.ask(command, body)
    return { error, reply: await this.next() }
  }

  /** The next record of a stream. */
  async record(seq: number): Promise<Value> {
    errorOf(await this.next(), seq)
    return await this.next()
  }

  close(): void {
    this.socket.destroy()
  }
}

function errorOf(header: Value, seq: number): Value {
  const { Seq, Error: error } = header as { readonly [key: string]: Value }
  if (Seq !== seq) throw new Error(`expected a response to ${seq}, got ${JSON.stringify(header)}`)
  return error as Value
}

function put(writer: MsgpackWriter, value: Value): void {
  if (value === null) writer.nil()
  else if (typeof value === 'boolean') writer.boolean(value)
  else if (typeof value === 'number') writer.integer(value)
  else if (typeof value === 'string') writer.text(value)
  else if (value instanceof Uint8Array) writer.raw(value)
  else if (Array.isArray(value)) {
    writer.array(value.length)
    for (const one of value as readonly Value[]) put(writer, one)
  } else {
    const entries = Object.entries(value as { readonly [key: string]: Value })
    writer.map(entries.length)
    for (const [key, one] of entries) {
      writer.text(key)
      put(writer, one)
    }
  }
}

/** Reads whole values, in the forms that this server and Serf's own agent use. */
class Plain {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes)
  }

  read(): Value {
    const tag = this.#uint(1)
    if (tag <= 0x7f) return tag
    if (tag <= 0x8f) return this.#map(tag & 15)
    if (tag <= 0x9f) return this.#array(tag & 15)
    if (tag <= 0xbf) return this.#text(tag & 31)
    switch (tag) {
      case 0xc0:
        return null
      case 0xc2:
        return false
      case 0xc3:
        return true
      case 0xc4:
      case 0xd9:
        return this.#text(this.#uint(1))
      case 0xc5:
        return this.#text(this.#uint(2))
      case 0xcb:
        this.#at += 8
        return this.#bytes.readDoubleBE(this.#at - 8)
      case 0xcc:
        return this.#uint(1)
      case 0xcd:
        return this.#uint(2)
      case 0xce:
        return this.#uint(4)
      case 0xcf:
        return this.#uint(4) * 2 ** 32 + this.#uint(4)
      case 0xda:
        return this.#text(this.#uint(2))
      case 0xdb:
        return this.#text(this.#uint(4))
      case 0xdc:
        return this.#array(this.#uint(2))
      case 0xde:
        return this.#map(this.#uint(2))
      default:
        throw new Error(`a value of type ${tag.toString(16)}`)
    }
  }

  #uint(bytes: number): number {
    this.#at += bytes
    return this.#bytes.readUIntBE(this.#at - bytes, bytes)
  }

  #text(length: number): string {
    this.#at += length
    return this.#bytes.toString('latin1', this.#at - length, this.#at)
  }

  #array(count: number): Value[] {
    return Array.from({ length: count }, () => this.read())
  }

  #map(count: number): Value {
    return Object.fromEntries(Array.from({ length: count }, () => [this.read() as string, this.read()]))
  }
}
