/**
 * One connection with another member: lines in, lines out, all of it bounded.
 *
 * Not here: what the messages mean (`member-list.ts`). A link that sends what can't be a message, too long lines, or more than its
 * budget is closed with a reason; one that doesn't read what it is sent is closed, too: it gets everything anew when it is back.
 */

import { errnoOf, explainErrno } from '../errors.ts'
import type { Socket } from 'node:net'
import { MAX_LINE_CHARACTERS, MAX_RECORDS, membersLine, parseMessage } from './messages.ts'
import type { ByeReason, MemberRecord, Message } from './messages.ts'

/** Bounds of one link. */
export interface LinkLimits {
  /** Bytes that may wait to be sent. */
  readonly maxQueuedBytes: number
  /** What a link may send at once, in lines; every 256 characters of a line count as one more. */
  readonly burst: number
  /** By how much that is filled up again with each heartbeat. */
  readonly refill: number
}

/** What a link tells its owner. */
export interface LinkEvents {
  onMessage(link: Link, message: Message): void
  /** Once, however it ended; `reason` is for the log. */
  onClosed(link: Link, reason: string): void
  /** True for a record that would change nothing. */
  isKnown(record: Readonly<Record<string, unknown>>): boolean
  /** It broke a limit or a rule. */
  onRefused(reason: 'protocol' | 'flood' | 'slow'): void
}

/** One connection, dialed (`out`) or accepted (`in`). */
export class Link {
  readonly direction: 'in' | 'out'
  /** Address and port of the other end, for the log. */
  readonly remote: string
  lastHeardAt: number
  /** The other side's record, once both greeted each other. */
  member: MemberRecord | undefined
  /** The first line came. */
  isGreeted = false
  /** What the other side said last. */
  farewell: Extract<Message, { type: 'bye' }> | undefined
  readonly #socket: Socket
  readonly #events: LinkEvents
  readonly #limits: LinkLimits
  readonly #now: () => number
  readonly #queue = new Map<string, MemberRecord>()
  #isFlushing = false
  #isClosing = false
  #pending = ''
  #budget: number
  #reason = 'the other side closed the connection'

  constructor(socket: Socket, direction: 'in' | 'out', remote: string, events: LinkEvents, limits: LinkLimits, now: () => number) {
    this.#socket = socket
    this.direction = direction
    this.remote = remote
    this.#events = events
    this.#limits = limits
    this.#now = now
    this.#budget = limits.burst
    this.lastHeardAt = now()
    socket.setEncoding('utf8')
    socket.setNoDelay(true)
    socket.on('data', (text: string) => this.#read(text))
    socket.on('error', (error) => {
      const errno = errnoOf(error)
      this.#reason = errno === undefined ? error.message : explainErrno(errno)
    })
    socket.on('close', () => {
      this.#isClosing = true
      events.onClosed(this, this.#reason)
    })
  }

  get isOpen(): boolean {
    return !this.#isClosing
  }

  send(message: Message): void {
    this.#write(`${JSON.stringify(message)}\n`)
  }

  /** Sends a record soon, together with others of this turn; a newer one of the same member takes its place. */
  queue(record: MemberRecord): void {
    this.#queue.set(record.name, record)
    if (this.#isFlushing) return
    this.#isFlushing = true
    setImmediate(() => {
      this.#isFlushing = false
      this.sendRecords([...this.#queue.values()])
      this.#queue.clear()
    })
  }

  sendRecords(records: readonly MemberRecord[]): void {
    for (let first = 0; first < records.length; first += MAX_RECORDS) this.#write(membersLine(records.slice(first, first + MAX_RECORDS)))
  }

  /** Says why and closes, after what is queued was sent. */
  bye(reason: ByeReason, text: string): void {
    if (this.#isClosing) return
    this.send({ type: 'bye', reason, text })
    this.end(text)
  }

  /** Closes after what is queued was sent. */
  end(reason: string): void {
    if (this.#isClosing) return
    this.#isClosing = true
    this.#reason = reason
    this.#socket.end()
  }

  /** Closes at once. */
  destroy(reason: string): void {
    if (!this.#isClosing) this.#reason = reason
    this.#isClosing = true
    this.#socket.destroy()
  }

  /** With each heartbeat. */
  refill(): void {
    this.#budget = Math.min(this.#limits.burst, this.#budget + this.#limits.refill)
  }

  #write(line: string): void {
    if (this.#isClosing) return
    this.#socket.write(line)
    if (this.#socket.writableLength > this.#limits.maxQueuedBytes) {
      this.#events.onRefused('slow')
      this.destroy('it does not read what it is sent')
    }
  }

  #read(text: string): void {
    if (this.#isClosing) return
    this.lastHeardAt = this.#now()
    const lines = (this.#pending + text).split('\n')
    this.#pending = lines.pop() ?? ''
    for (const line of lines) {
      if (line.length > MAX_LINE_CHARACTERS) return this.#refuse('protocol', 'a line is too long')
      this.#budget -= 1 + Math.floor(line.length / 256)
      if (this.#budget < 0) return this.#refuse('flood', 'more messages than a link may send')
      const message = parseMessage(line, (record) => this.#events.isKnown(record))
      if (typeof message === 'string') return this.#refuse('protocol', message)
      this.#events.onMessage(this, message)
      if (this.#isClosing) return
    }
    if (this.#pending.length > MAX_LINE_CHARACTERS) this.#refuse('protocol', 'a line is too long')
  }

  #refuse(kind: 'protocol' | 'flood', reason: string): void {
    this.#events.onRefused(kind)
    this.bye('protocol', reason)
    this.#pending = ''
    // Whoever sends garbage may not read either: nothing waits for it.
    this.#socket.destroySoon()
  }
}
