/**
 * Who has an event: receipts that are gathered on the way back to its origin. docs/specs/06-broadcast.md §7.
 *
 * A node answers to the one that it first got the event from, once all to whom it passed it on have answered or said that they had it
 * already, or when its time is up; the time gets shorter with each link, so that those far out give up first. An answer holds the hashes
 * of the names of all below, three bytes or so each, and is acknowledged, so that one that is lost is sent again. What comes late is passed
 * on as it comes. The origin hears from its neighbours alone, compares with the members it knew when it sent the event, and asks those
 * directly of which nobody spoke; they get the event this way, too, if they lack it.
 *
 * Two names with one hash count as one: with 10,000 members that is so for some pair in one cluster of a hundred, and then hides a missing
 * one only if it is of that pair.
 */
import { MAX_RECEIPTS } from './broadcast-codec.ts'
import type { EventId, Receipts } from './broadcast-messages.ts'
import type { BroadcastState } from './broadcast-state.ts'
import { hashText } from '../../lib/text-hash.ts'
import { eventKey, type LoggedEvent } from './message-log.ts'

interface Unacknowledged {
  readonly message: Receipts
  readonly sentAt: number
  resendAt: number
  resends: number
}

/** The receipts of one event at a node that passes them on. */
interface Relayed {
  readonly id: EventId
  /** To whom they go. */
  readonly to: string
  /** Gathered and not sent. */
  readonly hashes: Set<number>
  /** Those that have not answered yet. */
  readonly waiting: Set<string>
  /** When the answer goes out at the latest; Infinity when there is nothing to say. */
  sendAt: number
  /** Until when late answers are passed on. */
  readonly endsAt: number
  isAnswered: boolean
  parts: number
  readonly unacknowledged: Map<number, Unacknowledged>
}

/** The report of one event at its origin. */
interface Report {
  readonly id: EventId
  readonly broadcast: number
  readonly of: number
  /** Names of those nobody has spoken of, by their hashes. */
  readonly missing: Map<number, string>
  readonly waiting: Set<string>
  askAt: number
  readonly endsAt: number
}

/** The share of the report's time after which the origin asks itself. */
const TREE_SHARE = 0.5
/** The origin asks again after this share of the time. */
const ASK_SHARE = 0.1
const RESENDS = 4
/** How long late answers are gathered before they are passed on, ms. */
const LATE_MS = 20

export class ReceiptCollector {
  readonly #state: BroadcastState
  readonly #reports: Map<string, Report> = new Map()
  readonly #relayed: Map<string, Relayed> = new Map()
  readonly #ownHash: number
  /** Nothing is due before. */
  #dueAt = Infinity

  constructor(state: BroadcastState) {
    this.#state = state
    this.#ownHash = hashText(state.node)
  }

  nextDeadline(): number {
    return this.#dueAt
  }

  handleTimeout(now: number): void {
    if (now < this.#dueAt) return
    this.#dueAt = Infinity
    for (const [key, relayed] of this.#relayed) this.#relayDue(key, relayed, now)
    for (const [key, report] of this.#reports) this.#reportDue(key, report, now)
  }

  /** Whether there is room for another report. */
  get canBegin(): boolean {
    return this.#reports.size < this.#state.settings.maxReports
  }

  /** When the receipts for an event that begins here have to be back; undefined when there are too many reports already. */
  begin(id: EventId, broadcast: number, now: number): number | undefined {
    const { reportTimeoutMs } = this.#state.settings
    if (!this.canBegin) {
      this.#state.dropped.reports++
      return undefined
    }
    const missing: Map<number, string> = new Map()
    this.#state.members.forEach((name, hash) => missing.set(hash, name))
    const treeMs = TREE_SHARE * reportTimeoutMs
    const report = {
      id,
      broadcast,
      of: this.#state.members.size,
      missing,
      waiting: new Set<string>(),
      askAt: now + treeMs,
      endsAt: now + reportTimeoutMs,
    }
    this.#reports.set(eventKey(id), report)
    this.#due(report.askAt)
    return now + treeMs
  }

  /** An event that somebody wants a report of is here, or begins here; those below are to send receipts. */
  received(event: LoggedEvent, below: readonly string[], now: number): void {
    if (event.reportAt === undefined) return
    const report = this.#reports.get(event.key)
    if (report !== undefined) {
      for (const node of below) report.waiting.add(node)
      if (report.waiting.size === 0) report.askAt = Math.min(report.askAt, now + ASK_SHARE * this.#state.settings.reportTimeoutMs)
      if (report.missing.size === 0) report.askAt = now
      return this.#due(report.askAt)
    }
    if (event.reportTo === undefined) return
    if (this.#relayed.size >= this.#state.settings.maxRelayedReports) this.#dropOldest(now)
    this.#relay(event, event.reportTo, below, now)
  }

  /** A payload was sent to one more, on request. */
  passedOn(event: LoggedEvent, to: string): void {
    const waiting = this.#waitingOf(event)
    if (waiting !== undefined && to !== event.reportTo) waiting.add(to)
  }

  /** One that was thought to be below has the event from elsewhere; and it learns that this node is not below it. */
  handleDuplicate(id: EventId, from: string, wantsReport: boolean, now: number): void {
    if (!wantsReport) return
    const relayed = this.#relayed.get(eventKey(id))
    if (relayed?.to === from) return
    this.#state.send(from, { type: 'receipts', ...pick(id), part: 0, isLast: true, hashes: [] })
    this.#answered(id, from, now)
  }

  /** `isSeen`: whether the event is here. Who has it by multicast may answer before; then it is to say so again. */
  handleReceipts(from: string, message: Receipts, isSeen: boolean, now: number): void {
    const key = eventKey(message)
    const report = this.#reports.get(key)
    const relayed = this.#relayed.get(key)
    if (report === undefined && relayed === undefined && !isSeen) return
    if (message.part > 0) this.#state.send(from, { type: 'receipts-ack', ...pick(message), part: message.part })
    if (report !== undefined) {
      for (const hash of message.hashes) report.missing.delete(hash)
    } else if (relayed !== undefined) {
      const most = this.#state.members.size + 1
      for (const hash of message.hashes) {
        if (relayed.hashes.size >= most) break
        relayed.hashes.add(hash)
      }
      if (relayed.isAnswered && relayed.hashes.size > 0) {
        relayed.sendAt = Math.min(relayed.sendAt, now + LATE_MS)
        this.#due(relayed.sendAt)
      }
    }
    if (message.isLast) this.#answered(message, from, now)
    if (report !== undefined && report.missing.size === 0) {
      report.askAt = now
      this.#due(now)
    }
  }

  handleAcknowledgement(from: string, id: EventId, part: number, now: number): void {
    const relayed = this.#relayed.get(eventKey(id))
    if (relayed?.to !== from) return
    const sent = relayed.unacknowledged.get(part)
    if (sent === undefined) return
    if (sent.resends === 0) this.#state.noticeRoundTrip(now - sent.sentAt)
    relayed.unacknowledged.delete(part)
  }

  /** The origin asks for this node alone. */
  handleAsk(from: string, id: EventId): void {
    this.#state.send(from, { type: 'receipts', ...pick(id), part: 0, isLast: false, hashes: [this.#ownHash] })
  }

  memberDown(node: string, now: number): void {
    for (const { id, waiting } of [...this.#relayed.values(), ...this.#reports.values()])
      if (waiting.has(node)) this.#answered(id, node, now)
  }

  // ---- at those in between ----

  #relay(event: LoggedEvent, to: string, below: readonly string[], now: number): void {
    const { reportTimeoutMs } = this.#state.settings
    const reportAt = event.reportAt ?? now
    const relayed: Relayed = {
      id: event,
      to,
      hashes: new Set([this.#ownHash]),
      waiting: new Set(below),
      sendAt: below.length === 0 ? now : reportAt,
      endsAt: now + reportTimeoutMs,
      isAnswered: false,
      parts: 0,
      unacknowledged: new Map(),
    }
    this.#relayed.set(event.key, relayed)
    this.#relayDue(event.key, relayed, now)
  }

  #relayDue(key: string, relayed: Relayed, now: number): void {
    if (now >= relayed.endsAt) return void this.#relayed.delete(key)
    if (now >= relayed.sendAt) this.#answer(relayed, now)
    let dueAt = Math.min(relayed.sendAt, relayed.endsAt)
    for (const [part, sent] of relayed.unacknowledged) {
      if (now >= sent.resendAt) {
        if (sent.resends >= RESENDS) {
          relayed.unacknowledged.delete(part)
          continue
        }
        sent.resends++
        sent.resendAt = now + this.#state.answerMs * 2 ** sent.resends
        this.#state.send(relayed.to, sent.message)
      }
      dueAt = Math.min(dueAt, sent.resendAt)
    }
    this.#due(dueAt)
  }

  #answer(relayed: Relayed, now: number): void {
    const hashes = [...relayed.hashes].sort((a, b) => a - b)
    relayed.hashes.clear()
    relayed.sendAt = Infinity
    relayed.isAnswered = true
    for (let at = 0; at < hashes.length; at += MAX_RECEIPTS) {
      const isLast = at + MAX_RECEIPTS >= hashes.length
      const part = ++relayed.parts
      const message: Receipts = { type: 'receipts', ...pick(relayed.id), part, isLast, hashes: hashes.slice(at, at + MAX_RECEIPTS) }
      relayed.unacknowledged.set(part, { message, sentAt: now, resendAt: now + this.#state.answerMs, resends: 0 })
      this.#state.send(relayed.to, message)
    }
  }

  /** What has waited longest says now what it knows. */
  #dropOldest(now: number): void {
    for (const [key, relayed] of this.#relayed) {
      if (!relayed.isAnswered) {
        this.#state.dropped.reports++
        this.#answer(relayed, now)
      }
      this.#relayed.delete(key)
      break
    }
  }

  // ---- at the origin ----

  #reportDue(key: string, report: Report, now: number): void {
    const { reportTimeoutMs, maxAsked } = this.#state.settings
    if (report.missing.size === 0 || now >= report.endsAt) {
      this.#reports.delete(key)
      const missing = [...report.missing.values()].sort((a, b) => (a < b ? -1 : 1))
      const { broadcast, of } = report
      return this.#state.emit({ type: 'report', broadcast, reached: of - missing.length, of, missing })
    }
    if (now >= report.askAt) {
      report.askAt = now + ASK_SHARE * reportTimeoutMs
      let asked = 0
      for (const node of report.missing.values()) {
        if (asked++ >= maxAsked) break
        this.#state.send(node, { type: 'ask', ...pick(report.id) })
      }
    }
    this.#due(Math.min(report.askAt, report.endsAt))
  }

  // ---- both ----

  #waitingOf(id: EventId): Set<string> | undefined {
    const key = eventKey(id)
    return (this.#reports.get(key) ?? this.#relayed.get(key))?.waiting
  }

  #answered(id: EventId, from: string, now: number): void {
    const key = eventKey(id)
    const report = this.#reports.get(key)
    if (report !== undefined) {
      // All have answered: whoever is missing now was missed by the tree.
      if (report.waiting.delete(from) && report.waiting.size === 0 && now + LATE_MS < report.askAt) {
        report.askAt = now + LATE_MS
        this.#due(report.askAt)
      }
      return
    }
    const relayed = this.#relayed.get(key)
    if (relayed === undefined || !relayed.waiting.delete(from) || relayed.waiting.size > 0 || relayed.isAnswered) return
    relayed.sendAt = now
    this.#relayDue(key, relayed, now)
  }

  #due(at: number): void {
    this.#dueAt = Math.min(this.#dueAt, at)
  }
}

/** The id alone, of something that has more. */
function pick({ origin, sequence }: EventId): EventId {
  return { origin, sequence }
}
