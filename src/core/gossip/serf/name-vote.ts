/**
 * Two members by one name: each of them asks all others whom they know by it, and the one that most do not mean stops.
 * docs/specs/04-gossip.md §7.4.
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

/** By what another one of this member's name was seen: an answer to this one's exchange, another's request for one, or neither. */
export type ClaimSource = 'answer' | 'request' | 'packet'

export class NameVote {
  readonly #state: SerfState
  readonly #queries: Queries
  readonly #startedAt: number
  #isOpen = false
  /** The claims by the same name since the vote began. */
  readonly #claims: Map<ClaimSource, Endpoint> = new Map()

  constructor(state: SerfState, queries: Queries, now: number) {
    this.#state = state
    this.#queries = queries
    this.#startedAt = now
  }

  /** Asks whom the others know by this member's name, unless it is being asked. */
  start(other: Endpoint, source: ClaimSource, now: number): void {
    this.#claims.set(source, other)
    if (this.#isOpen || this.#state.isLeaving) return
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
        done: () => this.#decide(answers, own, now),
      },
      now,
    )
    if (problem !== undefined) this.#isOpen = false
  }

  #decide(answers: number, own: number, seenAt: number): void {
    this.#isOpen = false
    const isNewcomer = this.#isNewcomer(seenAt)
    this.#claims.clear()
    if (answers === 0 && isNewcomer) {
      const reason = `the name ${this.#state.self.name} is taken: the one that this one asked to be let in has it`
      return this.#state.emit({ type: 'conflict-lost', reason })
    }
    if (answers === 0 || own > answers / 2) return
    const reason = `the name ${this.#state.self.name} is taken: ${own} of ${answers} members know this one by it`
    this.#state.emit({ type: 'conflict-lost', reason })
  }

  #isNewcomer(seenAt: number): boolean {
    const host = this.#claims.get('answer')
    if (host === undefined || seenAt - this.#startedAt > NEWCOMER_MS) return false
    return !this.#claims.has('request') || endpointKey(host) < endpointKey(this.#state.options.endpoint)
  }
}
