/**
 * Suspicion timers: how long a suspected member has to refute. Lifeguard §IV-B (arXiv 1707.00788).
 *
 * One accuser may be the one that is slow, so that a member begins with a long time. Each further member that suspects it on its own
 * shortens that, the first ones most, down to the least time when `wantedConfirmations` have done so.
 *
 * Beside the paper: all of that is for silence, which a process that stands still, a lossy network and a dead host have in common. Where
 * this member was refused a connection, which only a host without the process does, and somebody else could not reach it either (a relay
 * that said so, or another accuser), the rest of the time is `refusedMs`: enough for a contradiction, should it be wrong after all. Where
 * there is nobody else, a second probe that was refused bears out the first.
 */
import type { GossipProfile } from './profile.ts'
import type { Accusation, ProbeEvidence } from './verdict.ts'

export interface SuspicionBounds {
  /** Accusers beyond the first after which the time is the least one; 0 in clusters that are too small to have them. */
  readonly wantedConfirmations: number
  readonly minMs: number
  readonly maxMs: number
  /** The time from when the process is known to be gone; Infinity where that counts for nothing. */
  readonly refusedMs: number
  /** There is nobody but this member and the suspected one. */
  readonly isAlone: boolean
}

/** The bounds in a cluster of so many members. */
export function suspicionBounds(profile: GossipProfile, members: number): SuspicionBounds {
  const wanted = profile.suspicionMult - 2
  const classicMs = profile.suspicionMult * Math.max(1, Math.log10(Math.max(1, members))) * profile.probeIntervalMs
  const minMs = Math.max(classicMs, profile.leastSuspicionMs)
  return {
    // Neither this member nor the suspected one can confirm.
    wantedConfirmations: members - 2 < wanted ? 0 : Math.max(wanted, 0),
    minMs,
    maxMs: Math.max(profile.suspicionMaxTimeoutMult * classicMs, minMs),
    refusedMs: profile.refusedSuspicionMs,
    isAlone: members <= 2,
  }
}

/** The time from the first accusation on, ms, when so many have confirmed it. */
export function suspicionTimeoutMs({ wantedConfirmations, minMs, maxMs }: SuspicionBounds, confirmations: number): number {
  if (wantedConfirmations < 1) return minMs
  const share = Math.log(confirmations + 1) / Math.log(wantedConfirmations + 1)
  return Math.max(Math.floor(maxMs - (maxMs - minMs) * share), minMs)
}

/** Refused probes after which a process is gone by the word of this member alone. */
const LONE_REFUSALS = 2

/** The suspicion against one member. */
export class Suspicion {
  readonly startedAt: number
  readonly bounds: SuspicionBounds
  #probe: ProbeEvidence | undefined = undefined
  /** Probes of this member's own that were refused. */
  #refusals = 0
  /** When it was known first that the process is gone; undefined while it is not. */
  #goneAt: number | undefined = undefined
  readonly #accusers: Map<string, number> = new Map()
  #postponedMs = 0

  constructor(from: string, bounds: SuspicionBounds, now: number) {
    this.startedAt = now
    this.bounds = bounds
    this.#accusers.set(from, now)
  }

  get accusers(): Accusation[] {
    return [...this.#accusers].map(([by, at]) => ({ by, at }))
  }

  /** This member's own last probe of the suspected one, when it failed. */
  get probe(): ProbeEvidence | undefined {
    return this.#probe
  }

  get grounds(): 'gone' | 'silent' {
    return this.#goneAt === undefined ? 'silent' : 'gone'
  }

  get timeoutMs(): number {
    const silentMs = suspicionTimeoutMs(this.bounds, this.#accusers.size - 1)
    return this.#goneAt === undefined ? silentMs : Math.min(silentMs, this.#goneAt - this.startedAt + this.bounds.refusedMs)
  }

  get deadline(): number {
    return this.startedAt + this.timeoutMs + this.#postponedMs
  }

  /** Notes this member's own probe, which failed. */
  noteProbe(probe: ProbeEvidence, now: number): void {
    this.#probe = probe
    if (isRefused(probe)) this.#refusals++
    this.#weigh(now)
  }

  /** Notes a further accuser; whether it is a new one that still counts, and so is worth telling others. */
  confirm(from: string, now: number): boolean {
    if (this.#accusers.has(from) || this.#accusers.size > this.bounds.wantedConfirmations) return false
    this.#accusers.set(from, now)
    this.#weigh(now)
    return true
  }

  /** Whether the process is gone by all that is known: refused here, and unreachable for somebody else. */
  #weigh(now: number): void {
    if (this.#goneAt !== undefined || this.bounds.refusedMs === Infinity || this.#probe === undefined) return
    const { paths, by } = this.#probe
    if (!isRefused(this.#probe)) return
    const hasOther = paths.some(({ outcome }) => outcome === 'nack') || [...this.#accusers.keys()].some((from) => from !== by)
    const isBorneOut = hasOther || (this.bounds.isAlone && this.#refusals >= LONE_REFUSALS)
    if (isBorneOut) this.#goneAt = now
  }

  postpone(ms: number): void {
    this.#postponedMs += ms
  }
}

function isRefused({ paths }: ProbeEvidence): boolean {
  return paths.some(({ outcome }) => outcome === 'refused')
}

/** All suspicions of one member, by the name of the suspected. */
export class Suspicions {
  readonly #byNode: Map<string, Suspicion> = new Map()
  /** Undefined when it has to be looked for again. */
  #earliest: number | undefined = Infinity

  get(node: string): Suspicion | undefined {
    return this.#byNode.get(node)
  }

  start(node: string, from: string, bounds: SuspicionBounds, now: number): Suspicion {
    const suspicion = new Suspicion(from, bounds, now)
    this.#byNode.set(node, suspicion)
    this.#earliest = undefined
    return suspicion
  }

  /** As `Suspicion.noteProbe`; nothing when there is no suspicion. */
  noteProbe(node: string, probe: ProbeEvidence, now: number): void {
    this.#earliest = undefined
    this.#byNode.get(node)?.noteProbe(probe, now)
  }

  /** As `Suspicion.confirm`; false when there is no suspicion. */
  confirm(node: string, from: string, now: number): boolean {
    this.#earliest = undefined
    return this.#byNode.get(node)?.confirm(from, now) ?? false
  }

  end(node: string): void {
    if (this.#byNode.delete(node)) this.#earliest = undefined
  }

  /** All have that much longer: this member was held up, and refutations may wait to be read. */
  postpone(ms: number): void {
    for (const suspicion of this.#byNode.values()) suspicion.postpone(ms)
    this.#earliest = undefined
  }

  nextDeadline(): number {
    if (this.#earliest !== undefined) return this.#earliest
    let earliest = Infinity
    for (const suspicion of this.#byNode.values()) earliest = Math.min(earliest, suspicion.deadline)
    this.#earliest = earliest
    return earliest
  }

  /** The names of those whose time is over. */
  due(now: number): string[] {
    if (this.nextDeadline() > now) return []
    return [...this.#byNode].flatMap(([node, suspicion]) => (suspicion.deadline <= now ? [node] : []))
  }
}
