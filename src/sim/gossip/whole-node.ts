/**
 * The node that ships, `GossipMachine` with all its layers, as the simulator drives it: what it says of members is told as `SwimMachine` tells
 * it, so that the checks of membership hold for it too, and events and keys of state come on top.
 */
import { GossipMachine, type GossipOutput } from '../../core/gossip/gossip-machine.ts'
import { POLYCAST_TAG } from '../../core/gossip/polycast-tag.ts'
import type { Endpoint, MemberState } from '../../core/gossip/messages.ts'
import { decodeTags, encodeTags } from '../../core/gossip/serf-codec.ts'
import type { SerfMember } from '../../core/gossip/serf/serf-types.ts'
import type { SwimStatus } from '../../core/gossip/swim-types.ts'
import type { Verdict } from '../../core/gossip/verdict.ts'
import { assert } from '../../core/lib/assert.ts'
import { isWireError } from '../../core/wire/wire-error.ts'
import { partBytes } from './message-bytes.ts'
import { PACKET_BYTES, VERSIONS, type SimNode, type SimNodeOptions, type SimOutput, type TransportInput } from './sim-node.ts'

/** What a node says of itself that is a Polycast node and nothing more. */
export const WHOLE_META: Uint8Array = metaOf({})

/** Milliseconds since 1970 at the beginning of virtual time. */
const EPOCH_MS = 1_750_000_000_000

export class GossipNode implements SimNode {
  readonly machine: GossipMachine

  constructor({ meta, members, ...options }: SimNodeOptions, now: number) {
    const given = {
      ...options,
      tags: tagsOf(meta),
      versions: VERSIONS,
      messageBytes: partBytes,
      packetBytes: PACKET_BYTES,
      keyring: undefined,
      generation: EPOCH_MS + Math.floor(now),
      wallClockMs: EPOCH_MS + Math.floor(now),
    }
    this.machine = new GossipMachine(members === undefined ? given : { ...given, members }, now)
  }

  handle(input: TransportInput, now: number): void {
    this.machine.handle(input, now)
  }

  handleTimeout(now: number): void {
    this.machine.handleTimeout(now)
  }

  nextDeadline(): number {
    return this.machine.nextDeadline()
  }

  drain(): readonly SimOutput[] {
    const outputs: SimOutput[] = []
    for (const output of this.machine.drain()) {
      const told = toldOf(output)
      if (told !== undefined) outputs.push(told)
    }
    return outputs
  }

  join(endpoints: readonly Endpoint[], now: number): void {
    this.machine.handle({ type: 'join', endpoints, ignoreOldEvents: false }, now)
  }

  leave(now: number): void {
    this.machine.handle({ type: 'leave' }, now)
  }

  change(meta: Uint8Array, now: number): void {
    this.machine.handle({ type: 'tags', tags: tagsOf(meta) }, now)
  }

  status(): SwimStatus {
    return this.machine.serf.status()
  }

  stateOf(node: string): MemberState | undefined {
    const member = this.machine.serf.member(node)
    return member && memberState(member)
  }

  /** Sends an event to all, which is known by its name in the checks. */
  publish(name: string, payload: Uint8Array, now: number): void {
    this.machine.handle({ type: 'event', event: 0, name, payload, canCoalesce: false, wantsReport: false }, now)
  }

  /** Sets a key of the node's own state; removes it where no value is given. */
  set(key: string, value: Uint8Array | undefined, now: number): void {
    if (value === undefined) this.machine.handle({ type: 'remove-state', key }, now)
    else this.machine.handle({ type: 'set-state', key, value, ttlMs: undefined }, now)
  }
}

/** What a Polycast node says of itself, with these tags beside its own. */
export function metaOf(tags: Readonly<Record<string, string>>): Uint8Array {
  return encodeTags(new Map([[POLYCAST_TAG, '7947'], ...Object.entries(tags)]))
}

function tagsOf(meta: Uint8Array): ReadonlyMap<string, string> {
  const tags = decodeTags(meta)
  assert(!isWireError(tags), 'meta that was made of tags')
  return tags
}

/** An output as the world knows it; undefined for what is nobody's matter there. */
function toldOf(output: GossipOutput): SimOutput | undefined {
  switch (output.type) {
    case 'send':
    case 'open-stream':
    case 'close-stream':
    case 'answer':
    case 'refuse':
    case 'send-stream':
    case 'exchanged':
    case 'departed':
    case 'refuted':
    case 'packets-lost':
    case 'held-up':
      return output
    case 'event':
      return { type: 'event', key: output.event.name }
    case 'changed':
      return { type: 'state', key: `${output.node} ${output.key}` }
    case 'refused':
      return { type: 'wrong', what: `refused what ${output.from} sent: ${output.reason}` }
    case 'conflict-lost':
      return { type: 'wrong', what: output.reason }
    case 'rejected':
      // An answer may be for one that is not known here yet, or not any more.
      return output.input === 'send-extension' ? undefined : { type: 'wrong', what: `did not carry out ${output.input}: ${output.reason}` }
    case 'member':
      return memberTold(output)
    case 'conflict':
      return output
    case 'query':
    case 'query-ack':
    case 'query-response':
    case 'query-done':
    case 'key-change':
    // Links of whole nodes have no multicast; that of trees alone is in `tree-world.ts`.
    case 'multicast':
    case 'report':
    case 'snapshot':
    case 'name-kept':
      return undefined
  }
}

function memberTold({ change, member: told, verdict }: Extract<GossipOutput, { type: 'member' }>): SimOutput | undefined {
  const { name: node, address, port, incarnation, versions } = told
  const member = { node, address, port, meta: WHOLE_META, incarnation, state: memberState(told), versions }
  switch (change) {
    case 'joined':
    case 'updated':
    case 'cleared':
      return { type: change, member }
    case 'suspected':
    case 'failed':
    case 'left':
      // Who is declared to have left after having failed has no new verdict.
      return { type: change, member, verdict: verdict ?? leftLater(told) }
    case 'leaving':
    case 'reaped':
      return undefined
  }
}

function leftLater({ name, incarnation, changedAt: at }: SerfMember): Verdict {
  const none = { accusers: [], timeoutMs: undefined, probe: undefined }
  return { grounds: undefined, about: name, state: 'left', incarnation, from: name, source: 'packet', at, ...none }
}

function memberState({ status, isSuspect }: SerfMember): MemberState {
  if (status === 'failed') return 'dead'
  if (status === 'left') return 'left'
  return isSuspect ? 'suspect' : 'alive'
}
