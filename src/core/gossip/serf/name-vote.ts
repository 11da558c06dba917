/**
 * Two members by one name: each of them asks all others whom they know by it, and the one that most do not mean stops.
 * docs/specs/04-gossip.md §7.4.
 *
 * A vote in which nobody answered decides nothing; Serf stops then, so that one stray packet stops a member that is alone.
 */
import { utf8Encode } from '../../lib/bytes.ts'
import { isWireError } from '../../wire/wire-error.ts'
import { decodeSerfMessage } from '../serf-codec.ts'
import { CONFLICT_QUERY } from './internal-queries.ts'
import type { Queries } from './queries.ts'
import type { SerfState } from './serf-state.ts'

export class NameVote {
  readonly #state: SerfState
  readonly #queries: Queries
  #isOpen = false

  constructor(state: SerfState, queries: Queries) {
    this.#state = state
    this.#queries = queries
  }

  /** Asks whom the others know by this member's name, unless it is being asked. */
  start(now: number): void {
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
        done: () => this.#decide(answers, own),
      },
      now,
    )
    if (problem !== undefined) this.#isOpen = false
  }

  #decide(answers: number, own: number): void {
    this.#isOpen = false
    if (answers === 0 || own > answers / 2) return
    const reason = `the name ${this.#state.self.name} is taken: ${own} of ${answers} members know this one by it`
    this.#state.emit({ type: 'conflict-lost', reason })
  }
}
