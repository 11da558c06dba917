/**
 * What the agent counts, for Prometheus: one table of metrics, and the registry made from it.
 *
 * Names, types, labels and help of every metric are in `METRICS`; docs/reference/metrics.md is generated from it. Label values
 * come from small fixed sets: never a member's name, a URL or a content id, which would make series without end.
 */

import { Counter, Gauge, Histogram, Registry } from 'prom-client'

/** One row of the table. */
export interface MetricRow {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
  /** Which of `BUCKETS` a histogram has. */
  readonly buckets?: keyof typeof BUCKETS
  /** The key of `DataPlane.stats()`, `Gossip.gossipStats()` or, after `rpc.`, the counters of Serf's RPC that `applyStats` takes the value from. */
  readonly stat?: string
}

/** Upper bounds of histogram buckets, in seconds: for requests, and for what may take hours. */
export const BUCKETS = {
  short: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  long: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14_400],
} as const

/** Every metric of the agent, by the name that it has in `Metrics`. */
export const METRICS = {
  buildInfo: {
    name: 'polycast_build_info',
    type: 'gauge',
    help: 'Always 1; the labels say which Polycast on which Node.',
    labels: ['version', 'node'],
  },
  cpuSeconds: {
    name: 'process_cpu_seconds_total',
    type: 'counter',
    help: 'CPU time of the process, user and system, all threads.',
    labels: [],
  },
  residentBytes: { name: 'process_resident_memory_bytes', type: 'gauge', help: 'Resident memory of the process.', labels: [] },
  startTime: { name: 'process_start_time_seconds', type: 'gauge', help: 'When the process started, in seconds since 1970.', labels: [] },
  errors: { name: 'polycast_errors_total', type: 'counter', help: 'Operations that failed, by error code.', labels: ['code'] },

  members: {
    name: 'polycast_members',
    type: 'gauge',
    help: 'Members that this node knows, itself included, by status.',
    labels: ['status'],
  },
  memberChanges: {
    name: 'polycast_member_changes_total',
    type: 'counter',
    help: 'Members that changed to a status, as this node saw it.',
    labels: ['status'],
  },
  handlerCalls: {
    name: 'polycast_event_handler_calls_total',
    type: 'counter',
    help: 'Calls of event handlers, by result: done, failed, timed-out, stopped; dropped and late are those that a slow handler was spared.',
    labels: ['result'],
  },

  lostEvents: {
    name: 'polycast_lost_events_total',
    type: 'counter',
    help: 'Events that this node was told of without their payload, which could not be fetched.',
    labels: [],
  },
  gossipPacketsSent: {
    name: 'polycast_gossip_packets_sent_total',
    type: 'counter',
    help: 'Packets of gossip sent.',
    labels: [],
    stat: 'traffic.packetsSent',
  },
  gossipPacketsReceived: {
    name: 'polycast_gossip_packets_received_total',
    type: 'counter',
    help: 'Packets of gossip received.',
    labels: [],
    stat: 'traffic.packetsReceived',
  },
  gossipSentBytes: {
    name: 'polycast_gossip_sent_bytes_total',
    type: 'counter',
    help: 'Payload of the packets of gossip sent.',
    labels: [],
    stat: 'traffic.packetBytesSent',
  },
  gossipReceivedBytes: {
    name: 'polycast_gossip_received_bytes_total',
    type: 'counter',
    help: 'Payload of the packets of gossip received.',
    labels: [],
    stat: 'traffic.packetBytesReceived',
  },
  gossipStreamSentBytes: {
    name: 'polycast_gossip_stream_sent_bytes_total',
    type: 'counter',
    help: 'Bytes of gossip sent over TCP: whole tables, large messages, probes where packets fail.',
    labels: [],
    stat: 'traffic.streamBytesSent',
  },
  gossipUnreadable: {
    name: 'polycast_gossip_unreadable_packets_total',
    type: 'counter',
    help: 'Packets of gossip that could not be read: another key, another label, or broken.',
    labels: [],
    stat: 'traffic.unreadablePackets',
  },
  gossipHealth: {
    name: 'polycast_gossip_health_score',
    type: 'gauge',
    help: 'How much this node doubts itself, 0 to 7: it raises with probes that fail and with time that it was not run.',
    labels: [],
    stat: 'serf.healthScore',
  },
  rpcAccepted: {
    name: 'polycast_serf_rpc_connections_total',
    type: 'counter',
    help: 'Connections of tools of Serf taken.',
    labels: [],
    stat: 'rpc.accepted',
  },
  rpcRefused: {
    name: 'polycast_serf_rpc_refused_connections_total',
    type: 'counter',
    help: 'Connections of tools of Serf refused because there were too many.',
    labels: [],
    stat: 'rpc.refused',
  },
  rpcRequests: {
    name: 'polycast_serf_rpc_requests_total',
    type: 'counter',
    help: 'Commands of tools of Serf carried out.',
    labels: [],
    stat: 'rpc.requests',
  },
  rpcMalformed: {
    name: 'polycast_serf_rpc_malformed_connections_total',
    type: 'counter',
    help: "Connections of tools of Serf ended because what came is no request of Serf's protocol.",
    labels: [],
    stat: 'rpc.malformed',
  },
  rpcLate: {
    name: 'polycast_serf_rpc_late_connections_total',
    type: 'counter',
    help: 'Connections of tools of Serf ended because nobody said in time who he is.',
    labels: [],
    stat: 'rpc.late',
  },
  rpcSlow: {
    name: 'polycast_serf_rpc_slow_connections_total',
    type: 'counter',
    help: 'Connections of tools of Serf ended because the client did not read.',
    labels: [],
    stat: 'rpc.closedForQueue',
  },
  rpcRefusedStreams: {
    name: 'polycast_serf_rpc_refused_streams_total',
    type: 'counter',
    help: 'Streams, monitors and queries of tools of Serf refused because there were too many.',
    labels: [],
    stat: 'rpc.refusedStreams',
  },
  rpcForgottenQueries: {
    name: 'polycast_serf_rpc_forgotten_queries_total',
    type: 'counter',
    help: 'Queries told to tools of Serf that were forgotten before they were answered, because there were too many.',
    labels: [],
    stat: 'rpc.forgottenQueries',
  },
  eventMulticastsSent: {
    name: 'polycast_multicast_events_sent_total',
    type: 'counter',
    help: 'Events and queries of this node that went to many members in one datagram.',
    labels: [],
    stat: 'tree.multicastsSent',
  },
  eventMulticastsReceived: {
    name: 'polycast_multicast_events_received_total',
    type: 'counter',
    help: 'Events and queries of other members that came by multicast.',
    labels: [],
    stat: 'tree.multicastsReceived',
  },
  eventPayloadsSent: {
    name: 'polycast_event_payloads_sent_total',
    type: 'counter',
    help: 'Events and queries sent to single members: passed on along the tree, or sent again.',
    labels: [],
    stat: 'tree.payloadsSent',
  },

  swarmSentBytes: {
    name: 'polycast_swarm_sent_bytes_total',
    type: 'counter',
    help: 'Bytes of chunks sent to peers.',
    labels: [],
    stat: 'swarm.sentBytes',
  },
  swarmReceivedBytes: {
    name: 'polycast_swarm_received_bytes_total',
    type: 'counter',
    help: 'Bytes of chunks received from peers.',
    labels: [],
    stat: 'swarm.receivedBytes',
  },
  swarmDuplicateBytes: {
    name: 'polycast_swarm_duplicate_bytes_total',
    type: 'counter',
    help: 'Bytes of chunks received that were here already.',
    labels: [],
    stat: 'swarm.duplicateBytes',
  },
  swarmBadBytes: {
    name: 'polycast_swarm_bad_bytes_total',
    type: 'counter',
    help: 'Bytes of chunks that did not have their hash; their senders were dropped.',
    labels: [],
    stat: 'swarm.badBytes',
  },
  swarmDroppedPeers: {
    name: 'polycast_swarm_dropped_peers_total',
    type: 'counter',
    help: 'Peers dropped for what they sent or failed to send.',
    labels: [],
    stat: 'swarm.droppedPeers',
  },
  swarmConnections: {
    name: 'polycast_swarm_connections',
    type: 'gauge',
    help: 'Open connections with peers.',
    labels: [],
    stat: 'swarm.connections',
  },
  swarmNeighbours: {
    name: 'polycast_swarm_neighbours',
    type: 'gauge',
    help: 'Peers that contents are exchanged with, counted once for each content.',
    labels: [],
    stat: 'swarm.neighbours',
  },
  linkSentBytes: {
    name: 'polycast_link_sent_bytes_total',
    type: 'counter',
    help: 'Bytes written to connections with peers: chunks, their frames and all messages.',
    labels: [],
    stat: 'link.sentBytes',
  },
  linkReceivedBytes: {
    name: 'polycast_link_received_bytes_total',
    type: 'counter',
    help: 'Bytes read from connections with peers: chunks, their frames and all messages.',
    labels: [],
    stat: 'link.receivedBytes',
  },
  swarmActive: {
    name: 'polycast_swarms',
    type: 'gauge',
    help: 'Contents that are being sent or received.',
    labels: [],
    stat: 'swarm.active',
  },

  multicastSentSessions: {
    name: 'polycast_multicast_sent_sessions_total',
    type: 'counter',
    help: 'Multicast sessions that this node sent.',
    labels: [],
    stat: 'multicast.sentSessions',
  },
  multicastSentBytes: {
    name: 'polycast_multicast_sent_bytes_total',
    type: 'counter',
    help: 'Bytes of datagrams sent by multicast, parity and repeats included; they are part of polycast_swarm_sent_bytes_total.',
    labels: [],
    stat: 'multicast.sentBytes',
  },
  multicastSourcePackets: {
    name: 'polycast_multicast_source_packets_total',
    type: 'counter',
    help: 'Datagrams of contents sent by multicast for the first time.',
    labels: [],
    stat: 'multicast.sourcePackets',
  },
  multicastProactivePackets: {
    name: 'polycast_multicast_proactive_packets_total',
    type: 'counter',
    help: 'Datagrams of parity sent by multicast before anybody asked, by the loss that was measured.',
    labels: [],
    stat: 'multicast.proactivePackets',
  },
  multicastRepairPackets: {
    name: 'polycast_multicast_repair_packets_total',
    type: 'counter',
    help: 'Datagrams sent by multicast since a receiver lacked some.',
    labels: [],
    stat: 'multicast.repairPackets',
  },
  multicastReceivedSessions: {
    name: 'polycast_multicast_received_sessions_total',
    type: 'counter',
    help: 'Multicast sessions that this node was invited to and joined.',
    labels: [],
    stat: 'multicast.receivedSessions',
  },
  multicastReceivedBytes: {
    name: 'polycast_multicast_received_bytes_total',
    type: 'counter',
    help: 'Bytes of missing chunks that came by multicast; they are part of polycast_swarm_received_bytes_total.',
    labels: [],
    stat: 'multicast.receivedBytes',
  },
  multicastReceivedBlocks: {
    name: 'polycast_multicast_received_blocks_total',
    type: 'counter',
    help: 'Blocks of multicast sessions received, restored where packets were lost.',
    labels: [],
    stat: 'multicast.receivedBlocks',
  },
  multicastGivenUpBlocks: {
    name: 'polycast_multicast_given_up_blocks_total',
    type: 'counter',
    help: 'Blocks of multicast sessions that did not come: what is in them comes by the swarm.',
    labels: [],
    stat: 'multicast.givenUpBlocks',
  },
  reachedMembers: {
    name: 'polycast_multicast_reached_members',
    type: 'gauge',
    help: 'Members that say that multicast of this node reaches them.',
    labels: [],
    stat: 'reach.members',
  },
  reachRefused: {
    name: 'polycast_multicast_beacons_refused_total',
    type: 'counter',
    help: 'Beacons not taken: sealed by no key of this cluster, no beacons at all, repeated, or for an interface that is gone.',
    labels: [],
    stat: 'reach.refusedBeacons',
  },
  reachForgotten: {
    name: 'polycast_multicast_forgotten_nodes_total',
    type: 'counter',
    help: 'Nodes of a network that were forgotten because there were more than are kept.',
    labels: [],
    stat: 'reach.forgottenNodes',
  },
  reachSentPackets: {
    name: 'polycast_multicast_beacons_sent_total',
    type: 'counter',
    help: 'Beacons and events sent by multicast, by broadcast, and as answers to beacons.',
    labels: [],
    stat: 'reach.sentPackets',
  },
  reachSentBytes: {
    name: 'polycast_multicast_beacon_sent_bytes_total',
    type: 'counter',
    help: 'Bytes of beacons and events sent by multicast, by broadcast, and as answers to beacons.',
    labels: [],
    stat: 'reach.sentBytes',
  },
  storeContents: {
    name: 'polycast_store_contents',
    type: 'gauge',
    help: 'Contents in the store, complete and partial.',
    labels: [],
    stat: 'store.contents',
  },
  storeBytes: {
    name: 'polycast_store_bytes',
    type: 'gauge',
    help: 'Bytes that contents take in the store.',
    labels: [],
    stat: 'store.bytes',
  },
  storeQuotaBytes: { name: 'polycast_store_quota_bytes', type: 'gauge', help: 'The option quota; 0 is no limit.', labels: [] },
  storeReusedBytes: {
    name: 'polycast_store_reused_bytes_total',
    type: 'counter',
    help: 'Bytes that new contents took from others in the store instead of the network.',
    labels: [],
    stat: 'store.reusedBytes',
  },
  storeEvicted: {
    name: 'polycast_store_evicted_contents_total',
    type: 'counter',
    help: 'Contents evicted to make room.',
    labels: [],
    stat: 'store.evictedContents',
  },

  sourceFetches: {
    name: 'polycast_source_fetches_total',
    type: 'counter',
    help: 'Fetches from sources that were started.',
    labels: [],
    stat: 'source.fetches',
  },
  sourceReceivedBytes: {
    name: 'polycast_source_received_bytes_total',
    type: 'counter',
    help: 'Bytes received from sources.',
    labels: [],
    stat: 'source.receivedBytes',
  },
  sourceRetries: {
    name: 'polycast_source_retries_total',
    type: 'counter',
    help: 'Attempts after the first, over all fetches.',
    labels: [],
    stat: 'source.retries',
  },

  deliveries: {
    name: 'polycast_deliveries_total',
    type: 'counter',
    help: 'Deliveries ordered at this node that ended, by result: done, partial, failed or cancelled.',
    labels: ['result'],
  },
  deliveriesRunning: {
    name: 'polycast_deliveries_running',
    type: 'gauge',
    help: 'Deliveries ordered at this node that go on.',
    labels: [],
  },
  deliverySeconds: {
    name: 'polycast_delivery_duration_seconds',
    type: 'histogram',
    help: 'From the order of a delivery to its last receipt.',
    labels: [],
    buckets: 'long',
  },
  receipts: {
    name: 'polycast_receipts_total',
    type: 'counter',
    help: 'Receipts of members for deliveries ordered at this node, by result: done or the error code.',
    labels: ['result'],
  },

  httpRequests: {
    name: 'polycast_http_requests_total',
    type: 'counter',
    help: 'Requests to the HTTP API.',
    labels: ['method', 'route', 'status'],
  },
  httpSeconds: {
    name: 'polycast_http_request_duration_seconds',
    type: 'histogram',
    help: "From a request's head to the end of its answer.",
    labels: ['method', 'route'],
    buckets: 'short',
  },
} as const

/** A metric's property in `Metrics`. */
export type MetricName = keyof typeof METRICS

/** What the data plane counts: the keys that some row takes its value from. */
export type DataPlaneStats = Record<
  Exclude<StatKey, `serf.${string}` | `traffic.${string}` | `rpc.${string}` | `tree.${string}` | `reach.${string}`>,
  number
>

type StatKey = Extract<(typeof METRICS)[MetricName], { readonly stat: string }>['stat']

type LabelOf<Row> = Row extends { readonly labels: readonly (infer Label extends string)[] } ? Label : never
type MetricOf<Row extends MetricRow> = Row['type'] extends 'counter'
  ? Counter<LabelOf<Row>>
  : Row['type'] extends 'gauge'
    ? Gauge<LabelOf<Row>>
    : Histogram<LabelOf<Row>>

/** The metrics of one agent. */
export type Metrics = { readonly [Name in MetricName]: MetricOf<(typeof METRICS)[Name]> } & {
  /** The text that /metrics serves. */
  render(): Promise<string>
  /** Its Content-Type. */
  readonly contentType: string
  /** Takes over what the data plane counted: counters are set, never added to; keys that no metric has are left out. */
  applyStats(stats: Readonly<Record<string, number>>): void
}

/** The row of one metric. */
export function metricRow(name: MetricName): MetricRow {
  return METRICS[name]
}

/** Makes a registry with every metric of the table; each agent has its own. */
export function createMetrics(build: { readonly version: string }): Metrics {
  const registry = new Registry()
  const metrics: Partial<Record<MetricName, Counter | Gauge | Histogram>> = {}
  for (const name of Object.keys(METRICS) as MetricName[]) {
    const row = metricRow(name)
    const common = { name: row.name, help: row.help, labelNames: [...row.labels], registers: [registry] }
    if (row.type === 'counter') metrics[name] = new Counter(common)
    else if (row.type === 'gauge') metrics[name] = new Gauge(common)
    else metrics[name] = new Histogram({ ...common, ...(row.buckets === undefined ? {} : { buckets: [...BUCKETS[row.buckets]] }) })
  }
  const made = metrics as unknown as Metrics
  made.buildInfo.set({ version: build.version, node: process.version }, 1)
  made.startTime.set(Math.round(Date.now() / 1000 - process.uptime()))
  return Object.assign(made, {
    contentType: registry.contentType,
    render(): Promise<string> {
      const cpu = process.cpuUsage()
      setCounter(made.cpuSeconds, (cpu.user + cpu.system) / 1e6)
      made.residentBytes.set(process.memoryUsage.rss())
      return registry.metrics()
    },
    applyStats(stats: Readonly<Record<string, number>>): void {
      for (const name of Object.keys(METRICS) as MetricName[]) {
        const { stat } = metricRow(name)
        const value = stat !== undefined && Object.hasOwn(stats, stat) ? stats[stat] : undefined
        const metric = metrics[name]
        if (value === undefined || !Number.isFinite(value)) continue
        if (metric instanceof Gauge) metric.set(value)
        else if (metric instanceof Counter) setCounter(metric, value)
      }
    },
  })
}

function setCounter(counter: Counter, value: number): void {
  counter.reset()
  counter.inc(Math.max(0, value))
}
