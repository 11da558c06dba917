/**
 * The peer machine: one node's part in the swarm of one content.
 *
 * Two ways bring chunks here. The planned one: the tracker names a parent per stripe, the peer subscribes, and the parent
 * sends each run of the stripe as soon as it has it; no request and no announcement stands between. The other one: whatever
 * the plan does not bring (no parent, a parent that is gone, late, or too slow; a run that was handed out before this peer
 * came) is asked for run by run, the rarest first, from neighbours that announced it. The second one alone is a complete
 * protocol: without a tracker it carries the content by itself.
 *
 * This file takes the inputs and hands them to the parts that they concern. Not here: which peer is whose parent (`tracker.ts`),
 * sockets, storage and hashing (handed in as `ContentView`). docs/specs/02-swarm.md has the states, timers and their reasons.
 */
import type { Bitfield } from '../lib/bitfield.ts'
import { Announcements } from './announcements.ts'
import { Availability } from './availability.ts'
import { Downloads } from './download.ts'
import type { PlanMessage, SwarmMessage } from './frames.ts'
import type { Ranges } from './ranges.ts'
import { HandOut } from './hand-out.ts'
import { ManifestExchange } from './manifest-exchange.ts'
import type { Neighbour, Subscription } from './neighbour.ts'
import { Neighbourhood } from './neighbourhood.ts'
import { PeerState } from './peer-state.ts'
import type { PeerInput, PeerLimits, PeerOptions, PeerOutput, PeerStatus } from './peer-types.ts'
import { noteAsked, noteServed, pushFresh, takeNext, type ChunkRange } from './upload.ts'

/** Chunk indices that a neighbour may announce beyond what the manifest knows so far. */
const MAX_CHUNKS = 4 * 1024 * 1024
/** Over slow links a peer looks after things this much more rarely, at the most. */
const MAX_TICK_TIMES = 10

export class SwarmPeer {
  readonly options: PeerOptions
  readonly #state: PeerState
  readonly #announcements: Announcements
  readonly #neighbourhood: Neighbourhood
  readonly #downloads: Downloads
  readonly #manifest: ManifestExchange
  /** At the origin only. */
  readonly #handOut: HandOut | undefined
  /** Neighbours that want something sent unasked. */
  #children: Neighbour[] = []
  #reuseAskedTo = 0
  #haveBytes = 0
  #receivedBytes = 0
  #duplicateBytes = 0
  #badBytes = 0
  #lastProgressAt: number
  /** It is known where the last run ends. */
  #isEndKnown = false

  constructor(options: PeerOptions, have: Bitfield, now: number) {
    this.options = options
    const state = new PeerState(options, have)
    this.#state = state
    this.#announcements = new Announcements(state, now)
    this.#neighbourhood = new Neighbourhood(state, this.#announcements, (neighbour, at) => this.#left(neighbour, at))
    this.#downloads = new Downloads(state, this.#neighbourhood, now)
    this.#manifest = new ManifestExchange(state, (neighbour, at) => this.#subscribe(neighbour, at), now)
    this.#handOut = options.isOrigin ? new HandOut(state) : undefined
    this.#lastProgressAt = now
    for (const [first, count] of have.ranges()) this.#haveBytes += state.content.rangeBytes(first, count)
    state.timers.set('tick', now + state.limits.tickMs)
    this.#grow(now)
  }

  /** Chunks of one relay unit, by the plan where there is one. */
  get runChunks(): number {
    return this.#state.runChunks
  }

  get limits(): PeerLimits {
    return this.#state.limits
  }

  /** Chunks that are here. */
  get have(): Bitfield {
    return this.#state.have
  }

  /** For diagnosis and checks. */
  get neighbours(): ReadonlyMap<string, Neighbour> {
    return this.#state.neighbours
  }

  /** Per stripe the planned parent's id, for diagnosis; empty before there is a plan. */
  get parents(): readonly (string | undefined)[] {
    return this.#state.parents
  }

  get isDone(): boolean {
    return this.#state.isDone
  }

  status(): PeerStatus {
    return {
      neighbours: this.#state.neighbours.size,
      haveChunks: this.#state.have.count,
      haveBytes: this.#haveBytes,
      receivedBytes: this.#receivedBytes,
      duplicateBytes: this.#duplicateBytes,
      badBytes: this.#badBytes,
      requestedRuns: this.#downloads.requestedRuns,
      pulledRuns: this.#downloads.pulledRuns,
      lastProgressAt: this.#lastProgressAt,
    }
  }

  /** Takes what is to be done; the caller owns the list. */
  drain(): PeerOutput[] {
    return this.#state.drain()
  }

  /** The earliest timer, ms; Infinity for none. */
  nextDeadline(): number {
    return this.#state.timers.earliest()
  }

  handle(input: PeerInput, now: number): void {
    switch (input.type) {
      case 'message':
        return this.#message(input.from, input.message, now)
      case 'neighbour-up':
        return this.#neighbourUp(input.id, input.address, now)
      case 'neighbour-down':
        return this.#neighbourhood.down(input.id, now)
      case 'stored':
        this.#grow(now)
        return this.#gain(undefined, input.firstChunk, input.count, now)
      case 'manifest-grew':
        return this.#grow(now)
      case 'lost':
        return this.#lost(input.firstChunk, input.count)
      case 'reused':
        return this.#reused(input.upTo)
      case 'hold':
        return this.#hold(input.fromChunk, now)
      case 'brought':
        this.#grow(now)
        return this.#brought(input.firstChunk, input.count, input.payload, now)
      case 'handed-out':
        return this.#handOut?.elsewhere(input.firstChunk, input.count)
      case 'tracker':
        return this.#trackerChanged(input.isUp, now)
    }
  }

  handleTimeout(now: number): void {
    for (;;) {
      const name = this.#state.timers.takeDue(now)
      switch (name) {
        case undefined:
          return
        case 'tick':
          this.#tick(now)
          break
        case 'have':
          this.#announcements.tellEveryone(now)
          break
        case 'fastHave':
          this.#announcements.tellAsking(now)
          break
        case 'announce':
          this.#announcements.announce(this.#haveBytes, this.isDone ? [] : this.#downloads.lateStripes(), now)
          break
        case 'pick':
          this.#downloads.pick(now)
          break
        case 'peers':
          this.#state.timers.set('peers', now + this.limits.peersIntervalMs)
          this.#neighbourhood.nameOthers()
          break
      }
    }
  }

  /** The next range to send to a neighbour whose link has room, or undefined for nothing now (then `uploadable` comes again). */
  nextUpload(id: string, now: number): ChunkRange | undefined {
    const neighbour = this.#state.neighbours.get(id)
    if (neighbour === undefined) return undefined
    const { have, content, runChunks } = this.#state
    const maySendAsked = this.#handOut?.maySendAsked(neighbour, now)
    const range = takeNext(neighbour, have, content.knownChunks, runChunks, this.#handOut?.holdFrom(now), maySendAsked)
    if (range === undefined) neighbour.isOffered = false
    else this.#handOut?.released(range, now)
    return range
  }

  // ---- neighbours ----

  #neighbourUp(id: string, address: string | undefined, now: number): void {
    const neighbour = this.#neighbourhood.up(id, address, now)
    if (neighbour === undefined) return
    this.#state.pace.met(now)
    this.#subscribe(neighbour, now)
  }

  #left(neighbour: Neighbour, now: number): void {
    this.#children = this.#children.filter((child) => child !== neighbour)
    this.#downloads.neighbourGone(neighbour, now)
    this.#manifest.neighbourGone(neighbour, now)
    this.#downloads.pickSoon(now)
  }

  #plan(plan: PlanMessage, now: number): void {
    const state = this.#state
    if (plan.runChunks !== state.runChunks) this.#changeRuns(plan.runChunks, now)
    const lastParents = state.parents
    state.stripes = plan.stripes
    state.parents = plan.parents.map((index) => (index < 0 ? undefined : plan.peers[index]?.id))
    this.#downloads.planned(lastParents, now)
    this.#neighbourhood.follow(plan, now)
    for (const neighbour of state.neighbours.values()) this.#subscribe(neighbour, now)
    this.#downloads.pickSoon(now)
  }

  #changeRuns(runChunks: number, now: number): void {
    const state = this.#state
    this.#downloads.reset()
    state.runChunks = runChunks
    state.searchAnew()
    state.availability = new Availability(runChunks)
    state.availability.grow(state.content.knownChunks)
    for (const neighbour of state.neighbours.values()) {
      if (neighbour.isOrigin) continue
      state.availability.grow(neighbour.announced.length)
      state.availability.add(neighbour.announced, state.contentEnd(), now)
    }
  }

  /** Says what is wanted from a neighbour, when that is not what it was told last. */
  #subscribe(neighbour: Neighbour, now: number): void {
    const state = this.#state
    let mask = 0
    if (!this.isDone) state.parents.forEach((parent, stripe) => (mask |= parent === neighbour.id ? 1 << stripe : 0))
    this.#manifest.prefer(neighbour, now)
    const wantsManifest = this.#manifest.isWantedFrom(neighbour)
    if (mask === neighbour.mask && wantsManifest === neighbour.isManifestParent) return
    this.#announcements.tell(neighbour)
    neighbour.mask = mask
    neighbour.isManifestParent = wantsManifest
    state.send(neighbour.id, {
      type: 'subscribe',
      runChunks: state.runChunks,
      stripes: state.stripes,
      mask: mask >>> 0,
      manifestFrom: wantsManifest ? state.content.knownChunks : -1,
    })
    if (mask !== 0) this.#downloads.cancelAsked(neighbour, mask)
    const clearedTo = Math.min(state.clearedTo, state.heldFrom)
    if (mask !== 0 && (clearedTo > 0 || state.heldFrom > 0)) state.send(neighbour.id, { type: 'clear', to: clearedTo })
  }

  #trackerChanged(isUp: boolean, now: number): void {
    const { timers } = this.#state
    if (isUp === this.#state.isTrackerUp) return
    this.#state.isTrackerUp = isUp
    if (!isUp) timers.set('peers', now)
    else {
      timers.delete('peers')
      if (!this.options.isOrigin) this.#announcements.startAgain(now)
    }
  }

  // ---- messages ----

  #message(from: string, message: SwarmMessage, now: number): void {
    if (message.type === 'plan') return this.#plan(message, now)
    if (message.type === 'close') {
      this.#state.emit({ type: 'closed', by: from, reason: message.reason })
      return this.#neighbourhood.down(from, now)
    }
    const neighbour = this.#state.neighbours.get(from)
    if (neighbour === undefined) return
    if (message.type !== 'have') neighbour.activeAt = now
    switch (message.type) {
      case 'data':
        return this.#data(neighbour, message.firstChunk, message.count, message.payload, now)
      case 'have':
        return this.#theirHave(neighbour, message.ranges, now)
      case 'lost':
        return this.#theirLost(neighbour, message.ranges, now)
      case 'request':
        this.#announcements.wasAsked(neighbour, now)
        if (!noteAsked(neighbour, message.ranges, this.#state.content.knownChunks)) {
          return this.#neighbourhood.drop(from, 'it asked for more than a peer may have outstanding')
        }
        return this.#state.offer(neighbour)
      case 'cancel':
        return noteServed(neighbour, message.ranges, this.#state.content.knownChunks)
      case 'subscribe':
        return this.#theirSubscription(neighbour, message, message.manifestFrom, now)
      case 'clear':
        neighbour.clearTo = message.to
        return this.#state.offer(neighbour)
      case 'withheld':
        this.#downloads.withheld(neighbour.id, message.ranges, now)
        return this.#downloads.pickSoon(now)
      case 'manifest': {
        const error = this.#manifest.accept(message.part)
        return error === undefined ? this.#grow(now) : this.#neighbourhood.drop(from, error.message)
      }
      case 'peers':
        return this.#neighbourhood.named(neighbour, message.peers, now)
      case 'open':
      case 'announce':
      case 'invite':
        return
    }
  }

  #theirHave(neighbour: Neighbour, ranges: Ranges, now: number): void {
    const { availability, pace } = this.#state
    const isFirst = neighbour.announced.count === 0
    const seenRuns = availability.seenRuns
    const end = ranges.length === 0 ? 0 : ranges[ranges.length - 2]! + ranges[ranges.length - 1]!
    if (end > MAX_CHUNKS) return this.#neighbourhood.drop(neighbour.id, 'it announced chunks that no content can have')
    const chunks = this.#state.contentEnd()
    if (end > chunks) return this.#neighbourhood.drop(neighbour.id, 'it announced chunks past the end of the content')
    neighbour.grow(end)
    availability.grow(end)
    noteServed(neighbour, ranges, end)
    for (let i = 0; i < ranges.length; i += 2) {
      const first = ranges[i]!
      const count = ranges[i + 1]!
      this.#handOut?.elsewhere(first, count)
      if (neighbour.isOrigin) neighbour.announced.setRange(first, count)
      else availability.announce(neighbour.announced, first, count, chunks, now)
    }
    if (ranges.length > 0) pace.begun(now)
    if (!isFirst) pace.announced(availability.seenRuns - seenRuns, now)
    if (!this.isDone) this.#downloads.announced(now)
  }

  #theirLost(neighbour: Neighbour, ranges: Ranges, now: number): void {
    const { runChunks, availability } = this.#state
    const { announced, served } = neighbour
    for (let i = 0; i < ranges.length; i += 2) {
      const end = Math.min(ranges[i]! + ranges[i + 1]!, announced.length)
      // Only what it was known to have is looked at, however much it says to have lost.
      const next = (from: number): number => Math.min(announced.nextSet(from), served.nextSet(from))
      for (let chunk = next(ranges[i]!); chunk < end; chunk = next(chunk + 1)) {
        const run = Math.floor(chunk / runChunks)
        const wasWhole = announced.hasRange(run * runChunks, Math.min(runChunks, this.#state.contentEnd() - run * runChunks))
        if (announced.clear(chunk) && wasWhole && !neighbour.isOrigin) availability.removeRun(run)
        served.clear(chunk)
        this.#downloads.refused(neighbour, run, now)
      }
      neighbour.cursor = Math.min(neighbour.cursor, ranges[i]!)
    }
    this.#downloads.pickSoon(now)
  }

  #theirSubscription(neighbour: Neighbour, wanted: Subscription, manifestFrom: number, now: number): void {
    const { runChunks, stripes, mask } = wanted
    neighbour.subscribe({ runChunks, stripes, mask }, this.options.isOrigin ? this.#state.content.knownChunks : undefined, now)
    this.#children = this.#children.filter((child) => child !== neighbour)
    if (mask !== 0) {
      this.#children.push(neighbour)
      this.#handOut?.withholdFrom(neighbour)
    }
    neighbour.manifestFrom = manifestFrom
    if (manifestFrom >= 0) this.#manifest.sendTo(neighbour)
    this.#state.offer(neighbour)
  }

  // ---- chunks ----

  #data(neighbour: Neighbour, firstChunk: number, count: number, payload: Uint8Array, now: number): void {
    const { content, have } = this.#state
    if (firstChunk + count > content.knownChunks)
      return this.#neighbourhood.drop(neighbour.id, 'it sent a chunk that it was not told to send')
    const bytes = content.rangeBytes(firstChunk, count)
    if (have.hasRange(firstChunk, count)) {
      this.#duplicateBytes += bytes
      return this.#downloads.arrived(neighbour, firstChunk, bytes, now)
    }
    const bad = content.verify(firstChunk, count, payload)
    if (bad >= 0) {
      this.#badBytes += bytes
      this.#neighbourhood.drop(neighbour.id, `it sent wrong bytes for chunk ${bad}`)
      return this.#downloads.pickSoon(now)
    }
    this.#take(neighbour, firstChunk, count, payload, now)
    this.#downloads.arrived(neighbour, firstChunk, bytes, now)
  }

  /** Chunks that came by another way than from a neighbour. */
  #brought(firstChunk: number, count: number, payload: Uint8Array, now: number): void {
    const { content, have } = this.#state
    const bytes = content.rangeBytes(firstChunk, count)
    if (have.hasRange(firstChunk, count)) this.#duplicateBytes += bytes
    else if (content.verify(firstChunk, count, payload) >= 0) this.#badBytes += bytes
    else {
      this.#take(undefined, firstChunk, count, payload, now)
      this.#downloads.brought(firstChunk, count, now)
    }
  }

  /** Takes those of the chunks that are not here; mostly all of them. */
  #take(neighbour: Neighbour | undefined, firstChunk: number, count: number, payload: Uint8Array, now: number): void {
    const { content, have } = this.#state
    const end = firstChunk + count
    neighbour?.served.setRange(firstChunk, count)
    for (let from = have.nextClear(firstChunk); from < end; from = have.nextClear(from)) {
      const to = Math.min(end, have.nextSet(from))
      const bytes = content.rangeBytes(from, to - from)
      const begin = from === firstChunk ? 0 : content.rangeBytes(firstChunk, from - firstChunk)
      const part = to - from === count ? payload : payload.subarray(begin, begin + bytes)
      this.#receivedBytes += bytes
      this.#state.emit({ type: 'write', from: neighbour?.id ?? '', firstChunk: from, count: to - from, payload: part })
      this.#gain(neighbour, from, to - from, now)
    }
  }

  /** Chunks came to be here: pass them on to whoever waits for them. */
  #gain(from: Neighbour | undefined, firstChunk: number, count: number, now: number): void {
    const { have, content } = this.#state
    if (!this.#addChunks(firstChunk, count)) return
    this.#lastProgressAt = now
    this.#announcements.gained(firstChunk, count, now)
    for (const child of this.#children) {
      if (child === from || child.subscription === undefined) continue
      pushFresh(child, child.subscription, firstChunk, count, now)
      if (!child.isOffered) this.#state.offer(child)
      else if (child.hasFresh()) this.#announcements.checkChild(child, now)
    }
    if (have.count === content.knownChunks) this.#checkDone()
  }

  #addChunks(firstChunk: number, count: number): boolean {
    const { have, content } = this.#state
    if (have.nextSet(firstChunk) >= firstChunk + count) {
      have.setRange(firstChunk, count)
      this.#haveBytes += content.rangeBytes(firstChunk, count)
      return true
    }
    const before = have.count
    for (let chunk = firstChunk; chunk < firstChunk + count; chunk++) {
      if (have.set(chunk)) this.#haveBytes += content.rangeBytes(chunk, 1)
    }
    return have.count > before
  }

  #lost(firstChunk: number, count: number): void {
    const { have, content, neighbours } = this.#state
    for (let chunk = firstChunk; chunk < firstChunk + count; chunk++) {
      if (have.clear(chunk)) this.#haveBytes -= content.rangeBytes(chunk, 1)
    }
    this.#state.isDone = false
    this.#state.searchAnew()
    for (const neighbour of neighbours.values()) this.#state.send(neighbour.id, { type: 'lost', ranges: [firstChunk, count] })
  }

  #checkDone(): void {
    const state = this.#state
    if (state.isDone || !state.content.isComplete || state.have.count < state.content.knownChunks) return
    state.isDone = true
    state.emit({ type: 'complete' })
    if (!this.options.isOrigin) state.timers.set('announce', 0)
  }

  // ---- the manifest, and this node's disk ----

  /** The view may know more than before. */
  #grow(now: number): void {
    const state = this.#state
    const known = state.content.knownChunks
    if (known > state.have.length) {
      this.#manifest.grew(now)
      state.have.grow(known)
    }
    this.#handOut?.grow(known)
    state.availability.grow(known)
    for (const neighbour of state.neighbours.values()) {
      neighbour.grow(known)
      if (neighbour.subscription !== undefined) state.offer(neighbour)
    }
    if (state.content.isComplete && !this.#isEndKnown) this.#endKnown(now)
    this.#manifest.sendToAll()
    if (!this.options.canReuse) this.#clear(known)
    else if (known > this.#reuseAskedTo) {
      state.emit({ type: 'reuse', fromChunk: this.#reuseAskedTo, upTo: known })
      this.#reuseAskedTo = known
    }
    this.#checkDone()
  }

  /** The last run may be shorter than others: only now can it be told who has the whole of it. */
  #endKnown(now: number): void {
    const { content, runChunks, availability, neighbours } = this.#state
    this.#isEndKnown = true
    const count = content.knownChunks % runChunks
    if (count === 0) return
    const first = content.knownChunks - count
    for (const { announced, isOrigin } of neighbours.values()) {
      if (!isOrigin && announced.hasRange(first, count)) availability.addRun(first / runChunks, now)
    }
  }

  #reused(upTo: number): void {
    for (const neighbour of this.#state.neighbours.values()) if (neighbour.mask !== 0) this.#announcements.tell(neighbour)
    this.#clear(upTo)
  }

  /** Tells the parents how far they may send: no chunk comes before its manifest entry, or before this node's own disk was searched for it. */
  #clear(upTo: number): void {
    if (upTo <= this.#state.clearedTo) return
    const before = Math.min(this.#state.clearedTo, this.#state.heldFrom)
    this.#state.clearedTo = upTo
    if (Math.min(upTo, this.#state.heldFrom) > before) this.#tellCleared()
  }

  #tellCleared(): void {
    const { clearedTo, heldFrom, neighbours } = this.#state
    for (const neighbour of neighbours.values()) {
      if (neighbour.mask !== 0) this.#state.send(neighbour.id, { type: 'clear', to: Math.min(clearedTo, heldFrom) })
    }
  }

  #hold(fromChunk: number, now: number): void {
    const state = this.#state
    if (fromChunk === state.heldFrom || this.options.isOrigin) return
    const isMore = fromChunk < state.heldFrom
    state.heldFrom = fromChunk
    // What came meanwhile is said before parents go on, so that they leave it out.
    if (!isMore) for (const neighbour of state.neighbours.values()) if (neighbour.mask !== 0) this.#announcements.tell(neighbour)
    if (isMore) this.#downloads.held()
    else this.#downloads.released(now)
    this.#tellCleared()
  }

  #tick(now: number): void {
    // Where runs are seconds apart, nothing that is looked after here changes in less.
    const times = this.options.isOrigin ? 1 : Math.min(MAX_TICK_TIMES, Math.max(1, this.#state.pace.slowness / 4))
    this.#state.timers.set('tick', now + this.limits.tickMs * times)
    this.#neighbourhood.dismissIdle(now)
    // What the origin held back may be due.
    if (this.#handOut !== undefined) {
      for (const child of this.#children) this.#state.offer(child)
      for (const neighbour of this.#state.neighbours.values()) if (neighbour.asked.length > 0) this.#state.offer(neighbour)
    }
    if (!this.isDone) this.#manifest.tick(now)
    this.#downloads.tick(now)
  }
}
