/** Routes of the cluster as gossip knows it: who is there and why not, joining and leaving, tags, keys, distances. */
import { z } from 'zod'
import { parseAddress } from '../addresses.ts'
import { fail } from '../errors.ts'
import { distance } from '../../core/gossip/serf/vivaldi.ts'
import type { Gossip, GossipMember } from '../gossip/gossip.ts'
import { tagsProblem } from '../membership/member.ts'
import type { DoctorOrder, ForgetOrder, JoinOrder, KeyOrder, ListedMember, MemberVerdict, TagsChange } from './gossip-api.ts'
import { json, route } from './route.ts'
import type { Route } from './route.ts'
import { done } from './schemas.ts'
import {
  doctorOrder,
  doctorReport,
  forgetOrder,
  joinOrder,
  joinResult,
  keyOrder,
  keyReport,
  memberList,
  memberVerdict,
  rttEstimate,
  tagsChange,
  tagSet,
} from './schemas-gossip.ts'

const NAME_PARAM = { name: 'the name of a member' }
/** What a key of gossip may have, bytes: those of AES-128, AES-192 and AES-256. */
const KEY_BYTES: readonly number[] = [16, 24, 32]

const rttQuery = z.strictObject({
  from: z.string().max(256).optional().describe('a member; this node by default'),
  to: z.string().max(256).optional().describe('another one; this node by default'),
})

/** The rows for members, tags, keys and distances. */
export const GOSSIP_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/members',
    operationId: 'listMembers',
    tag: 'cluster',
    summary: 'The members of the cluster as this node sees them',
    responses: { 200: json('All of them, dead and left ones too until they are forgotten.', memberList) },
    errors: [],
    handle: ({ parts }) => Promise.resolve({ status: 200, json: { members: listMembers(parts.gossip) } }),
  }),
  route({
    method: 'GET',
    path: '/v1/members/{name}/verdict',
    operationId: 'explainMember',
    tag: 'cluster',
    summary: 'How a member stands, and why',
    description: 'The evidence where it is not alive: who probed it, by which ways, what came back, who else accused it.',
    pathParams: NAME_PARAM,
    responses: { 200: json('Its status, and the verdict where there is one.', memberVerdict) },
    errors: ['member-not-found'],
    async handle({ parts, path }) {
      const { name, status, isSuspect, changedAt } = memberOf(parts.gossip, path['name'])
      const verdict = await parts.gossip.explain(name)
      const answer: MemberVerdict = { name, status, isSuspect, changedAt, ...(verdict === undefined ? {} : { verdict }) }
      return { status: 200, json: answer }
    },
  }),
  route<undefined, ForgetOrder>({
    method: 'POST',
    path: '/v1/members/{name}/forget',
    operationId: 'forgetMember',
    tag: 'cluster',
    summary: 'Give up a failed member',
    description:
      'It counts as one that left, on all nodes, and is not waited for any more; with `prune` it is forgotten at once, and need not be known here.',
    pathParams: NAME_PARAM,
    body: forgetOrder,
    responses: { 200: json('The others are told.', done) },
    errors: ['member-not-found'],
    async handle({ parts, path, body }) {
      // One that this node has forgotten already can be told to the others again.
      const name = body.prune === true ? (path['name'] ?? '') : memberOf(parts.gossip, path['name']).name
      await parts.gossip.forget(name, { isPrune: body.prune === true })
      return { status: 200, json: { isDone: true } }
    },
  }),
  route<undefined, JoinOrder>({
    method: 'POST',
    path: '/v1/join',
    operationId: 'join',
    tag: 'cluster',
    summary: 'Join the cluster of other agents',
    description:
      'One that answers is enough: it tells of all the others. Those that do not answer are tried again as long as the agent runs.',
    body: joinOrder,
    responses: { 200: json('How many of them answered.', joinResult) },
    errors: ['join-failed', 'name-conflict'],
    async handle({ parts, body }) {
      for (const address of body.addresses) {
        if (parseAddress(address, 1) === undefined) throw fail('bad-request', { reason: `"${address}" is neither HOST nor HOST:PORT` })
      }
      return { status: 200, json: { joined: await parts.gossip.join(body.addresses) } }
    },
  }),
  route({
    method: 'POST',
    path: '/v1/leave',
    operationId: 'leave',
    tag: 'cluster',
    summary: 'Leave the cluster and stop the agent',
    responses: { 200: json('It is going to: the others are told, then the agent ends.', done) },
    errors: [],
    handle({ parts, response }) {
      // The answer first: the server is among what stops.
      response.once('close', () => {
        parts.leave()
      })
      return Promise.resolve({ status: 200, json: { isDone: true } })
    },
  }),
  route({
    method: 'GET',
    path: '/v1/tags',
    operationId: 'showTags',
    tag: 'cluster',
    summary: 'The tags of this node',
    responses: { 200: json('As the others are told.', tagSet) },
    errors: [],
    handle: ({ parts }) => Promise.resolve({ status: 200, json: { tags: { ...parts.gossip.self.tags } } }),
  }),
  route<undefined, TagsChange>({
    method: 'PUT',
    path: '/v1/tags',
    operationId: 'changeTags',
    tag: 'cluster',
    summary: 'Change the tags of this node',
    description: 'Until the agent ends: then those of its configuration are taken again.',
    body: tagsChange,
    responses: { 200: json('All its tags, after the change.', tagSet) },
    errors: [],
    async handle({ parts, body }) {
      const removed = new Set(body.remove)
      const kept = Object.entries(parts.gossip.self.tags).filter(([key]) => !removed.has(key))
      const tags = { ...Object.fromEntries(kept), ...body.set }
      const problem = tagsProblem(tags)
      if (problem !== undefined) throw fail('bad-request', { reason: problem })
      await parts.gossip.setTags(tags)
      return { status: 200, json: { tags } }
    },
  }),
  route({
    method: 'GET',
    path: '/v1/keys',
    operationId: 'listKeys',
    tag: 'cluster',
    summary: 'Which keys of gossip the members have',
    responses: { 200: json('By key, how many members have it.', keyReport) },
    errors: [],
    handle: async ({ parts }) => ({ status: 200, json: await parts.gossip.keys('list') }),
  }),
  route<undefined, KeyOrder>({
    method: 'POST',
    path: '/v1/keys',
    operationId: 'changeKeys',
    tag: 'cluster',
    summary: 'Change the keys of gossip on all members',
    description:
      'To change the key: install the new one, use it, remove the old one, each once all members have answered the step before without an error.',
    body: keyOrder,
    responses: { 200: json('What the members answered; some may have failed.', keyReport) },
    errors: [],
    async handle({ parts, body }) {
      const key = Buffer.from(body.key, 'base64')
      // The key itself is never said: errors are logged and shown.
      if (!KEY_BYTES.includes(key.length)) throw fail('bad-request', { reason: `a key has 16, 24 or 32 bytes, this one ${key.length}` })
      return { status: 200, json: await parts.gossip.keys(body.operation, key) }
    },
  }),
  route<undefined, DoctorOrder>({
    method: 'POST',
    path: '/v1/doctor',
    operationId: 'examine',
    tag: 'cluster',
    summary: 'Find out what is wrong with a member, an address, or the cluster',
    description:
      'Tries to reach it by UDP, by TCP and by way of others, with packets of several sizes, and names the cause and what to do. Takes some seconds.',
    body: doctorOrder,
    responses: { 200: json('What was found; that nothing answers is a finding too.', doctorReport) },
    errors: [],
    handle: async ({ parts, body }) => ({ status: 200, json: await parts.gossip.doctor(body.target) }),
  }),
  route<z.output<typeof rttQuery>>({
    method: 'GET',
    path: '/v1/rtt',
    operationId: 'estimateRtt',
    tag: 'cluster',
    summary: 'The round-trip time between two members',
    description: 'Estimated from their coordinates: nothing is measured for it.',
    query: rttQuery,
    responses: { 200: json('The estimate.', rttEstimate) },
    errors: ['member-not-found', 'coordinate-unknown'],
    async handle({ parts, query }) {
      const { gossip } = parts
      const from = memberOf(gossip, query.from ?? gossip.self.name).name
      const to = memberOf(gossip, query.to ?? gossip.self.name).name
      const start = await gossip.coordinate(from)
      if (start === undefined) throw fail('coordinate-unknown', { name: from })
      const end = await gossip.coordinate(to)
      const rttMs = end === undefined ? undefined : distance(start, end) * 1000
      if (rttMs === undefined) throw fail('coordinate-unknown', { name: to })
      return { status: 200, json: { from, to, rttMs: from === to ? 0 : rttMs } }
    },
  }),
]

function listMembers(gossip: Gossip): ListedMember[] {
  const more = new Map(gossip.gossipMembers().map((member) => [member.name, member]))
  return gossip.members().map((member) => {
    const known = more.get(member.name)
    if (known === undefined) return member
    const { isSuspect, isPolycast, changedAt, lastRttMs } = known
    return { ...member, isSuspect, isPolycast, changedAt, ...(lastRttMs === undefined ? {} : { lastRttMs }) }
  })
}

function memberOf(gossip: Gossip, name = ''): GossipMember {
  const member = gossip.gossipMembers().find((one) => one.name === name)
  if (member === undefined) throw fail('member-not-found', { name: name.slice(0, 200) })
  return member
}
