/**
 * Whether somebody still answers by this member's own name at another endpoint: what the others know by the name may be an earlier run of
 * this very member, killed a moment ago, whom nobody has missed yet. docs/specs/04-gossip.md §7.4. Neither memberlist nor Serf looks.
 *
 * Each endpoint gets a ping by packet and one on a stream at once, for the name: another member that has taken over the endpoint does
 * not answer to it. One answer is enough. A refused stream settles its endpoint; silence does at the end of a probe's time.
 */
import { endpointKey, sameEndpoint } from './endpoint.ts'
import type { Ack, Endpoint, Ping, StreamMessage } from './messages.ts'
import type { SwimState } from './swim-state.ts'

interface Claimant {
  readonly endpoint: Endpoint
  readonly sequence: number
  readonly stream: number
  isStreamOpen: boolean
  isGone: boolean
}

export class ClaimantCheck {
  readonly #state: SwimState
  #claimants: readonly Claimant[] = []
  #endsAt = Infinity

  constructor(state: SwimState) {
    this.#state = state
  }

  nextDeadline(): number {
    return this.#endsAt
  }

  handleTimeout(now: number): void {
    if (now >= this.#endsAt) this.#end(undefined)
  }

  /** Begins to look; a check that is under way is over without a result. */
  start(endpoints: readonly Endpoint[], now: number): void {
    this.#close()
    const { profile, awareness, source, self } = this.#state
    this.#endsAt = now + awareness.scale(profile.probeIntervalMs)
    this.#claimants = [...new Map(endpoints.map((endpoint) => [endpointKey(endpoint), endpoint])).values()].map((endpoint) => {
      const sequence = this.#state.nextSequence()
      const stream = this.#state.nextStream()
      const ping = { type: 'ping', sequence, node: self.node, ...source } as const
      this.#state.send(endpoint, undefined, [ping])
      this.#state.emit({ type: 'open-stream', stream, to: endpoint, node: undefined, message: ping })
      return { endpoint, sequence, stream, isStreamOpen: true, isGone: false }
    })
  }

  /** Whether a ping is one of this check's, which went to what turns out to be another address of this very member. */
  isOwn({ sequence, sourceAddress: address, sourcePort: port }: Ping): boolean {
    if (address === undefined || port === undefined || !this.#claimants.some((one) => one.sequence === sequence)) return false
    return sameEndpoint({ address, port }, this.#state.self.endpoint)
  }

  /** Whether the ack is one for this check. */
  handleAck({ sequence }: Ack): boolean {
    const claimant = this.#claimants.find((one) => one.sequence === sequence)
    if (claimant !== undefined) this.#end(claimant.endpoint)
    return claimant !== undefined
  }

  /** Whether the stream is one of this check's. */
  streamAnswered(stream: number, message: StreamMessage): boolean {
    const claimant = this.#streamEnded(stream)
    if (claimant !== undefined && message.type === 'ack' && message.sequence === claimant.sequence) this.#end(claimant.endpoint)
    return claimant !== undefined
  }

  streamFailed({ stream, isRefused }: { readonly stream: number; readonly isRefused?: boolean }): boolean {
    const claimant = this.#streamEnded(stream)
    if (claimant !== undefined && isRefused === true) claimant.isGone = true
    if (claimant !== undefined && this.#claimants.every(({ isGone }) => isGone)) this.#end(undefined)
    return claimant !== undefined
  }

  #streamEnded(stream: number): Claimant | undefined {
    const claimant = this.#claimants.find((one) => one.stream === stream && one.isStreamOpen)
    if (claimant !== undefined) claimant.isStreamOpen = false
    return claimant
  }

  #end(answering: Endpoint | undefined): void {
    this.#close()
    this.#state.emit({ type: 'claimants-checked', answering })
  }

  #close(): void {
    for (const { stream, isStreamOpen } of this.#claimants) if (isStreamOpen) this.#state.emit({ type: 'close-stream', stream })
    this.#claimants = []
    this.#endsAt = Infinity
  }
}
