/**
 * State that this node fetches from others, piece by piece (docs/specs/05-state.md §5.2).
 *
 * From each node there is one piece on its way at a time, so that the receiver sets the pace; several nodes are asked at once, but for
 * the same state only one. What a piece has brought forward goes to the end of the queue, so that a large state does not hold up small ones.
 */
import { digestBytes } from './state-codec.ts'
import type { NodeDigest, StateMessage } from './state-messages.ts'
import type { StateSettings } from './state-types.ts'

interface Fetch {
  /** How far the other node knows it. */
  told: NodeDigest
  /** Whether it was told as news, so that it is passed on. */
  readonly isNews: boolean
}

interface Exchange {
  readonly peer: string
  readonly queue: Map<string, Fetch>
  /** What the question that is not answered yet asks for. */
  asked: string[]
  sequence: number
  askedAt: number
  deadline: number
  retries: number
  /** Of how many nodes something was learnt from this one by reconciliation. */
  learntCount: number
}

/** What an exchange needs of the machine. */
export interface ExchangeHost {
  readonly settings: StateSettings
  send(to: string, message: StateMessage): void
  /** How far a node is known here. */
  known(node: string): NodeDigest
  isBehind(told: NodeDigest, now: number): boolean
  /** All that a node had told of was fetched, and it was much. */
  finished(peer: string): void
}

const MIN_TIMEOUT_MS = 50
const MAX_ASKED = 64
/** Who has learnt so much from one node may not have heard of everything yet; less is not worth another comparison at once. */
const MANY_LEARNT = 32

export class Exchanges {
  droppedCount = 0
  unansweredCount = 0
  readonly #host: ExchangeHost
  readonly #exchanges: Map<string, Exchange> = new Map()
  /** From whom a node's state is being fetched. */
  readonly #fetching: Map<string, string> = new Map()
  #nextSequence = 0
  #roundTripMs: number

  constructor(host: ExchangeHost) {
    this.#host = host
    this.#roundTripMs = host.settings.answerTimeoutMs / 16
  }

  nextDeadline(): number {
    let next = Infinity
    for (const { deadline } of this.#exchanges.values()) next = Math.min(next, deadline)
    return next
  }

  /** Another node knows more of some: they are asked for, unless they are being fetched. */
  fetch(peer: string, told: readonly NodeDigest[], isNews: boolean, now: number): void {
    const { maxExchanges, maxQueuedFetches } = this.#host.settings
    let exchange = this.#exchanges.get(peer)
    for (const digest of told) {
      const from = this.#fetching.get(digest.node)
      if (from !== undefined && from !== peer) continue
      if (exchange === undefined) {
        if (this.#exchanges.size >= maxExchanges) return void this.droppedCount++
        exchange = { peer, queue: new Map(), asked: [], sequence: 0, askedAt: 0, deadline: Infinity, retries: 0, learntCount: 0 }
        this.#exchanges.set(peer, exchange)
      }
      const before = exchange.queue.get(digest.node)
      if (before === undefined && exchange.queue.size >= maxQueuedFetches) {
        this.droppedCount++
        continue
      }
      if (before === undefined) exchange.queue.set(digest.node, { told: digest, isNews })
      else before.told = digest
      this.#fetching.set(digest.node, peer)
    }
    if (exchange !== undefined && exchange.asked.length === 0) this.#ask(exchange, now)
  }

  /**
   * An answer has come, and what it brought was taken: asks for the rest. Of those nodes that the answer has brought forward, gives those
   * that were told as news.
   */
  answered(peer: string, sequence: number, progressed: ReadonlySet<string>, now: number): string[] {
    const exchange = this.#exchanges.get(peer)
    if (exchange === undefined || exchange.sequence !== sequence || exchange.asked.length === 0) return []
    if (exchange.retries === 0) this.#roundTripMs += (now - exchange.askedAt - this.#roundTripMs) / 4
    const news: string[] = []
    for (const node of exchange.asked) {
      const fetch = exchange.queue.get(node)
      if (fetch === undefined) continue
      if (progressed.has(node)) {
        if (fetch.isNews) news.push(node)
        else exchange.learntCount++
        exchange.queue.delete(node)
        exchange.queue.set(node, fetch)
      } else if (progressed.size === 0) {
        // It had more to tell, and does not: whatever the reason, a later round asks somebody else.
        this.#remove(exchange, node)
      }
    }
    exchange.asked = []
    exchange.retries = 0
    this.#ask(exchange, now)
    return news
  }

  handleTimeout(now: number): void {
    for (const exchange of [...this.#exchanges.values()]) {
      if (now < exchange.deadline) continue
      exchange.retries++
      if (exchange.retries > this.#host.settings.maxRetries) {
        this.unansweredCount++
        this.drop(exchange.peer)
      } else {
        exchange.asked = []
        this.#ask(exchange, now)
      }
    }
  }

  /** Nothing is expected from a node any more. */
  drop(peer: string): void {
    const exchange = this.#exchanges.get(peer)
    if (exchange === undefined) return
    for (const node of [...exchange.queue.keys()]) this.#remove(exchange, node)
    this.#exchanges.delete(peer)
  }

  /** A node's state is not wanted any more. */
  forget(node: string): void {
    const peer = this.#fetching.get(node)
    const exchange = peer === undefined ? undefined : this.#exchanges.get(peer)
    if (exchange !== undefined) this.#remove(exchange, node)
  }

  #ask(exchange: Exchange, now: number): void {
    const { settings } = this.#host
    const digests: NodeDigest[] = []
    let bytes = 8
    for (const [node, { told }] of [...exchange.queue]) {
      if (!this.#host.isBehind(told, now)) {
        this.#remove(exchange, node)
        continue
      }
      const known = this.#host.known(node)
      bytes += digestBytes(known)
      if (digests.length > 0 && (bytes > settings.maxMessageBytes || digests.length === MAX_ASKED)) break
      digests.push(known)
    }
    if (digests.length === 0) {
      this.#exchanges.delete(exchange.peer)
      if (exchange.learntCount >= MANY_LEARNT) this.#host.finished(exchange.peer)
      return
    }
    exchange.asked = digests.map(({ node }) => node)
    exchange.sequence = this.#nextSequence++
    exchange.askedAt = now
    const timeoutMs = Math.max(MIN_TIMEOUT_MS, 4 * this.#roundTripMs) * 2 ** exchange.retries
    exchange.deadline = now + Math.min(timeoutMs, settings.answerTimeoutMs)
    this.#host.send(exchange.peer, { type: 'want', sequence: exchange.sequence, digests })
  }

  #remove(exchange: Exchange, node: string): void {
    exchange.queue.delete(node)
    if (this.#fetching.get(node) === exchange.peer) this.#fetching.delete(node)
  }
}
