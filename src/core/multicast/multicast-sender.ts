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
import { isOfSession } from './data-packet.ts'
import { FeedbackGate } from './feedback-gate.ts'
import { FeedbackSteering } from './feedback-steering.ts'
import { type Member, MemberTable } from './member-table.ts'
import { RepairDesk } from './repair-desk.ts'
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
  type ControlPacket,
  type ExpelReason,
  type JoinPacket,
  type NackPacket,
  type Position,
  type ReportPacket,
  SENDER_ID,
  decodeControlHeader,
  encodeControl,
  openControl,
  sessionIdBytes,
} from './session-packets.ts'
import { StallWatch } from './stall-watch.ts'
import { WelcomeDesk } from './welcome-desk.ts'

/** How often the members are looked through, ms. */
const SWEEP_MS = 50

/** A member that is put out is told so at most this often, ms. */
const TELL_AGAIN_MS = 50

/** The over-status is said so often at once: who misses all of them goes by its own timers. */
const FAREWELLS = 2

/** Deadlines by name, ms; Infinity for none. */
interface SenderTimers {
  /** The end of waiting for those who were invited. */
  start: number
  status: number
  /** Members are looked through. */
  sweep: number
}

export class MulticastSender {
  readonly #options: SenderOptions
  readonly #limits: SenderLimits
  readonly #sessionId: Uint8Array
  readonly #blocks: BlockSender
  readonly #members: MemberTable
  readonly #steering: FeedbackSteering
  readonly #desk: WelcomeDesk
  readonly #stall: StallWatch
  readonly #repairs: RepairDesk
  readonly #gate: FeedbackGate
  readonly #timers: SenderTimers
  readonly #counters = {
    controlPackets: 0,
    controlBytes: 0,
    nacks: 0,
    reports: 0,
    joins: 0,
    feedbackBytes: 0,
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
  #counter = 0
  /** Blocks that were asked for and have not come. */
  #wanted = 0
  #isEnded = false
  #statusPauseMs: number
  #quietEnds = 0
  #hasCompleted = false

  constructor(options: SenderOptions, now: number) {
    this.#options = options
    this.#limits = { ...DEFAULT_SENDER_LIMITS, ...options.limits }
    const limits = this.#limits
    this.#sessionId = sessionIdBytes(options.parameters.sessionId)
    this.#members = new MemberTable(limits.maxReceivers)
    this.#steering = new FeedbackSteering(limits, now)
    this.#desk = new WelcomeDesk(limits, options.parameters.datagramBytes - options.cipher.controlOverheadBytes)
    this.#stall = new StallWatch(limits, this.#members, this.#steering, options.rate)
    this.#blocks = new BlockSender(options, limits, this.#stall, now)
    this.#repairs = new RepairDesk(limits, this.#blocks, this.#steering)
    this.#gate = new FeedbackGate(limits.maxPacketsPerReceiver, limits.maxUnknownPackets, 2 * limits.maxReceivers, now)
    this.#statusPauseMs = limits.minStatusMs
    this.#timers = {
      start: now + limits.startTimeoutMs,
      status: now + limits.heartbeatMs,
      sweep: now + SWEEP_MS,
    }
  }

  /** Payload bytes of a block, at the most. */
  get maxPayloadBytes(): number {
    return this.#blocks.maxPayloadBytes
  }

  /** What the rate control allows now, bytes per second on the wire. */
  get rateBytesPerSec(): number {
    return this.#options.rate.rateBytesPerSec
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
    while (now >= this.#desk.dueAt) this.#sendWelcome(now)
    if (now >= timers.start) this.#considerStart(now)
    if (now >= timers.sweep) this.#sweep(now)
    this.#expelSlow(now)
    if (this.#isOver()) return
    if (now >= this.#repairs.announceAt) this.#sendStatus(now)
    if (now >= timers.status) this.#statusDue(now)
  }

  nextDeadline(): number {
    if (this.#phase === 'over') return Infinity
    const { start, status, sweep } = this.#timers
    const sendAt = this.#phase === 'joining' ? Infinity : this.#blocks.nextDeadline()
    return Math.min(start, this.#desk.dueAt, status, this.#repairs.announceAt, sweep, sendAt, this.#options.rate.nextDeadline())
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
    if (this.#stall.takePoll()) this.#sendStatus(now, true)
    if (datagram === undefined) return undefined
    if (blocks.room > this.#wanted) this.#wantBlocks()
    if (blocks.isIdle) this.#becomeIdle(now)
    else if (this.#isEnded && this.#phase === 'sending') this.#considerEnd(now)
    return datagram
  }

  status(): SenderStatus {
    return {
      phase: this.#phase,
      receivers: this.#members.count,
      groupSize: this.#steering.groupSize,
      grttMs: this.#steering.grttMs,
      backoffMs: this.#steering.backoffMs,
      rateBytesPerSec: this.rateBytesPerSec,
      blocks: this.#blocks.sentBlocks,
      ...this.#blocks.counters,
      ...this.#counters,
      givenUpBlocks: this.#stall.givenUpBlocks,
      stalledMs: this.#stall.stalledMs,
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
    if (member.isReached) this.#steering.count(bytes.length, now)
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
      return this.#desk.welcome(known, now)
    }
    // One life of a receiver follows on the other: the first one is over, whatever became of it.
    const before = this.#members.named(packet.name)
    if (before !== undefined) this.#remove(before, 'left', now, false)
    const member = this.#members.add(senderId, packet.name, this.#blocks.begunBlocks, now)
    if (member === undefined) {
      this.#counters.refusedReceivers++
      return this.#desk.refuse(senderId, now)
    }
    member.replay.add(counter)
    this.#steering.setMembers(this.#members.count)
    this.#outputs.push({ type: 'joined', name: packet.name, receiver: member.receiver, app: new Uint8Array(packet.app) })
    if (this.#members.count === 2 && this.#phase === 'joining')
      this.#timers.start = Math.min(this.#timers.start, now + this.#limits.settleMs)
    this.#desk.welcome(member, now)
  }

  #sendWelcome(now: number): void {
    const { groupSize, reportMs } = this.#steering
    this.#send({ type: 'welcome', timestampUs: toUs(now), groupSize, reportMs, members: this.#desk.take(now) }, now)
  }

  /** What every feedback says of its receiver. */
  #takePosition(member: Member, position: Position, now: number): void {
    if (this.#members.reach(member)) {
      this.#outputs.push({ type: 'reached', name: member.name, receiver: member.receiver })
      this.#considerStart(now)
    }
    if (position.firstMissing <= this.#blocks.takenBlocks) member.firstMissing = Math.max(member.firstMissing, position.firstMissing)
    if (position.echoUs === 0 && position.holdUs === 0) return
    member.hearsAt = Math.max(member.hearsAt, now - position.holdUs / 1000)
    member.rttMs = this.#steering.sampleRtt(position.echoUs, position.holdUs, toUs(now), now) ?? member.rttMs
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
    if (this.#repairs.take(packet, now)) this.#quietEnds = 0
  }

  #considerStart(now: number): void {
    if (this.#phase !== 'joining') return
    const isComplete = this.#invited.size > 0 && this.#members.reachedCount >= this.#invited.size
    if (!isComplete && now < this.#timers.start) return
    this.#timers.start = Infinity
    if (this.#members.count === 0) return this.#finish('nobody', now)
    this.#phase = 'sending'
    this.#steering.begin()
    // How long to back off in a group of this size must be known before the first packet is lost.
    this.#sendStatus(now)
    this.#wantBlocks()
    this.#considerEnd(now)
  }

  /** A method, as every call in between may have changed it. */
  #isOver(): boolean {
    return this.#phase === 'over'
  }

  #wantBlocks(): void {
    if (this.#isEnded) return
    const count = this.#blocks.room - this.#wanted
    if (count <= 0) return
    this.#wanted += count
    this.#outputs.push({ type: 'want-blocks', count })
  }

  /** Once every block was sent the end is known: whoever has all of them is done, while others still ask. */
  #considerEnd(now: number): void {
    const { sentBlocks, takenBlocks, isIdle } = this.#blocks
    if (!this.#isEnded || this.#phase !== 'sending' || sentBlocks < takenBlocks) return
    this.#phase = 'ending'
    if (isIdle) this.#becomeIdle(now)
    else this.#sendStatus(now)
  }

  /** Nothing is left to send for now: say so at once, as those who lost the last packets hear of it by nothing else. */
  #becomeIdle(now: number): void {
    if (this.#isEnded) this.#phase = 'ending'
    this.#statusPauseMs = this.#limits.minStatusMs
    this.#quietEnds = 0
    this.#sendStatus(now)
  }

  #statusDue(now: number): void {
    if (this.#phase === 'ending' && this.#blocks.isIdle && ++this.#quietEnds > this.#limits.endRepeats) return this.#finish('complete', now)
    this.#sendStatus(now, this.#isStarting() || this.#stall.isStalled || this.#isBehind(now))
  }

  /** Whether the rate waits for reports, of a group in which all may speak at once. */
  #isStarting(): boolean {
    return this.#phase === 'sending' && this.#options.rate.isStarting && this.#members.count <= this.#limits.smallGroup
  }

  /** Whether a member is so far behind, by what it said last, that the window will soon wait for it. */
  #isBehind(now: number): boolean {
    const { firstBlock, sentBlocks, windowBlocks } = this.#blocks
    return this.#phase === 'sending' && this.#stall.isBehind(firstBlock, sentBlocks, windowBlocks, now)
  }

  #sendStatus(now: number, isPoll: boolean = false): void {
    if (this.#members.count <= this.#limits.exactGroup) this.#desk.remind(this.#members.active.values(), now)
    const blocks = this.#blocks
    this.#timers.status = now + (this.#isStarting() ? this.#limits.startStatusMs : this.#limits.statusMs)
    if (blocks.isIdle && this.#phase !== 'joining') {
      this.#timers.status = now + this.#statusPauseMs
      const { endMs, heartbeatMs } = this.#limits
      this.#statusPauseMs =
        this.#phase === 'ending' ? Math.min(endMs, 1.2 * this.#statusPauseMs) : Math.min(heartbeatMs, 2 * this.#statusPauseMs)
    }
    blocks.requestsWithinMs = this.#steering.requestsWithinMs
    blocks.unaskedShare = this.#steering.unaskedShare
    // Where nobody waits for each, nobody is asked.
    const asksAll = isPoll && this.#members.count <= this.#limits.exactGroup
    if (asksAll) this.#stall.polled(now)
    this.#sendState(now, asksAll, false, false)
  }

  #sendState(now: number, isPoll: boolean, isOver: boolean, isStopped: boolean): void {
    const blocks = this.#blocks
    const { grttMs, backoffMs, aggregateMs, reportMs, groupSize } = this.#steering
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
        grttUs: Math.round(grttMs * 1000),
        backoffUs: Math.round(backoffMs * 1000),
        aggregateUs: Math.round(aggregateMs * 1000),
        reportMs,
        groupSize,
        usualNeed: Math.min(255, Math.round(blocks.usualNeed)),
        repairs: isOver ? [] : this.#repairs.announce(now),
      },
      now,
    )
  }

  #sweep(now: number): void {
    this.#timers.sweep = now + SWEEP_MS
    const limits = this.#limits
    const { reportMs } = this.#steering
    this.#stall.forgive(SWEEP_MS)
    for (const member of this.#members.active.values()) {
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
    this.#steering.setMembers(this.#members.count)
    this.#outputs.push({ type: 'gone', name: member.name, receiver: member.receiver, reason })
    if (!mayFinish || this.#members.count > 0 || this.#phase === 'joining' || this.#phase === 'over') return
    this.#finish(this.#hasCompleted ? 'complete' : 'nobody', now)
  }

  #finish(reason: SenderEnd, now: number): void {
    if (this.#members.count > 0 || this.#phase !== 'joining')
      for (let i = 0; i < FAREWELLS; i++) this.#sendState(now, false, true, reason !== 'complete')
    this.#phase = 'over'
    // In a large group that nobody asks for more is all that is ever known of most.
    const isLarge = this.#members.count > this.#limits.exactGroup
    const gone = reason === 'stopped' ? 'left' : isLarge ? 'complete' : 'silent'
    for (const { name, receiver } of this.#members.active.values()) this.#outputs.push({ type: 'gone', name, receiver, reason: gone })
    this.#outputs.push({ type: 'finished', reason })
  }

  #send(packet: ControlPacket, now: number): void {
    const bytes = encodeControl(this.#options.cipher, this.#sessionId, SENDER_ID, this.#counter++, packet)
    this.#counters.controlPackets++
    this.#counters.controlBytes += bytes.length
    this.#options.rate.sent(bytes.length, now)
    this.#outputs.push({ type: 'send', bytes })
  }
}

/** The sender's clock on the wire: µs modulo 2^32. */
function toUs(now: number): number {
  return (now * 1000) >>> 0
}
