/**
 * The gossip worker's heart: drives the machine with sockets, files and the clock, and turns what it puts out into events for the main
 * thread. An `if` about the protocol has no place here.
 */
import { randomBytes } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { GossipMachine, type GossipInput, type GossipOutput } from '../../core/gossip/gossip-machine.ts'
import type { Framing } from '../../core/gossip/framing.ts'
import { sameEndpoint } from '../../core/gossip/endpoint.ts'
import { Keyring } from '../../core/gossip/keyring.ts'
import type { Endpoint } from '../../core/gossip/messages.ts'
import { GOSSIP_PROFILES } from '../../core/gossip/profile.ts'
import type { SerfMember } from '../../core/gossip/serf/serf-types.ts'
import { assert } from '../../core/lib/assert.ts'
import { utf8Encode } from '../../core/lib/utf8.ts'
import { Random } from '../../core/lib/random.ts'
import { formatAddress, parseAddress } from '../addresses.ts'
import { fail } from '../errors.ts'
import { aesGcm, randomNonce } from './cipher.ts'
import { GossipClock } from './gossip-clock.ts'
import { GossipSockets } from './gossip-sockets.ts'
import { ipBytes, ipText } from './ip-bytes.ts'
import { readKeyFile, writeKeyFile } from './key-file.ts'
import { memberOf } from './gossip-member.ts'
import { nextGeneration, SnapshotFile } from './snapshot-file.ts'
import type { FromGossipWorker, GossipMethod, GossipMethods, GossipWorkerOptions, JoinOutcome } from './worker-protocol.ts'
import type { EventReport } from './gossip.ts'

/** The port of an address to join that has none. */
export const DEFAULT_GOSSIP_PORT = 7946
/** What is known to get through everywhere, as memberlist takes it. */
const PACKET_BYTES = 1400
const MAX_STREAMS_IN = 128
const MAX_STREAMS_OUT = 256
const VERSIONS = [1, 5, 2, 2, 5, 5] as const
/** The longest delay that Node's timers take. */
const MAX_DELAY_MS = 2 ** 31 - 1
/** Beyond this, what can't be read is counted and not logged, lines per second. */
const MAX_UNREADABLE_LINES = 2

type Waiting<T> = { readonly resolve: (value: T) => void; readonly reject: (error: Error) => void }

export class GossipNode {
  readonly #options: GossipWorkerOptions
  readonly #post: (message: FromGossipWorker) => void
  readonly #clock: GossipClock = new GossipClock()
  readonly #keyring: Keyring | undefined
  readonly #framing: Framing
  readonly #sockets: GossipSockets
  readonly #snapshot: SnapshotFile | undefined
  #machine: GossipMachine | undefined
  #timer: NodeJS.Timeout | undefined
  #isHandling = false
  readonly #inputs: GossipInput[] = []
  /** Exchanges for joins, by the endpoint as text. */
  readonly #joins: Map<string, Waiting<string | undefined>[]> = new Map()
  readonly #reports: Map<number, Waiting<EventReport>> = new Map()
  readonly #queries: Map<number, Waiting<{ acks: number; responses: number }>> = new Map()
  readonly #departures: ((isTold: boolean) => void)[] = []
  #nextEvent = 1
  #unreadableLines = 0
  #unreadableSecond = 0

  constructor(options: GossipWorkerOptions, post: (message: FromGossipWorker) => void) {
    this.#options = options
    this.#post = post
    this.#keyring = options.keyFile === undefined ? undefined : new Keyring(readKeyFile(options.keyFile))
    this.#framing = {
      label: utf8Encode(options.label),
      isCompressing: options.isCompressing,
      encryption:
        this.#keyring === undefined
          ? undefined
          : { keyring: this.#keyring, cipher: aesGcm, nonce: randomNonce, version: 1, isSending: true, isRequired: true },
    }
    this.#snapshot =
      options.snapshotFile === undefined
        ? undefined
        : new SnapshotFile(options.snapshotFile, (error) => this.#log('warn', 'the snapshot of the members fails', { err: error.message }))
    this.#sockets = new GossipSockets({
      bind: options.bind,
      port: options.port,
      packetBytes: PACKET_BYTES,
      framing: this.#framing,
      streamTimeoutMs: GOSSIP_PROFILES[options.profile].streamTimeoutMs,
      maxStreamsIn: MAX_STREAMS_IN,
      maxStreamsOut: MAX_STREAMS_OUT,
      hasChecksum: (node) => (this.#machine?.serf.member(node)?.versions?.[1] ?? 0) >= 5,
      onInput: (input) => this.#handle(input),
      onUnreadable: (from, kind, reason) => this.#unreadable(from, kind, reason),
    })
  }

  /** Listens and begins. Rejects with `address-in-use` or `address-unusable`. */
  async start(): Promise<void> {
    const { advertise, name, profile, swarmPort, tags } = this.#options
    const port = await this.#sockets.start()
    const address = ipBytes(advertise)
    assert(address !== undefined, 'an address to advertise')
    const snapshot = this.#snapshot?.read() ?? []
    this.#machine = new GossipMachine(
      {
        node: name,
        endpoint: { address, port },
        tags: tagsOf(tags, swarmPort),
        versions: VERSIONS,
        profile: GOSSIP_PROFILES[profile],
        random: new Random(randomBytes(16).toString('hex')),
        generation: nextGeneration(this.#options.generationFile, Date.now()),
        messageBytes: (message) => this.#sockets.messageBytes(message),
        packetBytes: this.#sockets.packetRoom,
        keyring: this.#keyring,
        snapshot,
        reconnectTimeoutMs: this.#options.reconnectTimeoutMs,
        tombstoneTimeoutMs: this.#options.tombstoneTimeoutMs,
      },
      this.#clock.now(),
    )
    this.#snapshot?.rewrite(this.#machine.serf.snapshotLines())
    const rejoin = this.#machine.serf.rejoinEndpoints().map((endpoint) => textOf(endpoint))
    this.#post({ type: 'ready', port, self: this.#member(this.#machine.serf.self()), rejoin })
    this.#settle()
  }

  async handle<Method extends GossipMethod>(method: Method, params: GossipMethods[Method]['params']): Promise<unknown> {
    const call = this.#methods[method] as (params: GossipMethods[Method]['params']) => unknown
    return call.call(this, params)
  }

  readonly #methods: { readonly [Method in GossipMethod]: (params: GossipMethods[Method]['params']) => unknown } = {
    join: ({ addresses, onlyMissing }) => Promise.all(addresses.map((address) => this.#join(address, onlyMissing))),
    leave: () => this.#leave(),
    setTags: ({ tags }) => this.#handle({ type: 'tags', tags: tagsOf(tags, this.#options.swarmPort) }),
    forget: ({ name, isPrune }) => this.#handle({ type: 'force-leave', node: name, isPrune }),
    explain: ({ name }) => this.#running.serf.verdict(name),
    event: (params) => this.#event(params),
    query: (params) => this.#query(params),
    cancelQuery: ({ queryId }) => this.#queryDone(queryId, { acks: 0, responses: 0 }),
    respond: ({ id, payload }) => this.#handle({ type: 'respond', request: id, payload }),
    state: ({ node }) => new Map(this.#running.state.entries(node)),
    setState: ({ key, value, ttlMs }) => {
      const problem = this.#running.state.check(key, value)
      if (problem !== undefined) throw fail('bad-request', { reason: problem })
      this.#handle({ type: 'set-state', key, value, ttlMs })
    },
    removeState: ({ key }) => this.#handle({ type: 'remove-state', key }),
    ringKeys: () => this.#keyring?.keys ?? [],
    coordinate: ({ name }) => this.#running.serf.coordinate(name),
    stats: () => this.#stats(),
    close: () => this.#close(),
  }

  get #running(): GossipMachine {
    assert(this.#machine !== undefined, 'a machine that was started')
    return this.#machine
  }

  // ---- the machine ----

  /** Inputs that come while another one is handled wait for their turn. */
  #handle(input: GossipInput): void {
    if (this.#machine === undefined) return
    this.#inputs.push(input)
    if (this.#isHandling) return
    this.#isHandling = true
    try {
      for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
        this.#machine.handle(next, this.#clock.now())
        for (const output of this.#machine.drain()) this.#output(output)
      }
    } finally {
      this.#isHandling = false
    }
    this.#settle()
  }

  #settle(): void {
    const machine = this.#running
    for (const output of machine.drain()) this.#output(output)
    clearTimeout(this.#timer)
    const delayMs = Math.max(0, Math.min(MAX_DELAY_MS, machine.nextDeadline() - this.#clock.now()))
    this.#timer = setTimeout(() => {
      machine.handleTimeout(this.#clock.now())
      this.#settle()
    }, delayMs)
  }

  #output(output: GossipOutput): void {
    switch (output.type) {
      case 'send':
      case 'open-stream':
      case 'send-stream':
      case 'close-stream':
      case 'answer':
      case 'refuse':
        return this.#sockets.carryOut(output)
      case 'member':
        return this.#post({
          type: 'member',
          event: { change: output.change, member: this.#member(output.member), verdict: this.#verdict(output.verdict) },
        })
      case 'event':
        return this.#post({ type: 'user-event', event: output.event })
      case 'query': {
        const { name, payload, sourceNode, time } = output.query
        const deadlineAt = this.#clock.toWall(output.deadlineAt)
        return this.#post({ type: 'query', query: { id: output.request, name, payload, from: sourceNode, time, deadlineAt } })
      }
      case 'query-ack':
        return this.#post({ type: 'query-reply', queryId: output.query, reply: { type: 'ack', from: output.from } })
      case 'query-response':
        return this.#post({
          type: 'query-reply',
          queryId: output.query,
          reply: { type: 'response', from: output.from, payload: output.payload },
        })
      case 'query-done':
        return this.#queryDone(output.query, { acks: output.acks, responses: output.responses })
      case 'report': {
        const { event, reached, of, missing } = output
        this.#reports.get(event)?.resolve({ reached, of, missing })
        this.#reports.delete(event)
        return
      }
      case 'changed': {
        const { node, key, value, generation, version } = output
        return this.#post({ type: 'state', change: { node, key, value, generation, version } })
      }
      case 'key-change':
        if (this.#options.keyFile !== undefined && this.#keyring !== undefined) writeKeyFile(this.#options.keyFile, this.#keyring.keys)
        return this.#log('info', 'the keys of gossip were changed', { operation: output.operation })
      case 'conflict-lost':
        return this.#post({ type: 'conflict-lost', address: textOf(output.other), reason: output.reason })
      case 'exchanged':
        if (output.isJoin) for (const join of this.#joins.get(textOf(output.to)) ?? []) join.resolve(output.error)
        if (output.isJoin) this.#joins.delete(textOf(output.to))
        return
      case 'departed':
        for (const departed of this.#departures.splice(0)) departed(output.isTold)
        return
      case 'snapshot':
        this.#snapshot?.append(output.line, () => this.#running.serf.snapshotLines())
        return
      case 'conflict':
        return this.#log('warn', 'two agents claim one name', { name: output.member.name, at: textOf(output.member), and: textOf(output.other) })
      case 'refuted':
        return this.#log('info', 'somebody doubted this node, which has contradicted', { by: output.by, accusation: output.accusation })
      case 'packets-lost':
        return this.#log('warn', 'a member answers over TCP and not over UDP: something between drops its packets', { member: output.node })
      case 'held-up':
        return this.#log('warn', 'this node did not get to run in time', { forMs: Math.round(output.forMs) })
      case 'refused':
        return this.#log('debug', 'a member sent what no honest one sends', { from: output.from, reason: output.reason })
    }
  }

  // ---- methods ----

  /** Joins all endpoints that a name stands for; the outcome is the best of them. */
  async #join(address: string, onlyMissing: boolean): Promise<JoinOutcome> {
    const parsed = parseAddress(address, DEFAULT_GOSSIP_PORT)
    if (parsed === undefined) return { address, error: `"${address}" is no address: it is to be HOST or HOST:PORT`, isSelf: false }
    let hosts: string[]
    try {
      hosts = (await lookup(parsed.host, { all: true })).map((host) => host.address)
    } catch (error) {
      return { address, error: `the name ${parsed.host} cannot be resolved (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`, isSelf: false }
    }
    const self = this.#running.serf.self()
    const endpoints = hosts.flatMap((host) => {
      const bytes = ipBytes(host)
      return bytes === undefined ? [] : [{ address: bytes, port: parsed.port }]
    })
    const others = endpoints.filter((endpoint) => !sameEndpoint(endpoint, self))
    if (others.length === 0) return { address, error: undefined, isSelf: true }
    const isThere = (endpoint: Endpoint): boolean =>
      this.#running.serf.members().some((member) => member.status === 'alive' && sameEndpoint(member, endpoint))
    const wanted = onlyMissing ? others.filter((endpoint) => !isThere(endpoint)) : others
    if (wanted.length === 0) return { address, error: undefined, isSelf: false }
    const results = await Promise.all(wanted.map((endpoint) => this.#exchange(endpoint)))
    const error = results.includes(undefined) ? undefined : results[0]
    return { address, error, isSelf: false }
  }

  #exchange(endpoint: Endpoint): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      const key = textOf(endpoint)
      const waiting = this.#joins.get(key)
      if (waiting !== undefined) {
        waiting.push({ resolve, reject })
        return
      }
      this.#joins.set(key, [{ resolve, reject }])
      this.#handle({ type: 'join', endpoints: [endpoint], ignoreOldEvents: true })
    })
  }

  #leave(): Promise<{ isTold: boolean }> {
    return new Promise((resolve) => {
      this.#departures.push((isTold) => resolve({ isTold }))
      if (this.#departures.length === 1) this.#handle({ type: 'leave' })
    })
  }

  #event({ name, payload, canCoalesce, wantsReport }: GossipMethods['event']['params']): Promise<EventReport> | undefined {
    const problem = this.#running.serf.checkEvent(name, payload)
    if (problem !== undefined) throw fail('bad-request', { reason: problem })
    const event = this.#nextEvent++
    const report = wantsReport
      ? new Promise<EventReport>((resolve, reject) => this.#reports.set(event, { resolve, reject }))
      : undefined
    this.#handle({ type: 'event', event, name, payload, canCoalesce, wantsReport })
    return report
  }

  #query({ queryId, ...query }: GossipMethods['query']['params']): Promise<{ acks: number; responses: number }> {
    const problem = this.#running.serf.checkQuery(query.name, query.payload, query.filters)
    if (problem !== undefined) throw fail('bad-request', { reason: problem })
    return new Promise((resolve, reject) => {
      this.#queries.set(queryId, { resolve, reject })
      this.#handle({ type: 'query', query: queryId, ...query })
    })
  }

  #queryDone(queryId: number, counts: { acks: number; responses: number }): void {
    this.#queries.get(queryId)?.resolve(counts)
    this.#queries.delete(queryId)
  }

  #stats(): Record<string, number> {
    const { serf, state, broadcast } = this.#running
    const stats: Record<string, number> = {}
    for (const [part, counters] of Object.entries({ serf: serf.stats(), state: state.stats(), tree: broadcast.stats(), traffic: this.#sockets.counters }))
      for (const [key, value] of Object.entries(counters)) if (typeof value === 'number') stats[`${part}.${key}`] = value
    return stats
  }

  async #close(): Promise<void> {
    clearTimeout(this.#timer)
    this.#machine = undefined
    this.#snapshot?.close()
    await this.#sockets.close()
  }

  // ---- what the main thread is told ----

  #member(member: SerfMember): ReturnType<typeof memberOf> {
    return memberOf(member, this.#clock.toWall(member.changedAt))
  }

  /** Times of the evidence as people read them. */
  #verdict(verdict: ReturnType<GossipMachine['serf']['verdict']>): typeof verdict {
    if (verdict === undefined) return undefined
    const wall = (time: number): number => Math.round(this.#clock.toWall(time))
    const { probe } = verdict
    return {
      ...verdict,
      at: wall(verdict.at),
      accusers: verdict.accusers.map(({ by, at }) => ({ by, at: wall(at) })),
      probe:
        probe === undefined
          ? undefined
          : {
              ...probe,
              startedAt: wall(probe.startedAt),
              endedAt: wall(probe.endedAt),
              paths: probe.paths.map((path) => ({ ...path, sentAt: wall(path.sentAt) })),
            },
    }
  }

  #unreadable(from: string, kind: 'packet' | 'stream', reason: string): void {
    const second = Math.floor(this.#clock.now() / 1000)
    if (second !== this.#unreadableSecond) this.#unreadableLines = 0
    this.#unreadableSecond = second
    if (this.#unreadableLines++ < MAX_UNREADABLE_LINES) this.#log('debug', `a ${kind} cannot be read`, { from, reason })
  }

  #log(level: 'debug' | 'info' | 'warn', message: string, fields: Record<string, unknown>): void {
    this.#post({ type: 'log', level, message, fields })
  }
}

function tagsOf(tags: Readonly<Record<string, string>>, swarmPort: number): ReadonlyMap<string, string> {
  return new Map([...Object.entries(tags), ['polycast', String(swarmPort)]])
}

function textOf({ address, port }: Endpoint): string {
  return formatAddress(ipText(address), port)
}
