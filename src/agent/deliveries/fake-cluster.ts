/**
 * A cluster for tests, in one process: members that know each other at once, and a data plane that keeps the promises of
 * data-plane.ts without sockets, threads or chunk hashes.
 *
 * Faithful where the delivery service could tell: calls and their errors pass through JSON; a publication may be fetched
 * before its source has ended; a transfer takes from whoever is alive and has bytes of the swarm, reuses pieces of other
 * contents, and stalls when nobody is left; what a node held outlives its crash; a crashed node's promises never settle.
 * Not modelled: time on the wire.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fail } from '../errors.ts'
import type { Member } from '../membership/member.ts'
import type { Membership } from '../membership/membership.ts'
import type { Content, FakeDisk, FakeSource } from './fake-content.ts'
import { FakeNode } from './fake-node.ts'

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
  isOver: boolean = false
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
    const node = new FakeNode(this, member, new FakeMembership(this, name), disk)
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

  /** The promises of crashed nodes fail from now on and transfers end, so that what a test left behind can be closed. */
  end(): void {
    this.isOver = true
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
