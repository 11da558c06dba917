/** One node of the fake cluster of the tests: see fake-cluster.ts. */
import { randomBytes } from 'node:crypto'
import { readFile, rename, stat, writeFile } from 'node:fs/promises'
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
} from '../data-plane/data-plane.ts'
import { deserialiseError, fail, fromErrno, serialiseError } from '../errors.ts'
import type { Member } from '../membership/member.ts'
import type { FakeCluster, FakeMembership } from './fake-cluster.ts'
import { idOf, PIECE_BYTES, pieceCount } from './fake-content.ts'
import type { Content, FakeDisk } from './fake-content.ts'
import { FakeTransfer } from './fake-transfer.ts'
import { alive, turn } from './fake-turns.ts'

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
  /** Told of the ticket of each fetch. */
  fetched: (ticket: Ticket) => void = () => undefined
  publishes = 0
  outputs = 0

  constructor(cluster: FakeCluster, member: Member, membership: FakeMembership, disk: FakeDisk) {
    this.cluster = cluster
    this.name = member.name
    this.swarmPort = member.swarmPort
    this.address = `${member.address}:${member.swarmPort}`
    this.membership = membership
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
    this.fetched(ticket)
    return new FakeTransfer(this, ticket)
  }

  watchSwarm(swarmId: string, listener: (progress: { sentBytes: number; peers: SwarmPeerProgress[] }) => void): () => void {
    const watchers = this.watchers.get(swarmId) ?? new Set()
    this.watchers.set(swarmId, watchers.add(listener))
    return () => watchers.delete(listener)
  }

  async output(contentId: string, dest: string, options: { overwrite?: boolean }): Promise<{ method: string }> {
    const content = this.find(contentId)
    if (content === undefined) throw fail('content-not-found', { id: contentId, where: 'here' })
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
    if (content === undefined) throw fail('content-not-found', { id, where: 'here' })
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
