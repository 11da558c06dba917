/**
 * What the parts of a `SwimMachine` share: the members, the queue of broadcasts, the suspicions, the doubt about itself, and the list
 * of outputs. It decides nothing; it puts packets together, because every packet takes broadcasts along.
 */
import type { Random } from '../lib/random.ts'
import { equalBytes } from '../lib/bytes.ts'
import { Awareness } from './awareness.ts'
import { BroadcastQueue } from './broadcast-queue.ts'
import { MemberTable, type Member } from './member-table.ts'
import { sameEndpoint } from './endpoint.ts'
import type { Endpoint, MemberRecord, PacketMessage, PingSource } from './messages.ts'
import { retransmitLimit, type GossipProfile } from './profile.ts'
import { SharedBytes } from './shared-bytes.ts'
import { Suspicions } from './suspicion.ts'
import { DEFAULT_SWIM_LIMITS, type SwimLimits, type SwimOptions, type SwimOutput } from './swim-types.ts'

export class SwimState {
  readonly options: SwimOptions
  readonly limits: SwimLimits
  readonly profile: GossipProfile
  readonly table: MemberTable
  readonly awareness: Awareness
  readonly broadcasts: BroadcastQueue<PacketMessage>
  readonly suspicions: Suspicions = new Suspicions()
  /** What members say of themselves. */
  readonly metas: SharedBytes = new SharedBytes()
  /** For the moments at which things begin. */
  readonly random: Random
  /** How this member names itself as the one to answer. */
  readonly source: Required<PingSource>
  /** Whether the others know this member as it is, so that there is nothing to tell of it. */
  readonly isKnown: boolean
  isLeaving = false
  /** Whether something waits that is to be told before the next gossip of itself. */
  isUrgent = false
  refusedMessages = 0
  refusedRelays = 0
  failedSends = 0
  skippedProbes = 0
  #sequence = 0
  #stream = 0
  #outputs: SwimOutput[] = []

  constructor(options: SwimOptions, now: number) {
    const { node, endpoint, meta, versions, profile, random } = options
    this.options = options
    this.limits = { ...DEFAULT_SWIM_LIMITS, ...options.limits }
    this.profile = profile
    this.random = random.fork('times')
    this.awareness = new Awareness(profile.awarenessMaxMultiplier)
    this.broadcasts = new BroadcastQueue(options.messageBytes, this.limits.maxBroadcasts)
    this.source = { sourceAddress: endpoint.address, sourcePort: endpoint.port, sourceNode: node }
    const before = options.members?.records[options.members.indexOf(node) ?? -1]
    this.isKnown = before !== undefined && isAs(before, options)
    const self: Member = {
      node,
      endpoint,
      meta,
      versions,
      incarnation: before === undefined ? 1 : before.incarnation + (this.isKnown ? 0 : 1),
      state: 'alive',
      changedAt: now,
      verdict: undefined,
      lastRttMs: undefined,
    }
    this.table = new MemberTable(self, random.fork('members'), options.members)
  }

  get self(): Member {
    return this.table.self
  }

  /** Whether this member, or the layer above, has anything to spread. */
  get hasBroadcasts(): boolean {
    return this.broadcasts.length > 0 || this.options.layer?.hasBroadcasts() === true
  }

  emit(output: SwimOutput): void {
    this.#outputs.push(output)
  }

  drain(): SwimOutput[] {
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }

  /** A number for a ping; 32 bits, never 0. */
  nextSequence(): number {
    this.#sequence = this.#sequence === 0xffffffff ? 1 : this.#sequence + 1
    return this.#sequence
  }

  nextStream(): number {
    return ++this.#stream
  }

  /** Sends messages, and with them as many broadcasts as fit. */
  send(to: Endpoint, node: string | undefined, messages: readonly PacketMessage[]): void {
    let free = this.options.packetBytes
    for (const message of messages) free -= this.options.messageBytes(message)
    this.emit({ type: 'send', to, node, messages: [...messages, ...this.#takeBroadcasts(free)] })
  }

  /**
   * Sends broadcasts alone; whether there were any. Those of the layer above are sent a few times only, and not spent on the dead: where
   * several died at once, they would reach nobody.
   */
  sendBroadcasts(member: Member): boolean {
    const room = this.options.packetBytes
    const sendLimit = retransmitLimit(this.profile, this.table.size)
    const messages = member.state === 'dead' ? this.broadcasts.take(room, sendLimit) : this.#takeBroadcasts(room)
    if (messages.length > 0) this.emit({ type: 'send', to: member.endpoint, node: member.node, messages })
    return messages.length > 0
  }

  #takeBroadcasts(freeBytes: number): PacketMessage[] {
    const sendLimit = retransmitLimit(this.profile, this.table.size)
    const messages = this.broadcasts.take(freeBytes, sendLimit)
    const { layer, messageBytes } = this.options
    if (layer === undefined) return messages
    let free = freeBytes
    for (const message of messages) free -= messageBytes(message)
    return free > 0 ? [...messages, ...layer.broadcasts(free, sendLimit)] : messages
  }
}

/** Whether a record says of a member what it says of itself. */
function isAs({ address, port, meta, state, versions }: MemberRecord, now: SwimOptions): boolean {
  if (state !== 'alive' || !sameEndpoint({ address, port }, now.endpoint) || !equalBytes(meta, now.meta)) return false
  return versions !== undefined && versions.every((version, index) => version === now.versions[index])
}
