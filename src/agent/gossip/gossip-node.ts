/**
 * The gossip worker's heart: drives the machine with sockets, files and the clock, and turns what it puts out into events for the main
 * thread. An `if` about the protocol has no place here.
 */
import { randomBytes } from 'node:crypto'
import { GossipMachine, type GossipInput, type GossipOutput } from '../../core/gossip/gossip-machine.ts'
import { isPolycast, POLYCAST_TAG } from '../../core/gossip/polycast-tag.ts'
import type { Framing } from '../../core/gossip/framing.ts'
import { sameEndpoint } from '../../core/gossip/endpoint.ts'
import { DEFAULT_PACKET_BYTES } from '../../core/gossip/packet.ts'
import { Keyring } from '../../core/gossip/keyring.ts'
import type { Endpoint } from '../../core/gossip/messages.ts'
import { GOSSIP_PROFILES, type GossipProfile } from '../../core/gossip/profile.ts'
import { CLASSIC_SERF_TIMES, SERF_TIMES } from '../../core/gossip/serf/serf-profile.ts'
import type { SerfMember } from '../../core/gossip/serf/serf-types.ts'
import { assert } from '../../core/lib/assert.ts'
import { utf8Encode } from '../../core/lib/bytes.ts'
import { Random } from '../../core/lib/random.ts'
import { parseAddress } from '../addresses.ts'
import { explainError, fail, fromErrno } from '../errors.ts'
import { aesGcm, randomNonce } from './cipher.ts'
import { Doctor, DOCTOR_QUERY, type AnsweredQuery } from './doctor.ts'
import { GossipClock } from './gossip-clock.ts'
import { GossipSockets } from './gossip-sockets.ts'
import type { Discovery } from '../multicast/discovery/discovery.ts'
import { startDiscovery } from '../multicast/discovery/start-discovery.ts'
import { ipBytes, ipText } from './ip-bytes.ts'
import { endpointsOf, Joins, textOf } from './joins.ts'
import { readKeyFile, writeKeyFile } from './key-file.ts'
import { MachineDriver } from './machine-driver.ts'
import { memberOf } from './gossip-member.ts'
import { SenderTable } from './sender-table.ts'
import { nextGeneration, SnapshotFile } from './snapshot-file.ts'
import { withMulticast } from '../multicast/reach/doctor-report.ts'
import { ReachService } from '../multicast/reach/reach-service.ts'
import type { FromGossipWorker, GossipMethod, GossipMethods, GossipWorkerOptions, JoinOutcome } from './worker-protocol.ts'
import type { EventReport } from './gossip.ts'

const MAX_STREAMS_IN = 128
const MAX_STREAMS_OUT = 256
const VERSIONS = [1, 5, 2, 2, 5, 5] as const
/** Beyond this, what can't be read is counted and not logged, lines per second. */
const MAX_UNREADABLE_LINES = 2

export class GossipNode {
  readonly #options: GossipWorkerOptions
  readonly #post: (message: FromGossipWorker) => void
  readonly #clock: GossipClock = new GossipClock()
  readonly #keyring: Keyring | undefined
  readonly #framing: Framing
  readonly #sockets: GossipSockets
  readonly #snapshot: SnapshotFile | undefined
  /** Undefined before the start. */
  #driver: MachineDriver<GossipInput, GossipOutput, GossipMachine> | undefined
  readonly #joins: Joins = new Joins((endpoint) => this.#handle({ type: 'join', endpoints: [endpoint], ignoreOldEvents: true }))
  readonly #reports: Map<number, (report: EventReport) => void> = new Map()
  readonly #queries: Map<number, (counts: { acks: number; responses: number }) => void> = new Map()
  readonly #departures: ((isTold: boolean) => void)[] = []
  #nextEvent = 1
  /** A report that came while its event was still being handled: nobody else is there. */
  #earlyReport: EventReport | undefined
  /** Why the machine did not carry out the input that it is handling. */
  #rejection: string | undefined
  /** Where the other agent is that was last seen to have this node's name. */
  #claimant = ''
  #unreadableLines = 0
  #unreadableSecond = 0
  #reach: ReachService | undefined
  readonly #senders: SenderTable = new SenderTable()
  readonly #doctor: Doctor
  #discovery: Discovery | undefined
  /** Answers to the doctor's questions, by a number below 0. */
  readonly #consultations: Map<number, { readonly answers: Map<string, AnsweredQuery>; readonly wanted: number }> = new Map()

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
        : new SnapshotFile(options.snapshotFile, (error) =>
            this.#log('warn', 'the members cannot be noted for the next start, which will need an address to join', {
              reason: explainError(error),
            }),
          )
    this.#sockets = new GossipSockets({
      bind: options.bind,
      port: options.port,
      packetBytes: DEFAULT_PACKET_BYTES,
      framing: this.#framing,
      streamTimeoutMs: profileOf(options.profile).streamTimeoutMs,
      maxStreamsIn: MAX_STREAMS_IN,
      maxStreamsOut: MAX_STREAMS_OUT,
      hasChecksum: (node) => (this.#driver?.machine.serf.member(node)?.versions?.[1] ?? 0) >= 5,
      onInput: (input) => {
        const rest = this.#doctor.take(input)
        if (rest !== undefined) this.#handle(rest)
      },
      onUnreadable: (from, kind, reason) => this.#unreadable(from, kind, reason),
    })
    this.#doctor = new Doctor({
      sockets: this.#sockets,
      clock: this.#clock,
      senders: this.#senders,
      self: () => this.#running.serf.self(),
      members: () => this.#running.serf.members(),
      healthScore: () => this.#running.serf.stats().healthScore,
      resolve: endpointsOf,
      ask: (nodes, timeoutMs) => this.#consult(nodes, timeoutMs),
    })
  }

  /** Listens and begins. Rejects with `address-in-use`, `address-unusable` or `data-dir-unusable`. */
  async start(): Promise<void> {
    const { advertise, name, profile, swarmPort, tags, reconnectTimeoutMs, tombstoneTimeoutMs } = this.#options
    const port = await this.#sockets.start()
    const address = ipBytes(advertise)
    assert(address !== undefined, 'an address to advertise')
    const snapshot = this.#snapshot?.read() ?? []
    const generation = this.#generation()
    const machine = new GossipMachine(
      {
        node: name,
        endpoint: { address, port },
        tags: tagsOf(tags, swarmPort),
        versions: VERSIONS,
        profile: profileOf(profile),
        random: new Random(randomBytes(16).toString('hex')),
        generation,
        wallClockMs: Date.now(),
        messageBytes: (message) => this.#sockets.messageBytes(message),
        packetBytes: this.#sockets.packetRoom,
        keyring: this.#keyring,
        snapshot,
        times: { ...(profile === 'serf' ? CLASSIC_SERF_TIMES : SERF_TIMES), reconnectTimeoutMs, tombstoneTimeoutMs },
      },
      this.#clock.now(),
    )
    this.#driver = new MachineDriver(machine, this.#clock, (output) => this.#output(output))
    this.#snapshot?.rewrite(machine.serf.snapshotLines())
    const rejoin = machine.serf.rejoinEndpoints().map((endpoint) => textOf(endpoint))
    this.#post({ type: 'ready', port, self: this.#member(machine.serf.self()), rejoin })
    this.#driver.start()
    const cluster = this.#cluster()
    this.#discovery = startDiscovery(this.#options, cluster, {
      serf: machine.serf,
      keyring: this.#keyring,
      clock: this.#clock,
      gossipPort: port,
      join: (endpoint) => this.#joins.joinEndpoint(endpoint),
      log: (level, message, fields) => this.#log(level, message, fields),
    })
    this.#startReach(cluster, generation)
  }

  #startReach(cluster: string, run: number): void {
    const { multicast, name, bind } = this.#options
    if (multicast === undefined) return
    this.#reach = new ReachService({
      ...multicast,
      name,
      cluster,
      run,
      bind,
      keyring: this.#keyring,
      members: () =>
        this.#running.serf
          .members()
          .filter((member) => member.status === 'alive' && member.name !== name && isPolycast(member))
          .map((member) => ({ name: member.name, address: ipText(member.address) })),
      onTable: (entries) => this.#post({ type: 'reach', entries }),
      onReached: (reached) => this.#handle({ type: 'reached', ...reached }),
      onEvent: (bytes) => this.#handle({ type: 'multicast', bytes }),
      log: (level, message, fields) => this.#log(level, message, fields),
    })
    void this.#reach.start()
  }

  /** What tells this cluster's packets from those of others on the same network. */
  #cluster(): string {
    const { cluster, label } = this.#options
    return label === '' ? cluster : `${cluster}/${label}`
  }

  #generation(): number {
    const { generationFile } = this.#options
    try {
      return nextGeneration(generationFile, Date.now())
    } catch (error) {
      throw fromErrno(error, { doing: 'data-dir', path: generationFile })
    }
  }

  /** What is done to the keys counts from now on, whether it can be kept or not: without a word, the next start would be without it. */
  #keepKeys(operation: string): void {
    const { keyFile } = this.#options
    this.#log('info', 'the keys of gossip were changed', { operation })
    try {
      if (keyFile !== undefined && this.#keyring !== undefined) writeKeyFile(keyFile, this.#keyring.keys)
    } catch (error) {
      this.#log(
        'warn',
        'the changed keys of gossip cannot be written: change the file by hand, or this node is locked out at its next start',
        {
          path: keyFile,
          reason: explainError(error),
        },
      )
    }
  }

  async handle<Method extends GossipMethod>(method: Method, params: GossipMethods[Method]['params']): Promise<unknown> {
    return this.#methods[method](params)
  }

  readonly #methods: { readonly [Method in GossipMethod]: (params: GossipMethods[Method]['params']) => unknown } = {
    join: ({ addresses, onlyMissing }) => Promise.all(addresses.map((address) => this.#join(address, onlyMissing))),
    leave: () => this.#leave(),
    setTags: ({ tags }) => this.#order({ type: 'tags', tags: tagsOf(tags, this.#options.swarmPort) }),
    forget: ({ name, isPrune }) => this.#order({ type: 'force-leave', node: name, isPrune }),
    explain: ({ name }) => this.#verdict(this.#running.serf.verdict(name)),
    event: (params) => this.#event(params),
    query: (params) => this.#query(params),
    cancelQuery: ({ queryId }) => this.#queryDone(queryId, { acks: 0, responses: 0 }),
    respond: ({ id, payload }) => this.#order({ type: 'respond', request: id, payload }),
    state: ({ node }) => new Map(this.#running.state.entries(node).map(({ key, value }) => [key, value])),
    setState: ({ key, value, ttlMs }) => {
      const problem = this.#running.state.check(key, value)
      if (problem !== undefined) throw fail('bad-request', { reason: problem })
      this.#handle({ type: 'set-state', key, value, ttlMs })
    },
    removeState: ({ key }) => this.#handle({ type: 'remove-state', key }),
    ringKeys: () => this.#keyring?.keys ?? [],
    coordinate: ({ name }) => this.#running.serf.coordinate(name),
    reachWanted: () => this.#reach?.wanted(),
    doctor: async ({ target }) =>
      withMulticast(await this.#doctor.examine(target), target === undefined ? this.#reach?.observe() : undefined),
    stats: () => this.#stats(),
    close: () => this.#close(),
  }

  get #running(): GossipMachine {
    assert(this.#driver !== undefined, 'a machine that was started')
    return this.#driver.machine
  }

  // ---- the machine ----

  #handle(input: GossipInput): void {
    this.#driver?.handle(input)
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
      case 'multicast':
        return this.#reach?.sendEvent(output.bytes)
      case 'member':
        this.#reach?.membersChanged()
        return this.#post({
          type: 'member',
          event: { change: output.change, member: this.#member(output.member), verdict: this.#verdict(output.verdict) },
        })
      case 'event':
        return this.#post({ type: 'user-event', event: output.event })
      case 'query': {
        const { name, payload, sourceNode, time } = output.query
        if (name === DOCTOR_QUERY) {
          return this.#handle({ type: 'respond', request: output.request, payload: this.#doctor.report(sourceNode) })
        }
        const deadlineAt = this.#clock.toWall(output.deadlineAt)
        return this.#post({ type: 'query', query: { id: output.request, name, payload, from: sourceNode, time, deadlineAt } })
      }
      case 'query-ack':
        return this.#post({ type: 'query-reply', queryId: output.query, reply: { type: 'ack', from: output.from } })
      case 'query-response':
        if (output.query < 0) {
          return this.#consulted(output.query, output.from, output.payload)
        }
        return this.#post({
          type: 'query-reply',
          queryId: output.query,
          reply: { type: 'response', from: output.from, payload: output.payload },
        })
      case 'query-done':
        return this.#queryDone(output.query, { acks: output.acks, responses: output.responses })
      case 'report': {
        const { event, reached, of, missing } = output
        const waiting = this.#reports.get(event)
        this.#reports.delete(event)
        if (waiting === undefined) this.#earlyReport = { reached, of, missing }
        else waiting({ reached, of, missing })
        return
      }
      case 'changed': {
        const { node, key, value, generation, version } = output
        return this.#post({ type: 'state', change: { node, key, value, generation, version } })
      }
      case 'key-change':
        this.#discovery?.keysChanged()
        return this.#keepKeys(output.operation)
      case 'conflict-lost':
        return this.#post({ type: 'conflict-lost', address: this.#claimant, reason: output.reason })
      case 'name-kept':
        return this.#log('warn', 'the others know this name at an address where nobody answers; this agent keeps it', {
          at: this.#claimant,
          reason: output.reason,
        })
      case 'exchanged':
        if (output.isJoin) this.#joins.exchanged(output.to, output.error)
        return
      case 'departed':
        for (const departed of this.#departures.splice(0)) departed(output.isTold)
        return
      case 'snapshot':
        this.#snapshot?.append(output.line, () => this.#running.serf.snapshotLines())
        return
      case 'conflict':
        this.#claimant = textOf(output.other)
        return this.#log('warn', 'two agents claim one name', { name: output.member.node, at: textOf(output.member), and: this.#claimant })
      case 'rejected':
        this.#rejection = output.reason
        return
      case 'refuted':
        this.#post({ type: 'self', self: this.#member(this.#running.serf.self()) })
        return this.#log('info', 'somebody doubted this node, which has contradicted', { by: output.by, accusation: output.accusation })
      case 'packets-lost':
        return this.#log('warn', 'a member answers over TCP and not over UDP: something between drops its packets', { member: output.node })
      case 'held-up':
        this.#doctor.heldUp(output.forMs)
        return this.#log('warn', 'this node did not get to run in time', { forMs: Math.round(output.forMs) })
      case 'refused':
        return this.#log('debug', 'a member sent what no honest one sends', { from: output.from, reason: output.reason })
    }
  }

  // ---- methods ----

  #join(address: string, onlyMissing: boolean): Promise<JoinOutcome> {
    const { serf } = this.#running
    const isThere = (endpoint: Endpoint): boolean =>
      serf.members().some((member) => member.status === 'alive' && sameEndpoint(member, endpoint))
    return this.#joins.join(address, serf.self(), (endpoint) => !onlyMissing || !isThere(endpoint))
  }

  /** Asks nodes, or all, what they hear of this one. */
  async #consult(nodes: readonly string[] | undefined, timeoutMs: number): Promise<ReadonlyMap<string, AnsweredQuery>> {
    const queryId = -this.#nextEvent++
    const answers = new Map<string, AnsweredQuery>()
    this.#consultations.set(queryId, { answers, wanted: nodes?.length ?? Infinity })
    const filters = nodes === undefined ? [] : [{ type: 'nodes', nodes } as const]
    await this.#query({ queryId, name: DOCTOR_QUERY, payload: new Uint8Array(0), filters, wantsAck: false, relayFactor: 2, timeoutMs })
    this.#consultations.delete(queryId)
    return answers
  }

  #consulted(queryId: number, from: string, payload: Uint8Array): void {
    const consultation = this.#consultations.get(queryId)
    if (consultation === undefined) return
    consultation.answers.set(from, { payload, at: this.#clock.now() })
    // All that were asked have answered: there is nothing to wait for.
    if (consultation.answers.size >= consultation.wanted) this.#queryDone(queryId, { acks: 0, responses: 0 })
  }

  #leave(): Promise<{ isTold: boolean }> {
    this.#discovery?.close()
    return new Promise((resolve) => {
      this.#departures.push((isTold) => resolve({ isTold }))
      if (this.#departures.length === 1) this.#handle({ type: 'leave' })
    })
  }

  #event(order: GossipMethods['event']['params']): Promise<EventReport> | undefined {
    const event = this.#nextEvent++
    this.#order({ type: 'event', event, ...order })
    if (!order.wantsReport) return undefined
    const early = this.#earlyReport
    this.#earlyReport = undefined
    if (early !== undefined) return Promise.resolve(early)
    return new Promise((resolve) => this.#reports.set(event, resolve))
  }

  #query({ queryId, ...query }: GossipMethods['query']['params']): Promise<{ acks: number; responses: number }> {
    this.#order({ type: 'query', query: queryId, ...query })
    return new Promise((resolve) => this.#queries.set(queryId, resolve))
  }

  /** Has the machine carry out what somebody asked for; throws `bad-request` where it does not. */
  #order(input: GossipInput): void {
    this.#rejection = undefined
    this.#handle(input)
    if (this.#rejection !== undefined) throw fail('bad-request', { reason: this.#rejection })
  }

  #queryDone(queryId: number, counts: { acks: number; responses: number }): void {
    this.#queries.get(queryId)?.(counts)
    this.#queries.delete(queryId)
  }

  #stats(): Record<string, number> {
    const { serf, state, broadcast } = this.#running
    const stats: Record<string, number> = {}
    for (const [part, counters] of Object.entries({
      serf: serf.stats(),
      state: state.stats(),
      tree: broadcast.stats(),
      traffic: this.#sockets.counters,
      discovery: this.#discovery?.stats() ?? {},
      reach: this.#reach?.stats() ?? {},
    }))
      for (const [key, value] of Object.entries(counters)) if (typeof value === 'number') stats[`${part}.${key}`] = value
    return stats
  }

  async #close(): Promise<void> {
    this.#discovery?.close()
    await this.#reach?.close()
    this.#driver?.stop()
    this.#joins.close()
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
    // The port that somebody connects from says nothing.
    this.#senders.unreadable(kind === 'packet' ? from : (parseAddress(from, 1)?.host ?? from), reason, this.#clock.now())
    const second = Math.floor(this.#clock.now() / 1000)
    if (second !== this.#unreadableSecond) this.#unreadableLines = 0
    this.#unreadableSecond = second
    if (this.#unreadableLines++ < MAX_UNREADABLE_LINES) this.#log('debug', `a ${kind} cannot be read`, { from, reason })
  }

  #log(level: 'debug' | 'info' | 'warn', message: string, fields: Record<string, unknown>): void {
    this.#post({ type: 'log', level, message, fields })
  }
}

function profileOf(name: GossipWorkerOptions['profile']): GossipProfile {
  return GOSSIP_PROFILES[name]
}

function tagsOf(tags: Readonly<Record<string, string>>, swarmPort: number): ReadonlyMap<string, string> {
  return new Map([...Object.entries(tags), [POLYCAST_TAG, String(swarmPort)]])
}
