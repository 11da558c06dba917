/**
 * All connections of this node's swarm port: dialled when somebody is needed, accepted when somebody comes, one per pair of
 * nodes as far as it can be helped (two that dial each other at the same moment use both).
 *
 * A silent connection is pinged and then given up, so that a host that lost power is noticed without TCP's patience.
 */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { fail, fromErrno } from '../errors.ts'
import { formatAddress, parseAddress } from '../addresses.ts'
import { BusyInterval } from '../busy-interval.ts'
import type { RateLimit } from './rate-limit.ts'
import { Link, type Hello, type LinkOptions, type LinkOwner } from './link.ts'
import { Uplink } from './uplink.ts'

export interface LinksOptions {
  readonly self: () => Hello
  readonly owner: LinkOwner
  readonly minWindowBytes: number
  readonly maxWindowBytes: number
  readonly dialTimeoutMs: number
  readonly downloadLimit: RateLimit
  readonly now: () => number
}

const LOOK_EVERY_MS = 1000
/** After each dial that nobody answered in time the next may take so many times longer, up to so many times the limit: it may be the link that is full. */
const DIAL_PATIENCE = 1.5
const MOST_DIAL_PATIENCE = 3
/** Who was reached after some time is reached again in this many times that, ms. */
const DIAL_TRIPS = 4
const MAX_LINKS = 16_384
const FIRST_READ_BYTES = 4096

export class Links {
  readonly #options: LinksOptions
  readonly #all: Set<Link> = new Set()
  readonly #byName: Map<string, Link> = new Map()
  readonly #byAddress: Map<string, Link> = new Map()
  readonly #dialling: Map<string, Promise<Link>> = new Map()
  readonly #uplink: Uplink<Link>
  #server: Server | undefined
  readonly #look: BusyInterval = new BusyInterval(() => this.#lookAround(), {
    everyMs: LOOK_EVERY_MS,
    isBusy: () => this.#all.size > 0,
  })
  #lookedAt = 0
  /** What a dial may take now, ms. */
  #dialMs: number
  /** Bytes of connections that are gone. */
  #endedSentBytes = 0
  #endedReceivedBytes = 0

  constructor(options: LinksOptions) {
    this.#options = options
    this.#dialMs = options.dialTimeoutMs
    this.#uplink = new Uplink((link) => options.owner.onRoom(link), options.now)
  }

  /** Listens; resolves with the port. Rejects with `address-in-use` or `address-unusable`. */
  listen(host: string, port: number): Promise<number> {
    const server = createServer({ noDelay: true }, (socket) => this.#accept(socket))
    this.#server = server
    return new Promise((resolve, reject) => {
      server.once('error', (error) => reject(fromErrno(error, { doing: 'listen', address: formatAddress(host, port), purpose: 'swarm' })))
      server.listen({ host, port, backlog: 1024 }, () => resolve((server.address() as AddressInfo).port))
    })
  }

  byName(name: string): Link | undefined {
    return this.#byName.get(name)
  }

  get count(): number {
    return this.#all.size
  }

  /** A link to the node at an address: the one that is there, or a new one. Rejects with `member-unreachable`. */
  dial(address: string): Promise<Link> {
    const existing = this.#byAddress.get(address)
    if (existing !== undefined) return Promise.resolve(existing)
    const running = this.#dialling.get(address)
    if (running !== undefined) return running
    const dialling = this.#dial(address).finally(() => this.#dialling.delete(address))
    this.#dialling.set(address, dialling)
    return dialling
  }

  totals(): { sentBytes: number; receivedBytes: number } {
    let sentBytes = this.#endedSentBytes
    let receivedBytes = this.#endedReceivedBytes
    for (const link of this.#all) {
      sentBytes += link.sentBytes
      receivedBytes += link.receivedBytes
    }
    return { sentBytes, receivedBytes }
  }

  close(): void {
    this.#look.stop()
    this.#server?.close()
    for (const link of this.#all) link.close('the agent is shutting down')
  }

  #dial(address: string): Promise<Link> {
    const target = parseAddress(address, 0)
    if (target === undefined) return Promise.reject(fail('member-unreachable', { address, reason: 'that is no address' }))
    return new Promise((resolve, reject) => {
      let link: Link | undefined
      const first = Buffer.alloc(FIRST_READ_BYTES)
      const giveUp = (reason: string): void => {
        clearTimeout(timer)
        socket.destroy()
        reject(fail('member-unreachable', { address, reason }))
      }
      const startedAt = this.#options.now()
      const limitMs = this.#dialMs
      const timer = setTimeout(() => {
        this.#wasDialled(limitMs * DIAL_PATIENCE)
        giveUp(`no answer within ${Math.round(limitMs)} ms`)
      }, limitMs)
      const socket: Socket = connect({
        ...target,
        onread: {
          // Asked for before there is a link: the first bytes go to a buffer of their own, and are copied.
          buffer: () => link?.space() ?? first,
          callback: (count: number, buffer: Uint8Array) => {
            if (link === undefined) return true
            if (buffer === first) this.#copy(link, first.subarray(0, count))
            else this.#read(link, count)
            return true
          },
        },
      })
      socket.once('error', (error) => giveUp(error.message))
      socket.once('connect', () => {
        const { owner } = this.#options
        link = this.#link(socket, {
          onMessage: (...rest) => owner.onMessage(...rest),
          onCall: (...rest) => owner.onCall(...rest),
          onRoom: (which) => owner.onRoom(which),
          onHello: (which) => {
            clearTimeout(timer)
            this.#wasDialled(DIAL_TRIPS * (this.#options.now() - startedAt))
            this.#byAddress.set(address, which)
            this.#greeted(which)
            resolve(which)
          },
          onClose: (which, reason) => {
            clearTimeout(timer)
            if (this.#byAddress.get(address) === which) this.#byAddress.delete(address)
            reject(fail('member-unreachable', { address, reason }))
            this.#gone(which, reason)
          },
        })
      })
    })
  }

  #wasDialled(limitMs: number): void {
    const { dialTimeoutMs } = this.#options
    this.#dialMs = Math.min(MOST_DIAL_PATIENCE * dialTimeoutMs, Math.max(dialTimeoutMs, limitMs))
  }

  #accept(socket: Socket): void {
    if (this.#all.size >= MAX_LINKS) return void socket.destroy()
    const { owner } = this.#options
    const link = this.#link(socket, {
      onMessage: (...rest) => owner.onMessage(...rest),
      onCall: (...rest) => owner.onCall(...rest),
      onRoom: (which) => owner.onRoom(which),
      onHello: (which) => this.#greeted(which),
      onClose: (which, reason) => this.#gone(which, reason),
    })
    // A socket of a server can't be told where to read to: what comes this way (mostly acknowledgements) is copied.
    socket.on('data', (chunk: Buffer) => this.#copy(link, chunk))
  }

  #copy(link: Link, chunk: Buffer): void {
    for (let taken = 0; taken < chunk.length && !link.isClosed;) {
      const count = chunk.copy(link.space(), 0, taken)
      taken += count
      this.#read(link, count)
    }
  }

  #read(link: Link, count: number): void {
    link.read(count)
    const { downloadLimit } = this.#options
    downloadLimit.take(count)
    link.rest(downloadLimit.waitMs())
  }

  #link(socket: Socket, owner: LinkOwner): Link {
    const { self, minWindowBytes, maxWindowBytes, now } = this.#options
    const options: LinkOptions = { self: self(), owner, minWindowBytes, maxWindowBytes, uplink: this.#uplink, now }
    const link = new Link(socket, options)
    this.#all.add(link)
    this.#look.wake()
    return link
  }

  #greeted(link: Link): void {
    const { name, address, instance } = link.remote!
    const known = this.#byName.get(name)
    if (known !== undefined && !Buffer.from(known.remote!.instance).equals(instance)) known.close('the node has started anew')
    if (!this.#byName.has(name)) this.#byName.set(name, link)
    if (!this.#byAddress.has(address)) this.#byAddress.set(address, link)
    this.#options.owner.onHello(link)
  }

  #gone(link: Link, reason: string): void {
    this.#all.delete(link)
    this.#endedSentBytes += link.sentBytes
    this.#endedReceivedBytes += link.receivedBytes
    if (link.remote === undefined) return
    if (this.#byAddress.get(link.remote.address) === link) this.#byAddress.delete(link.remote.address)
    if (this.#byName.get(link.name) === link) {
      this.#byName.delete(link.name)
      for (const other of this.#all) if (other.name === link.name && !other.isClosed) this.#byName.set(link.name, other)
    }
    this.#options.owner.onClose(link, reason)
  }

  #lookAround(): void {
    const now = this.#options.now()
    this.#uplink.release()
    const wasAway = now - this.#lookedAt > 2 * LOOK_EVERY_MS
    this.#lookedAt = now
    // What came while this process had no time is read after this: the silence was its own.
    if (wasAway) return
    for (const link of this.#all) link.checkSilence()
  }
}
