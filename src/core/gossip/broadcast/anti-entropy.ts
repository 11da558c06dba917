/**
 * Nobody misses an event for ever: from time to time a node compares with one neighbour what they have. docs/specs/06-broadcast.md §6.
 *
 * First a hash of it, a handful of bytes, the same however many events there were. Only when the hashes differ follow the digests, and
 * then the ids of what the other has not. A newcomer says so, and takes its neighbour's digest for its own past.
 */
import type { Digest, EventId, Summary } from './broadcast-messages.ts'
import type { BroadcastState } from './broadcast-state.ts'
import { MAX_IDS } from './broadcast-codec.ts'
import type { Dissemination } from './dissemination.ts'
import type { MessageLog } from './message-log.ts'
import type { Neighbour, Neighbourhood } from './neighbourhood.ts'
import type { SeenEvents } from './seen-events.ts'

export class AntiEntropy {
  readonly #state: BroadcastState
  readonly #neighbourhood: Neighbourhood
  readonly #seen: SeenEvents
  readonly #log: MessageLog
  readonly #dissemination: Dissemination
  #compareAt = Infinity

  constructor(state: BroadcastState, neighbourhood: Neighbourhood, seen: SeenEvents, log: MessageLog, dissemination: Dissemination) {
    this.#state = state
    this.#neighbourhood = neighbourhood
    this.#seen = seen
    this.#log = log
    this.#dissemination = dissemination
  }

  nextDeadline(): number {
    return this.#compareAt
  }

  handleTimeout(now: number): void {
    if (now < this.#compareAt) return
    this.#seen.expire(now)
    this.#log.expire(now)
    const neighbour = this.#neighbourhood.pick()
    if (neighbour !== undefined) this.#compareWith(neighbour.node)
    this.#compareAt = this.#neighbourhood.size > 0 || this.#log.size > 0 ? now + this.#intervalMs() : Infinity
  }

  linked({ node }: Neighbour, now: number): void {
    this.#compareWith(node)
    this.#compareAt = Math.min(this.#compareAt, now + this.#intervalMs())
  }

  handleSummary(from: string, { hash, isNew, isReply }: Summary, now: number): void {
    if (hash === this.#seen.hash) {
      this.#seen.settle()
      if (isNew && !isReply) this.#send(from, true)
    } else if (!isReply) this.#state.send(from, this.#digest(isNew, now))
  }

  handleDigest(from: string, { isNew, origins }: Digest, now: number): void {
    const { isNew: amNew } = this.#seen
    if (amNew) this.#seen.adopt(origins, now)
    if (isNew) {
      if (!amNew) this.#state.send(from, this.#digest(true, now))
      return
    }
    if (!amNew) this.#dissemination.wanted(this.#seen.missing(origins, MAX_IDS), from, false, now)
    const lacking = this.#lacking(origins)
    if (lacking.length > 0) this.#dissemination.tell(from, lacking)
  }

  #compareWith(node: string): void {
    this.#send(node, false)
  }

  #send(node: string, isReply: boolean): void {
    this.#state.send(node, { type: 'summary', hash: this.#seen.hash, isNew: this.#seen.isNew, isReply })
  }

  /** For a newcomer, without the events that are young enough for it: it will find that it lacks them. */
  #digest(isForNewcomer: boolean, now: number): Digest {
    const origins = this.#seen.digest()
    const { newcomerMs } = this.#state.settings
    if (!isForNewcomer || newcomerMs === 0) return { type: 'digest', isNew: this.#seen.isNew, origins }
    const firstYoung: Map<string, number> = new Map()
    for (const { origin, sequence, at } of this.#log.values()) {
      if (now - at < newcomerMs) firstYoung.set(origin, Math.min(sequence, firstYoung.get(origin) ?? Infinity))
    }
    return {
      type: 'digest',
      isNew: this.#seen.isNew,
      origins: origins.map((known) => {
        const young = firstYoung.get(known.origin)
        return young === undefined ? known : { origin: known.origin, upTo: Math.min(known.upTo, young - 1), ahead: [] }
      }),
    }
  }

  /** What is here with its payload, and not in a digest; the newest of it. */
  #lacking(origins: Digest['origins']): EventId[] {
    const theirs = new Map(origins.map((origin) => [origin.origin, origin]))
    const lacking: EventId[] = []
    for (const { origin, sequence } of this.#log.values()) {
      const digest = theirs.get(origin)
      const hasIt =
        digest !== undefined &&
        (sequence <= digest.upTo || digest.ahead.some(([first, count]) => sequence >= first && sequence < first + count))
      if (!hasIt) lacking.push({ origin, sequence })
    }
    return lacking.slice(-MAX_IDS)
  }

  /** So that nodes which start at once do not compare at once for ever. */
  #intervalMs(): number {
    return this.#state.settings.antiEntropyMs * (0.75 + this.#state.random.float() / 2)
  }
}
