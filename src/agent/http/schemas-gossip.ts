/** The shapes of what goes by gossip, as zod schemas; see schemas.ts for how they are held to their types. */
import { z } from 'zod'
import type { Finding, FindingCode } from '../gossip/diagnosis.ts'
import type { DoctorReport, Examination, GossipMember, KeyReport } from '../gossip/gossip.ts'
import type { MatrixEntry } from '../../core/multicast/reach/reach-types.ts'
import type { MulticastReport } from '../multicast/reach/doctor-report.ts'
import type { Accusation, ProbeEvidence, ProbePath, Verdict } from '../../core/gossip/verdict.ts'
import type { MemberList } from './api.ts'
import type {
  ClusterEvent,
  DoctorOrder,
  EventOrder,
  EventSent,
  ForgetOrder,
  JoinOrder,
  JoinResult,
  KeyOrder,
  ListedMember,
  MemberVerdict,
  NodeState,
  QueryAnswer,
  QueryEvent,
  QueryOrder,
  QueryResult,
  RttEstimate,
  StateEntry,
  StateEvent,
  StateOrder,
  TagsChange,
  TagSet,
} from './gossip-api.ts'
import { errorBody, named } from './schemas.ts'

const text = z.string()
const time = z.number().describe('milliseconds since 1970')
const milliseconds = z.number().min(0).describe('milliseconds')
const optional = z.exactOptional
/** A key that is always there in the type and, where it is undefined, not there in JSON. */
const maybe = <T>(schema: z.ZodType<T>): z.ZodType<T | undefined> => optional(schema)
/** Longer than anything that gossip takes: what is beyond its limits is refused there, in its own words. */
const MAX_TEXT = 512 * 1024
const tagMap = z.record(text.max(256), text.max(1024))
const name = text.min(1).max(256)

const listedMember: z.ZodType<ListedMember> = named<ListedMember>()(
  'Member',
  'A node as this node sees it.',
  z.object({
    name: text,
    address: text,
    gossipPort: z.int(),
    swarmPort: z.int(),
    status: z.enum(['alive', 'suspect', 'dead', 'left']),
    tags: z.record(text, text),
    incarnation: z.int(),
    isSeed: z.boolean(),
    isSuspect: optional(z.boolean().describe('it does not answer, and has some time left to show that it lives')),
    isPolycast: optional(z.boolean().describe('another Polycast node, not an agent of Serf alone')),
    changedAt: optional(time),
    lastRttMs: optional(milliseconds.describe('the last round trip to it that was measured here')),
  }),
)

export const memberList: z.ZodType<MemberList> = named<MemberList>()(
  'MemberList',
  'All members, this node included.',
  z.object({ members: z.array(listedMember) }),
)

const gossipMember: z.ZodType<GossipMember> = named<GossipMember>()(
  'GossipMember',
  'A member as gossip tells it.',
  z.object({
    name: text,
    address: text,
    port: z.int(),
    tags: z.record(text, text),
    status: z.enum(['alive', 'leaving', 'left', 'failed']),
    isSuspect: z.boolean(),
    incarnation: z.int(),
    versions: z.array(z.int()).describe("least, greatest and spoken version of memberlist's protocol, then of Serf's"),
    isPolycast: z.boolean(),
    changedAt: time,
    lastRttMs: maybe(milliseconds),
  }),
)

const probePath: z.ZodType<ProbePath> = named<ProbePath>()(
  'ProbePath',
  'One way by which a probe tried to reach its target.',
  z.object({
    kind: z.enum(['direct', 'indirect', 'stream']),
    via: text,
    sentAt: time,
    outcome: z.enum(['ack', 'nack', 'failed', 'refused', 'silent']),
    afterMs: maybe(milliseconds),
    reason: maybe(text),
  }),
)

const probeEvidence: z.ZodType<ProbeEvidence> = named<ProbeEvidence>()(
  'ProbeEvidence',
  'A probe, with all its ways and what became of them.',
  z.object({
    by: text,
    about: text,
    startedAt: time,
    endedAt: time,
    healthScore: z.int().describe("the prober's own: above 0, it waited longer because it doubted itself"),
    lastRttMs: maybe(milliseconds),
    paths: z.array(probePath),
  }),
)

const accusation: z.ZodType<Accusation> = named<Accusation>()(
  'Accusation',
  'A member that suspects another, and when that was heard here.',
  z.object({ by: text, at: time }),
)

const verdict: z.ZodType<Verdict> = named<Verdict>()(
  'Verdict',
  'Why a member is not alive, as this node knows it.',
  z.object({
    about: text,
    state: z.enum(['suspect', 'dead', 'left']),
    incarnation: z.int(),
    from: text.describe('who says so; the member itself when it left'),
    source: z.enum(['probe', 'time-out', 'packet', 'push-pull']),
    at: time,
    accusers: z.array(accusation),
    grounds: maybe(
      z.enum(['gone', 'silent']).describe('gone: its process has ended, by what its host answered; silent: it did not answer'),
    ),
    timeoutMs: maybe(milliseconds.describe('how long it had to refute')),
    probe: maybe(probeEvidence),
  }),
)

export const memberVerdict: z.ZodType<MemberVerdict> = named<MemberVerdict>()(
  'MemberVerdict',
  'How a member stands, and the evidence where it is not well.',
  z.object({
    name: text,
    status: z.enum(['alive', 'leaving', 'left', 'failed']),
    isSuspect: z.boolean(),
    changedAt: time,
    verdict: optional(verdict),
  }),
)

export const joinOrder: z.ZodType<JoinOrder> = named<JoinOrder>()(
  'JoinOrder',
  'Agents to join.',
  z.strictObject({ addresses: z.array(text.min(1).max(512)).min(1).max(1000).describe('HOST or HOST:PORT, at their gossip port') }),
)

export const joinResult: z.ZodType<JoinResult> = named<JoinResult>()(
  'JoinResult',
  'How many agents answered.',
  z.object({ joined: z.int() }),
)

export const forgetOrder: z.ZodType<ForgetOrder> = named<ForgetOrder>()(
  'ForgetOrder',
  'How a failed member is given up.',
  z.strictObject({ prune: optional(z.boolean().describe('forget it at once, instead of keeping it as one that left')) }),
)

export const tagsChange: z.ZodType<TagsChange> = named<TagsChange>()(
  'TagsChange',
  'Tags of this node to set and to remove.',
  z.strictObject({ set: optional(tagMap), remove: optional(z.array(text.max(256)).max(256)) }),
)

export const tagSet: z.ZodType<TagSet> = named<TagSet>()('TagSet', 'The tags of this node.', z.object({ tags: z.record(text, text) }))

const given = {
  payload: optional(z.base64().max(MAX_TEXT).describe('bytes, in base64')),
  text: optional(text.max(MAX_TEXT).describe('or a text, which is sent as UTF-8')),
}
const shown = {
  payload: z.base64().describe('the bytes, in base64'),
  text: optional(text.describe('the same as text, where they are UTF-8')),
}

export const eventOrder: z.ZodType<EventOrder> = named<EventOrder>()(
  'EventOrder',
  'An event to send to all members.',
  z.strictObject({
    name,
    ...given,
    coalesce: optional(z.boolean().describe('of several with this name that come shortly after each other, handlers need the last alone')),
    report: optional(z.boolean().describe('wait for the receipts of all nodes')),
  }),
)

export const eventSent: z.ZodType<EventSent> = named<EventSent>()(
  'EventSent',
  'The event is on its way; with a report, who has got it.',
  z.object({
    isSent: z.literal(true),
    report: optional(z.object({ reached: z.int(), of: z.int(), missing: z.array(text) })),
  }),
)

export const clusterEvent: z.ZodType<ClusterEvent> = named<ClusterEvent>()(
  'ClusterEvent',
  'What happens in the cluster: one line of the stream. `started` is the first: nothing after it is missed.',
  z.discriminatedUnion('event', [
    z.object({ event: z.literal('started'), at: time }),
    z.object({ event: z.literal('member'), at: time, kind: text, member: gossipMember, verdict: optional(verdict) }),
    z.object({ event: z.literal('user'), at: time, name: text, time: z.number(), canCoalesce: z.boolean(), ...shown }),
    z.object({ event: z.literal('query'), at: time, name: text, time: z.number(), from: text, ...shown }),
  ]),
)

export const queryOrder: z.ZodType<QueryOrder> = named<QueryOrder>()(
  'QueryOrder',
  'A question to the members of a selector.',
  z.strictObject({
    name,
    ...given,
    to: optional(text.min(1).max(65_536).describe('all, or tags and names: role=web,zone=eu')),
    ack: optional(z.boolean().describe('every member that it is for acknowledges it; true by default')),
    relayFactor: optional(z.int().min(0).max(255).describe('answers come by way of so many other members as well')),
    timeoutMs: optional(z.int().min(1).max(86_400_000).describe('by default what the size of the cluster asks for')),
  }),
)

const queryAnswer: z.ZodType<QueryAnswer> = named<QueryAnswer>()(
  'QueryAnswer',
  'What one member answered.',
  z.object({ from: text, ...shown }),
)

const queryCounts = { acks: z.int(), responses: z.int(), of: z.int().describe('live members that it was for') }

export const queryResult: z.ZodType<QueryResult> = named<QueryResult>()(
  'QueryResult',
  'A query that has ended.',
  z.object({ ...queryCounts, acknowledgedBy: z.array(text), answers: z.array(queryAnswer) }),
)

export const queryEvent: z.ZodType<QueryEvent> = named<QueryEvent>()(
  'QueryEvent',
  'What comes back for a query: one line of the stream. `done` or `error` is the last.',
  z.discriminatedUnion('event', [
    z.object({ event: z.literal('ack'), from: text }),
    z.object({ event: z.literal('response'), from: text, ...shown }),
    z.object({ event: z.literal('done'), ...queryCounts }),
    z.object({ event: z.literal('error'), error: errorBody }),
  ]),
)

const stateEntry: z.ZodType<StateEntry> = named<StateEntry>()(
  'StateEntry',
  'A key of the state of a node.',
  z.object({ key: text, ...shown }),
)

export const nodeState: z.ZodType<NodeState> = named<NodeState>()(
  'NodeState',
  'The state that a node keeps for all to see.',
  z.object({ node: text, entries: z.array(stateEntry) }),
)

export const stateOrder: z.ZodType<StateOrder> = named<StateOrder>()(
  'StateOrder',
  "A value for a key of this node's state.",
  z.strictObject({ ...given, ttlMs: optional(z.int().min(1).describe('milliseconds after which the key goes by itself')) }),
)

const change = { node: text, key: text, generation: z.number(), version: z.number() }

export const stateEvent: z.ZodType<StateEvent> = named<StateEvent>()(
  'StateEvent',
  "A change of a node's state: one line of the stream. `started` is the first: nothing after it is missed.",
  z.discriminatedUnion('event', [
    z.object({ event: z.literal('started'), at: time }),
    z.object({ event: z.literal('set'), ...change, ...shown }),
    z.object({ event: z.literal('removed'), ...change }),
  ]),
)

export const keyOrder: z.ZodType<KeyOrder> = named<KeyOrder>()(
  'KeyOrder',
  'A change of the keys of gossip, on all members.',
  z.strictObject({
    operation: z.enum(['install', 'use', 'remove']),
    key: z.base64().max(64).describe('16, 24 or 32 bytes, in base64'),
  }),
)

export const keyReport: z.ZodType<KeyReport> = named<KeyReport>()(
  'KeyReport',
  'What the members answered.',
  z.object({
    members: z.int(),
    responses: z.int(),
    errors: z.int(),
    absent: z.array(text).describe('members that are down and did not answer: they come back with the keys that they had'),
    messages: z.record(text, text).describe('by member, what went wrong'),
    keys: z.record(text, z.int()).describe('by key, in base64: how many members have it'),
    primaryKeys: z.record(text, z.int()).describe('by key, in base64: on how many members it is the one that is sent with'),
  }),
)

export const rttEstimate: z.ZodType<RttEstimate> = named<RttEstimate>()(
  'RttEstimate',
  'The round-trip time between two members, estimated from where they are among all.',
  z.object({ from: text, to: text, rttMs: milliseconds }),
)

export const doctorOrder: z.ZodType<DoctorOrder> = named<DoctorOrder>()(
  'DoctorOrder',
  'Whom to examine; this node and all members where nobody is named.',
  z.strictObject({ target: optional(text.min(1).max(512).describe('the name of a member, or HOST:PORT')) }),
)

const FINDING_CODES: readonly [FindingCode, ...FindingCode[]] = [
  'another-node',
  'clock-jumped',
  'encrypted-there',
  'host-gone',
  'large-packets-lost',
  'member-held-up',
  'multicast-filtered',
  'multicast-lossy',
  'multicast-mtu-mismatch',
  'multicast-no-querier',
  'multicast-no-route',
  'multicast-peers-deaf',
  'multicast-small-buffer',
  'multicast-stopped',
  'multicast-unheard',
  'multicast-unusable',
  'multicast-wrong-interface',
  'name-unknown',
  'no-gossip',
  'node-held-up',
  'node-slow',
  'packets-lost',
  'path-blocked',
  'plain-there',
  'process-gone',
  'process-stalled',
  'tcp-blocked',
  'udp-blocked',
  'udp-blocked-from',
  'udp-blocked-to',
  'unreadable-senders',
  'wrong-key',
  'wrong-label',
]

const finding: z.ZodType<Finding> = named<Finding>()(
  'Finding',
  'One thing that is wrong, its cause and its remedy.',
  z.object({
    code: z.enum(FINDING_CODES),
    severity: z.enum(['problem', 'warning']),
    sentence: text,
    evidence: z.array(text).describe('what was observed'),
    advice: text.describe('what to do'),
  }),
)

const examination: z.ZodType<Examination> = named<Examination>()(
  'Examination',
  'One node or address, and what is wrong with it.',
  z.object({
    name: text,
    address: text,
    status: z.enum(['self', 'unknown', 'alive', 'leaving', 'left', 'failed']),
    findings: z.array(finding).describe('the cause first; none where all is well'),
  }),
)

const matrixEntry: z.ZodType<MatrixEntry> = z.object({
  by: text.describe('who hears'),
  of: text.describe('whom'),
  multicastBytes: z.int().min(0).describe('payload of the largest datagram to the group that arrives; 0 is none'),
  broadcast: z.boolean().describe('whether broadcasts arrive'),
  lossShare: z.number().describe('share of datagrams to the group that are lost, 0 to 1'),
})

const multicastReport: z.ZodType<MulticastReport> = named<MulticastReport>()(
  'MulticastReport',
  'Who hears whom by multicast and broadcast, and what is wrong with it; of this node, and not there where multicast is off.',
  z.object({
    port: z.int(),
    links: z.array(
      z.object({
        interface: text,
        family: z.int().describe('4 or 6'),
        address: text,
        group: text,
        state: z.enum(['listening', 'open', 'rejoining', 'blocked']).describe('of the multicast that comes to this node'),
        sinceMs: milliseconds,
        isSending: z.boolean().describe('false for an interface that is only listened at'),
        maxBytes: z.int().describe('payload of the largest datagram that is tried'),
        matrix: z.array(matrixEntry),
      }),
    ),
    findings: z.array(finding),
  }),
)

export const doctorReport: z.ZodType<DoctorReport> = named<DoctorReport>()(
  'DoctorReport',
  'What was found.',
  z.object({
    node: text.describe('who looked'),
    examined: z.array(examination),
    skipped: z.int().describe('members that were left out because there are so many'),
    multicast: maybe(multicastReport),
  }),
)
