/**
 * The sender of a reliable multicast session: NORM's way of repairing (RFC 5740), with feedback by unicast and parity over large blocks.
 * docs/specs/07-multicast.md.
 *
 * Here: who takes part, what they say, the status packets that steer them, and when the session begins and ends. Blocks and datagrams are
 * `block-sender.ts`'s matter. Everything goes to the group; nothing is ever sent to an address that a packet claimed to come from.
 */
import { assert } from '../lib/assert.ts'
import { isWireError } from '../wire/wire-error.ts'
import { BlockSender } from './block-sender.ts'
import { isOfSession, unwrapU32 } from './data-packet.ts'
import { FeedbackBudget } from './feedback-budget.ts'
import { FeedbackGate } from './feedback-gate.ts'
import { GroupSize } from './group-size.ts'
import { Grtt } from './grtt.ts'
import { type Member, MemberTable } from './member-table.ts'
import type { SenderBlock } from './sender-block.ts'
import {
  DEFAULT_SENDER_LIMITS,
  type GoneReason,
  type SenderEnd,
  type SenderInput,
  type SenderLimits,
  type SenderOptions,
  type SenderOutput,
  type SenderStatus,
} from './session-machine-types.ts'
import {
  type AnnouncedRepair,
  type ControlPacket,
  type ExpelReason,
  type JoinPacket,
  MAX_ANNOUNCED,
  MAX_WELCOMED,
  type NackPacket,
  type Position,
  REFUSED,
  type ReportPacket,
  SENDER_ID,
  type Welcomed,
  decodeControlHeader,
  encodeControl,
  openControl,
  sessionIdBytes,
} from './session-packets.ts'

/** Bytes of a report on the wire, for how often a large group may send one. */
const REPORT_WIRE_BYTES = 140

/** How often the members are looked through, ms. */
const SWEEP_MS = 50

/** The share of time for which a member may hold the session up in the long run. */
const STALL_SHARE = 0.05

/** The share of blocks that nobody is to ask for, by parity that goes ahead: while feedback is not too much, and when it is. */
const FEW_UNASKED = 0.15
const MANY_UNASKED = 0.7

/** Who has not answered for this long nobody waits for, ms: some polls and answers may have got lost. */
const ANSWER_MS = 60

/** Time between two polls while nothing waits, ms. */
const POLL_EVERY_MS = 100

/** A member that is put out is told so at most this often, ms. */
const TELL_AGAIN_MS = 50

/** Round trips beyond this are no measurement, ms. */
const MAX_RTT_MS = 10_000

/** The over-status is said so often at once: who misses all of them goes by its own timers. */
const FAREWELLS = 2

/** Deadlines by name, ms; Infinity for none. */
interface SenderTimers {
  /** The end of waiting for those who were invited. */
  start: number
  /** Joins that were collected are answered. */
  welcome: number
  status: number
  /** Repairs are announced. */
  announce: number
  /** Members are looked through. */
  sweep: number
}

export class MulticastSender {
  readonly #options: SenderOptions
  readonly #limits: SenderLimits
  readonly #sessionId: Uint8Array
  readonly #blocks: BlockSender
  readonly #members: MemberTable
  readonly #grtt: Grtt
  readonly #groupSize = new GroupSize()
  readonly #gate: FeedbackGate
  readonly #budget: FeedbackBudget
  readonly #timers: SenderTimers
  readonly #counters = {
    controlPackets: 0,
    controlBytes: 0,
    nacks: 0,
    reports: 0,
    joins: 0,
    feedbackBytes: 0,
    givenUpBlocks: 0,
    stalledMs: 0,
    foreignPackets: 0,
    malformedPackets: 0,
    forgedPackets: 0,
    replayedPackets: 0,
    limitedPackets: 0,
    refusedReceivers: 0,
  }
  #outputs: SenderOutput[] = []
  #phase: SenderStatus['phase'] = 'joining'
  #invited: ReadonlySet<string> = new Set()
  #welcomes: Welcomed[] = []
  #counter = 0
  /** Blocks that were asked for and have not come. */
  #wanted = 0
  #isEnded = false
  #startTimeoutAt: number
  #statusPauseMs: number
  #quietEnds = 0
  #hasCompleted = false
  #hasAnnouncement = false
  #announcedAt = -Infinity
  #stallSeenAt = -Infinity
  #polledAt = -Infinity

  constructor(options: SenderOptions, now: number) {
    this.#options = options
    this.#limits = { ...DEFAULT_SENDER_LIMITS, ...options.limits }
    const limits = this.#limits
    this.#sessionId = sessionIdBytes(options.parameters.sessionId)
    this.#blocks = new BlockSender(options, limits, (block, at) => this.#isNeeded(block, at), now)
    this.#members = new MemberTable(limits.maxReceivers)
    this.#grtt = new Grtt(limits.initialGrttMs, limits.minGrttMs, limits.maxGrttMs)
    this.#gate = new FeedbackGate(limits.maxPacketsPerReceiver, limits.maxUnknownPackets, 2 * limits.maxReceivers, now)
    this.#budget = new FeedbackBudget(limits.feedbackBytesPerSec, now)
    this.#startTimeoutAt = now + limits.startTimeoutMs
    this.#statusPauseMs = limits.minStatusMs
    this.#timers = {
      start: this.#startTimeoutAt,
      welcome: Infinity,
      status: now + limits.heartbeatMs,
      announce: Infinity,
      sweep: now + SWEEP_MS,
    }
  }

  /** Payload bytes of a block, at the most. */
  get maxPayloadBytes(): number {
    return this.#blocks.maxPayloadBytes
  }

  handle(input: SenderInput, now: number): void {
    if (this.#phase === 'over') return
    switch (input.type) {
      case 'invited':
        this.#invited = new Set([...this.#invited, ...input.names])
        return this.#considerStart(now)
      case 'block':
        assert(this.#wanted > 0 && !this.#isEnded, 'a block that was asked for')
        this.#wanted--
        return this.#blocks.push(input.payload)
      case 'end':
        this.#isEnded = true
        return this.#considerEnd(now)
      case 'packet':
        return this.#receive(input.from, input.bytes, now)
      case 'stop':
        return this.#finish('stopped', now)
    }
  }

  handleTimeout(now: number): void {
    if (this.#phase === 'over') return
    const timers = this.#timers
    const { rate } = this.#options
    if (now >= rate.nextDeadline()) rate.handleTimeout(now)
    if (now >= timers.welcome) this.#sendWelcomes(now)
    if (now >= timers.start) this.#considerStart(now)
    if (now >= timers.sweep) this.#sweep(now)
    if (now >= timers.announce) this.#announce(now)
    if (now >= timers.status) this.#statusDue(now)
    this.#expelSlow(now)
  }

  nextDeadline(): number {
    if (this.#phase === 'over') return Infinity
    const { start, welcome, status, announce, sweep } = this.#timers
    const sendAt = this.#phase === 'joining' ? Infinity : this.#blocks.nextDeadline()
    return Math.min(start, welcome, status, announce, sweep, sendAt, this.#options.rate.nextDeadline())
  }

  drain(): SenderOutput[] {
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }

  /**
   * The next datagram to the group, when the rate allows one now; to be asked until it has none. The bytes are used again later
   * (`limits.datagramSlots`). Outputs may come by it: drain after it.
   */
  nextDatagram(now: number): Uint8Array | undefined {
    if (this.#phase === 'joining' || this.#phase === 'over') return undefined
    const blocks = this.#blocks
    const datagram = blocks.nextDatagram(now)
    if (datagram === undefined) {
      if (blocks.stalledSince !== Infinity) this.#countStall(now)
      return undefined
    }
    if (blocks.room > this.#wanted) this.#wantBlocks()
    if (blocks.isIdle) this.#becomeIdle(now)
    return datagram
  }

  status(): SenderStatus {
    return {
      phase: this.#phase,
      receivers: this.#members.count,
      groupSize: this.#groupSize.value,
      grttMs: this.#grtt.valueMs,
      backoffMs: this.#backoffMs(),
      rateBytesPerSec: this.#options.rate.rateBytesPerSec,
      blocks: this.#blocks.sentBlocks,
      ...this.#blocks.counters,
      ...this.#counters,
    }
  }

  #receive(from: string, bytes: Uint8Array, now: number): void {
    const counters = this.#counters
    if (!isOfSession(bytes, this.#sessionId)) return void counters.foreignPackets++
    const header = decodeControlHeader(bytes)
    if (isWireError(header) || !header.isOfReceiver) return void counters.malformedPackets++
    const member = this.#members.ofId(header.senderId)
    if (member !== undefined && !member.replay.isNew(header.counter)) return void counters.replayedPackets++
    if (!this.#gate.admits(from, now)) return void counters.limitedPackets++
    const packet = openControl(this.#options.cipher, bytes, header)
    if (packet === undefined) return void counters.forgedPackets++
    if (isWireError(packet)) return void counters.malformedPackets++
    this.#gate.learn(from, now)
    counters.feedbackBytes += bytes.length
    if (packet.type === 'join') return this.#join(packet, member, header.senderId, header.counter, now)
    if (member === undefined || packet.type === 'status' || packet.type === 'welcome' || packet.type === 'expel') return
    if (packet.receiver !== member.receiver) return void counters.malformedPackets++
    member.replay.add(header.counter)
    if (member.gone !== undefined) return this.#tellAgain(member, now)
    member.heardAt = now
    if (packet.type === 'leave') return this.#remove(member, 'left', now)
    // That it hears the group, each says once: no longer back-off would spare it.
    if (member.isReached) this.#budget.add(bytes.length + this.#limits.packetOverheadBytes, now)
    this.#takePosition(member, packet, now)
    if (packet.type === 'nack') this.#takeNack(member, packet, now)
    else this.#takeReport(member, packet, now)
  }

  #join(packet: JoinPacket, known: Member | undefined, senderId: number, counter: number, now: number): void {
    this.#counters.joins++
    if (known !== undefined) {
      known.replay.add(counter)
      if (known.gone !== undefined) return this.#tellAgain(known, now)
      known.heardAt = now
      return this.#welcome({ senderId, receiver: known.receiver, firstBlock: known.firstBlock }, now)
    }
    // One life of a receiver follows on the other: the first one is over, whatever became of it.
    const before = this.#members.named(packet.name)
    if (before !== undefined) this.#remove(before, 'left', now, false)
    const member = this.#members.add(senderId, packet.name, this.#blocks.begunBlocks, now)
    if (member === undefined) {
      this.#counters.refusedReceivers++
      return this.#welcome({ senderId, receiver: REFUSED, firstBlock: 0 }, now)
    }
    member.replay.add(counter)
    this.#groupSize.setMembers(this.#members.count)
    this.#outputs.push({ type: 'joined', name: packet.name, receiver: member.receiver, app: new Uint8Array(packet.app) })
    if (this.#members.count === 2 && this.#phase === 'joining')
      this.#timers.start = Math.min(this.#timers.start, now + this.#limits.settleMs)
    this.#welcome({ senderId, receiver: member.receiver, firstBlock: member.firstBlock }, now)
  }

  #welcome(entry: Welcomed, now: number): void {
    this.#welcomes.push(entry)
    this.#timers.welcome = Math.min(this.#timers.welcome, now + this.#limits.welcomeMs)
    if (this.#welcomes.length >= this.#maxWelcomed()) this.#sendWelcomes(now)
  }

  #sendWelcomes(now: number): void {
    this.#timers.welcome = Infinity
    const members = this.#welcomes
    this.#welcomes = []
    if (members.length === 0) return
    this.#send({ type: 'welcome', timestampUs: toUs(now), groupSize: this.#groupSize.value, reportMs: this.#reportMs(), members }, now)
  }

  /** Welcomes get lost too: those who have not shown that they hear anything are told again, without waiting for them to ask. */
  #welcomeAgain(now: number): void {
    const { active, count } = this.#members
    if (count > this.#limits.exactGroup) return
    for (const { senderId, receiver, firstBlock, isReached, joinedAt } of active.values())
      if (!isReached && now - joinedAt > this.#limits.statusMs / 2) this.#welcome({ senderId, receiver, firstBlock }, now)
  }

  /** Entries of 14 bytes that fit a datagram beside the rest of a welcome. */
  #maxWelcomed(): number {
    const free = this.#options.parameters.datagramBytes - this.#options.cipher.controlOverheadBytes - 48
    return Math.max(1, Math.min(MAX_WELCOMED, Math.floor(free / 14)))
  }

  /** What every feedback says of its receiver. */
  #takePosition(member: Member, position: Position, now: number): void {
    if (!member.isReached) {
      member.isReached = true
      this.#outputs.push({ type: 'reached', name: member.name, receiver: member.receiver })
      this.#considerStart(now)
    }
    if (position.firstMissing <= this.#blocks.takenBlocks) member.firstMissing = Math.max(member.firstMissing, position.firstMissing)
    if (position.echoUs === 0 && position.holdUs === 0) return
    const rttMs = ((toUs(now) - position.echoUs - position.holdUs) | 0) / 1000
    if (rttMs < 0 || rttMs > MAX_RTT_MS) return
    member.rttMs = rttMs
    this.#grtt.sample(rttMs, now)
  }

  #takeReport(member: Member, packet: ReportPacket, now: number): void {
    const { rate } = this.#options
    this.#counters.reports++
    const { receivedPackets, lostPackets, lossBursts, overrunPackets, queueUs, receivedBytesPerSec } = packet
    const queueMs = queueUs / 1000
    const { receiver, rttMs } = member
    rate.report({ receiver, receivedPackets, lostPackets, lossBursts, overrunPackets, queueMs, receivedBytesPerSec, rttMs }, now)
    this.#expelSlow(now)
    if (!packet.isComplete || this.#phase !== 'ending' || member.gone !== undefined) return
    this.#remove(member, 'complete', now)
  }

  #takeNack(member: Member, packet: NackPacket, now: number): void {
    this.#counters.nacks++
    if (this.#options.rate.isSlow(member.receiver)) return
    const blocks = this.#blocks
    const sequence = unwrapU32(packet.sequence, blocks.sequence)
    let isFirst = false
    for (const { block, missing, held } of packet.blocks) {
      const asked = blocks.blockOf(block)
      if (asked === undefined || asked.repairs >= this.#limits.maxRepairs || asked.usedSymbols === 0) continue
      const need = Math.min(missing, asked.k) - asked.underWay(sequence, held)
      if (need <= 0) continue
      isFirst ||= asked.requests.need === 0
      asked.activeAt = now
      asked.requests.add(member.receiver, need, held)
      blocks.ask(asked, now + this.#aggregateMs())
      this.#quietEnds = 0
      if (asked.requests.need > asked.announced) this.#hasAnnouncement = true
    }
    if (isFirst && this.#backoffMs() > 0) this.#groupSize.sampleFirst(packet.backoff, this.#groupSize.value)
    if (this.#hasAnnouncement && this.#backoffMs() > 0)
      this.#timers.announce = Math.min(this.#timers.announce, Math.max(now, this.#announcedAt + this.#grtt.valueMs / 4))
  }

  /** Tells the group what will be repaired, so that those who lack no more than that keep silent. */
  #announce(now: number): void {
    this.#timers.announce = Infinity
    if (!this.#hasAnnouncement) return
    this.#hasAnnouncement = false
    this.#announcedAt = now
    this.#sendStatus(now)
  }

  #announcements(): AnnouncedRepair[] {
    const repairs: AnnouncedRepair[] = []
    if (this.#backoffMs() === 0) return repairs
    for (const block of this.#blocks.asked) {
      if (repairs.length === MAX_ANNOUNCED) break
      block.announced = block.requests.need
      repairs.push({ block: block.block, symbols: block.announced })
    }
    return repairs.sort((a, b) => a.block - b.block)
  }

  /** Whether the oldest block of a full window must stay: somebody asks for it, or may still do so. */
  #isNeeded(block: SenderBlock, now: number): boolean {
    if (block.repairAt !== Infinity && block.repairs < this.#limits.maxRepairs) return true
    const { active, count } = this.#members
    let isLacked = false
    if (count <= this.#limits.exactGroup) {
      for (const member of active.values()) {
        if (member.firstMissing > block.block) continue
        if (member.heldUpMs < this.#limits.stallMs && !this.#isDeaf(member, now)) return true
        isLacked = true
      }
    } else if (now - block.activeAt < 4 * (this.#backoffMs() + this.#grtt.valueMs + this.#aggregateMs()) + this.#limits.minStatusMs)
      return true
    if (isLacked) this.#counters.givenUpBlocks++
    return false
  }

  /** Whether nobody waits for a member: it did not answer, or is on its way out. */
  #isDeaf({ heardAt, polledAt, receiver }: Member, now: number): boolean {
    return (heardAt < polledAt && now - polledAt > ANSWER_MS) || this.#options.rate.isSlow(receiver)
  }

  /** Whether somebody is so far behind, by what it said last, that the window will soon wait for it. */
  #isBehind(now: number): boolean {
    const { active, count } = this.#members
    if (count > this.#limits.exactGroup || this.#phase !== 'sending' || now - this.#polledAt < POLL_EVERY_MS) return false
    const middle = (this.#blocks.firstBlock + this.#blocks.sentBlocks) / 2
    if (this.#blocks.sentBlocks - this.#blocks.firstBlock < this.#blocks.windowBlocks / 2) return false
    for (const { firstMissing } of active.values()) if (firstMissing < middle) return true
    return false
  }

  /** The window is full, and waits for those who are behind. Each may hold the session up for some time, and then for a small share of it. */
  #countStall(now: number): void {
    const since = Math.max(this.#blocks.stalledSince, this.#stallSeenAt)
    const elapsedMs = now - since
    if (elapsedMs <= 0 && now === this.#stallSeenAt) return
    if (this.#blocks.stalledSince > this.#stallSeenAt) this.#sendStatus(now, true)
    this.#stallSeenAt = now
    this.#counters.stalledMs += elapsedMs
    for (const member of this.#members.active.values()) if (member.firstMissing <= this.#blocks.firstBlock) member.heldUpMs += elapsedMs
  }

  #considerStart(now: number): void {
    if (this.#phase !== 'joining') return
    const { count, active } = this.#members
    const isTimeUp = now >= this.#timers.start
    if (!isTimeUp) {
      if (this.#invited.size === 0 || count < this.#invited.size) return
      let reached = 0
      for (const member of active.values()) if (member.isReached && this.#invited.has(member.name)) reached++
      if (reached < this.#invited.size) return
    }
    this.#timers.start = Infinity
    if (count === 0) return this.#finish('nobody', now)
    this.#phase = 'sending'
    this.#budget.begin(this.#groupSize.value)
    // How long to back off in a group of this size must be known before the first packet is lost.
    this.#sendStatus(now)
    this.#wantBlocks()
    this.#considerEnd(now)
  }

  #wantBlocks(): void {
    if (this.#isEnded) return
    const count = this.#blocks.room - this.#wanted
    if (count <= 0) return
    this.#wanted += count
    this.#outputs.push({ type: 'want-blocks', count })
  }

  #considerEnd(now: number): void {
    if (this.#isEnded && this.#phase === 'sending' && this.#blocks.isIdle) this.#becomeIdle(now)
  }

  /** Nothing is left to send for now: say so at once, as those who lost the last packets hear of it by nothing else. */
  #becomeIdle(now: number): void {
    if (this.#isEnded && this.#phase === 'sending') this.#phase = 'ending'
    this.#statusPauseMs = this.#limits.minStatusMs
    this.#quietEnds = 0
    this.#sendStatus(now)
  }

  #statusDue(now: number): void {
    if (this.#phase === 'ending' && this.#blocks.isIdle && ++this.#quietEnds > this.#limits.endRepeats) return this.#finish('complete', now)
    this.#sendStatus(now, this.#blocks.stalledSince !== Infinity || this.#isBehind(now))
  }

  #sendStatus(now: number, isPoll: boolean = false): void {
    this.#welcomeAgain(now)
    const blocks = this.#blocks
    this.#timers.status = now + this.#limits.statusMs
    if (blocks.isIdle && this.#phase !== 'joining') {
      this.#timers.status = now + this.#statusPauseMs
      const { endMs, heartbeatMs } = this.#limits
      this.#statusPauseMs =
        this.#phase === 'ending' ? Math.min(endMs, 1.2 * this.#statusPauseMs) : Math.min(heartbeatMs, 2 * this.#statusPauseMs)
    }
    const backoffMs = this.#backoffMs()
    blocks.requestsWithinMs = backoffMs === 0 ? 0 : 1.5 * (backoffMs + this.#grtt.valueMs + this.#aggregateMs())
    blocks.unaskedShare = backoffMs < this.#limits.maxBackoffMs ? FEW_UNASKED : MANY_UNASKED
    // Where nobody waits for each, nobody is asked.
    const { active, count } = this.#members
    const asksAll = isPoll && count <= this.#limits.exactGroup
    if (asksAll) {
      this.#polledAt = now
      for (const member of active.values()) if (member.heardAt >= member.polledAt) member.polledAt = now
    }
    this.#sendState(now, asksAll, false, false)
  }

  #sendState(now: number, isPoll: boolean, isOver: boolean, isStopped: boolean): void {
    const blocks = this.#blocks
    this.#send(
      {
        type: 'status',
        timestampUs: toUs(now),
        isEnd: this.#phase === 'ending' || (isOver && !isStopped),
        isOver,
        isPoll,
        isStopped,
        sequence: blocks.sequence % 2 ** 32,
        firstBlock: blocks.firstBlock,
        nextBlock: blocks.sentBlocks,
        grttUs: Math.round(this.#grtt.valueMs * 1000),
        backoffUs: Math.round(this.#backoffMs() * 1000),
        aggregateUs: Math.round(this.#aggregateMs() * 1000),
        reportMs: this.#reportMs(),
        groupSize: this.#groupSize.value,
        usualNeed: Math.min(255, Math.round(blocks.usualNeed)),
        repairs: isOver ? [] : this.#announcements(),
      },
      now,
    )
  }

  #sweep(now: number): void {
    this.#timers.sweep = now + SWEEP_MS
    const limits = this.#limits
    const reportMs = this.#reportMs()
    for (const member of this.#members.active.values()) {
      member.heldUpMs = Math.max(0, member.heldUpMs - STALL_SHARE * SWEEP_MS)
      if (!member.isReached) {
        if (now - member.joinedAt > Math.max(limits.reachMs, 2 * reportMs)) this.#expel(member, 'unreached', now)
      } else if (now - member.heardAt > Math.max(limits.receiverSilentMs, 4 * reportMs)) this.#expel(member, 'silent', now)
    }
  }

  #expelSlow(now: number): void {
    for (const receiver of this.#options.rate.takeSlow()) {
      const member = this.#members.active.get(receiver)
      if (member !== undefined) this.#expel(member, 'slow', now)
    }
  }

  #expel(member: Member, reason: ExpelReason, now: number): void {
    member.toldAt = now
    this.#send({ type: 'expel', members: [{ receiver: member.receiver, reason }] }, now)
    this.#remove(member, reason, now)
  }

  /** Somebody speaks that was put out: it may not have heard so. */
  #tellAgain(member: Member, now: number): void {
    const reason = member.gone
    if (now - member.toldAt < TELL_AGAIN_MS || (reason !== 'slow' && reason !== 'silent' && reason !== 'unreached')) return
    member.toldAt = now
    this.#send({ type: 'expel', members: [{ receiver: member.receiver, reason }] }, now)
  }

  /** `mayFinish` is false where another one comes at once. */
  #remove(member: Member, reason: GoneReason, now: number, mayFinish: boolean = true): void {
    this.#members.remove(member, reason)
    if (reason === 'complete') this.#hasCompleted = true
    this.#groupSize.setMembers(this.#members.count)
    this.#outputs.push({ type: 'gone', name: member.name, receiver: member.receiver, reason })
    if (!mayFinish || this.#members.count > 0 || this.#phase === 'joining' || this.#phase === 'over') return
    this.#finish(this.#hasCompleted ? 'complete' : 'nobody', now)
  }

  #finish(reason: SenderEnd, now: number): void {
    if (this.#members.count > 0 || this.#phase !== 'joining')
      for (let i = 0; i < FAREWELLS; i++) this.#sendState(now, false, true, reason !== 'complete')
    this.#phase = 'over'
    for (const member of this.#members.active.values())
      this.#outputs.push({ type: 'gone', name: member.name, receiver: member.receiver, reason: reason === 'stopped' ? 'left' : 'silent' })
    this.#outputs.push({ type: 'finished', reason })
  }

  #backoffMs(): number {
    const { smallGroup, backoffFactor, minBackoffMs, maxBackoffMs } = this.#limits
    if (this.#groupSize.value <= smallGroup) return 0
    return Math.min(maxBackoffMs, Math.max(minBackoffMs, backoffFactor * this.#grtt.valueMs) * this.#budget.stretch)
  }

  /** How long requests are gathered: for the others' to come while nobody backs off, else until most have drawn. */
  #aggregateMs(): number {
    const { minAggregateMs, maxAggregateMs } = this.#limits
    const backoffMs = this.#backoffMs()
    return Math.min(maxAggregateMs, Math.max(minAggregateMs, backoffMs > 0 ? this.#grtt.valueMs + backoffMs / 2 : this.#grtt.valueMs / 4))
  }

  #reportMs(): number {
    const { reportMs, feedbackBytesPerSec } = this.#limits
    return Math.max(reportMs, Math.ceil((this.#groupSize.value * REPORT_WIRE_BYTES * 2000) / feedbackBytesPerSec))
  }

  #send(packet: ControlPacket, now: number): void {
    const bytes = encodeControl(this.#options.cipher, this.#sessionId, SENDER_ID, this.#counter++, packet)
    this.#counters.controlPackets++
    this.#counters.controlBytes += bytes.length
    this.#options.rate.sent(bytes.length, now)
    this.#outputs.push({ type: 'send', to: 'group', bytes })
  }
}

/** The sender's clock on the wire: µs modulo 2^32. */
function toUs(now: number): number {
  return (now * 1000) >>> 0
}
