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
 *
 * Where multicast reaches enough members, an own event goes out by it, and the tree has only what is left (`shortcut.ts`, §11): along an
 * eager link the payload goes down, from parent to child, to who is not reached; whoever is gets the id soon after, and asks at once if
 * it lacks the event. Of such an event nothing is learnt for the tree, and nothing pruned: pulses keep it for the day when multicast ends.
 */
import { copyBytes } from '../../lib/bytes.ts'
import { encodeBroadcastMessage, MAX_IDS } from './broadcast-codec.ts'
import type { EventId, Gossip, Graft, Ihave } from './broadcast-messages.ts'
import { Quota, type BroadcastState } from './broadcast-state.ts'
import { eventKey, type LoggedEvent, type MessageLog } from './message-log.ts'
import { MissingEvents, type Question } from './missing-events.ts'
import type { Neighbour, Neighbourhood } from './neighbourhood.ts'
import type { SeenEvents } from './seen-events.ts'
import type { Shortcut } from './shortcut.ts'
import type { Tree } from './tree.ts'

/** How often who has not said that it has an event is told again; each time after half as long again as the last. */
const TELL_AGAIN = 6
const TELL_AGAIN_FACTOR = 1.5
/** A report's time that is left for a child: the rest is for its receipts to come back. */
const CHILD_SHARE = 0.85

export interface DisseminationEvents {
  /** A new event is here, and these are to send their receipts here. */
  received(event: LoggedEvent, below: readonly string[], now: number): void
  /** The payload went to one more. */
  passedOn(event: LoggedEvent, to: string): void
  /** One has sent a payload that was here already. */
  duplicate(event: EventId, from: string, wantsReport: boolean, now: number): void
}

export class Dissemination {
  readonly #state: BroadcastState
  readonly #neighbourhood: Neighbourhood
  readonly #tree: Tree
  readonly #shortcut: Shortcut
  readonly #seen: SeenEvents
  readonly #log: MessageLog
  readonly #events: DisseminationEvents
  readonly #missing: MissingEvents
  readonly #grafts: Quota
  /** Events whose ids were not announced yet. */
  readonly #fresh: Set<LoggedEvent> = new Set()
  /** Those that went by multicast, and whose ids those that it reaches were not told yet. */
  readonly #freshCovered: Set<LoggedEvent> = new Set()
  /** Events that some neighbour has not said to have. */
  readonly #unsettled: Set<LoggedEvent> = new Set()
  #announceAt = Infinity
  #announceCoveredAt = Infinity
  #tellAgainAt = Infinity
  /** Events in a row that came only because they were asked for. */
  #asked = 0

  constructor(
    state: BroadcastState,
    neighbourhood: Neighbourhood,
    tree: Tree,
    shortcut: Shortcut,
    seen: SeenEvents,
    log: MessageLog,
    events: DisseminationEvents,
  ) {
    this.#state = state
    this.#neighbourhood = neighbourhood
    this.#tree = tree
    this.#shortcut = shortcut
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
    return Math.min(this.#announceAt, this.#announceCoveredAt, this.#tellAgainAt, this.#missing.nextDeadline())
  }

  handleTimeout(now: number): void {
    if (now >= this.#announceCoveredAt) this.#announceCovered()
    if (now >= this.#announceAt) this.#announce()
    if (now >= this.#tellAgainAt) this.#tellAgain(now)
    for (const question of this.#missing.takeDue(now)) this.#graft(question)
  }

  /** An event of this node's own. */
  publish(id: EventId, payload: Uint8Array, reportAt: number | undefined, now: number): void {
    this.#seen.add(id, now)
    const event = { ...id, originNode: this.#state.node, payload, hops: 0, from: undefined, reportTo: undefined, reportAt }
    // Without a tree nothing would bring it to those that multicast does not reach.
    const bytes = this.#tree.isMade && this.#shortcut.takes(payload.length) ? this.#encode(event, true, false, now) : undefined
    if (bytes === undefined || !this.#shortcut.takes(bytes.length)) return this.#take({ ...event, coverage: 'tree' }, now)
    this.#state.counts.multicastsSent++
    this.#state.bytesSent.gossip += bytes.length
    this.#state.emit({ type: 'multicast', bytes })
    this.#take({ ...event, coverage: 'here' }, now)
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

  /** A payload of a member; `isShortcut`: it came by multicast, of its origin. */
  handleGossip(from: string, neighbour: Neighbour | undefined, message: Gossip, isShortcut: boolean, now: number): void {
    const { counts, settings, dropped } = this.#state
    counts.payloadsReceived++
    if (message.payload.length > settings.maxPayloadBytes) {
      dropped.oversized++
      return this.#state.emit({ type: 'refused', from, reason: `an event of ${message.payload.length} bytes` })
    }
    const { wasAsked, isOverdue } = this.#missing.arrived(eventKey(message), from, message.isMulticast, now)
    if (!this.#seen.add(message, now)) return this.#duplicate(from, neighbour, message, isShortcut, now)
    if (!message.isMulticast) this.#asked = message.isRepair && wasAsked ? this.#asked + 1 : 0
    if (neighbour !== undefined && !message.isRepair) neighbour.isEager = true
    const { origin, sequence, originNode, hops } = message
    // The message may lie in a buffer that is large or used again.
    const payload = copyBytes(message.payload)
    // Of a former life of this node nothing is news to it.
    if (originNode !== this.#state.node) this.#state.emit({ type: 'deliver', origin: originNode, payload, hops: hops + 1 })
    const isHere = isShortcut || isOverdue || this.#shortcut.reaches(originNode)
    const coverage = message.isMulticast ? (isHere ? 'here' : 'elsewhere') : 'tree'
    // Who got it by multicast has it from its origin, who cannot hear all of them: receipts go up the tree, and from its root to the origin.
    const reportTo = coverage === 'tree' ? from : (this.#tree.parent ?? originNode)
    const reportMs = message.reportMs === undefined ? undefined : message.reportMs * (isShortcut ? CHILD_SHARE ** this.#tree.hops : 1)
    const reportAt = reportMs === undefined ? undefined : now + reportMs
    this.#take({ origin, sequence, originNode, payload, hops: hops + 1, from, coverage, reportTo, reportAt }, now)
  }

  handleIhave(from: string, neighbour: Neighbour | undefined, { ids, isAgain, isOverdue }: Ihave, now: number): void {
    this.#state.counts.ihavesReceived += ids.length
    for (const id of ids) {
      if (!this.#seen.has(id)) {
        this.#missing.announced(id, from, isAgain, isOverdue, now)
        continue
      }
      if (neighbour === undefined) continue
      const event = this.#log.get(id)
      if (event === undefined) {
        if (isAgain) this.#sendIds(from, [id], false, false)
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
      if (event.coverage === 'tree') this.#events.passedOn(event, from)
    }
  }

  handlePrune(neighbour: Neighbour): void {
    this.#state.counts.prunesReceived++
    neighbour.isEager = false
    if (neighbour.pulse !== undefined) neighbour.pulse = { ...neighbour.pulse, isParent: false }
  }

  /** What a neighbour has and this node not; it may be on its way. */
  wanted(ids: readonly EventId[], from: string, isUrgent: boolean, now: number): void {
    for (const id of ids) this.#missing.announced(id, from, isUrgent, false, now)
  }

  /** Tells one member of ids at once. */
  tell(to: string, ids: readonly EventId[]): void {
    this.#sendIds(to, ids, false, false)
  }

  // ---- a payload that comes in, or begins here ----

  #take({ from, ...content }: Omit<LoggedEvent, 'key' | 'at' | 'knownBy' | 'told' | 'tries' | 'retryAt'>, now: number): void {
    const sender = from === undefined ? undefined : this.#neighbourhood.get(from)
    const knownBy = sender === undefined ? 0 : 1 << sender.slot
    const event: LoggedEvent = { ...content, key: eventKey(content), from, at: now, knownBy, told: 0, tries: 0, retryAt: Infinity }
    const receivers: string[] = []
    for (const neighbour of this.#neighbourhood.values()) {
      if (neighbour.node === from || !this.#goesTo(event, neighbour)) continue
      receivers.push(neighbour.node)
      event.told |= 1 << neighbour.slot
    }
    this.#log.add(event)
    this.#sendPayload(event, receivers, false, now)
    if (from === undefined && event.coverage === 'here') this.#feedRoot(event, now)
    this.#fresh.add(event)
    this.#announceBy(now + this.#state.settings.announceDelayMs)
    this.#unsettled.add(event)
    this.#tellAgainBy(event, now)
    if (event.coverage === 'here') {
      this.#freshCovered.add(event)
      this.#announceCoveredAt = Math.min(this.#announceCoveredAt, now + this.#state.settings.multicastAnnounceDelayMs)
    }
    this.#events.received(event, event.coverage === 'tree' ? receivers : this.#below(event), now)
  }

  /** Whether the payload goes over a link unasked. One that went by multicast goes down the tree alone: all above have parents of their own. */
  #goesTo(event: LoggedEvent, neighbour: Neighbour): boolean {
    const { isMade, parent } = this.#tree
    if (event.coverage === 'tree') return neighbour.isEager || !isMade
    return neighbour.isEager && neighbour.node !== parent && !this.#shortcut.covers(event, neighbour.node)
  }

  /** The root has no parent that would send it what multicast did not bring. */
  #feedRoot(event: LoggedEvent, now: number): void {
    const { root } = this.#tree
    if (root === undefined || root === this.#state.node || this.#shortcut.reaches(root) || !this.#state.members.has(root)) return
    const neighbour = this.#neighbourhood.get(root)
    if (neighbour !== undefined) {
      if ((event.told & (1 << neighbour.slot)) !== 0) return
      event.told |= 1 << neighbour.slot
    }
    this.#sendPayload(event, [root], true, now)
  }

  /** Who sends its receipts of an event that went by multicast here: the children in the tree, and to the origin the root. */
  #below({ originNode, from }: LoggedEvent): string[] {
    const below: string[] = []
    for (const neighbour of this.#neighbourhood.values()) {
      if (this.#tree.isChild(neighbour) && neighbour.node !== originNode) below.push(neighbour.node)
    }
    const { root } = this.#tree
    if (from === undefined && root !== undefined && root !== this.#state.node) below.push(root)
    return below
  }

  /** The link closes a circle: it is taken out of the tree at both ends, unless what came was asked for. */
  #duplicate(from: string, neighbour: Neighbour | undefined, message: Gossip, isShortcut: boolean, now: number): void {
    this.#state.counts.duplicates++
    const event = this.#log.get(message)
    if (!isShortcut) this.#events.duplicate(message, from, message.reportMs !== undefined, now)
    if (neighbour === undefined) return
    if (event !== undefined) event.knownBy |= 1 << neighbour.slot
    if (message.isRepair) {
      // It is told again, as it seems not to know that this node has the event.
      if (event !== undefined) event.told &= ~(1 << neighbour.slot)
      if (event !== undefined) this.#fresh.add(event)
      if (event !== undefined) this.#announceBy(event.at)
      return
    }
    if (!this.#tree.isMade || message.isMulticast) return
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
    const bytes = this.#encode(event, event.coverage !== 'tree', isRepair, now)
    for (const node of to) {
      this.#state.counts.payloadsSent++
      this.#state.sendBytes(node, 'gossip', bytes)
    }
  }

  #encode(
    {
      origin,
      sequence,
      hops,
      originNode,
      payload,
      reportAt,
    }: Omit<LoggedEvent, 'key' | 'at' | 'knownBy' | 'told' | 'tries' | 'retryAt' | 'coverage'>,
    isMulticast: boolean,
    isRepair: boolean,
    now: number,
  ): Uint8Array {
    const reportMs = reportAt === undefined ? undefined : Math.max(0, Math.floor(CHILD_SHARE * (reportAt - now)))
    return encodeBroadcastMessage({ type: 'gossip', origin, sequence, hops, isRepair, isMulticast, reportMs, originNode, payload })
  }

  // ---- announcing ----

  /** Those that multicast reaches hear soon of what came by it: who lacks it need not wait for anything. */
  #announceCovered(): void {
    this.#announceCoveredAt = Infinity
    const fresh = [...this.#freshCovered]
    this.#freshCovered.clear()
    for (const neighbour of this.#neighbourhood.values()) {
      const bit = 1 << neighbour.slot
      const ids = fresh.filter((event) => (event.told & bit) === 0 && this.#shortcut.covers(event, neighbour.node))
      for (const event of ids) event.told |= bit
      this.#sendIds(neighbour.node, ids, false, true)
    }
  }

  /** Each neighbour gets the ids that it was not told, those that it told itself with them: that is how it knows that they are here. */
  #announce(): void {
    this.#announceAt = Infinity
    const fresh = [...this.#fresh]
    this.#fresh.clear()
    for (const neighbour of this.#neighbourhood.values()) {
      const bit = 1 << neighbour.slot
      const ids = fresh.filter(({ told }) => (told & bit) === 0)
      for (const event of ids) event.told |= bit
      this.#sendIds(neighbour.node, ids, false, false)
    }
  }

  #tellAgain(now: number): void {
    this.#tellAgainAt = Infinity
    const again = { plain: new Map<Neighbour, LoggedEvent[]>(), overdue: new Map<Neighbour, LoggedEvent[]>() }
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
        if (isSmall && neighbour.isEager && (event.coverage === 'tree' || this.#goesTo(event, neighbour))) {
          this.#state.counts.repairs++
          this.#sendPayload(event, [neighbour.node], true, now)
        } else {
          const told = this.#shortcut.covers(event, neighbour.node) ? again.overdue : again.plain
          const ids = told.get(neighbour)
          if (ids === undefined) told.set(neighbour, [event])
          else ids.push(event)
        }
      }
    }
    for (const [told, isOverdue] of [
      [again.plain, false],
      [again.overdue, true],
    ] as const) {
      for (const [{ node }, ids] of told) {
        this.#sendIds(node, ids, true, isOverdue)
      }
    }
  }

  #isSettled(event: LoggedEvent): boolean {
    return (this.#neighbourhood.slots & ~event.knownBy) === 0
  }

  #sendIds(to: string, ids: readonly EventId[], isAgain: boolean, isOverdue: boolean): void {
    this.#state.counts.ihavesSent += ids.length
    for (let at = 0; at < ids.length; at += MAX_IDS)
      this.#state.send(to, { type: 'ihave', isAgain, isOverdue, ids: ids.slice(at, at + MAX_IDS) })
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

  #graft({ to, ids, isOverdue }: Question): void {
    const neighbour = this.#neighbourhood.get(to)
    const { parent } = this.#tree
    const isLink = neighbour !== undefined && !isOverdue && (to === parent || parent === undefined || this.#asked >= 2)
    if (isLink) neighbour.isEager = true
    this.#state.counts.graftsSent++
    this.#state.send(to, { type: 'graft', isLink, ids })
  }
}
