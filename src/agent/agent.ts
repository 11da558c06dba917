/**
 * One node, put together: log, metrics, data plane, membership, deliveries, HTTP API. Nothing is decided here but the order in
 * which they start and stop.
 *
 * Start: the data plane first, for it locks the data directory; the membership last, so that nobody hears of a node that
 * doesn't answer yet. Stop: in the reverse order; what runs is not ended but goes on at the next start.
 */
import { join } from 'node:path'
import { formatAddress, parseListenAddress } from './addresses.ts'
import { systemClock } from './clock.ts'
import type { AgentConfig } from './config/options.ts'
import { startDataPlane } from './data-plane/client.ts'
import type { AgentDataPlane } from './data-plane/client.ts'
import type { DataPlane } from './data-plane/data-plane.ts'
import { Deliveries } from './deliveries/deliveries.ts'
import type { MulticastReach } from './deliveries/outbound.ts'
import { asPolycastError } from './errors.ts'
import type { PolycastError } from './errors.ts'
import { GossipClient } from './gossip/client.ts'
import { parseHandler } from './gossip/handler-spec.ts'
import { EventHandlers } from './gossip/handlers.ts'
import { runScript } from './gossip/script.ts'
import type { AgentInfo, Readiness } from './http/api.ts'
import { openapiDocument } from './http/openapi.ts'
import { startHttpServer } from './http/server.ts'
import type { HttpServer } from './http/server.ts'
import { roomLogger } from './log.ts'
import type { Logger } from './log.ts'
import { createMetrics } from './metrics.ts'
import type { LogRing } from './serf-rpc/log-tap.ts'
import type { SerfRpcServer } from './serf-rpc/server.ts'
import type { Metrics } from './metrics.ts'
import { ReachRelay } from './multicast/reach-relay.ts'

/** What a node is started with. */
export interface AgentOptions {
  readonly config: AgentConfig
  /** The package's. */
  readonly version: string
  readonly log: Logger
  /** The last lines of the log, for Serf's monitor. */
  readonly logRing: LogRing
  /** Called when the node can't go on; it is to be stopped then. */
  readonly onFatal: (error: PolycastError) => void
  /** Called when the API is told that the node leaves; it is to be stopped then. */
  readonly onLeave: () => void
}

/** A running node. */
export interface Agent {
  readonly info: AgentInfo
  /** Leaves the cluster and closes everything, within the option shutdown-timeout. */
  stop(): Promise<void>
}

/** How long the start waits for the agents to join, so that a node that is ready knows the members; it goes on joining afterwards. */
const JOIN_WAIT_MS = 200
/** The first pause after a failed attempt to join, ms. */
const JOIN_RETRY_MS = 500

/** Starts a node. Errors: data-dir-locked, data-dir-unusable, address-in-use, address-unusable, dest-not-writable, name-conflict. */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const agent = new RunningAgent(options)
  try {
    await agent.start()
    return agent
  } catch (error) {
    await agent.stop()
    throw error
  }
}

class RunningAgent implements Agent {
  readonly #options: AgentOptions
  readonly #metrics: Metrics
  readonly #startedAt: number = Date.now()
  #dataPlane: AgentDataPlane | undefined
  #gossip: GossipClient | undefined
  #deliveries: Deliveries | undefined
  #handlers: EventHandlers | undefined
  #serfRpc: SerfRpcServer | undefined
  #http: HttpServer | undefined
  #reachRelay: ReachRelay | undefined
  #readiness: Readiness = { status: 'not-ready', reason: 'it is starting' }
  #stopping: Promise<void> | undefined

  constructor(options: AgentOptions) {
    this.#options = options
    this.#metrics = createMetrics({ version: options.version })
    this.#metrics.storeQuotaBytes.set(options.config.quotaBytes)
  }

  get info(): AgentInfo {
    const { config, version } = this.#options
    return {
      name: config.name,
      version,
      nodeVersion: process.version,
      pid: process.pid,
      startedAt: this.#startedAt,
      isSeed: config.isSeed,
      tags: { ...config.tags },
      addresses: {
        gossip: formatAddress(config.advertise, this.#gossip?.self.gossipPort ?? config.gossipPort),
        swarm: formatAddress(config.advertise, this.#dataPlane?.swarmPort ?? config.swarmPort),
        http: formatAddress(config.httpBind, this.#http?.port ?? config.httpPort),
      },
      dataDirectory: config.dataDirectory,
      destRoots: [...config.destRoots],
    }
  }

  async start(): Promise<void> {
    const { config } = this.#options
    const dataPlane = await this.#startDataPlane()
    const gossip = this.#createGossip(dataPlane)
    const relay = this.#createReachRelay(dataPlane, gossip)
    const deliveries = await this.#openDeliveries(dataPlane, gossip, relay)
    this.#http = await this.#startHttp(dataPlane, gossip, deliveries)
    // Before there is anything to hear, so that nothing is missed.
    this.#startHandlers(gossip)
    await gossip.start()
    if (this.#options.config.multicast) relay.start()
    await deliveries.start()
    await this.#startSerfRpc(gossip)
    this.#readiness = { status: 'ready' }
    await this.#join(gossip, config.join)
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    const { config, log } = this.#options
    this.#readiness = { status: 'not-ready', reason: 'it is shutting down' }
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(resolve, config.shutdownTimeoutMs, 'late')
    })
    const steps: [what: string, step: () => Promise<unknown> | undefined][] = [
      ['event handlers', () => this.#handlers?.close()],
      ['Serf RPC', () => this.#serfRpc?.close()],
      ['deliveries', () => this.#deliveries?.close()],
      ['HTTP API', () => this.#http?.close()],
      ['multicast', () => Promise.resolve(this.#reachRelay?.close())],
      ['gossip', () => this.#gossip?.leave()],
      ['data plane', () => this.#dataPlane?.close()],
    ]
    for (const [what, step] of steps) {
      try {
        if ((await Promise.race([step(), late])) === 'late') {
          log.warn({ part: what }, 'stopping takes longer than shutdown-timeout; ending without the rest')
          break
        }
      } catch (error) {
        log.error({ part: what, err: error }, 'a part of the agent did not stop in order')
      }
    }
    clearTimeout(timer)
  }

  async #startDataPlane(): Promise<AgentDataPlane> {
    const { config, onFatal } = this.#options
    const log = this.#log('data-plane')
    this.#dataPlane = await startDataPlane({
      worker: {
        dataDirectory: config.dataDirectory,
        name: config.name,
        bind: config.bind,
        advertise: config.advertise,
        swarmPort: config.swarmPort,
        zone: config.tags['zone'] ?? '',
        quotaBytes: config.quotaBytes,
        partialKeepMs: config.partialKeepMs,
        stripes: config.swarmStripes,
        maxNeighbours: config.swarmMaxNeighbours,
        uploadWindowBytes: config.swarmUploadWindowBytes,
        requestTimeoutMs: config.swarmRequestTimeoutMs,
        stallTimeoutMs: config.swarmStallTimeoutMs,
        uploadRateBytesPerSec: config.uploadRateBytesPerSec,
        downloadRateBytesPerSec: config.downloadRateBytesPerSec,
        dialTimeoutMs: config.dialTimeoutMs,
        multicast: {
          isOn: config.multicast,
          isReceiving: config.downloadRateBytesPerSec === 0,
          minReceivers: config.multicastMinReceivers,
          minBytes: config.multicastMinBytes,
          mode: config.multicastMode,
          rateBytesPerSec: lesserLimit(config.multicastRateBytesPerSec, config.uploadRateBytesPerSec),
          datagramBytes: config.multicastDatagramBytes,
          port: config.multicastPort,
          ttl: config.multicastTtl,
        },
        source: {
          connectTimeoutMs: config.sourceConnectTimeoutMs,
          idleTimeoutMs: config.sourceIdleTimeoutMs,
          retries: config.sourceRetries,
          retryPauseMs: config.sourceRetryPauseMs,
          maxRedirects: config.sourceMaxRedirects,
        },
      },
      semiSpaceBytes: config.workerSemiSpaceBytes,
      log: (level, message, fields) => {
        log[level](fields, message)
      },
      onCrash: onFatal,
    })
    return this.#dataPlane
  }

  /** What gossip knows of multicast goes to those who use it. */
  #createReachRelay(dataPlane: AgentDataPlane, gossip: GossipClient): ReachRelay {
    const { config } = this.#options
    const log = this.#log('data-plane')
    this.#reachRelay = new ReachRelay({
      minReceivers: config.multicastMinReceivers,
      gossip,
      isEncrypted: config.encryptKeyFile !== '',
      tell: (reached, keys) => dataPlane.setMulticast(reached, keys),
      log: (level, message, fields) => log[level](fields, message),
    })
    return this.#reachRelay
  }

  #createGossip(dataPlane: DataPlane): GossipClient {
    const { config, onFatal } = this.#options
    const log = this.#log('gossip')
    const file = (name: string): string => join(config.dataDirectory, 'gossip', name)
    const gossip = new GossipClient({
      worker: {
        name: config.name,
        bind: config.bind,
        advertise: config.advertise,
        port: config.gossipPort,
        swarmPort: dataPlane.swarmPort,
        tags: config.tags,
        profile: config.gossipProfile,
        label: config.gossipLabel,
        isCompressing: config.gossipCompression,
        keyFile: config.encryptKeyFile === '' ? undefined : config.encryptKeyFile,
        snapshotFile: config.snapshot ? file('snapshot') : undefined,
        generationFile: file('generation'),
        reconnectTimeoutMs: config.reconnectTimeoutMs,
        tombstoneTimeoutMs: config.tombstoneTimeoutMs,
        multicast: config.multicast ? { port: config.multicastPort, ttl: config.multicastTtl } : undefined,
      },
      retryMinMs: JOIN_RETRY_MS,
      retryMaxMs: config.joinRetryMaxMs,
      log: (level, message, fields) => {
        log[level](fields, message)
      },
      onCrash: onFatal,
    })
    gossip.onChange(({ status }) => {
      this.#metrics.memberChanges.inc({ status })
    })
    gossip.onMemberEvent(({ change, member, verdict }) => {
      const level = change === 'failed' ? 'warn' : change === 'left' ? 'info' : 'debug'
      log[level](
        { member: member.name, address: member.address, change, by: verdict?.from, source: verdict?.source },
        `a member: ${change}`,
      )
    })
    gossip.onConflict(onFatal)
    this.#gossip = gossip
    return gossip
  }

  async #openDeliveries(dataPlane: DataPlane, membership: GossipClient, multicast: MulticastReach): Promise<Deliveries> {
    const { config } = this.#options
    this.#deliveries = await Deliveries.open({
      dataDirectory: config.dataDirectory,
      dataPlane,
      membership,
      log: this.#log('deliveries'),
      destRoots: config.destRoots,
      timeoutMs: config.deliveryTimeoutMs,
      callTimeoutMs: config.callTimeoutMs,
      allowHardLinks: config.allowHardLinks,
      multicast,
      observer: {
        receipt: ({ status, error }) => {
          this.#metrics.receipts.inc({ result: status === 'done' ? 'done' : (error?.code ?? status) })
        },
        ended: ({ state, createdAt, endedAt = createdAt }) => {
          this.#metrics.deliveries.inc({ result: state })
          this.#metrics.deliverySeconds.observe((endedAt - createdAt) / 1000)
        },
      },
    })
    return this.#deliveries
  }

  #startHandlers(gossip: GossipClient): void {
    const { config } = this.#options
    // The table of options has checked them: what is no handler did not come this far.
    const handlers = config.eventHandlers.map(parseHandler).filter((handler) => typeof handler !== 'string')
    if (handlers.length === 0) return
    this.#handlers = new EventHandlers({
      handlers,
      gossip,
      clock: systemClock,
      timeoutMs: config.handlerTimeoutMs,
      // So that a command may call `polycast` and speak with this very node.
      environment: { ...process.env, POLYCAST_API: `http://${this.info.addresses.http}` },
      run: runScript,
      log: this.#log('gossip'),
      onCall: (result) => {
        this.#metrics.handlerCalls.inc({ result })
      },
    })
  }

  #startHttp(dataPlane: DataPlane, gossip: GossipClient, deliveries: Deliveries): Promise<HttpServer> {
    const { config, version } = this.#options
    const metrics = this.#metrics
    return startHttpServer({
      host: config.httpBind,
      port: config.httpPort,
      parts: {
        dataPlane,
        gossip,
        deliveries,
        leave: this.#options.onLeave,
        agent: () => this.info,
        readiness: () => this.#readiness,
        metrics: () => this.#renderMetrics(dataPlane, deliveries),
        openapi: () => JSON.stringify(openapiDocument(version)),
      },
      log: this.#log('http'),
      onRequest: ({ method, route, status, durationMs, error }) => {
        metrics.httpRequests.inc({ method, route, status: String(status) })
        metrics.httpSeconds.observe({ method, route }, durationMs / 1000)
        if (error !== undefined) metrics.errors.inc({ code: error.code })
      },
    })
  }

  async #startSerfRpc(gossip: GossipClient): Promise<void> {
    const { config, onLeave } = this.#options
    const address = parseListenAddress(config.serfRpc)
    if (address === undefined) return
    // Few nodes are asked to: the others need not load it.
    const [{ readAuthKey }, { startSerfRpc }] = await Promise.all([import('./serf-rpc/auth-key.ts'), import('./serf-rpc/server.ts')])
    const log = this.#log('serf-rpc')
    this.#serfRpc = await startSerfRpc({
      ...address,
      isInsecure: config.isInsecure,
      gossip,
      log,
      logTap: this.#options.logRing,
      isEncrypted: config.encryptKeyFile !== '',
      onLeft: onLeave,
      ...(config.serfRpcAuthKeyFile === '' ? {} : { authKey: await readAuthKey(config.serfRpcAuthKeyFile) }),
    })
    log.info({ address: formatAddress(address.host, this.#serfRpc.port) }, 'listening for tools of Serf')
  }

  async #renderMetrics(dataPlane: DataPlane, deliveries: Deliveries): Promise<{ text: string; contentType: string }> {
    const metrics = this.#metrics
    metrics.applyStats(await dataPlane.stats())
    metrics.deliveriesRunning.set(deliveries.stats().outbound)
    metrics.applyStats((await this.#gossip?.gossipStats()) ?? {})
    for (const status of ['alive', 'suspect', 'dead', 'left'] as const) {
      metrics.members.set({ status }, this.#gossip?.members().filter((member) => member.status === status).length ?? 0)
    }
    return { text: await metrics.render(), contentType: metrics.contentType }
  }

  /** Joins; what doesn't answer at once goes on being tried. Only a name that is taken keeps the node from running. */
  async #join(gossip: GossipClient, addresses: readonly string[]): Promise<void> {
    if (addresses.length === 0) return
    const { onFatal } = this.#options
    const log = this.#log('gossip')
    let isWaiting = true
    let timer: NodeJS.Timeout | undefined
    const waited = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, JOIN_WAIT_MS)
    })
    const joined = gossip.join(addresses).then(
      (count) => {
        log.info({ answered: count }, 'joined the cluster')
      },
      (raw: unknown) => {
        const error = asPolycastError(raw)
        if (error.code !== 'name-conflict') log.warn({ code: error.code, reason: error.message }, 'nobody to join answers yet; trying on')
        else if (isWaiting) throw error
        else onFatal(error)
      },
    )
    try {
      await Promise.race([joined, waited])
    } finally {
      isWaiting = false
      clearTimeout(timer)
    }
  }

  #log(room: Parameters<typeof roomLogger>[1]): Logger {
    return roomLogger(this.#options.log, room)
  }
}

/** The lower of two limits of which 0 is none. */
function lesserLimit(a: number, b: number): number {
  return a === 0 || b === 0 ? Math.max(a, b) : Math.min(a, b)
}
