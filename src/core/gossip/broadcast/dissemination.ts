/**
 * How events get from node to node. Plumtree (Leitão, Pereira, Rodrigues, SRDS 2007), docs/specs/06-broadcast.md §5.
 *
 * Payloads go along the eager links at once; over all others goes only the id, a little later and together with others. Who hears of an
 * id and does not get the payload in time asks for it (graft). A payload that was here already tells that the link closes a circle, and
 * is pruned. Beyond the paper:
 *
 * An id is told over every link in both directions, along the tree as well, where it acknowledges the payload. Who has not said that it
 * has an event is told again a few times, by the payload itself if it is small and the link eager, so that a loss costs one round trip.
 *
 * A graft is first of all a question for the payload. Only who asks its parent, has none, or had to ask for two events in a row makes
 * the link part of the tree by it: a message that got lost is no reason to move.
 */
import { copyBytes } from '../../lib/bytes.ts'
import { encodeBroadcastMessage, MAX_IDS } from './broadcast-codec.ts'
import type { EventId, Gossip, Graft, Ihave } from './broadcast-messages.ts'
import { Quota, type BroadcastState } from './broadcast-state.ts'
import { eventKey, type LoggedEvent, type MessageLog } from './message-log.ts'
import { MissingEvents } from './missing-events.ts'
import type { Neighbour, Neighbourhood } from './neighbourhood.ts'
import type { SeenEvents } from './seen-events.ts'
import type { Tree } from './tree.ts'

/** How often who has not said that it has an event is told again; each time after half as long again as the last. */
const TELL_AGAIN = 6
const TELL_AGAIN_FACTOR = 1.5
/** A report's time that is left for a child: the rest is for its receipts to come back. */
const CHILD_SHARE = 0.85

export interface DisseminationEvents {
  /** A new event is here and was passed on to these. */
  received(event: LoggedEvent, receivers: readonly string[], now: number): void
  /** The payload went to one more. */
  passedOn(event: LoggedEvent, to: string): void
  /** One has sent a payload that was here already. */
  duplicate(event: EventId, from: string, wantsReport: boolean, now: number): void
}

export class Dissemination {
  readonly #state: BroadcastState
  readonly #neighbourhood: Neighbourhood
  readonly #tree: Tree
  readonly #seen: SeenEvents
  readonly #log: MessageLog
  readonly #events: DisseminationEvents
  readonly #missing: MissingEvents
  readonly #grafts: Quota
  /** Events whose ids were not announced yet. */
  readonly #fresh: Set<LoggedEvent> = new Set()
  /** Events that some neighbour has not said to have. */
  readonly #unsettled: Set<LoggedEvent> = new Set()
  #announceAt = Infinity
  #tellAgainAt = Infinity
  /** Events in a row that came only because they were asked for. */
  #asked = 0

  constructor(
    state: BroadcastState,
    neighbourhood: Neighbourhood,
    tree: Tree,
    seen: SeenEvents,
    log: MessageLog,
    events: DisseminationEvents,
  ) {
    this.#state = state
    this.#neighbourhood = neighbourhood
    this.#tree = tree
    this.#seen = seen
    this.#log = log
    this.#events = events
    this.#missing = new MissingEvents(state)
    this.#grafts = new Quota(state.settings.maxGraftsPerSec)
  }

  get missingCount(): number {
    return this.#missing.size
  }

  nextDeadline(): number {
    return Math.min(this.#announceAt, this.#tellAgainAt, this.#missing.nextDeadline())
  }

  handleTimeout(now: number): void {
    if (now >= this.#announceAt) this.#announce()
    if (now >= this.#tellAgainAt) this.#tellAgain(now)
    for (const { to, ids } of this.#missing.takeDue(now)) this.#graft(to, ids)
  }

  /** An event of this node's own. */
  publish(id: EventId, payload: Uint8Array, reportAt: number | undefined, now: number): void {
    this.#seen.add(id, now)
    const event = { ...id, originNode: this.#state.node, payload, hops: 0, from: undefined, reportAt }
    this.#take(event, this.#shout(event), now)
  }

  /** A slot is given to somebody else: of older events it hears by comparing. */
  linked({ slot }: Neighbour): void {
    for (const event of this.#unsettled) {
      event.knownBy |= 1 << slot
      event.told |= 1 << slot
    }
    for (const event of this.#log.values()) event.told |= 1 << slot
  }

  memberDown(node: string): void {
    this.#missing.memberDown(node)
  }

  handleGossip(from: string, neighbour: Neighbour | undefined, message: Gossip, now: number): void {
    const { counts, settings, dropped } = this.#state
    counts.payloadsReceived++
    if (message.payload.length > settings.maxPayloadBytes) {
      dropped.oversized++
      return this.#state.emit({ type: 'refused', from, reason: `an event of ${message.payload.length} bytes` })
    }
    const wait = this.#missing.arrived(eventKey(message), from, now)
    if (!this.#seen.add(message, now)) return this.#duplicate(from, neighbour, message, now)
    this.#asked = message.isRepair && wait === 'asked' ? this.#asked + 1 : 0
    if (neighbour !== undefined && !message.isRepair) neighbour.isEager = true
    const { origin, sequence, originNode, hops } = message
    // The message may lie in a buffer that is large or used again.
    const payload = copyBytes(message.payload)
    // Of a former life of this node nothing is news to it.
    if (originNode !== this.#state.node) this.#state.emit({ type: 'deliver', origin: originNode, payload, hops: hops + 1 })
    const reportAt = message.reportMs === undefined ? undefined : now + message.reportMs
    this.#take({ origin, sequence, originNode, payload, hops: hops + 1, from, reportAt }, false, now)
  }

  /** An event that its origin sent to many at once. Nothing about the tree follows from it. */
  handleShout(message: Gossip, now: number): void {
    const { counts, settings, dropped } = this.#state
    const { origin, sequence, originNode } = message
    counts.shoutsReceived++
    if (message.payload.length > settings.maxPayloadBytes) {
      dropped.oversized++
      return
    }
    this.#missing.arrived(eventKey(message), originNode, now)
    if (!this.#seen.add(message, now)) {
      counts.duplicates++
      return
    }
    this.#asked = 0
    const payload = copyBytes(message.payload)
    this.#state.emit({ type: 'deliver', origin: originNode, payload, hops: 1 })
    this.#take({ origin, sequence, originNode, payload, hops: 1, from: originNode, reportAt: undefined }, true, now)
  }

  handleIhave(from: string, neighbour: Neighbour | undefined, { ids, isAgain }: Ihave, now: number): void {
    this.#state.counts.ihavesReceived += ids.length
    for (const id of ids) {
      if (!this.#seen.has(id)) {
        this.#missing.announced(id, from, isAgain, now)
        continue
      }
      if (neighbour === undefined) continue
      const event = this.#log.get(id)
      if (event === undefined) {
        if (isAgain) this.#sendIds(from, [id], false)
        continue
      }
      event.knownBy |= 1 << neighbour.slot
      // Its sender has not heard that it is here, though it was told.
      if (isAgain) {
        event.told &= ~(1 << neighbour.slot)
        this.#fresh.add(event)
        this.#announceBy(now)
      }
      if (this.#isSettled(event)) this.#unsettled.delete(event)
    }
  }

  handleGraft(from: string, neighbour: Neighbour | undefined, { isLink, ids }: Graft, now: number): void {
    this.#state.counts.graftsReceived++
    if (isLink && neighbour !== undefined) neighbour.isEager = true
    for (const id of ids) {
      const event = this.#log.get(id)
      if (event === undefined) continue
      if (!this.#grafts.take(from, now)) {
        this.#state.dropped.grafts++
        continue
      }
      this.#state.counts.repairs++
      this.#sendPayload(event, [from], true, now)
      if (neighbour !== undefined) event.told |= 1 << neighbour.slot
      this.#events.passedOn(event, from)
    }
  }

  handlePrune(neighbour: Neighbour): void {
    this.#state.counts.prunesReceived++
    neighbour.isEager = false
    if (neighbour.pulse !== undefined) neighbour.pulse = { ...neighbour.pulse, isParent: false }
  }

  /** What a neighbour has and this node not; it may be on its way. */
  wanted(ids: readonly EventId[], from: string, isUrgent: boolean, now: number): void {
    for (const id of ids) this.#missing.announced(id, from, isUrgent, now)
  }

  /** Tells one member of ids at once. */
  tell(to: string, ids: readonly EventId[]): void {
    for (let at = 0; at < ids.length; at += MAX_IDS) this.#sendIds(to, ids.slice(at, at + MAX_IDS), false)
  }

  // ---- a payload that comes in, or begins here ----

  /**
   * Sends an event of this node to all that one datagram reaches, where it fits and they are enough. Not one that a report is wanted of:
   * its receipts come back the way that it went, and all at once would be too many.
   */
  #shout(event: Pick<LoggedEvent, 'origin' | 'sequence' | 'originNode' | 'payload' | 'hops' | 'reportAt'>): boolean {
    const { reached, settings, counts, bytesSent } = this.#state
    if (event.reportAt !== undefined || reached.nodes.size < settings.minShoutMembers) return false
    const { origin, sequence, originNode, hops, payload } = event
    const bytes = encodeBroadcastMessage({
      type: 'gossip',
      origin,
      sequence,
      hops,
      isRepair: true,
      reportMs: undefined,
      originNode,
      payload,
    })
    if (bytes.length > reached.maxBytes) return false
    counts.shoutsSent++
    bytesSent.gossip += bytes.length
    this.#state.emit({ type: 'shout', bytes })
    return true
  }

  #take(
    { from, ...content }: Pick<LoggedEvent, 'origin' | 'sequence' | 'originNode' | 'payload' | 'hops' | 'from' | 'reportAt'>,
    isShouted: boolean,
    now: number,
  ): void {
    const sender = from === undefined ? undefined : this.#neighbourhood.get(from)
    const knownBy = sender === undefined ? 0 : 1 << sender.slot
    const event: LoggedEvent = { ...content, key: eventKey(content), from, at: now, knownBy, told: 0, tries: 0, retryAt: Infinity }
    const receivers: string[] = []
    for (const neighbour of this.#neighbourhood.values()) {
      if (neighbour.node === from || !(neighbour.isEager || !this.#tree.isMade)) continue
      // Who is likely to have heard it is told its id alone, and asks for it otherwise.
      if (isShouted && this.#state.reached.nodes.has(neighbour.node)) continue
      receivers.push(neighbour.node)
      event.told |= 1 << neighbour.slot
    }
    this.#log.add(event)
    this.#sendPayload(event, receivers, false, now)
    this.#fresh.add(event)
    this.#announceBy(now + this.#state.settings.announceDelayMs)
    this.#unsettled.add(event)
    this.#tellAgainBy(event, now)
    this.#events.received(event, receivers, now)
  }

  /** The link closes a circle: it is taken out of the tree at both ends, unless what came was asked for. */
  #duplicate(from: string, neighbour: Neighbour | undefined, message: Gossip, now: number): void {
    this.#state.counts.duplicates++
    const event = this.#log.get(message)
    this.#events.duplicate(message, from, message.reportMs !== undefined, now)
    if (neighbour === undefined) return
    if (event !== undefined) event.knownBy |= 1 << neighbour.slot
    if (message.isRepair) {
      // It is told again, as it seems not to know that this node has the event.
      if (event !== undefined) event.told &= ~(1 << neighbour.slot)
      if (event !== undefined) this.#fresh.add(event)
      if (event !== undefined) this.#announceBy(event.at)
      return
    }
    if (!this.#tree.isMade) return
    // What the pulses have made stays: the other link is a leftover, or there is none and the network has doubled the message.
    const first = event?.from === undefined ? undefined : this.#neighbourhood.get(event.from)
    const pruned = this.#tree.holds(neighbour) ? first : neighbour
    if (pruned === undefined || this.#tree.holds(pruned)) return
    pruned.isEager = false
    this.#state.counts.prunesSent++
    this.#state.send(pruned.node, { type: 'prune' })
  }

  #sendPayload(event: LoggedEvent, to: readonly string[], isRepair: boolean, now: number): void {
    if (to.length === 0) return
    const reportMs = event.reportAt === undefined ? undefined : Math.max(0, Math.floor(CHILD_SHARE * (event.reportAt - now)))
    const { origin, sequence, hops, originNode, payload } = event
    const bytes = encodeBroadcastMessage({ type: 'gossip', origin, sequence, hops, isRepair, reportMs, originNode, payload })
    for (const node of to) {
      this.#state.counts.payloadsSent++
      this.#state.sendBytes(node, 'gossip', bytes)
    }
  }

  // ---- announcing ----

  /** Each neighbour gets the ids that it was not told, those that it told itself with them: that is how it knows that they are here. */
  #announce(): void {
    this.#announceAt = Infinity
    const fresh = [...this.#fresh]
    this.#fresh.clear()
    for (const neighbour of this.#neighbourhood.values()) {
      const bit = 1 << neighbour.slot
      const ids = fresh.filter(({ told }) => (told & bit) === 0)
      for (const event of ids) event.told |= bit
      for (let at = 0; at < ids.length; at += MAX_IDS) this.#sendIds(neighbour.node, ids.slice(at, at + MAX_IDS), false)
    }
  }

  #tellAgain(now: number): void {
    this.#tellAgainAt = Infinity
    const again: Map<Neighbour, LoggedEvent[]> = new Map()
    for (const event of this.#unsettled) {
      if (now < event.retryAt) {
        this.#tellAgainAt = Math.min(this.#tellAgainAt, event.retryAt)
        continue
      }
      if (this.#isSettled(event) || event.tries >= TELL_AGAIN) {
        this.#unsettled.delete(event)
        continue
      }
      event.tries++
      this.#tellAgainBy(event, now)
      const isSmall = event.payload.length <= this.#state.settings.resendBytes
      for (const neighbour of this.#neighbourhood.values()) {
        if ((event.knownBy & (1 << neighbour.slot)) !== 0) continue
        if (isSmall && neighbour.isEager) {
          this.#state.counts.repairs++
          this.#sendPayload(event, [neighbour.node], true, now)
        } else {
          const ids = again.get(neighbour)
          if (ids === undefined) again.set(neighbour, [event])
          else ids.push(event)
        }
      }
    }
    for (const [{ node }, ids] of again) {
      for (let at = 0; at < ids.length; at += MAX_IDS) this.#sendIds(node, ids.slice(at, at + MAX_IDS), true)
    }
  }

  #isSettled(event: LoggedEvent): boolean {
    return (this.#neighbourhood.slots & ~event.knownBy) === 0
  }

  #sendIds(to: string, ids: readonly EventId[], isAgain: boolean): void {
    this.#state.counts.ihavesSent += ids.length
    this.#state.send(to, { type: 'ihave', isAgain, ids })
  }

  #announceBy(at: number): void {
    this.#announceAt = Math.min(this.#announceAt, at)
  }

  #tellAgainBy(event: LoggedEvent, now: number): void {
    const waitMs = this.#state.settings.announceDelayMs + this.#state.answerMs
    event.retryAt = now + waitMs * TELL_AGAIN_FACTOR ** event.tries
    this.#tellAgainAt = Math.min(this.#tellAgainAt, event.retryAt)
  }

  // ---- asking ----

  #graft(to: string, ids: readonly EventId[]): void {
    const neighbour = this.#neighbourhood.get(to)
    const { parent } = this.#tree
    const isLink = neighbour !== undefined && (to === parent || parent === undefined || this.#asked >= 2)
    if (isLink) neighbour.isEager = true
    this.#state.counts.graftsSent++
    this.#state.send(to, { type: 'graft', isLink, ids })
  }
}
