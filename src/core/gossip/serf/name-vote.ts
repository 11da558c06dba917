/**
 * Two members by one name: each of them asks all others whom they know by it, and the one that most do not mean stops.
 * docs/specs/04-gossip.md §7.4.
 *
 * Who has lost looks for itself whether the other one answers. A member that was killed, and is back at once at another endpoint, has
 * lost to what it was before, which the others have not missed yet. It then stays, says again what it is, and asks anew until they mean
 * it, or somebody does answer. A Serf agent stops.
 *
 * The question goes by gossip, even where all members have trees: a tree is made of names, and who has none of its own is in no tree.
 *
 * Where nobody answers, because the two are alone, the one that was there first stays: who has started lately, and found the other in
 * the answer of one that it had asked to be let in, is the newcomer. If both asked each other, the lower endpoint stays. Otherwise a vote
 * without answers decides nothing; Serf stops then, so that one stray packet stops a member that is alone.
 */
import { utf8Encode } from '../../lib/bytes.ts'
import { endpointKey } from '../endpoint.ts'
import type { Endpoint } from '../messages.ts'
import { isWireError } from '../../wire/wire-error.ts'
import { decodeSerfMessage } from '../serf-codec.ts'
import { CONFLICT_QUERY } from './internal-queries.ts'
import type { Queries } from './queries.ts'
import type { SerfState } from './serf-state.ts'

/** Who runs for longer than that is no newcomer, ms. */
const NEWCOMER_MS = 60_000

/** Between two votes of one that stays though others still know it at another endpoint, ms. */
const AGAIN_MS = 1000

/** What a vote has done outside of it. */
export interface VoteActions {
  /** Looks whether anybody answers by this member's name there; what comes of it is given to `checked`. */
  check(endpoints: readonly Endpoint[], now: number): void
  /** Tells all members what this one is. */
  announce(now: number): void
}

/** By what another one of this member's name was seen: an answer to this one's exchange, another's request for one, or neither. */
export type ClaimSource = 'answer' | 'request' | 'packet'

export class NameVote {
  readonly #state: SerfState
  readonly #queries: Queries
  readonly #actions: VoteActions
  readonly #startedAt: number
  #isOpen = false
  /** The claims by the same name since the vote began. */
  readonly #claims: Map<ClaimSource, Endpoint> = new Map()
  /** Why this member stops if the other one answers; while it looks. */
  #lostBecause: string | undefined
  /** When to ask anew; Infinity unless this member stays against a vote. */
  #againAt = Infinity

  constructor(state: SerfState, queries: Queries, actions: VoteActions, now: number) {
    this.#state = state
    this.#queries = queries
    this.#actions = actions
    this.#startedAt = now
  }

  /** Asks whom the others know by this member's name, unless it is being asked. */
  start(other: Endpoint, source: ClaimSource, now: number): void {
    this.#claims.set(source, other)
    if (!this.#isOpen && this.#againAt === Infinity && !this.#state.isLeaving) this.#ask(now)
  }

  nextDeadline(): number {
    return this.#againAt
  }

  handleTimeout(now: number): void {
    if (now < this.#againAt) return
    this.#againAt = Infinity
    if (this.#state.isLeaving) return
    // The first word may have come while the others still held the name for taken.
    this.#actions.announce(now)
    this.#ask(now)
  }

  /** Which of the claimants answers, if one does. */
  checked(answering: Endpoint | undefined, now: number): void {
    const reason = this.#lostBecause
    this.#lostBecause = undefined
    this.#isOpen = false
    if (reason === undefined || this.#state.isLeaving) return
    if (answering !== undefined) {
      this.#claims.clear()
      return this.#state.emit({ type: 'conflict-lost', reason })
    }
    this.#actions.announce(now)
    this.#againAt = now + AGAIN_MS
    this.#state.emit({ type: 'name-kept', reason })
  }

  #ask(now: number): void {
    this.#isOpen = true
    const { self } = this.#state
    let answers = 0
    let own = 0
    const problem = this.#queries.ask(
      { name: CONFLICT_QUERY, payload: utf8Encode(self.name), filters: [], wantsAck: false, relayFactor: 0, timeoutMs: undefined },
      {
        ack: () => {},
        response: (_from, payload) => {
          const answer = decodeSerfMessage(payload)
          if (isWireError(answer) || answer.type !== 'conflict-response') return
          answers++
          if (answer.member !== undefined && this.#state.isOwnEndpoint(answer.member)) own++
        },
        done: (_acks, _responses, at) => this.#decide(answers, own, now, at),
      },
      now,
    )
    if (problem !== undefined) this.#isOpen = false
  }

  #decide(answers: number, own: number, seenAt: number, now: number): void {
    this.#lostBecause = this.#whyLost(answers, own, seenAt)
    if (this.#lostBecause !== undefined) return this.#actions.check([...this.#claims.values()], now)
    this.#isOpen = false
    this.#claims.clear()
  }

  /** undefined where this member keeps the name. */
  #whyLost(answers: number, own: number, seenAt: number): string | undefined {
    const { name } = this.#state.self
    if (answers > 0) return own > answers / 2 ? undefined : `the name ${name} is taken: ${own} of ${answers} members know this one by it`
    if (!this.#isNewcomer(seenAt)) return undefined
    return `the name ${name} is taken: the one that this one asked to be let in has it`
  }

  #isNewcomer(seenAt: number): boolean {
    const host = this.#claims.get('answer')
    if (host === undefined || seenAt - this.#startedAt > NEWCOMER_MS) return false
    return !this.#claims.has('request') || endpointKey(host) < endpointKey(this.#state.options.endpoint)
  }
}
