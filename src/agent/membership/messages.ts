/**
 * The messages of the membership list, one JSON object per line (docs/specs/03-membership-list.md §2), and the records in them.
 *
 * Everything that comes from the network is checked here; nothing here throws on what it is given.
 */

import { isIP } from 'node:net'
import { z } from 'zod'
import { isUnspecified } from '../addresses.ts'
import { isMemberName, tagsProblem } from './member.ts'
import type { Member } from './member.ts'

/** The version of the protocol; agents of different versions refuse each other. */
export const PROTOCOL = 1

/** Most records in one message: with the largest records a line stays below `MAX_LINE_CHARACTERS`. */
export const MAX_RECORDS = 32

/** Longest line that is read. */
export const MAX_LINE_CHARACTERS = 65_536

/** Highest incarnation that is believed: room for one contradiction each millisecond for 8000 years. */
export const MAX_INCARNATION: number = 2 ** 48

/** What nodes tell each other of a member. */
export interface MemberRecord extends Omit<Member, 'isSeed'> {
  /** Random, hex, new each time that the agent starts: tells two agents of one name apart. */
  readonly instance: string
  /** When it started, in milliseconds since 1970 by its own clock. */
  readonly startedAt: number
}

/** One message. */
export type Message =
  /** The dialer's first line: its own record. */
  | { type: 'hello'; protocol: number; member: MemberRecord }
  /** The answer: the acceptor's. */
  | { type: 'welcome'; protocol: number; member: MemberRecord }
  /** Records that are new to the sender, or all that it has. */
  | { type: 'members'; members: MemberRecord[] }
  /** All records that the sender had when the link began were sent. */
  | { type: 'synced' }
  /** A sign of life. */
  | { type: 'ping' }
  /** A first line that asks only who is there; the answer, `iam`, ends the connection. */
  | { type: 'who' }
  | { type: 'iam'; name: string; instance: string }
  /** The last line: why the sender closes the link. For name-conflict, `text` is the address of the agent that has the name. */
  | { type: 'bye'; reason: ByeReason; text: string }

/** Why a link is closed. */
export type ByeReason = (typeof BYE_REASONS)[number]

const BYE_REASONS = ['left', 'self', 'duplicate', 'name-conflict', 'full', 'protocol'] as const

const port = z.int().min(1).max(65_535)

const recordSchema: z.ZodType<MemberRecord> = z.object({
  name: z.string().max(128).refine(isMemberName, 'is no name'),
  address: z
    .string()
    .max(45)
    .refine((address) => isIP(address) !== 0 && !isUnspecified(address), 'is no address'),
  gossipPort: port,
  swarmPort: port,
  status: z.enum(['alive', 'suspect', 'dead', 'left']),
  tags: z.record(z.string().max(64), z.string().max(256)).refine((tags) => tagsProblem(tags) === undefined, 'are no tags'),
  incarnation: z.int().min(1).max(MAX_INCARNATION),
  instance: z.string().regex(/^[0-9a-f]{32}$/),
  startedAt: z.int().min(0),
})

const messageSchema: z.ZodType<Message> = z.discriminatedUnion('type', [
  z.object({ type: z.literal('hello'), protocol: z.int(), member: recordSchema }),
  z.object({ type: z.literal('welcome'), protocol: z.int(), member: recordSchema }),
  z.object({ type: z.literal('members'), members: z.array(recordSchema).max(MAX_RECORDS) }),
  z.object({ type: z.literal('synced') }),
  z.object({ type: z.literal('ping') }),
  z.object({ type: z.literal('who') }),
  z.object({ type: z.literal('iam'), name: z.string().max(128), instance: z.string().max(32) }),
  z.object({
    type: z.literal('bye'),
    reason: z.enum(BYE_REASONS),
    text: z.string().max(1024),
  }),
])

/**
 * The message of a line, or what is wrong with it. Records for which `isKnown` holds are left out unchecked: most of what a
 * cluster tells a node it has heard before.
 */
export function parseMessage(line: string, isKnown?: (record: Readonly<Record<string, unknown>>) => boolean): Message | string {
  let json: unknown
  try {
    json = JSON.parse(line)
  } catch {
    return 'a line is no JSON'
  }
  if (isKnown !== undefined && isObject(json) && Array.isArray(json['members'])) {
    json['members'] = json['members'].filter((record) => !isObject(record) || !isKnown(record))
  }
  const result = messageSchema.safeParse(json)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  return `a message is wrong at ${issue?.path.join('.') ?? '?'}: ${issue?.message ?? 'unknown'}`.slice(0, 200)
}

/** A record as the rest of the agent sees it. */
export function toMember(record: MemberRecord): Member {
  const { instance: _instance, startedAt: _startedAt, ...member } = record
  return { ...member, isSeed: record.tags['role'] === 'seed' }
}

const TEXTS = new WeakMap<MemberRecord, string>()

/** The line of a members message; the text of each record is made once, however many links it goes to. */
export function membersLine(records: readonly MemberRecord[]): string {
  const texts = records.map((record) => {
    const text = TEXTS.get(record) ?? JSON.stringify(record)
    TEXTS.set(record, text)
    return text
  })
  return `{"type":"members","members":[${texts.join(',')}]}\n`
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
