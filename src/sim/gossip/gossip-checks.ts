/**
 * What must hold in every simulated cluster, whatever befalls it, and what is counted for the figures. Kept apart from the machines: by
 * what really runs, not by what they think of it.
 *
 * At every step: incarnations only grow, a node's own in each of its runs and every other one's as seen by each; a node that is well is
 * declared failed by another that is well no more often than the scenario allows. At every sample: no node that is well is held for dead
 * by another one for longer than a limit; queues and the agenda keep to their limits. At the end, where the scenario wants it: all have
 * one view, of those that run. Events (of machines that have them) come exactly once.
 */
import type { SwimOutput } from '../../core/gossip/swim-types.ts'
import { SOCKET_BUFFER_BYTES, type GossipHost } from './gossip-host.ts'
import type { GossipWorld } from './gossip-world.ts'
import type { SimOutput } from './sim-node.ts'

/** Violations that are kept; the run has failed with the first one. */
const MOST_KEPT = 20
/** What may be under way for each node. */
const MOST_EVENTS_PER_NODE = 512
/** News that may wait at a node beside one for each member. */
const MOST_NEWS = 16
/** Above this many nodes views are compared by their counts alone. */
const MOST_COMPARED = 1000

/** When each node heard of something. */
export class Spread {
  readonly startedAt: number
  readonly #heardAt: Map<GossipHost, number> = new Map()

  constructor(startedAt: number) {
    this.startedAt = startedAt
  }

  heard(host: GossipHost, now: number): void {
    if (!this.#heardAt.has(host)) this.#heardAt.set(host, now - this.startedAt)
  }

  get count(): number {
    return this.#heardAt.size
  }

  /** Times from its start, ms, in order; of those hosts alone that are asked for, or of all. */
  times(isAskedFor: (host: GossipHost) => boolean = () => true): number[] {
    return [...this.#heardAt].flatMap(([host, time]) => (isAskedFor(host) ? [time] : [])).sort((a, b) => a - b)
  }
}

export class GossipChecks {
  readonly violations: string[] = []
  /** How often a node that is well declared another one failed that is well. */
  falseFailures = 0
  /** The same of any node that runs, whatever is the matter with the two. */
  failuresOfRunning = 0
  /** Those whom it was said of. */
  readonly failedThoughUp: Set<GossipHost> = new Set()
  /** Probes that nothing answered. */
  accusations = 0
  refutations = 0
  /** How often it was told that a member answers on streams and not to packets. */
  packetsLost = 0
  mostQueued = 0
  /** For how long one that is well may be held for dead by another that is well, ms. */
  mostHeldDeadMs = 15_000
  readonly #world: GossipWorld
  /** By what is said, and of whom or what. */
  readonly #followed: Map<string, Spread[]> = new Map()
  /** By observer: the incarnations that it has told of. */
  readonly #incarnations: Map<string, number>[] = []
  readonly #own: { life: number; incarnation: number }[] = []
  /** By observer: who is up and held for dead, and since when. */
  readonly #heldDead: Map<GossipHost, Map<GossipHost, number>> = new Map()
  readonly #events: Map<GossipHost, Set<string>> = new Map()

  constructor(world: GossipWorld) {
    this.#world = world
  }

  /** From now on it is noted who says this of a node, gives out an event, or has news of a key (a node's name, a space, the key). */
  follow(type: SimOutput['type'], what: string): Spread {
    const spread = new Spread(this.#world.now)
    const key = `${type} ${what}`
    const others = this.#followed.get(key)
    if (others === undefined) this.#followed.set(key, [spread])
    else others.push(spread)
    return spread
  }

  #heard(host: GossipHost, type: SimOutput['type'], what: string): void {
    if (this.#followed.size === 0) return
    for (const spread of this.#followed.get(`${type} ${what}`) ?? []) spread.heard(host, this.#world.now)
  }

  /** Whether a node runs and nothing was the matter with it lately. */
  isWell(host: GossipHost): boolean {
    return host.isUp && !host.isLeaving && this.#world.now >= host.healthyFrom
  }

  // ---- at every step ----

  told(host: GossipHost, output: SimOutput): void {
    switch (output.type) {
      case 'event':
        this.#heard(host, 'event', output.key)
        return this.#event(host, output.key)
      case 'state':
        return this.#heard(host, 'state', output.key)
      case 'wrong':
        return this.#violated(`${host.name} ${output.what}`)
      case 'refuted':
        this.refutations++
        return
      case 'packets-lost':
        this.packetsLost++
        return
      case 'suspected':
        if (output.verdict.source === 'probe') this.accusations++
        return this.#member(host, output)
      case 'failed':
        this.#failed(host, output.member.node)
        return this.#member(host, output)
      case 'joined':
        this.#alive(host, output.member.node)
        return this.#member(host, output)
      case 'updated':
      case 'cleared':
      case 'left':
        return this.#member(host, output)
      case 'forgotten':
        this.#incarnations[host.index]?.delete(output.member.node)
        return
      default:
        return
    }
  }

  #member(
    host: GossipHost,
    { type, member }: Extract<SwimOutput, { type: 'joined' | 'updated' | 'suspected' | 'cleared' | 'failed' | 'left' }>,
  ): void {
    this.#heard(host, type, member.node)
    const seen = (this.#incarnations[host.index] ??= new Map<string, number>())
    const last = seen.get(member.node) ?? 0
    if (member.incarnation < last) {
      this.#violated(`${host.name} tells of ${member.node} by incarnation ${member.incarnation}, after ${last}`)
    }
    seen.set(member.node, member.incarnation)
  }

  #failed(host: GossipHost, node: string): void {
    const other = this.#world.hostOf(node)
    if (other === undefined || !other.isUp || other.isLeaving) return
    this.failuresOfRunning++
    this.failedThoughUp.add(other)
    if (this.isWell(host) && this.isWell(other)) this.falseFailures++
    let held = this.#heldDead.get(host)
    if (held === undefined) this.#heldDead.set(host, (held = new Map<GossipHost, number>()))
    held.set(other, this.#world.now)
  }

  #alive(host: GossipHost, node: string): void {
    const other = this.#world.hostOf(node)
    if (other !== undefined) this.#heldDead.get(host)?.delete(other)
  }

  #event(host: GossipHost, key: string): void {
    let seen = this.#events.get(host)
    if (seen === undefined) this.#events.set(host, (seen = new Set<string>()))
    if (seen.has(key)) this.#violated(`${host.name} gave out event ${key} twice`)
    seen.add(key)
  }

  hasEvent(host: GossipHost, key: string): boolean {
    return this.#events.get(host)?.has(key) === true
  }

  /** How many have given out an event. */
  eventCount(key: string): number {
    let count = 0
    for (const seen of this.#events.values()) if (seen.has(key)) count++
    return count
  }

  started(host: GossipHost): void {
    this.#forgetObserver(host)
  }

  stopped(host: GossipHost): void {
    this.#forgetObserver(host)
    for (const held of this.#heldDead.values()) held.delete(host)
  }

  leaving(host: GossipHost): void {
    for (const held of this.#heldDead.values()) held.delete(host)
  }

  #forgetObserver(host: GossipHost): void {
    this.#incarnations[host.index]?.clear()
    this.#heldDead.delete(host)
    this.#events.delete(host)
  }

  // ---- now and then ----

  sample(): void {
    const { hosts, pendingEvents } = this.#world
    this.#limit('events under way', pendingEvents, MOST_EVENTS_PER_NODE * hosts.length)
    for (const host of hosts) this.#sampleHost(host)
    for (const [host, held] of this.#heldDead) for (const [other, since] of held) this.#sampleHeld(host, other, since)
  }

  #sampleHost(host: GossipHost): void {
    if (host.node === undefined) return
    const { incarnation, queuedBroadcasts } = host.node.status()
    const own = this.#own[host.index]
    if (own?.life === host.life && incarnation < own.incarnation) {
      this.#violated(`${host.name} has incarnation ${incarnation} after ${own.incarnation}`)
    }
    this.#own[host.index] = { life: host.life, incarnation }
    this.mostQueued = Math.max(this.mostQueued, queuedBroadcasts)
    this.#limit(`messages queued at ${host.name}`, queuedBroadcasts, this.#world.hosts.length + MOST_NEWS)
    this.#limit(`bytes waiting at ${host.name}`, host.waitingBytes, SOCKET_BUFFER_BYTES)
  }

  #sampleHeld(host: GossipHost, other: GossipHost, since: number): void {
    if (!this.isWell(host) || !this.isWell(other)) return
    const heldMs = this.#world.now - Math.max(since, host.healthyFrom, other.healthyFrom)
    if (heldMs <= this.mostHeldDeadMs) return
    this.#violated(`${host.name} has held ${other.name} for dead for ${Math.round(heldMs)} ms, and both are well`)
    this.#heldDead.get(host)?.delete(other)
  }

  #limit(what: string, value: number, most: number): void {
    if (value > most) this.#violated(`${value} ${what}; ${most} are the limit`)
  }

  // ---- at the end ----

  /** Who, of those that run, sees what: all are to see those that run alive, and nobody else. */
  oneView(): void {
    const up = this.#world.hosts.filter((host) => host.isUp)
    for (const { node, name } of up) {
      const { alive, suspect } = node!.status()
      if (alive + suspect !== up.length || suspect > 0) {
        this.#violated(`${name} sees ${alive} alive and ${suspect} suspected; ${up.length} run`)
      } else if (up.length <= MOST_COMPARED) {
        const missed = up.find((other) => node!.stateOf(other.name) !== 'alive')
        if (missed !== undefined) this.#violated(`${name} holds ${missed.name} for ${node!.stateOf(missed.name) ?? 'unknown'}`)
      }
    }
  }

  /** Whether all see exactly those that run. */
  isOne(): boolean {
    const up = this.#world.hosts.filter((host) => host.isUp)
    return up.every(({ node }) => {
      const { alive, suspect } = node!.status()
      return suspect === 0 && alive === up.length && (up.length > MOST_COMPARED || up.every(({ name }) => node!.stateOf(name) === 'alive'))
    })
  }

  #violated(what: string): void {
    if (this.violations.length < MOST_KEPT) this.violations.push(`at ${Math.round(this.#world.now)} ms: ${what}`)
  }
}
