/**
 * The peer machine: one node's part in the swarm of one content.
 *
 * Two ways bring chunks here. The planned one: the tracker names a parent per stripe, the peer subscribes, and the parent
 * sends each run of the stripe as soon as it has it; no request and no announcement stands between. The other one: whatever
 * the plan does not bring (no parent, a parent that is gone, late, or too slow; a run that was handed out before this peer
 * came) is asked for run by run, the rarest first, from neighbours that announced it. The second one alone is a complete
 * protocol: without a tracker it carries the content by itself.
 *
 * Not here: which peer is whose parent (`tracker.ts`), sockets, storage and hashing (handed in as `ContentView`).
 * docs/specs/02-swarm.md has the states, timers and their reasons.
 */
import { Bitfield } from '../lib/bitfield.ts'
import type { Random } from '../lib/random.ts'
import { Availability } from './availability.ts'
import { Contacts } from './contacts.ts'
import type { ContentView } from './content-view.ts'
import { Downloads } from './download.ts'
import { MAX_NAMED_PEERS, MAX_STRIPES, splitRanges, type NamedPeer, type PlanMessage, type Ranges, type SwarmMessage } from './frames.ts'
import { Neighbour, type Subscription } from './neighbour.ts'
import { DEFAULT_PEER_LIMITS, type PeerInput, type PeerLimits, type PeerOptions, type PeerOutput, type PeerStatus } from './peer-types.ts'
import { covers, takeNext, type ChunkRange } from './upload.ts'

type TimerName = 'tick' | 'have' | 'fastHave' | 'announce' | 'pick' | 'peers'

/** Chunk indices that a neighbour may announce beyond what the manifest knows so far. */
const MAX_CHUNKS = 4 * 1024 * 1024
/** A neighbour counts as asking for this long after its last request, ms. */
const ASKING_MS = 1000
/** Runs that the origin may be ahead in one stripe of what it has handed out in all. */
const ORIGIN_LEAD_RUNS = 48
/** How long it holds back the stripes that are ahead for the sake of one that isn't, and then doesn't, ms. */
const ORIGIN_HOLD_MS = 150
const ORIGIN_FREE_MS = 2000
/** A child that has this many fresh runs waiting, for this long, is slower than its stripe. */
const SLOW_CHILD_RUNS = 6
const SLOW_CHILD_MS = 300
/** After this long without a word of the manifest another neighbour is asked for it, ms. */
const MANIFEST_STALL_MS = 500
/** How long after the start neighbours are told quickly what is here, ms. */
const FIRST_HAVES_MS = 1000
/** The least time between two picks, ms. */
const PICK_PAUSE_MS = 5

export class SwarmPeer {
  readonly options: PeerOptions
  readonly limits: PeerLimits
  readonly content: ContentView
  readonly have: Bitfield
  readonly neighbours: Map<string, Neighbour> = new Map()
  readonly random: Random
  availability: Availability
  runChunks: number

  /** Per stripe the planned parent's id; empty before there is a plan. */
  parents: (string | undefined)[] = []
  stripes = 1
  readonly #contacts: Contacts
  readonly #downloads: Downloads
  readonly #outputs: PeerOutput[] = []
  readonly #timers: Map<TimerName, number> = new Map()
  /** Ranges that came to be here, in order: what neighbours are told from. */
  readonly #log: number[] = []
  /** At the origin: chunks that were handed out once. */
  readonly #released: Bitfield
  #releasedBelow = 0
  /** Since when a stripe has been as far ahead as it may be, ms. */
  #leadSince: number = Infinity
  /** Until when the origin does not hold stripes back, ms. */
  #freeUntil = 0
  #lostPeers: string[] = []
  #manifestParent: string | undefined
  #isManifestStalled = false
  #clearedTo = 0
  #reuseAskedTo = 0
  #isDone = false
  #haveBytes = 0
  #receivedBytes = 0
  #duplicateBytes = 0
  #badBytes = 0
  readonly #startedAt: number
  #lastProgressAt: number
  #manifestGrewAt: number
  #lastAnnounceKey = ''

  constructor(options: PeerOptions, have: Bitfield, now: number) {
    this.options = options
    this.limits = { ...DEFAULT_PEER_LIMITS, ...options.limits }
    this.content = options.content
    this.random = options.random
    this.have = have
    this.runChunks = options.content.runChunks
    this.availability = new Availability(this.runChunks)
    this.#released = new Bitfield(options.content.knownChunks)
    this.#contacts = new Contacts(options.id, this.limits)
    this.#downloads = new Downloads(this)
    this.#startedAt = now
    this.#lastProgressAt = now
    this.#manifestGrewAt = now
    for (let from = have.nextSet(0); from < have.length;) {
      const end = have.nextClear(from)
      this.#log.push(from, end - from)
      this.#haveBytes += this.content.rangeBytes(from, end - from)
      from = have.nextSet(end)
    }
    this.#timers.set('tick', now + this.limits.tickMs)
    this.#timers.set('have', now + this.limits.fastHaveIntervalMs)
    if (!options.isOrigin) this.#timers.set('announce', now + this.limits.earlyAnnounceIntervalMs)
    this.#grow(now)
    this.#checkDone()
  }

  get isDone(): boolean {
    return this.#isDone
  }

  status(): PeerStatus {
    return {
      neighbours: this.neighbours.size,
      haveChunks: this.have.count,
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
    return this.#outputs.length === 0 ? EMPTY : this.#outputs.splice(0)
  }

  /** The earliest timer, ms; Infinity for none. */
  nextDeadline(): number {
    let earliest = Infinity
    for (const deadline of this.#timers.values()) if (deadline < earliest) earliest = deadline
    return earliest
  }

  handle(input: PeerInput, now: number): void {
    switch (input.type) {
      case 'message':
        return this.#message(input.from, input.message, now)
      case 'neighbour-up':
        return this.#neighbourUp(input.id, input.address, now)
      case 'neighbour-down':
        return this.#neighbourDown(input.id, now)
      case 'stored':
        this.#grow(now)
        this.#gain(undefined, input.firstChunk, input.count, now)
        return
      case 'manifest-grew':
        return this.#grow(now)
      case 'lost':
        return this.#lost(input.firstChunk, input.count)
      case 'reused':
        return this.#reused(input.upTo)
      case 'tracker':
        if (!input.isUp) this.#timers.set('peers', now)
        else if (this.#timers.delete('peers')) this.#announceAgain(now)
        return
    }
  }

  handleTimeout(now: number): void {
    for (const [name, deadline] of this.#timers) {
      if (deadline > now) continue
      this.#timers.delete(name)
      switch (name) {
        case 'tick':
          this.#tick(now)
          break
        case 'have': {
          // Quickly at first: a small content is over before the slow pace has begun.
          const isFirst = now - this.#startedAt < FIRST_HAVES_MS
          this.#timers.set('have', now + (isFirst ? this.limits.fastHaveIntervalMs : this.limits.haveIntervalMs))
          this.#announceHave(() => true)
          break
        }
        case 'fastHave':
          this.#announceHave((neighbour) => now - neighbour.askedAt < ASKING_MS)
          break
        case 'announce':
          this.#announceProgress(now)
          break
        case 'pick':
          this.#downloads.pick(now)
          break
        case 'peers':
          this.#timers.set('peers', now + this.limits.peersIntervalMs)
          this.#namePeers()
          break
      }
    }
  }

  /** The next range to send to a neighbour whose link has room, or undefined for nothing now (then `uploadable` comes again). */
  nextUpload(id: string, now: number): ChunkRange | undefined {
    const neighbour = this.neighbours.get(id)
    if (neighbour === undefined) return undefined
    const range = takeNext(neighbour, this.have, this.content.knownChunks, this.runChunks, this.#holdFrom(now))
    if (range === undefined) {
      neighbour.isOffered = false
      return undefined
    }
    if (this.options.isOrigin) this.#release(range, now)
    return range
  }

  // ---- used by Downloads ----

  send(to: string, message: Exclude<SwarmMessage, { type: 'data' }>): void {
    this.#outputs.push({ type: 'send', to, message })
  }

  /** Drops a neighbour: for good when it lied, else until `untilMs`. */
  misbehaved(id: string, reason: string, untilMs: number = Infinity): void {
    this.#contacts.ban(id, untilMs)
    this.#outputs.push({ type: 'misbehaved', id, reason })
  }

  /** Something is missing that only the origin may have: connects to it, now and then. */
  reachOrigin(now: number): void {
    const origin = this.#contacts.originToTry((id) => this.neighbours.has(id), now)
    if (origin !== undefined) this.#outputs.push({ type: 'connect', ...origin })
  }

  pickSoon(now: number): void {
    if (!this.#timers.has('pick')) this.#timers.set('pick', Math.max(now, this.#downloads.pickedAt + PICK_PAUSE_MS))
  }

  stripeOf(run: number): number {
    return run % this.stripes
  }

  // ---- neighbours ----

  #neighbourUp(id: string, address: string | undefined, now: number): void {
    this.#contacts.connected(id)
    if (this.#contacts.isBanned(id, now)) {
      this.#outputs.push({ type: 'misbehaved', id, reason: 'it was dropped from this content before' })
      return
    }
    if (this.neighbours.has(id)) this.#neighbourDown(id, now)
    if (this.neighbours.size >= this.limits.maxNeighbours) {
      this.send(id, { type: 'close', reason: `${this.limits.maxNeighbours} neighbours are the limit` })
      return
    }
    const neighbour = new Neighbour(id, address ?? this.#contacts.addressOf(id), this.content.knownChunks)
    neighbour.isOrigin = this.#contacts.isOrigin(id)
    neighbour.activeAt = now
    this.neighbours.set(id, neighbour)
    this.#tellHave(neighbour)
    this.#subscribe(neighbour, now)
  }

  #neighbourDown(id: string, now: number): void {
    const neighbour = this.neighbours.get(id)
    this.#contacts.failed(id, neighbour !== undefined, now)
    if (neighbour === undefined) {
      if (this.#contacts.isPlanned(id)) this.#reportLost(id, now)
      return
    }
    this.#leave(neighbour, now)
    this.#reportLost(id, now)
  }

  #leave(neighbour: Neighbour, now: number): void {
    this.neighbours.delete(neighbour.id)
    if (!neighbour.isOrigin) this.availability.remove(neighbour.announced, this.content.knownChunks)
    this.#downloads.neighbourGone(neighbour)
    if (this.#manifestParent === neighbour.id) this.#replaceManifestParent(now)
    this.pickSoon(now)
  }

  #reportLost(id: string, now: number): void {
    if (this.options.isOrigin || this.#lostPeers.length >= 32) return
    this.#lostPeers.push(id)
    this.#timers.set('announce', now)
  }

  #plan(plan: PlanMessage, now: number): void {
    if (plan.runChunks !== this.runChunks) {
      this.runChunks = plan.runChunks
      this.availability = new Availability(plan.runChunks)
      this.availability.grow(this.content.knownChunks)
      for (const neighbour of this.neighbours.values()) {
        if (!neighbour.isOrigin) this.availability.add(neighbour.announced, this.content.knownChunks, now)
      }
      this.#downloads.reset()
    }
    this.stripes = plan.stripes
    this.parents = plan.parents.map((index) => (index < 0 ? undefined : plan.peers[index]?.id))
    this.#downloads.planned(now)
    this.#contacts.plan(plan.peers)
    for (const peer of plan.peers) {
      if (peer.id === this.options.id || this.#contacts.isBanned(peer.id, now)) continue
      const neighbour = this.neighbours.get(peer.id)
      if (neighbour === undefined) {
        // A thousand peers would be a thousand connections at the origin: only its children need one, the others when they must ask it.
        const isNeeded = !peer.isOrigin || this.parents.includes(peer.id)
        if (isNeeded) this.#outputs.push({ type: 'connect', id: peer.id, address: peer.address })
      } else if (peer.isOrigin && !neighbour.isOrigin) {
        this.availability.remove(neighbour.announced, this.content.knownChunks)
        neighbour.isOrigin = true
      }
    }
    for (const neighbour of this.neighbours.values()) this.#subscribe(neighbour, now)
    this.pickSoon(now)
  }

  /** Says what is wanted from a neighbour, when that is not what it was told last. */
  #subscribe(neighbour: Neighbour, now: number): void {
    let mask = 0
    if (!this.#isDone) this.parents.forEach((parent, stripe) => (mask |= parent === neighbour.id ? 1 << stripe : 0))
    if (this.parents.length > 0 && (this.parents[0] ?? neighbour.id) === neighbour.id && !this.#isManifestStalled) {
      this.#setManifestParent(neighbour.id, now)
    }
    const wantsManifest = !this.content.isComplete && this.#manifestParent === neighbour.id
    if (mask === neighbour.mask && wantsManifest === neighbour.isManifestParent) return
    this.#tellHave(neighbour)
    neighbour.mask = mask
    neighbour.isManifestParent = wantsManifest
    this.send(neighbour.id, {
      type: 'subscribe',
      runChunks: this.runChunks,
      stripes: this.stripes,
      mask: mask >>> 0,
      manifestFrom: wantsManifest ? this.content.knownChunks : -1,
    })
    if (mask !== 0) this.#downloads.cancelAsked(neighbour, mask)
    if (mask !== 0) this.send(neighbour.id, { type: 'clear', to: this.#clearedTo })
  }

  /** The manifest comes from one neighbour: the parent of the first stripe, another one when that is gone or says nothing. */
  #setManifestParent(id: string | undefined, now: number): void {
    if (this.options.isOrigin || this.content.isComplete || id === this.#manifestParent) return
    const last = this.#manifestParent === undefined ? undefined : this.neighbours.get(this.#manifestParent)
    this.#manifestParent = id
    this.#manifestGrewAt = now
    if (last !== undefined) this.#subscribe(last, now)
  }

  #replaceManifestParent(now: number): void {
    const candidates = [...this.neighbours.values()].filter((neighbour) => neighbour.id !== this.#manifestParent)
    const ahead = candidates.filter((neighbour) => neighbour.announced.count > 0 || neighbour.isOrigin)
    const list = ahead.length > 0 ? ahead : candidates
    this.#isManifestStalled = true
    if (list.length === 0) {
      if (this.#manifestParent !== undefined && !this.neighbours.has(this.#manifestParent)) this.#manifestParent = undefined
      return
    }
    const chosen = this.random.pick(list)
    this.#setManifestParent(chosen.id, now)
    this.#subscribe(chosen, now)
  }

  // ---- messages ----

  #message(from: string, message: SwarmMessage, now: number): void {
    const neighbour = this.neighbours.get(from)
    if (message.type === 'plan') return this.#plan(message, now)
    if (message.type === 'close') {
      this.#outputs.push({ type: 'closed', by: from, reason: message.reason })
      return this.#neighbourDown(from, now)
    }
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
        neighbour.askedAt = now
        if (neighbour.asked.length > 16384) return this.misbehaved(from, 'it asked for more than a peer may have outstanding')
        for (const value of message.ranges) neighbour.asked.push(value)
        this.#offer(neighbour)
        return
      case 'cancel':
        return this.#theirCancel(neighbour, message.ranges)
      case 'subscribe':
        return this.#theirSubscription(neighbour, message, message.manifestFrom)
      case 'clear':
        neighbour.clearTo = message.to
        this.#offer(neighbour)
        return
      case 'withheld':
        this.#downloads.withheld(neighbour.id, message.ranges, now)
        this.pickSoon(now)
        return
      case 'manifest': {
        const error = this.content.acceptManifest(message.part)
        if (error !== undefined && error.disposition !== 'ignore') return this.misbehaved(from, error.message)
        this.#grow(now)
        return
      }
      case 'peers':
        // More often than they are due, they are not looked at: each may cost connections.
        if (now - neighbour.namedPeersAt < this.limits.peersIntervalMs / 2) return
        neighbour.namedPeersAt = now
        for (const peer of this.#contacts.follow(message.peers, this.neighbours, now)) this.#outputs.push({ type: 'connect', ...peer })
        return
      case 'open':
      case 'announce':
        return
    }
  }

  #theirHave(neighbour: Neighbour, ranges: Ranges, now: number): void {
    const end = ranges.length === 0 ? 0 : ranges[ranges.length - 2]! + ranges[ranges.length - 1]!
    if (end > MAX_CHUNKS) return this.misbehaved(neighbour.id, 'it announced chunks that no content can have')
    neighbour.grow(end)
    this.availability.grow(end)
    const chunks = this.content.isComplete ? this.content.knownChunks : Infinity
    if (end > chunks) return this.misbehaved(neighbour.id, 'it announced chunks past the end of the content')
    for (let i = 0; i < ranges.length; i += 2) {
      const first = ranges[i]!
      const count = ranges[i + 1]!
      neighbour.served.setRange(first, count)
      if (neighbour.isOrigin) neighbour.announced.setRange(first, count)
      else this.availability.announce(neighbour.announced, first, count, chunks, now)
    }
    if (!this.#isDone) this.pickSoon(now)
  }

  #theirLost(neighbour: Neighbour, ranges: Ranges, now: number): void {
    for (let i = 0; i < ranges.length; i += 2) {
      const end = Math.min(ranges[i]! + ranges[i + 1]!, neighbour.announced.length)
      for (let chunk = ranges[i]!; chunk < end; chunk++) {
        const run = Math.floor(chunk / this.runChunks)
        const from = run * this.runChunks
        const wasWhole = neighbour.announced.hasRange(from, Math.min(this.runChunks, neighbour.announced.length - from))
        if (neighbour.announced.clear(chunk) && wasWhole && !neighbour.isOrigin) this.availability.removeRun(run)
        neighbour.served.clear(chunk)
        this.#downloads.refused(neighbour, run)
      }
    }
    this.pickSoon(now)
  }

  #theirCancel(neighbour: Neighbour, ranges: Ranges): void {
    for (let i = 0; i < ranges.length; i += 2) {
      const first = ranges[i]!
      const end = Math.min(first + ranges[i + 1]!, this.content.knownChunks)
      if (end > first) {
        neighbour.grow(end)
        neighbour.served.setRange(first, end - first)
      }
      for (let j = 0; j < neighbour.asked.length; j += 2) {
        if (neighbour.asked[j]! >= first && neighbour.asked[j]! < end) neighbour.asked.splice(j, 2)
      }
    }
  }

  #theirSubscription(neighbour: Neighbour, subscription: Subscription & { mask: number }, manifestFrom: number): void {
    neighbour.subscription = { runChunks: subscription.runChunks, stripes: subscription.stripes, mask: subscription.mask }
    neighbour.cursor = 0
    neighbour.fresh.length = 0
    neighbour.freshHead = 0
    if (this.options.isOrigin && subscription.mask !== 0) this.#withhold(neighbour)
    neighbour.manifestFrom = manifestFrom
    if (manifestFrom >= 0) this.#sendManifest(neighbour)
    this.#offer(neighbour)
  }

  /** The origin leaves to others what it has handed out before: it sends each chunk about once. */
  #withhold(neighbour: Neighbour): void {
    const ranges: number[] = []
    for (let from = this.#released.nextSet(0); from < this.#released.length;) {
      const end = this.#released.nextClear(from)
      for (let chunk = from; chunk < end; chunk++) {
        if (neighbour.served.has(chunk)) continue
        const last = ranges.length - 2
        if (last >= 0 && ranges[last]! + ranges[last + 1]! === chunk) ranges[last + 1]!++
        else ranges.push(chunk, 1)
      }
      neighbour.served.setRange(from, end - from)
      from = this.#released.nextSet(end)
    }
    for (const part of splitRanges(ranges)) this.send(neighbour.id, { type: 'withheld', ranges: part })
  }

  // ---- data ----

  #data(neighbour: Neighbour, firstChunk: number, count: number, payload: Uint8Array, now: number): void {
    neighbour.receivedBytes += payload.length
    if (firstChunk + count > this.content.knownChunks) {
      return this.misbehaved(neighbour.id, 'it sent a chunk that it was not told to send')
    }
    const bytes = this.content.rangeBytes(firstChunk, count)
    if (this.have.hasRange(firstChunk, count)) {
      this.#duplicateBytes += bytes
      this.#downloads.inVain()
      this.#downloads.arrived(neighbour, firstChunk, bytes, now)
      return
    }
    const bad = this.content.verify(firstChunk, count, payload)
    if (bad >= 0) {
      this.#badBytes += bytes
      this.misbehaved(neighbour.id, `it sent wrong bytes for chunk ${bad}`)
      this.pickSoon(now)
      return
    }
    this.#receivedBytes += bytes
    this.#outputs.push({ type: 'write', from: neighbour.id, firstChunk, count, payload })
    neighbour.grow(firstChunk + count)
    neighbour.served.setRange(firstChunk, count)
    this.#gain(neighbour, firstChunk, count, now)
    this.#downloads.arrived(neighbour, firstChunk, bytes, now)
  }

  /** Chunks came to be here: pass them on to whoever waits for them. */
  #gain(from: Neighbour | undefined, firstChunk: number, count: number, now: number): void {
    this.have.grow(Math.max(this.have.length, this.content.knownChunks))
    const wasHere = this.have.count
    for (let chunk = firstChunk; chunk < firstChunk + count; chunk++) {
      if (this.have.set(chunk)) this.#haveBytes += this.content.rangeBytes(chunk, 1)
    }
    if (this.have.count === wasHere) return
    this.#lastProgressAt = now
    this.#log.push(firstChunk, count)
    let isAsked = false
    for (const neighbour of this.neighbours.values()) {
      if (now - neighbour.askedAt < ASKING_MS) isAsked = true
      if (neighbour === from || neighbour.subscription === undefined || neighbour.subscription.mask === 0) continue
      if (firstChunk < neighbour.cursor && covers(neighbour.subscription, firstChunk)) neighbour.pushFresh(firstChunk, count, now)
      if (!neighbour.isOffered) this.#offer(neighbour)
    }
    if (isAsked && !this.#timers.has('fastHave')) this.#timers.set('fastHave', now + this.limits.fastHaveIntervalMs)
    this.#checkDone()
  }

  #lost(firstChunk: number, count: number): void {
    for (let chunk = firstChunk; chunk < firstChunk + count; chunk++) {
      if (this.have.clear(chunk)) this.#haveBytes -= this.content.rangeBytes(chunk, 1)
    }
    this.#isDone = false
    for (const neighbour of this.neighbours.values()) this.send(neighbour.id, { type: 'lost', ranges: [firstChunk, count] })
  }

  #checkDone(): void {
    if (this.#isDone || !this.content.isComplete || this.have.count < this.content.knownChunks) return
    this.#isDone = true
    this.#outputs.push({ type: 'complete' })
    this.#lastAnnounceKey = ''
    if (!this.options.isOrigin) this.#timers.set('announce', 0)
  }

  #offer(neighbour: Neighbour): void {
    if (neighbour.isOffered) return
    neighbour.isOffered = true
    this.#outputs.push({ type: 'uploadable', to: neighbour.id })
  }

  // ---- the origin's order ----

  #release(range: ChunkRange, now: number): void {
    this.#released.setRange(range.firstChunk, range.count)
    this.#noteHeld(range.firstChunk, now)
    if (this.#released.has(this.#releasedBelow)) {
      this.#releasedBelow = this.#released.nextClear(this.#releasedBelow)
      for (const neighbour of this.neighbours.values()) if (neighbour.subscription !== undefined) this.#offer(neighbour)
    }
  }

  /**
   * From which chunk on nothing is sent unasked: the origin keeps its stripes abreast, because a stripe that ends before the
   * others leaves the rest of its bytes to trees that are planned for a share of them. One stripe that stays behind for good (its
   * first peer is slow) does not hold the others.
   */
  #holdFrom(now: number): number {
    if (!this.options.isOrigin || now < this.#freeUntil) return Infinity
    return (Math.floor(this.#releasedBelow / this.runChunks) + ORIGIN_LEAD_RUNS) * this.runChunks
  }

  #noteHeld(firstChunk: number, now: number): void {
    const lead = (firstChunk - this.#releasedBelow) / this.runChunks
    if (lead < ORIGIN_LEAD_RUNS / 2) this.#leadSince = Infinity
    else if (lead >= ORIGIN_LEAD_RUNS - 1 && this.#leadSince === Infinity) this.#leadSince = now
    if (now - this.#leadSince > ORIGIN_HOLD_MS) {
      this.#freeUntil = now + ORIGIN_FREE_MS
      this.#leadSince = Infinity
    }
  }

  // ---- manifest ----

  #grow(now: number): void {
    const known = this.content.knownChunks
    if (known > this.have.length) this.#isManifestStalled = false
    if (known > this.have.length || known > this.#released.length) {
      this.#manifestGrewAt = now
      this.have.grow(Math.max(known, this.have.length))
      this.#released.grow(Math.max(known, this.#released.length))
      this.availability.grow(known)
      for (const neighbour of this.neighbours.values()) {
        neighbour.grow(known)
        this.#offer(neighbour)
      }
    }
    for (const neighbour of this.neighbours.values()) if (neighbour.manifestFrom >= 0) this.#sendManifest(neighbour)
    if (this.options.canReuse && known > this.#reuseAskedTo) {
      this.#outputs.push({ type: 'reuse', fromChunk: this.#reuseAskedTo, upTo: known })
      this.#reuseAskedTo = known
    } else if (!this.options.canReuse) this.#clear(known)
    this.#checkDone()
  }

  #sendManifest(neighbour: Neighbour): void {
    for (;;) {
      const { parts, next, hasHead, hasSeal } = this.content.manifestParts(
        neighbour.manifestFrom,
        neighbour.hasManifestHead,
        neighbour.hasManifestSeal,
      )
      neighbour.hasManifestHead = hasHead
      neighbour.hasManifestSeal = hasSeal
      if (parts.length === 0) return
      for (const part of parts) this.send(neighbour.id, { type: 'manifest', part })
      neighbour.manifestFrom = next
    }
  }

  #reused(upTo: number): void {
    this.#announceHave((neighbour) => neighbour.mask !== 0)
    this.#clear(upTo)
  }

  /** Tells the parents how far they may send: no chunk comes before its manifest entry, or before this node's own disk was searched for it. */
  #clear(upTo: number): void {
    if (upTo <= this.#clearedTo) return
    this.#clearedTo = upTo
    for (const neighbour of this.neighbours.values()) {
      if (neighbour.mask !== 0) this.send(neighbour.id, { type: 'clear', to: this.#clearedTo })
    }
  }

  // ---- announcements ----

  #tellHave(neighbour: Neighbour): void {
    const ranges: number[] = []
    const log = this.#log
    for (; neighbour.logPosition < log.length; neighbour.logPosition += 2) {
      const first = log[neighbour.logPosition]!
      const count = log[neighbour.logPosition + 1]!
      if (!neighbour.served.hasRange(first, count)) ranges.push(first, count)
    }
    if (ranges.length === 0) return
    for (const part of splitRanges(mergeRanges(ranges))) this.send(neighbour.id, { type: 'have', ranges: part })
  }

  #announceHave(isDue: (neighbour: Neighbour) => boolean): void {
    for (const neighbour of this.neighbours.values()) {
      if (neighbour.logPosition < this.#log.length && isDue(neighbour)) this.#tellHave(neighbour)
    }
  }

  #announceProgress(now: number): void {
    const isEarly = now - this.#startedAt < this.limits.earlyMs
    this.#timers.set('announce', now + (isEarly ? this.limits.earlyAnnounceIntervalMs : this.limits.announceIntervalMs))
    const lateStripes = this.#isDone ? [] : this.#downloads.lateStripes(now)
    const slowPeers = this.#slowPeers(now)
    const lostPeers = this.#lostPeers
    this.#lostPeers = []
    const key = `${this.#haveBytes} ${this.#isDone} ${lateStripes.join()} ${slowPeers.join()}`
    if (key === this.#lastAnnounceKey && lostPeers.length === 0) return
    this.#lastAnnounceKey = key
    this.#outputs.push({
      type: 'announce',
      message: {
        type: 'announce',
        address: this.options.address,
        zone: this.options.zone,
        haveBytes: this.#haveBytes,
        isComplete: this.#isDone,
        lateStripes: lateStripes.slice(0, MAX_STRIPES),
        slowPeers: slowPeers.slice(0, 32),
        lostPeers,
      },
    })
  }

  /** Children that take less than their stripe brings; this peer itself, when it is most of them. */
  #slowPeers(now: number): string[] {
    const slow: string[] = []
    let children = 0
    for (const neighbour of this.neighbours.values()) {
      if (neighbour.subscription === undefined || neighbour.subscription.mask === 0) continue
      children++
      if (neighbour.freshCount() > SLOW_CHILD_RUNS && now - neighbour.freshSince > SLOW_CHILD_MS) slow.push(neighbour.id)
    }
    return slow.length > 1 && slow.length * 2 > children ? [this.options.id] : slow
  }

  /** The tracker is another one or knows nothing: tells it all, at once. */
  #announceAgain(now: number): void {
    this.#lastAnnounceKey = ''
    if (!this.options.isOrigin) this.#timers.set('announce', now)
  }

  /** Tells neighbours of each other: without a tracker this is how those whose neighbours died find new ones. */
  #namePeers(): void {
    const live: NamedPeer[] = []
    for (const { id, address, isOrigin } of this.neighbours.values()) if (address !== undefined && !isOrigin) live.push({ id, address })
    for (const neighbour of this.neighbours.values()) {
      const others = this.random.shuffle(live.filter((peer) => peer.id !== neighbour.id)).slice(0, MAX_NAMED_PEERS)
      if (others.length > 0) this.send(neighbour.id, { type: 'peers', peers: others })
    }
  }

  /** When there are many neighbours, those that nothing passes to or from make room for others. */
  #dropIdle(now: number): void {
    for (const neighbour of this.neighbours.values()) {
      if (this.neighbours.size * 2 <= this.limits.maxNeighbours) return
      if (now - neighbour.activeAt < this.limits.idleNeighbourMs || this.#contacts.isPlanned(neighbour.id)) continue
      if (neighbour.mask !== 0 || neighbour.isManifestParent || neighbour.outstanding.size > 0 || neighbour.asked.length > 0) continue
      if ((neighbour.subscription?.mask ?? 0) !== 0 || neighbour.manifestFrom >= 0) continue
      this.send(neighbour.id, { type: 'close', reason: 'nothing was exchanged for a while, and others want the place' })
      this.#leave(neighbour, now)
    }
  }

  #tick(now: number): void {
    this.#timers.set('tick', now + this.limits.tickMs)
    this.#dropIdle(now)
    if (this.options.isOrigin) {
      for (const neighbour of this.neighbours.values()) if (neighbour.subscription !== undefined) this.#offer(neighbour)
    }
    if (this.#isDone) return
    if (!this.content.isComplete && now - this.#manifestGrewAt > MANIFEST_STALL_MS) this.#replaceManifestParent(now)
    this.#downloads.tick(now)
  }
}

const EMPTY: PeerOutput[] = []

/** Sorts ranges and joins those that touch. */
function mergeRanges(ranges: number[]): number[] {
  if (ranges.length === 2) return ranges
  const pairs: [number, number][] = []
  for (let i = 0; i < ranges.length; i += 2) pairs.push([ranges[i]!, ranges[i + 1]!])
  pairs.sort((a, b) => a[0] - b[0])
  const merged: number[] = []
  for (const [first, count] of pairs) {
    const last = merged.length - 2
    if (last >= 0 && merged[last]! + merged[last + 1]! >= first) {
      merged[last + 1] = Math.max(merged[last + 1]!, first + count - merged[last]!)
    } else merged.push(first, count)
  }
  return merged
}
