/** Member lists on loopback with one clock that tests move, and raw connections to annoy them. */

import assert from 'node:assert/strict'
import { connect, createServer } from 'node:net'
import { ManualClock } from '../manual-clock.ts'
import { MemberList } from './member-list.ts'
import type { Socket } from 'node:net'
import type { TestContext } from 'node:test'
import type { Member, MemberStatus } from './member.ts'
import type { MemberListOptions } from './member-list-options.ts'
import type { MemberRecord, Message } from './messages.ts'

/** Times of the options that the tests count with. */
export const TIMES = {
  heartbeatIntervalMs: 1000,
  suspectTimeoutMs: 4000,
  deadTimeoutMs: 5000,
  forgetTimeoutMs: 60_000,
  dialTimeoutMs: 5000,
  redialMaxMs: 5000,
} as const

/** Member lists that are closed when the test ends. */
export class Cluster {
  readonly clock: ManualClock = new ManualClock()
  readonly refused: string[] = []
  readonly #lists: MemberList[] = []

  constructor(t: TestContext) {
    t.after(() => Promise.all(this.#lists.map((list) => list.close())))
  }

  async start(name: string, options: Partial<MemberListOptions> = {}): Promise<MemberList> {
    const list = new MemberList({
      name,
      bind: '127.0.0.1',
      gossipPort: 0,
      swarmPort: 7947,
      tags: {},
      ...TIMES,
      clock: this.clock,
      onRefused: (reason) => this.refused.push(reason),
      ...options,
    })
    this.#lists.push(list)
    await list.start()
    return list
  }

  /** Starts a member and joins it to another one. */
  async join(name: string, to: MemberList, options: Partial<MemberListOptions> = {}): Promise<MemberList> {
    const list = await this.start(name, options)
    await list.join([addressOf(to)])
    return list
  }

  /** Moves the clock by steps, and lets messages through in between, until it holds. */
  async pass(until: () => boolean, stepMs: number = TIMES.heartbeatIntervalMs): Promise<void> {
    for (let step = 0; step < 1000 && !until(); step++) {
      this.clock.advance(stepMs)
      for (let turn = 0; turn < 20 && !until(); turn++) await new Promise((resolve) => setImmediate(resolve))
    }
    assert.ok(until(), 'it did not come true')
  }
}

/** The gossip address of a list. */
export function addressOf(list: { readonly self: Member }): string {
  return `${list.self.address}:${list.self.gossipPort}`
}

/** What a list says of a member. */
export function statusOf(list: MemberList, name: string): MemberStatus | undefined {
  return list.members().find((member) => member.name === name)?.status
}

/** Resolves as soon as it holds; looked at whenever one of the lists changes. */
export async function when(lists: readonly MemberList[], holds: () => boolean): Promise<void> {
  if (holds()) return
  await new Promise<void>((resolve) => {
    const ends: (() => void)[] = []
    const look = (): void => {
      if (!holds()) return
      for (const end of ends) end()
      resolve()
    }
    for (const list of lists) ends.push(list.onChange(look))
  })
}

/** Resolves as soon as the list says so of the member. */
export function whenStatus(list: MemberList, name: string, status: MemberStatus | undefined): Promise<void> {
  return when([list], () => statusOf(list, name) === status)
}

/** A record as a raw connection may claim it. */
export function claim(changes: Partial<MemberRecord>): MemberRecord {
  return {
    name: 'raw',
    address: '127.0.0.1',
    gossipPort: 9,
    swarmPort: 9,
    status: 'alive',
    tags: {},
    incarnation: 1,
    instance: '5'.repeat(32),
    startedAt: 1,
    ...changes,
  }
}

/** A server on loopback that does with connections what a test wants; its port. */
export async function listen(t: TestContext, onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    onConnection(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  return address.port
}

/** A connection that says whatever a test wants. */
export class RawLink {
  readonly messages: Message[] = []
  isClosed = false
  readonly #socket: Socket
  #text = ''
  #wake: () => void = () => undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('utf8')
    socket.on('data', (text: string) => {
      const lines = (this.#text + text).split('\n')
      this.#text = lines.pop() ?? ''
      this.messages.push(...lines.map((line) => JSON.parse(line) as Message))
      this.#wake()
    })
    socket.on('error', () => this.#wake())
    socket.on('close', () => {
      this.isClosed = true
      this.#wake()
    })
  }

  static async to(t: TestContext, list: MemberList): Promise<RawLink> {
    const socket = connect({ host: '127.0.0.1', port: list.self.gossipPort })
    t.after(() => socket.destroy())
    await new Promise((resolve) => socket.once('connect', resolve))
    return new RawLink(socket)
  }

  /** Greets as the member that the record claims, and waits until the list knows it. */
  static async greeted(t: TestContext, list: MemberList, record: MemberRecord): Promise<RawLink> {
    const link = await RawLink.to(t, list)
    link.send({ type: 'hello', protocol: 1, member: record })
    await link.until((message) => message.type === 'synced')
    return link
  }

  send(...messages: Message[]): void {
    this.write(messages.map((message) => `${JSON.stringify(message)}\n`).join(''))
  }

  end(): void {
    this.#socket.end()
  }

  write(text: string): void {
    this.#socket.write(text)
  }

  /** The first message that fits, now or later; undefined if the connection closes before. */
  async until(fits: (message: Message) => boolean): Promise<Message | undefined> {
    for (;;) {
      const found = this.messages.find(fits)
      if (found !== undefined || this.isClosed) return found
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Waits for the end; the bye that came before it. */
  async closed(): Promise<Extract<Message, { type: 'bye' }> | undefined> {
    await this.until(() => false)
    return this.messages.find((message) => message.type === 'bye')
  }
}
