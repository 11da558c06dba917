/**
 * User events: something that one member tells all, each of whom has it once. docs/specs/04-gossip.md §7.3.
 *
 * By gossip it goes to those who know no other way; where all alive members have another one (a tree), it goes by that alone and may be
 * larger. What gossip missed comes with the ring of events in a push/pull, as far as that goes back.
 */
import { copyBytes, equalBytes, utf8Encode } from '../../lib/bytes.ts'
import { encodeSerfMessage } from '../serf-codec.ts'
import type { EventsAt, UserEvent } from '../serf-messages.ts'
import { SeenRing, type Admission } from './event-buffer.ts'
import { isLamportTime } from './lamport.ts'
import type { SerfState } from './serf-state.ts'
import { SERF_EVENT_CAP_BYTES, type SerfInput } from './serf-types.ts'

interface SeenEvent {
  readonly name: string
  readonly payload: Uint8Array
}

/** What an event costs in memory beside name and payload, about. */
const OVERHEAD_BYTES = 64
/** The bytes of events in one push/pull; the oldest are left out. */
const MAX_TOLD_BYTES = 2 * 1024 * 1024

export class Events {
  readonly #state: SerfState
  readonly #ring: SeenRing<SeenEvent>

  constructor(state: SerfState) {
    const { eventBuffer, maxEventsAtOnce, maxEventBufferBytes } = state.limits
    this.#state = state
    this.#ring = new SeenRing<SeenEvent>(state.eventClock, {
      length: eventBuffer,
      maxAtOnce: maxEventsAtOnce,
      maxBytes: maxEventBufferBytes,
      bytesOf: bytesOfEvent,
      isSame: (a, b) => a.name === b.name && equalBytes(a.payload, b.payload),
    })
  }

  get staleCount(): number {
    return this.#ring.staleCount
  }

  /** Events from before are none for this member. */
  ignoreBefore(time: number): void {
    this.#ring.raiseMinTime(time)
  }

  /** This member's own; @returns why it is not told, or undefined. */
  publish({ name, payload, canCoalesce }: Extract<SerfInput, { type: 'event' }>): string | undefined {
    const problem = this.#problem(name, payload)
    if (problem !== undefined) return problem
    const event: UserEvent = { type: 'user-event', time: this.#state.eventClock.next(), name, payload: copyBytes(payload), canCoalesce }
    const bytes = encodeSerfMessage(event)
    this.#admit(event)
    this.#state.emit({ type: 'spread', bytes })
    if (this.#state.hasForeigners()) this.#queue(bytes)
    return undefined
  }

  /** One that came by gossip, or by another way. */
  received(event: UserEvent, bytes: Uint8Array, isGossip: boolean): void {
    if (this.#admit({ ...event, payload: copyBytes(event.payload) }) !== 'new') return
    if (isGossip || this.#state.hasForeigners()) this.#queue(copyBytes(bytes))
  }

  /** Those of another member's ring. */
  merge(slots: readonly (EventsAt | undefined)[]): void {
    // Oldest first, so that the clock does not run past those that follow.
    const known = slots.filter((slot) => slot !== undefined).toSorted((a, b) => a.time - b.time)
    for (const { time, events } of known) {
      for (const { name, payload } of events) {
        this.#admit({ type: 'user-event', time, name, payload: copyBytes(payload), canCoalesce: false })
      }
    }
  }

  /** The ring, for another member. */
  told(): (EventsAt | undefined)[] {
    const slots = this.#ring.slots()
    const told: (EventsAt | undefined)[] = slots.map((slot) => slot && { time: slot.time, events: slot.items })
    let bytes = 0
    for (const slot of told.filter((one) => one !== undefined).toSorted((a, b) => b.time - a.time)) {
      for (const event of slot.events) bytes += bytesOfEvent(event)
      if (bytes > MAX_TOLD_BYTES) told[slot.time % slots.length] = undefined
    }
    return told
  }

  #admit(event: UserEvent): Admission {
    if (!isLamportTime(event.time)) this.#state.refusedMessages++
    const admission = this.#ring.admit(event.time, event)
    if (admission === 'new') {
      this.#state.emit({ type: 'event', event })
      this.#state.emit({ type: 'snapshot', line: `event-clock: ${event.time}` })
    }
    return admission
  }

  /** What does not fit into a packet is left to push/pulls. */
  #queue(bytes: Uint8Array): void {
    if (this.#state.fitsPacket(bytes)) this.#state.queues.events.add(undefined, { type: 'user', bytes })
  }

  #problem(name: string, payload: Uint8Array): string | undefined {
    const { maxEventBytes, maxSpreadEventBytes } = this.#state.limits
    const nameBytes = utf8Encode(name).length
    const size = nameBytes + payload.length
    const most = this.#state.hasForeigners() ? Math.min(maxEventBytes, SERF_EVENT_CAP_BYTES) : maxSpreadEventBytes
    if (nameBytes > SERF_EVENT_CAP_BYTES / 4) return `the name of an event has ${nameBytes} bytes`
    return size > most ? `name and payload of an event have ${size} bytes, ${most} at most as things are` : undefined
  }
}

function bytesOfEvent({ name, payload }: SeenEvent): number {
  return OVERHEAD_BYTES + name.length + payload.length
}
