/**
 * Events that were announced and are not here: when they are asked for, and of whom. Plumtree's timers.
 *
 * How long to wait is learnt: a payload comes along the tree as fast as it comes, and later than an id from a neighbour that is nearer to
 * the origin. What came by itself after it had been announced says how much later (smoothed as RFC 6298 §2 does round trips). So in quiet
 * times hardly anything is asked for twice, and where much gets lost a node waits only as long as it must.
 */
import { MAX_IDS } from './broadcast-codec.ts'
import type { EventId } from './broadcast-messages.ts'
import type { BroadcastState } from './broadcast-state.ts'
import { eventKey } from './message-log.ts'

interface MissingEvent {
  readonly id: EventId
  /** Who has it, those who said so first; the next to be asked comes first. */
  readonly announcers: string[]
  /** Who said so first of all, and owes a place in the table. */
  readonly first: string
  readonly announcedAt: number
  /** Whether somebody says that it should have come by multicast. */
  isOverdue: boolean
  dueAt: number
  asked: number
  askedAt: number
}

/** What is asked of one member. */
export interface Question {
  readonly to: string
  readonly ids: EventId[]
  /** Whether all of them should have come by multicast: then nothing is wrong with the tree. */
  isOverdue: boolean
}

/** Members remembered to have one event. */
const MAX_ANNOUNCERS = 8
/** Questions for one event; then only comparing with neighbours brings it up again. */
const MAX_ASKED = 24
/** Questions before the pauses between them grow. */
const QUICK_QUESTIONS = 8

export class MissingEvents {
  readonly #state: BroadcastState
  readonly #missing: Map<string, MissingEvent> = new Map()
  readonly #owed: Map<string, number> = new Map()
  /** No event is due before. */
  #dueAt = Infinity
  #lagMs = 0
  #lagDeviationMs = 0

  constructor(state: BroadcastState) {
    this.#state = state
  }

  get size(): number {
    return this.#missing.size
  }

  nextDeadline(): number {
    return this.#dueAt
  }

  /** Somebody has an event that is not here; one that is urgent or overdue is asked for at once. */
  announced(id: EventId, from: string, isUrgent: boolean, isOverdue: boolean, now: number): void {
    const key = eventKey(id)
    let missing = this.#missing.get(key)
    if (missing === undefined) {
      const { maxMissing, maxMissingPerMember } = this.#state.settings
      const owed = this.#owed.get(from) ?? 0
      if (this.#missing.size >= maxMissing || owed >= maxMissingPerMember) {
        this.#state.dropped.announcements++
        return
      }
      this.#owed.set(from, owed + 1)
      missing = {
        id,
        announcers: [from],
        first: from,
        announcedAt: now,
        isOverdue,
        dueAt: now + this.#patienceMs(),
        asked: 0,
        askedAt: now,
      }
      this.#missing.set(key, missing)
    } else if (!missing.announcers.includes(from) && missing.announcers.length < MAX_ANNOUNCERS) {
      // Who was not asked yet comes before those who were.
      missing.announcers.splice(Math.max(0, missing.announcers.length - missing.asked), 0, from)
    }
    missing.isOverdue ||= isOverdue
    // Who says so again waits for an answer: it is there, and it is asked, unless another may still be about to answer.
    if ((isUrgent || isOverdue) && (missing.asked === 0 || now - missing.askedAt >= this.#state.answerMs)) {
      missing.dueAt = now
      const at = missing.announcers.indexOf(from)
      if (at > 0) missing.announcers.unshift(...missing.announcers.splice(at, 1))
    }
    this.#dueAt = Math.min(this.#dueAt, missing.dueAt)
  }

  /** An event is here: whether it had been asked for, and should have come by multicast. One that went by multicast says nothing about the tree. */
  arrived(key: string, from: string, isMulticast: boolean, now: number): { readonly wasAsked: boolean; readonly isOverdue: boolean } {
    const missing = this.#missing.get(key)
    if (missing === undefined) {
      if (!isMulticast) this.#noticeLag(0)
      return { wasAsked: false, isOverdue: false }
    }
    this.#delete(key, missing)
    const wasAsked = missing.asked > 0
    if (missing.asked === 1 && missing.announcers.at(-1) === from) this.#state.noticeRoundTrip(now - missing.askedAt)
    // Asked for too early: it came from one that had not been asked.
    if (!isMulticast && (!wasAsked || (missing.asked === 1 && missing.announcers.at(-1) !== from)))
      this.#noticeLag(now - missing.announcedAt)
    return { wasAsked, isOverdue: missing.isOverdue }
  }

  memberDown(node: string): void {
    for (const [key, missing] of this.#missing) {
      const at = missing.announcers.indexOf(node)
      if (at >= 0) missing.announcers.splice(at, 1)
      if (missing.announcers.length === 0) this.#delete(key, missing)
    }
  }

  /** What is to be asked for now, by whom to ask. */
  takeDue(now: number): Question[] {
    if (now < this.#dueAt) return []
    const questions: Question[] = []
    const open: Map<string, Question> = new Map()
    this.#dueAt = Infinity
    for (const [key, missing] of this.#missing) {
      if (now >= missing.dueAt) {
        const to = missing.announcers.shift()
        if (to === undefined || missing.asked >= MAX_ASKED) {
          this.#delete(key, missing)
          continue
        }
        missing.announcers.push(to)
        missing.asked++
        missing.askedAt = now
        missing.dueAt = now + this.#state.answerMs * 1.5 ** Math.max(0, missing.asked - QUICK_QUESTIONS)
        let question = open.get(to)
        if (question === undefined || question.ids.length >= MAX_IDS) {
          question = { to, ids: [], isOverdue: true }
          open.set(to, question)
          questions.push(question)
        }
        question.ids.push(missing.id)
        question.isOverdue &&= missing.isOverdue
      }
      this.#dueAt = Math.min(this.#dueAt, missing.dueAt)
    }
    return questions
  }

  #patienceMs(): number {
    return Math.max(this.#state.answerMs, Math.min(this.#lagMs + 4 * this.#lagDeviationMs, this.#state.settings.patienceMs))
  }

  #noticeLag(ms: number): void {
    const lagMs = Math.min(ms, this.#state.settings.patienceMs)
    this.#lagDeviationMs += (Math.abs(lagMs - this.#lagMs) - this.#lagDeviationMs) / 4
    this.#lagMs += (lagMs - this.#lagMs) / 8
  }

  #delete(key: string, { first }: MissingEvent): void {
    this.#missing.delete(key)
    const owed = (this.#owed.get(first) ?? 1) - 1
    if (owed > 0) this.#owed.set(first, owed)
    else this.#owed.delete(first)
  }
}
