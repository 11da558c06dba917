/**
 * Reachability on one link: beats, listens, and tells who is heard. docs/specs/10-reach.md §3 to §5.
 *
 * The few nodes of the link with the lowest hashes beat fast, so that everybody notices within seconds when nothing comes any more; all
 * others beat the slower the more they are. What each hears it tells in its beacons, what has changed first; those that beat fast, and
 * those that ask for it, are told directly as well.
 */
import type { Random } from '../../lib/random.ts'
import { BROADCAST_SIZE, DIRECT_SIZE, encodeBeacon, reportRoom, type Beacon, type PeerReport } from './beacon.ts'
import type { BeaconCipher } from './group-datagram.ts'
import { takeCensus } from './census.ts'
import { DirectReports } from './direct-reports.ts'
import { HeardPeer } from './heard-peer.ts'
import {
  MAX_BEACON_BYTES,
  type PathState,
  type ReachLimits,
  type ReachLink,
  type ReachOutput,
  type ReachPath,
  type ReachTimes,
} from './reach-types.ts'

/** What all links of a node share. */
export interface LinkContext {
  readonly node: number
  readonly run: number
  readonly cluster: number
  readonly cipher: BeaconCipher
  readonly limits: ReachLimits
  readonly times: ReachTimes
  readonly random: Random
  readonly emit: (output: ReachOutput) => void
  /** Whether it is another member that is alive. */
  readonly isMember: (node: number) => boolean
  readonly memberCount: () => number
}

/** Payloads of datagrams to the group, as far as the link takes them; the largest one is what the link takes. */
const SIZES: readonly number[] = [200, 1200]
/** A node that hears nobody takes the link to have so many nodes at the most. */
const MAX_ASSUMED_NODES = 250
/** Times that a change is told before it has to wait for its turn. */
const REPEATS = 3
const MIN_GAP_MS = 150
/** A node that hears nobody beats fast for so long after its start. */
const FIRST_MS = 10_000
/** Nodes of a link up to which each change is told at once. */
const MAX_EAGER_NODES = 50
const SWEEP_MS = 200
const LARGE_SWEEP_MS = 500
/** A look at all peers that is later than this means that the process did not get to run. */
const HELD_UP_MS = 500
const MANY_PEERS = 100
/** Who asks again for reports within this time gets one for both. */
const DIRECT_AGAIN_MS = 3000
const JITTER = 0.1

export class LinkMachine {
  readonly link: ReachLink
  readonly peers: Map<number, HeardPeer> = new Map()
  readonly counters: { unreadable: number; replayed: number; forgotten: number } = { unreadable: 0, replayed: 0, forgotten: 0 }
  state: PathState = 'listening'
  stateAt: number
  livedMs: number | undefined
  revivals = 0
  /** Whether it beats fast. */
  isFast = true
  readonly #context: LinkContext
  readonly #sizes: readonly number[]
  readonly #startedAt: number
  readonly #sequences: Map<number, number> = new Map()
  #joinedAt: number
  /** Multicast of anybody. */
  #multicastAt = -Infinity
  /** Anything of anybody. */
  #heardAt = -Infinity
  #firstOtherwiseAt = Infinity
  #population = 0
  #attempts = 0
  /** The last one of the nodes that should beat fast. */
  #highestBeater = Infinity
  #roundMs: number
  #lastSmallAt = -Infinity
  #lastRoundAt = -Infinity
  #wantedUntil = -Infinity
  #ring: number[] = []
  #cursor = 0
  /** What is to be told soon, and how often still. */
  readonly #changes: Map<number, number> = new Map()
  readonly #direct: DirectReports
  #muteCursor = 0
  readonly #deadlines: Record<'round' | 'small' | 'early' | 'earlyBroadcast' | 'rejoin' | 'sweep', number>

  constructor(link: ReachLink, context: LinkContext, now: number) {
    this.link = link
    this.#context = context
    const { times, limits, random } = context
    const largest = Math.min(MAX_BEACON_BYTES, link.maxBytes)
    // What Ethernet takes without large frames is a size of its own, since that is where links differ.
    const ethernet = link.family === 4 ? 1472 : 1452
    this.#sizes = [...new Set([...SIZES, ethernet, largest])].filter((bytes) => bytes <= largest).toSorted((a, b) => a - b)
    this.stateAt = now
    this.#startedAt = now
    this.#joinedAt = now
    this.#roundMs = times.roundMs
    this.#direct = new DirectReports(limits.directPerSec, random.fork('direct'), now)
    const first = now + random.float() * 200
    const isSending = link.isSending
    this.#deadlines = {
      round: isSending ? first : Infinity,
      small: Infinity,
      early: Infinity,
      earlyBroadcast: Infinity,
      rejoin: Infinity,
      sweep: now + SWEEP_MS,
    }
  }

  get maxBytes(): number {
    return this.#sizes.at(-1) ?? 0
  }

  /** Whether multicast does not come, though it did or should. */
  get isDeaf(): boolean {
    return this.state === 'rejoining' || this.state === 'blocked'
  }

  nextDeadline(): number {
    const { round, small, early, earlyBroadcast, rejoin, sweep } = this.#deadlines
    return Math.min(round, small, early, earlyBroadcast, rejoin, sweep, this.#direct.nextDeadline())
  }

  /** Beats fast for a while and asks who hears it. */
  wanted(now: number): void {
    this.#wantedUntil = now + this.#context.times.wantedMs
    if (this.link.isSending && now - this.#lastRoundAt > MIN_GAP_MS) this.#deadlines.round = now
  }

  // ---- what comes ----

  handleBeacon(beacon: Beacon, path: ReachPath, from: string, datagramBytes: number, now: number): void {
    const { times } = this.#context
    let peer = this.peers.get(beacon.node)
    const isNew = peer === undefined
    peer ??= new HeardPeer(beacon, from, now)
    if (this.isDeaf && path === 'group') for (const one of this.peers.values()) one.forgiveGaps()
    if (!peer.accept(beacon, path, from, datagramBytes, times.silenceMs, now)) {
      this.counters.replayed++
      return
    }
    if (isNew) this.#add(peer, now)
    this.#heardAt = now
    if (path === 'group') this.#multicastCame(now)
    else if (this.state === 'listening') this.#firstOtherwiseAt = Math.min(this.#firstOtherwiseAt, now)
    this.#takeReports(peer, beacon)
    this.#compare(peer, now)
    this.show(peer, now)
    // An answer is never longer than the question.
    if (datagramBytes < this.#sizes[0]!) return
    const wasTold = this.#direct.toldAgoMs(peer.node, now) < DIRECT_AGAIN_MS
    if ((beacon.wantsReports && !wasTold) || (isNew && this.#isBeater(peer) && path !== 'direct')) this.#tellDirectly(peer.node, now)
    if (this.isFast && isNew) this.#deadlines.round = Math.max(now, Math.min(this.#deadlines.round, this.#lastRoundAt + times.fastMs))
  }

  /** Its node is no member any more. */
  forget(node: number): void {
    if (!this.peers.delete(node)) return
    this.#ring = this.#ring.filter((one) => one !== node)
    this.#changes.delete(node)
    this.#direct.forget(node)
  }

  #add(peer: HeardPeer, now: number): void {
    const { maxPeers } = this.#context.limits
    if (this.peers.size >= maxPeers) {
      let oldest: HeardPeer | undefined
      for (const one of this.peers.values()) if (oldest === undefined || one.heardAt < oldest.heardAt) oldest = one
      if (oldest !== undefined) this.forget(oldest.node)
      this.counters.forgotten++
    }
    this.peers.set(peer.node, peer)
    this.#ring.push(peer.node)
    this.#population++
    if (this.peers.size % 8 === 1) this.#count(now)
  }

  #takeReports(peer: HeardPeer, beacon: Beacon): void {
    const isKept = this.peers.size <= this.#context.limits.maxMatrixPeers
    for (const report of beacon.reports) {
      if (report.node === this.#context.node) peer.report = report
      else if (isKept && (peer.others.has(report.node) || peer.others.size < this.#context.limits.maxMatrixPeers)) {
        peer.others.set(report.node, report)
      }
    }
  }

  #multicastCame(now: number): void {
    this.#multicastAt = now
    if (this.state === 'open') return
    const closedMs = this.state === 'listening' ? 0 : now - this.stateAt
    if (this.isDeaf) {
      const { silenceMs } = this.#context.times
      for (const peer of this.peers.values()) peer.forgiveSilence(closedMs + silenceMs, now)
      if (this.state === 'rejoining' && now - this.#joinedAt < this.#context.times.rejoinMs) this.revivals++
    }
    this.#attempts = 0
    this.#deadlines.rejoin = Infinity
    this.#firstOtherwiseAt = Infinity
    this.#enter('open', closedMs, now)
    this.#early(now, true)
  }

  // ---- time ----

  handleTimeout(now: number): void {
    const due = this.#deadlines
    if (due.sweep <= now) this.#sweep(now)
    if (due.rejoin <= now) this.#rejoin(now)
    if (due.round <= now) this.#round(now)
    if (due.small <= now) this.#small(now)
    if (due.early <= now) {
      due.early = Infinity
      if (now - this.#lastSmallAt >= MIN_GAP_MS) this.#small(now)
    }
    if (due.earlyBroadcast <= now) {
      due.earlyBroadcast = Infinity
      this.#send(BROADCAST_SIZE, now)
    }
    if (this.#direct.nextDeadline() <= now) for (const node of this.#direct.takeDue(now)) this.#sendTo(node, now)
  }

  /** Looks over all peers: who is silent, who beats fast, whether the path is dead. */
  #sweep(now: number): void {
    const { times } = this.#context
    const lateMs = now - this.#deadlines.sweep
    if (lateMs > HELD_UP_MS) this.#forgive(lateMs, now)
    this.#count(now)
    for (const peer of this.peers.values()) {
      this.#compare(peer, now)
      this.show(peer, now)
    }
    if (this.state === 'open') {
      const deadline = this.#pathDeadline()
      if (deadline <= now) {
        this.livedMs = this.#multicastAt - this.#joinedAt
        this.#enter('rejoining', now - this.#multicastAt, now)
        this.#early(now, true)
        this.#deadlines.rejoin = now
      } else if (deadline === Infinity && now - this.#multicastAt > 2 * times.silenceMs) this.#enter('listening', 0, now)
    } else if (this.state === 'listening' && now - this.#firstOtherwiseAt > 2 * times.silenceMs) {
      // Others are heard, and not by multicast.
      this.#enter('blocked', now - this.#startedAt, now)
      this.#deadlines.rejoin = now
    } else if (this.isDeaf && this.peers.size === 0) {
      this.#attempts = 0
      this.#deadlines.rejoin = Infinity
      this.#firstOtherwiseAt = Infinity
      this.#enter('listening', 0, now)
    }
    this.#tellDeafEars(now)
    this.#deadlines.sweep = now + (this.peers.size > MANY_PEERS ? LARGE_SWEEP_MS : SWEEP_MS)
  }

  /** This node did not get to run, and heard nobody for that: it says nothing about the others, nor about the path. */
  #forgive(ms: number, now: number): void {
    this.#multicastAt = Math.min(now, this.#multicastAt + ms)
    for (const peer of this.peers.values()) {
      peer.heardAt = Math.min(now, peer.heardAt + ms)
      peer.forgiveSilence(ms, now)
      peer.forgiveGaps()
    }
  }

  /** When the silence of those that beat fast, or of all if none does, says that nothing comes any more; Infinity where nobody is expected. */
  #pathDeadline(): number {
    const { times, isMember } = this.#context
    let fast = -Infinity
    let any = -Infinity
    for (const peer of this.peers.values()) {
      if (peer.multicastAt === -Infinity || !isMember(peer.node)) continue
      const deadline = peer.multicastAt + peer.patienceMs(true, times.silenceMs)
      any = Math.max(any, deadline)
      if (peer.beacon.isFast) fast = Math.max(fast, deadline)
    }
    if (fast > -Infinity) return fast
    return any > -Infinity ? any : Infinity
  }

  #rejoin(now: number): void {
    const { times, emit } = this.#context
    this.#attempts++
    if (this.#attempts > times.rejoinAttempts && this.state === 'rejoining') this.#enter('blocked', now - this.#multicastAt, now, false)
    this.#joinedAt = now
    emit({ type: 'rejoin', link: this.link.id })
    this.#deadlines.rejoin = now + (this.state === 'blocked' ? times.blockedRejoinMs : times.rejoinMs)
  }

  #enter(state: PathState, silentMs: number, now: number, isNewTime = true): void {
    if (this.state === state) return
    this.state = state
    if (isNewTime) this.stateAt = now
    this.#context.emit({ type: 'path', link: this.link, state, silentMs: Math.round(silentMs) })
  }

  // ---- how fast ----

  /** How many there are, whether this node is one of those that beat fast, and how long its rounds are. */
  #count(now: number): void {
    const { node, limits, times, memberCount } = this.#context
    const { count, told, lower, highestBeater } = takeCensus(this.peers.values(), node, limits.fastNodes, now)
    this.#highestBeater = highestBeater
    this.#population = count
    const isAlone = count === 0
    const isFirst = lower < limits.fastNodes && (!isAlone || now - Math.max(this.#startedAt, this.#heardAt) < FIRST_MS)
    const wasFast = this.isFast
    this.isFast = this.link.isSending && (isFirst || now < this.#wantedUntil)
    const nodes = isAlone && told === 0 ? Math.min(MAX_ASSUMED_NODES, memberCount()) : Math.max(count, told)
    const packets = this.#sizes.length + (this.link.hasBroadcast ? 1 : 0)
    this.#roundMs = this.isFast ? times.roundMs : Math.max(times.roundMs, ((nodes + 1) * packets * 1000) / limits.slowPacketsPerSec)
    if (!this.link.isSending) return
    if (!this.isFast) this.#deadlines.small = Infinity
    else if (!wasFast || this.#deadlines.small === Infinity) this.#deadlines.small = now + times.fastMs
    this.#deadlines.round = Math.max(Math.min(this.#deadlines.round, this.#lastRoundAt + this.#roundMs * (1 + JITTER)), now)
  }

  /** Whether it beats fast and will go on with that: at the start of many nodes, each does until it hears the others. */
  #isBeater(peer: HeardPeer): boolean {
    return peer.beacon.isFast && peer.node <= this.#highestBeater
  }

  // ---- what goes ----

  #round(now: number): void {
    // The smallest comes last: once it is there, the others have come or are lost.
    for (let size = this.#sizes.length - 1; size > 0; size--) this.#send(size, now)
    if (this.link.hasBroadcast) this.#send(BROADCAST_SIZE, now)
    this.#small(now)
    this.#lastRoundAt = now
    this.#deadlines.round = now + this.#roundMs * (1 + JITTER * (2 * this.#context.random.float() - 1))
  }

  #small(now: number): void {
    this.#send(0, now)
    this.#lastSmallAt = now
    this.#deadlines.small = this.isFast ? now + this.#context.times.fastMs : Infinity
    if (this.#changes.size > 0 && this.#population <= MAX_EAGER_NODES) this.#early(now, false)
  }

  #send(size: number, now: number): void {
    const isBroadcast = size === BROADCAST_SIZE
    if (isBroadcast && !this.link.hasBroadcast) return
    const bytes = this.#compose(size, isBroadcast ? this.#sizes[0]! : this.#sizes[size]!, undefined, now)
    this.#context.emit({ type: 'send', link: this.link.id, path: isBroadcast ? 'broadcast' : 'group', bytes })
  }

  #compose(size: number, datagramBytes: number, first: number | undefined, now: number): Uint8Array {
    const { node, run, cluster, cipher, times } = this.#context
    const sequence = this.#sequences.get(size) ?? 0
    this.#sequences.set(size, sequence + 1)
    const beacon: Beacon = {
      size,
      isFast: this.isFast,
      isDeaf: this.isDeaf,
      wantsReports: now < this.#wantedUntil,
      node,
      run,
      sequence,
      smallIntervalMs: this.isFast ? times.fastMs : this.#roundMs,
      largeIntervalMs: this.#roundMs,
      peers: this.#population,
      maxBytes: this.maxBytes,
      reports: this.#reports(reportRoom(datagramBytes, cipher), first, size === 0, now),
    }
    return encodeBeacon(beacon, cluster, datagramBytes, cipher)
  }

  /** As many as there is room for: the first one, what has changed, then all others in turn. */
  #reports(room: number, first: number | undefined, countsAsTold: boolean, now: number): PeerReport[] {
    const { silenceMs } = this.#context.times
    const chosen = new Set<number>()
    if (first !== undefined) chosen.add(first)
    for (const [node, left] of this.#changes) {
      if (chosen.size >= room) break
      chosen.add(node)
      if (!countsAsTold) continue
      if (left <= 1) this.#changes.delete(node)
      else this.#changes.set(node, left - 1)
    }
    for (let steps = 0; steps < this.#ring.length && chosen.size < room; steps++) {
      this.#cursor = (this.#cursor + 1) % this.#ring.length
      chosen.add(this.#ring[this.#cursor]!)
    }
    const reports: PeerReport[] = []
    for (const node of chosen) {
      const peer = this.peers.get(node)
      if (peer !== undefined && peer.told !== '') reports.push(peer.reportOf(now, silenceMs, this.isDeaf))
    }
    return reports
  }

  /** Holds what is heard of a peer against what was told of it. */
  #compare(peer: HeardPeer, now: number): void {
    const { multicastBytes, isBroadcastHeard } = peer.reportOf(now, this.#context.times.silenceMs, false)
    const current = `${multicastBytes}${isBroadcastHeard ? '+' : ''}`
    if (current === peer.told || (peer.told === '' && current === '0')) return
    peer.told = current
    this.#changes.set(peer.node, REPEATS)
    if (this.#population <= MAX_EAGER_NODES) this.#early(now, false)
    if (this.#isBeater(peer) || peer.beacon.wantsReports) this.#tellDirectly(peer.node, now)
  }

  /** A beacon out of turn. */
  #early(now: number, isOfPath: boolean): void {
    if (!this.link.isSending) return
    const spread = isOfPath ? Math.min(500, 2 * this.#population) : 10 * this.#population
    const at = Math.max(now + this.#context.random.float() * spread, this.#lastSmallAt + MIN_GAP_MS)
    this.#deadlines.early = Math.min(this.#deadlines.early, at)
    if (isOfPath) this.#deadlines.earlyBroadcast = Math.min(this.#deadlines.earlyBroadcast, at)
  }

  // ---- to single nodes ----

  #tellDirectly(node: number, now: number): void {
    if (this.link.isSending) this.#direct.schedule(node, this.#population, now)
  }

  #sendTo(node: number, now: number): void {
    const peer = this.peers.get(node)
    if (peer === undefined) return
    const bytes = this.#compose(DIRECT_SIZE, this.#sizes[0]!, node, now)
    this.#context.emit({ type: 'send', link: this.link.id, path: 'direct', to: peer.from, bytes })
  }

  /** Who is heard and does not hear this node, as far as is known, is told by way of a datagram of its own: one at each look. */
  #tellDeafEars(now: number): void {
    if (!this.link.isSending || now - this.#startedAt < 3 * this.#roundMs || this.#ring.length === 0) return
    for (let steps = 0; steps < Math.min(8, this.#ring.length); steps++) {
      this.#muteCursor = (this.#muteCursor + 1) % this.#ring.length
      const peer = this.peers.get(this.#ring[this.#muteCursor]!)
      if (peer === undefined || !peer.isFresh(now) || !(this.#isBeater(peer) || this.#population <= MAX_EAGER_NODES)) continue
      const isHeard = peer.report !== undefined && (peer.report.multicastBytes > 0 || peer.report.isBroadcastHeard)
      if (isHeard && !peer.beacon.isDeaf) continue
      if (this.#direct.toldAgoMs(peer.node, now) < this.#context.times.roundMs) continue
      return this.#tellDirectly(peer.node, now)
    }
  }

  // ---- what the table says ----

  /** What of this node's datagrams a peer gets; undefined where that is not known, or too old. */
  reachOf(peer: HeardPeer, now: number): PeerReport | undefined {
    const { report } = peer
    if (report === undefined || !peer.isFresh(now)) return undefined
    return peer.beacon.isDeaf ? { ...report, multicastBytes: 0 } : report
  }

  /** Tells that the table has changed if it has, loss in steps of 5 %. */
  show(peer: HeardPeer, now: number): void {
    const reach = this.reachOf(peer, now)
    const shown = reach === undefined ? '' : `${reach.multicastBytes} ${reach.isBroadcastHeard ? 1 : 0} ${Math.round(20 * reach.lossShare)}`
    if (shown === peer.shown) return
    peer.shown = shown
    this.#context.emit({ type: 'changed' })
  }
}
