/**
 * A swarm in the virtual network: nodes that run the shipping machines, what befalls them, and what came of it.
 */
import { Network, type HostOptions, type NetworkOptions } from './network.ts'
import type { ContentOptions } from './bytes-only-content.ts'
import type { PeerLimits } from '../core/swarm/peer-types.ts'
import type { TrackerLimits } from '../core/swarm/tracker.ts'
import { SwarmHost, type Behaviour } from './swarm-host.ts'
import { WorldChecks } from './world-checks.ts'

export interface SwarmWorldOptions extends NetworkOptions, ContentOptions {
  readonly origin: HostOptions
  readonly peers: readonly HostOptions[]
  /** When each peer joins, ms; 0 for all unless given. */
  readonly joinAt?: (peer: number) => number
  /** How each peer behaves; all honest unless given. */
  readonly behaviour?: (peer: number) => Behaviour
  /** Which peers the run waits for; all of them unless given. */
  readonly isAwaited?: (peer: number) => boolean
  readonly peerLimits?: Partial<PeerLimits>
  readonly trackerLimits?: Partial<TrackerLimits>
}

/** One node dropped another one, and said why. */
export interface Misbehaviour {
  readonly by: number
  readonly who: number
  readonly at: number
  readonly reason: string
}

/** How often the bounds are looked at, ms. */
const SAMPLE_MS = 1000

export class SwarmWorld {
  readonly options: SwarmWorldOptions
  readonly network: Network
  /** The origin, then the peers: peer i is host i + 1. */
  readonly hosts: SwarmHost[] = []
  /** Who dropped whom, and why. */
  readonly misbehaviours: Misbehaviour[] = []
  readonly checks: WorldChecks
  /** Honest nodes that are still expected to get everything. */
  readonly #awaited: Set<number> = new Set()

  constructor(options: SwarmWorldOptions) {
    this.options = options
    this.network = new Network(options)
    this.checks = new WorldChecks(this)
    this.#addHost(options.origin, 'honest')
    options.peers.forEach((peer, i) => this.#addHost(peer, options.behaviour?.(i) ?? 'honest'))
    this.hosts[0]!.start(0)
    options.peers.forEach((_, i) => {
      this.network.at(options.joinAt?.(i) ?? 0, (now) => this.hosts[i + 1]!.start(now))
    })
    this.#sampleAt(SAMPLE_MS)
  }

  #addHost(options: HostOptions, behaviour: Behaviour): void {
    const host = new SwarmHost(this, this.hosts.length, options.zone ?? '', behaviour)
    if (this.isExpected(host)) this.#awaited.add(host.index)
    this.hosts.push(host)
    this.network.addHost(options, host)
  }

  #sampleAt(time: number): void {
    this.network.at(time, () => {
      this.checks.sample()
      this.#sampleAt(time + SAMPLE_MS)
    })
  }

  /** Whether a host, as long as it is up, is to get all that there is. */
  isExpected({ index, behaviour }: SwarmHost): boolean {
    return behaviour === 'honest' && (index === 0 || (this.options.isAwaited?.(index - 1) ?? true))
  }

  /** A host has everything. */
  completed(host: SwarmHost, now: number): void {
    host.doneAt = Math.min(host.doneAt, now)
    this.#awaited.delete(host.index)
  }

  // ---- what befalls them ----

  /** The host with this index is gone for good: a process that ends closes its connections, a machine that loses power (`isSilent`) doesn't. */
  crash(index: number, isSilent = false): void {
    this.#awaited.delete(index)
    this.#stop(index, isSilent)
  }

  /** The host is gone as in `crash`, and starts again after some time with what it had. */
  outage(index: number, isSilent: boolean, forMs: number): void {
    const host = this.hosts[index]!
    this.#stop(index, isSilent)
    this.network.at(this.network.now + forMs, (now) => {
      this.network.restart(index)
      host.start(now)
    })
  }

  #stop(index: number, isSilent: boolean): void {
    this.hosts[index]!.stop()
    this.checks.stopped(this.hosts[index]!)
    this.network.crash(index, isSilent)
  }

  /** From now on these hosts and the others don't reach each other, for so long. */
  partition(indices: readonly number[], forMs: number): void {
    this.network.partition(new Map(indices.map((index) => [index, 1])))
    this.network.at(this.network.now + forMs, () => this.network.heal())
  }

  /** Whether what a host says of another one may be true, or comes from one that lies. */
  mayBeDropped(who: number, by: number): boolean {
    return this.hosts[by]!.behaviour !== 'honest' || this.hosts[who]!.behaviour !== 'honest'
  }

  // ---- the run ----

  /** Runs until all honest hosts that are expected to have everything do, or the time is over; then looks at what came of it. */
  run(untilMs: number): void {
    this.network.run(untilMs, () => this.#awaited.size === 0)
    this.checks.finish()
  }

  /** Seconds from joining to the last chunk, of every peer that has got it, sorted. */
  times(): number[] {
    return this.hosts
      .slice(1)
      .filter((host) => host.doneAt < Infinity)
      .map((host) => (host.doneAt - host.joinedAt) / 1000)
      .sort((a, b) => a - b)
  }
}
