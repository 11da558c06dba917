/**
 * One client of Serf's RPC: cuts what it sends into requests, carries them out one after the other, and sends the responses.
 *
 * While a request is carried out nothing more is read, so a client's requests wait in its own socket. A client that does not read what
 * it is sent is closed once too much waits for it.
 */
import type { Socket } from 'node:net'
import { MsgpackSplitter } from '../../core/gossip/msgpack-splitter.ts'
import { isWireError } from '../../core/wire/wire-error.ts'
import { COMMANDS, type Command } from './commands.ts'
import { MAX_REQUEST_BYTES, REQUEST_HEADER } from './messages.ts'
import type { RpcParts } from './parts.ts'
import { decodeValue, encodeResponse, ERROR_TEXTS } from './protocol.ts'
import { Session } from './session.ts'

/** What may wait for a client to read it before a further message; with more, it is closed. */
export const MAX_QUEUED_BYTES: number = 8 * 1024 * 1024
/** For the handshake, and for the authentication where there is one. */
const GREETING_TIMEOUT_MS = 10_000
/** Silence after which the kernel looks whether the client is still there. */
const KEEP_ALIVE_MS = 60_000
/** For a client to read what it was sent before its connection ends. */
const CLOSE_GRACE_MS = 1000

interface Pending {
  readonly command: Command
  readonly seq: number
  /** The body belongs to a request that was refused already. */
  readonly isRefused: boolean
}

export class Connection {
  readonly #socket: Socket
  readonly #parts: RpcParts
  readonly #session: Session
  readonly #splitter: MsgpackSplitter = new MsgpackSplitter(MAX_REQUEST_BYTES)
  /** The request whose body comes next. */
  #pending: Pending | undefined
  #isBusy = false
  #isClosed = false
  #greeting: NodeJS.Timeout | undefined

  constructor(socket: Socket, parts: RpcParts, onClose: () => void) {
    this.#socket = socket
    this.#parts = parts
    this.#session = new Session(parts, (bytes) => this.#write(bytes))
    this.#greeting = setTimeout(() => {
      parts.counters.late++
      this.close()
    }, GREETING_TIMEOUT_MS)
    socket.setNoDelay(true)
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    socket.on('data', (bytes: Buffer) => {
      if (this.#isClosed) return
      this.#splitter.push(bytes)
      void this.#work()
    })
    // It comes when all requests before it are answered, for nothing is read while one is carried out.
    socket.on('end', () => this.#finish())
    socket.on('error', (error) => parts.log.debug({ reason: error.message }, 'a connection of the Serf RPC broke'))
    socket.on('close', () => {
      this.close()
      onClose()
    })
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#greeting)
    this.#session.close()
    this.#socket.destroy()
  }

  async #work(): Promise<void> {
    if (this.#isBusy) return
    this.#isBusy = true
    this.#socket.pause()
    while (!this.#isClosed) {
      const value = this.#splitter.next()
      if (value === undefined) break
      if (isWireError(value)) this.#malformed(value.message)
      else await this.#take(value)
    }
    this.#isBusy = false
    this.#socket.resume()
  }

  async #take(value: Uint8Array): Promise<void> {
    const pending = this.#pending
    this.#pending = undefined
    if (pending !== undefined) {
      if (!pending.isRefused) await this.#carryOut(pending, value)
      return
    }
    const header = decodeValue(REQUEST_HEADER, value)
    if (isWireError(header)) {
      this.#malformed(header.message)
      return
    }
    const { Command: name, Seq: seq } = header
    if (this.#session.version === 0 && name !== 'handshake') {
      this.#end(seq, ERROR_TEXTS.handshakeRequired)
      return
    }
    const command = COMMANDS.get(name)
    // Whether it has a body is not known, so nothing that follows could be understood.
    if (command === undefined) {
      this.#end(seq, ERROR_TEXTS.unsupportedCommand)
      return
    }
    const isRefused = !this.#session.isAuthenticated && name !== 'auth' && name !== 'handshake'
    if (isRefused) this.#write(encodeResponse(seq, ERROR_TEXTS.authRequired, undefined))
    if (command.hasBody) this.#pending = { command, seq, isRefused }
    else if (!isRefused) await this.#carryOut({ command, seq, isRefused }, value)
  }

  async #carryOut({ command, seq }: Pending, body: Uint8Array): Promise<void> {
    const called = command.call(this.#session, seq, body)
    if (isWireError(called)) {
      this.#malformed(called.message)
      return
    }
    const { bytes, begin } = await called
    this.#parts.counters.requests++
    if (this.#session.version !== 0 && this.#session.isAuthenticated) clearTimeout(this.#greeting)
    this.#write(bytes)
    begin?.()
  }

  #write(bytes: Uint8Array): void {
    if (this.#isClosed) return
    if (this.#socket.writableLength > MAX_QUEUED_BYTES) {
      // Closed before it is logged: this client may be one that listens to the log.
      this.close()
      this.#parts.counters.closedForQueue++
      this.#parts.log.warn({ queuedBytes: MAX_QUEUED_BYTES }, 'a client of the Serf RPC does not read what it asked for; it is closed')
      return
    }
    this.#socket.write(bytes)
  }

  /** Sends an error and closes when the client has it. */
  #end(seq: number, error: string): void {
    this.#write(encodeResponse(seq, error, undefined))
    this.#finish()
  }

  /** Closes when the client has what it was sent, or does not take it. */
  #finish(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#session.close()
    clearTimeout(this.#greeting)
    this.#greeting = setTimeout(() => this.#socket.destroy(), CLOSE_GRACE_MS)
    this.#socket.end()
  }

  #malformed(reason: string): void {
    this.#parts.counters.malformed++
    this.#parts.log.debug({ reason }, 'a client of the Serf RPC sent what is no request; it is closed')
    this.close()
  }
}
