/**
 * A cluster for tests, in one process: members that know each other at once, and a data plane that keeps the promises of
 * data-plane.ts without sockets, threads or chunk hashes.
 *
 * Faithful where the delivery service could tell: calls and their errors pass through JSON; a publication may be fetched
 * before its source has ended; a transfer takes from whoever is alive and has bytes of the swarm, reuses pieces of other
 * contents, and stalls when nobody is left; what a node held outlives its crash; a crashed node's promises never settle.
 * Not modelled: time on the wire.
 */
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type {
  Caller,
  ContentInfo,
  DataPlane,
  PublishedContent,
  PublishInput,
  SwarmPeerProgress,
  Ticket,
  Transfer,
  TransferProgress,
} from '../data-plane/data-plane.ts'
import { deserialiseError, fail, fromErrno, serialiseError } from '../errors.ts'
import type { Member } from '../membership/member.ts'
import type { Membership } from '../membership/membership.ts'

/** Pieces in which fake transfers go, and which they reuse. */
export const PIECE_BYTES = 1024

/** A source that a test controls. */
export interface FakeSource {
  bytes: Buffer
  /** How often it was fetched. */
  fetches: number
  /** Headers that it was last asked with. */
  headers: Record<string, string> | undefined
  /** Holds back the end of the fetch until it resolves; a rejection is the source's failure. */
  gate?: Promise<void>
}

interface Content {
  id: string
  aliases: string[]
  name: string
  bytes: Buffer
  have: Set<number>
  isSealed: boolean
  pinned: boolean
}

/** What outlives a crash of its node. */
export interface FakeDisk {
  readonly directory: string
  readonly contents: Map<string, Content>
}

/** The network, the membership and the sources that the nodes share. */
export class FakeCluster {
  readonly nodes: Map<string, FakeNode> = new Map()
  readonly sources: Map<string, FakeSource> = new Map()
  readonly disks: Map<string, FakeDisk> = new Map()
  readonly members: Map<string, Member> = new Map()
  readonly listeners: Set<(member: Member) => void> = new Set()
  /** Every call that reached a node: `from>to method`. */
  readonly calls: string[] = []
  /** Pairs of addresses that can't reach each other, `a b`, both ways. */
  readonly cuts: Set<string> = new Set()
  /** Transfers wait here before each piece: a test may hold them back. */
  pieceGate: ((node: string, piece: number) => Promise<void>) | undefined
  readonly #directory: string
  #nextAddress = 1
  #end: () => void = () => undefined
  readonly #over: Promise<void> = new Promise((resolve) => {
    this.#end = resolve
  })

  /** `directory` is where the nodes keep their files. */
  constructor(directory: string) {
    this.#directory = directory
  }

  source(url: string, bytes: Buffer, gate?: Promise<void>): FakeSource {
    const source: FakeSource = { bytes, fetches: 0, headers: undefined, ...(gate === undefined ? {} : { gate }) }
    this.sources.set(url, source)
    return source
  }

  /** Starts a node, or starts one again that crashed, with what it had; `announce` makes it reachable and tells the others. */
  async start(name: string, tags: Record<string, string> = {}): Promise<FakeNode> {
    const directory = join(this.#directory, name)
    await mkdir(directory, { recursive: true })
    const disk = this.disks.get(name) ?? { directory, contents: new Map<string, Content>() }
    this.disks.set(name, disk)
    const before = this.members.get(name)
    const address = before?.address ?? `127.0.0.${this.#nextAddress++}`
    const member: Member = {
      name,
      address,
      gossipPort: 7946,
      swarmPort: 7947,
      status: 'alive',
      tags,
      incarnation: (before?.incarnation ?? 0) + 1,
      isSeed: tags['role'] === 'seed',
    }
    const node = new FakeNode(this, member, disk)
    this.members.set(name, member)
    return node
  }

  /** Tells all nodes that a started one is there: as a real agent does when it answers calls. */
  announce(node: FakeNode): void {
    this.nodes.set(node.address, node)
    this.change(node.membership.self)
  }

  /** Ends a node as kill -9 does; the membership notices only when `change` says so. */
  crash(node: FakeNode): void {
    node.isAlive = false
    this.nodes.delete(node.address)
    this.listeners.forEach((listener) => {
      if (node.membership.ownListeners.has(listener)) this.listeners.delete(listener)
    })
    node.crash()
  }

  change(member: Member): void {
    this.members.set(member.name, member)
    for (const listener of [...this.listeners]) listener(member)
  }

  /** The promises of crashed nodes fail from now on, so that what a test left behind can be closed. */
  end(): void {
    this.#end()
  }

  /** What a crashed node gets: nothing, until the end of the test. */
  async never(): Promise<never> {
    await this.#over
    throw fail('shutting-down', {})
  }

  setStatus(name: string, status: Member['status']): void {
    const member = this.members.get(name)
    if (member !== undefined) this.change({ ...member, status })
  }

  reaches(a: string, b: string): boolean {
    return !this.cuts.has(`${a} ${b}`) && !this.cuts.has(`${b} ${a}`)
  }
}

/** The membership of one fake node. */
export class FakeMembership implements Membership {
  readonly ownListeners: Set<(member: Member) => void> = new Set()
  readonly #cluster: FakeCluster
  readonly #name: string

  constructor(cluster: FakeCluster, name: string) {
    this.#cluster = cluster
    this.#name = name
  }

  get self(): Member {
    const member = this.#cluster.members.get(this.#name)
    if (member === undefined) throw new Error(`no member ${this.#name}`)
    return member
  }

  members(): Member[] {
    return [...this.#cluster.members.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }

  onChange(listener: (member: Member) => void): () => void {
    this.ownListeners.add(listener)
    this.#cluster.listeners.add(listener)
    return () => this.#cluster.listeners.delete(listener)
  }

  onConflict(): () => void {
    return () => undefined
  }

  join(): Promise<number> {
    return Promise.resolve(this.#cluster.members.size - 1)
  }

  leave(): Promise<void> {
    this.#cluster.setStatus(this.#name, 'left')
    return Promise.resolve()
  }

  start(): Promise<{ gossipPort: number }> {
    return Promise.resolve({ gossipPort: this.self.gossipPort })
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

/** A node: its data plane and its membership. */
export class FakeNode implements DataPlane {
  readonly swarmPort: number
  readonly name: string
  readonly address: string
  readonly membership: FakeMembership
  readonly disk: FakeDisk
  readonly transfers: Set<FakeTransfer> = new Set()
  readonly handlers: Map<string, (params: unknown, from: Caller) => Promise<unknown>> = new Map()
  readonly watchers: Map<string, Set<(progress: { sentBytes: number; peers: SwarmPeerProgress[] }) => void>> = new Map()
  readonly sent: Map<string, number> = new Map()
  readonly peers: Map<string, Map<string, SwarmPeerProgress>> = new Map()
  readonly cluster: FakeCluster
  isAlive = true
  crash: () => void = () => undefined
  readonly crashed: Promise<void> = new Promise((resolve) => {
    this.crash = resolve
  })
  publishes = 0
  outputs = 0

  constructor(cluster: FakeCluster, member: Member, disk: FakeDisk) {
    this.cluster = cluster
    this.name = member.name
    this.swarmPort = member.swarmPort
    this.address = `${member.address}:${member.swarmPort}`
    this.membership = new FakeMembership(cluster, member.name)
    this.disk = disk
  }

  find(id: string): Content | undefined {
    for (const content of this.disk.contents.values()) {
      if (content.id.startsWith(id) || content.aliases.some((alias) => alias.startsWith(id))) return content
    }
    return undefined
  }

  async publish(input: PublishInput, options: { name?: string }): Promise<PublishedContent> {
    this.publishes++
    const source = 'url' in input ? this.cluster.sources.get(input.url) : undefined
    if ('url' in input && source === undefined) throw fail('source-not-found', { url: input.url, status: 404 })
    if (source !== undefined && 'url' in input) {
      source.fetches++
      source.headers = input.headers
    }
    const bytes =
      'path' in input
        ? await readFile(input.path).catch((error: unknown) => {
            throw fromErrno(error, { doing: 'read-path', path: input.path })
          })
        : (source?.bytes ?? Buffer.alloc(0))
    const swarmId = randomBytes(32).toString('hex')
    const name = options.name ?? basename('path' in input ? input.path : new URL(input.url).pathname)
    const growing: Content = { id: swarmId, aliases: [], name, bytes, have: new Set(), isSealed: false, pinned: false }
    this.disk.contents.set(swarmId, growing)
    // Half of it can be fetched before the source has ended.
    for (let piece = 0; piece < pieceCount(bytes) / 2 - 1; piece++) growing.have.add(piece)
    const sealed = (async () => {
      await alive(this, source?.gate ?? Promise.resolve())
      for (let piece = 0; piece < pieceCount(bytes); piece++) growing.have.add(piece)
      this.seal(growing)
      return { contentId: growing.id, totalBytes: bytes.length }
    })()
    sealed.catch(() => {
      // As a peer sees it: the swarm has nobody left who will ever have the rest.
      this.disk.contents.delete(swarmId)
    })
    return { ticket: { swarmId, trackers: [this.address], name }, sealed }
  }

  seal(content: Content): void {
    content.isSealed = true
    const contentId = idOf(content.bytes)
    if (content.id !== contentId) content.aliases.push(content.id)
    this.disk.contents.delete(content.id)
    const before = this.disk.contents.get(contentId)
    if (before !== undefined) content.aliases.push(...before.aliases)
    content.id = contentId
    this.disk.contents.set(contentId, content)
  }

  fetch(ticket: Ticket): Transfer {
    return new FakeTransfer(this, ticket)
  }

  watchSwarm(swarmId: string, listener: (progress: { sentBytes: number; peers: SwarmPeerProgress[] }) => void): () => void {
    const watchers = this.watchers.get(swarmId) ?? new Set()
    this.watchers.set(swarmId, watchers.add(listener))
    return () => watchers.delete(listener)
  }

  async output(contentId: string, dest: string, options: { overwrite?: boolean }): Promise<{ method: string }> {
    const content = this.find(contentId)
    if (content === undefined) throw fail('content-not-found', { id: contentId })
    this.outputs++
    const there = await stat(dest).catch(() => undefined)
    if (there?.isDirectory() === true) throw fail('dest-exists-as-directory', { path: dest })
    if (there !== undefined && options.overwrite !== true) throw fail('dest-exists', { path: dest })
    try {
      const aside = `${dest}.${randomBytes(4).toString('hex')}`
      await writeFile(aside, content.bytes)
      await rename(aside, dest)
    } catch (error) {
      throw fromErrno(error, { doing: 'write-dest', path: dest })
    }
    return alive(this, Promise.resolve({ method: 'copy' }))
  }

  async contents(): Promise<ContentInfo[]> {
    return Promise.all([...this.disk.contents.values()].map((content) => this.#info(content)))
  }

  async content(id: string): Promise<ContentInfo | undefined> {
    const content = this.find(id)
    return content === undefined ? undefined : this.#info(content)
  }

  async pin(id: string): Promise<void> {
    this.#must(id).pinned = true
  }

  async unpin(id: string): Promise<void> {
    this.#must(id).pinned = false
  }

  async remove(id: string, options: { force?: boolean } = {}): Promise<void> {
    const content = this.#must(id)
    if (content.pinned && options.force !== true) throw fail('content-pinned', { id: content.id })
    this.disk.contents.delete(content.id)
  }

  async gc(): Promise<{ removed: number; bytes: number }> {
    const gone = [...this.disk.contents.values()].filter((content) => !content.pinned)
    for (const content of gone) this.disk.contents.delete(content.id)
    return { removed: gone.length, bytes: gone.reduce((sum, content) => sum + content.bytes.length, 0) }
  }

  async verify(id: string): Promise<{ chunks: number; bad: number[] }> {
    return { chunks: pieceCount(this.#must(id).bytes), bad: [] }
  }

  async call(address: string, method: string, params: unknown, options: { timeoutMs: number; signal?: AbortSignal }): Promise<unknown> {
    const unreachable = (reason: string): Error => fail('member-unreachable', { address, reason })
    const sentParams: unknown = JSON.parse(JSON.stringify(params))
    await alive(this, turn())
    const callee = this.cluster.nodes.get(address)
    if (callee === undefined || !this.cluster.reaches(this.address, address)) throw unreachable('connection refused')
    this.cluster.calls.push(`${this.name}>${callee.name} ${method}`)
    const handler = callee.handlers.get(method)
    if (handler === undefined) throw fail('bad-request', { reason: `no method ${method}` })
    const answered = handler(sentParams, { name: this.name, address: this.address }).then(
      (result) => ({ result: JSON.parse(JSON.stringify(result)) as unknown }),
      (error: unknown) => ({ error: JSON.parse(JSON.stringify(serialiseError(error))) as unknown }),
    )
    const aborted = new Promise<never>((_resolve, reject) => {
      options.signal?.addEventListener(
        'abort',
        () => {
          reject(fail('cancelled', { reason: 'the call was given up' }))
        },
        { once: true },
      )
    })
    const reset = callee.crashed.then(() => {
      throw unreachable('the connection was reset')
    })
    const answer = await alive(this, Promise.race([alive(callee, answered), aborted, reset]))
    await alive(this, turn())
    if (!callee.isAlive || !this.cluster.reaches(this.address, address)) throw unreachable('the connection was lost')
    if ('error' in answer) throw deserialiseError(answer.error)
    return answer.result
  }

  onCall(method: string, handler: (params: unknown, from: Caller) => Promise<unknown>): void {
    this.handlers.set(method, handler)
  }

  stats(): Promise<Record<string, number>> {
    return Promise.resolve({ contents: this.disk.contents.size })
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  #must(id: string): Content {
    const content = this.find(id)
    if (content === undefined) throw fail('content-not-found', { id })
    return content
  }

  async #info(content: Content): Promise<ContentInfo> {
    const isComplete = content.isSealed && content.have.size === pieceCount(content.bytes)
    const path = join(this.disk.directory, `content-${content.id}`)
    if (isComplete) await writeFile(path, content.bytes)
    return {
      id: content.id,
      state: isComplete ? 'complete' : 'partial',
      name: content.name,
      mediaType: 'application/octet-stream',
      totalBytes: content.isSealed ? content.bytes.length : undefined,
      haveBytes: isComplete ? content.bytes.length : Math.min(content.have.size * PIECE_BYTES, content.bytes.length),
      chunkCount: pieceCount(content.bytes),
      pinned: content.pinned,
      createdAt: 1_700_000_000_000,
      usedAt: 1_700_000_000_000,
      path,
    }
  }
}

/** A transfer: piece after piece from any live node that has it; stalls when none is left. */
class FakeTransfer implements Transfer {
  readonly done: Transfer['done']
  readonly #node: FakeNode
  readonly #ticket: Ticket
  readonly #listeners = new Set<(progress: TransferProgress) => void>()
  #isCancelled = false

  constructor(node: FakeNode, ticket: Ticket) {
    this.#node = node
    this.#ticket = ticket
    node.transfers.add(this)
    this.done = this.#run()
    this.done.catch(() => undefined)
    void this.done.then(
      () => node.transfers.delete(this),
      () => node.transfers.delete(this),
    )
  }

  onProgress(listener: (progress: TransferProgress) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  cancel(): void {
    this.#isCancelled = true
  }

  async #run(): Promise<{ contentId: string; totalBytes: number; receivedBytes: number; reusedBytes: number }> {
    const { swarmId, trackers, name } = this.#ticket
    let receivedBytes = 0
    let reusedBytes = 0
    for (;;) {
      await turn()
      if (!this.#node.isAlive) await this.#node.cluster.never()
      if (this.#isCancelled) throw fail('cancelled', { reason: 'the transfer was given up' })
      const holders = [...this.#node.cluster.nodes.values()]
        .filter((other) => other.isAlive && other !== this.#node && this.#node.cluster.reaches(this.#node.address, other.address))
        .flatMap((other) => {
          const content = other.find(swarmId)
          return content === undefined ? [] : [{ other, content }]
        })
      const mine = this.#node.find(swarmId)
      const template = mine?.bytes ?? holders[0]?.content.bytes
      if (mine !== undefined && mine.isSealed && mine.have.size === pieceCount(mine.bytes)) {
        return { contentId: mine.id, totalBytes: mine.bytes.length, receivedBytes, reusedBytes }
      }
      if (template === undefined) throw fail('transfer-stalled', { missing: 'unknown', id: swarmId })
      const content: Content = mine ?? { id: swarmId, aliases: [], name, bytes: template, have: new Set(), isSealed: false, pinned: false }
      this.#node.disk.contents.set(content.id, content)
      const isFull = content.have.size === pieceCount(content.bytes)
      if (isFull && (content.isSealed || holders.some((holder) => holder.content.isSealed))) {
        this.#node.seal(content)
        this.#report(content, receivedBytes, reusedBytes, trackers)
        return { contentId: content.id, totalBytes: content.bytes.length, receivedBytes, reusedBytes }
      }
      let giver: FakeNode | undefined
      let piece = -1
      for (let index = 0; index < pieceCount(content.bytes); index++) {
        if (content.have.has(index)) continue
        if (this.#isReusable(content, index)) {
          content.have.add(index)
          reusedBytes += pieceAt(content.bytes, index).length
          continue
        }
        const holder = piece < 0 ? holders.find((candidate) => candidate.content.have.has(index)) : undefined
        if (holder !== undefined) [giver, piece] = [holder.other, index]
      }
      if (giver === undefined) {
        if (content.have.size === pieceCount(content.bytes)) continue
        const isHopeful = holders.some((holder) => !holder.content.isSealed && trackers.includes(holder.other.address))
        if (!isHopeful && !isFull)
          throw fail('transfer-stalled', { missing: content.bytes.length - content.have.size * PIECE_BYTES, id: swarmId })
        continue
      }
      await this.#node.cluster.pieceGate?.(this.#node.name, piece)
      if (!giver.isAlive) continue
      content.have.add(piece)
      const bytes = pieceAt(content.bytes, piece).length
      receivedBytes += bytes
      giver.sent.set(swarmId, (giver.sent.get(swarmId) ?? 0) + bytes)
      this.#report(content, receivedBytes, reusedBytes, trackers)
    }
  }

  #isReusable(content: Content, index: number): boolean {
    const wanted = pieceAt(content.bytes, index)
    return [...this.#node.disk.contents.values()].some(
      (other) => other !== content && [...other.have].some((held) => pieceAt(other.bytes, held).equals(wanted)),
    )
  }

  #report(content: Content, receivedBytes: number, reusedBytes: number, trackers: string[]): void {
    const haveBytes = Math.min(content.have.size * PIECE_BYTES, content.bytes.length)
    for (const listener of this.#listeners) listener({ haveBytes, totalBytes: content.bytes.length, receivedBytes, reusedBytes, peers: 1 })
    const { swarmId } = this.#ticket
    for (const address of trackers) {
      const tracker = this.#node.cluster.nodes.get(address)
      if (tracker === undefined) continue
      const peers = tracker.peers.get(swarmId) ?? new Map<string, SwarmPeerProgress>()
      tracker.peers.set(swarmId, peers)
      peers.set(this.#node.name, { name: this.#node.name, address: this.#node.address, haveBytes, isComplete: content.isSealed })
      for (const listener of tracker.watchers.get(swarmId) ?? [])
        listener({ sentBytes: tracker.sent.get(swarmId) ?? 0, peers: [...peers.values()] })
    }
  }
}

/** The id of sealed bytes. */
export function idOf(bytes: Buffer): string {
  return createHash('sha256').update('content').update(bytes).digest('hex')
}

function pieceCount(bytes: Buffer): number {
  return Math.ceil(bytes.length / PIECE_BYTES)
}

function pieceAt(bytes: Buffer, index: number): Buffer {
  return bytes.subarray(index * PIECE_BYTES, (index + 1) * PIECE_BYTES)
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

/** What the promise gives, unless the node has crashed by then: then nothing ever. */
async function alive<T>(node: FakeNode, promise: Promise<T>): Promise<T> {
  try {
    return await promise
  } finally {
    if (!node.isAlive) await node.cluster.never()
  }
}
