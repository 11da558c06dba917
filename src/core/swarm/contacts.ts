/**
 * Whom a peer may connect to and whom it should: addresses it was told, who is the origin, who was dropped and for how long.
 *
 * The tracker's plan says whom to connect to while there is a tracker. Without one, neighbours name each other's neighbours
 * (`peers`), and a peer follows that up until it has enough. An address that did not answer is left alone for a while, so that
 * made-up addresses cost a bounded number of attempts (docs/specs/02-swarm.md §7).
 */
import type { NamedPeer, PeerAddress } from './frames.ts'
import type { PeerLimits } from './peer-types.ts'

/** Attempts to connect that may be under way because a neighbour named the peer. */
const MAX_PENDING = 8
/** Addresses remembered because they did not answer. */
const MAX_UNREACHABLE = 256
const UNREACHABLE_MS = 30_000
const MAX_ORIGIN_PAUSE_MS = 16_000

export class Contacts {
  readonly #limits: PeerLimits
  readonly #ownId: string
  /** Addresses by id, from the plan. */
  #planned: Map<string, string> = new Map()
  readonly #origins: Map<string, string> = new Map()
  /** Until when a peer is not wanted as a neighbour, ms. */
  readonly #banned: Map<string, number> = new Map()
  /** Until when a peer that could not be reached is not tried again, ms. */
  readonly #unreachable: Map<string, number> = new Map()
  /** Attempts under way because a neighbour named the peer. */
  readonly #pending: Set<string> = new Set()
  #originTriedAt = -Infinity
  #originPauseMs: number

  constructor(ownId: string, limits: PeerLimits) {
    this.#ownId = ownId
    this.#limits = limits
    this.#originPauseMs = limits.originConnectMs
  }

  isOrigin(id: string): boolean {
    return this.#origins.has(id)
  }

  isBanned(id: string, now: number): boolean {
    return (this.#banned.get(id) ?? -Infinity) > now
  }

  ban(id: string, untilMs: number): void {
    this.#banned.set(id, Math.max(untilMs, this.#banned.get(id) ?? 0))
  }

  /** Whether the plan names this peer. */
  isPlanned(id: string): boolean {
    return this.#planned.has(id)
  }

  /** Its address, as the plan has it. */
  addressOf(id: string): string | undefined {
    return this.#planned.get(id)
  }

  plan(peers: readonly PeerAddress[]): void {
    this.#planned = new Map()
    for (const peer of peers) {
      if (peer.id === this.#ownId) continue
      this.#planned.set(peer.id, peer.address)
      if (peer.isOrigin) this.#origins.set(peer.id, peer.address)
    }
  }

  connected(id: string): void {
    this.#pending.delete(id)
    this.#unreachable.delete(id)
    if (this.#origins.has(id)) this.#originPauseMs = this.#limits.originConnectMs
  }

  /** The connection ended, or could not be made. */
  failed(id: string, wasNeighbour: boolean, now: number): void {
    this.#pending.delete(id)
    if (wasNeighbour) return
    if (this.#unreachable.size >= MAX_UNREACHABLE) {
      for (const [other, until] of this.#unreachable) if (until <= now) this.#unreachable.delete(other)
    }
    if (this.#unreachable.size < MAX_UNREACHABLE) this.#unreachable.set(id, now + UNREACHABLE_MS)
  }

  /** The origin to connect to for what only it may have; undefined if there is none or it was tried lately. */
  originToTry(isNeighbour: (id: string) => boolean, now: number): NamedPeer | undefined {
    if (now - this.#originTriedAt < this.#originPauseMs) return undefined
    for (const [id, address] of this.#origins) {
      if (isNeighbour(id) || this.isBanned(id, now)) continue
      this.#originTriedAt = now
      this.#originPauseMs = Math.min(MAX_ORIGIN_PAUSE_MS, 2 * this.#originPauseMs)
      return { id, address }
    }
    return undefined
  }

  /** Which of the peers that a neighbour named to connect to, as long as there are fewer neighbours than wanted. */
  follow(named: readonly NamedPeer[], neighbours: ReadonlyMap<string, unknown>, now: number): NamedPeer[] {
    const chosen: NamedPeer[] = []
    for (const peer of named) {
      if (neighbours.size + this.#pending.size >= this.#limits.wantedNeighbours || this.#pending.size >= MAX_PENDING) break
      if (peer.id === this.#ownId || neighbours.has(peer.id) || this.#pending.has(peer.id) || this.isBanned(peer.id, now)) continue
      if ((this.#unreachable.get(peer.id) ?? -Infinity) > now) continue
      this.#pending.add(peer.id)
      chosen.push(peer)
    }
    return chosen
  }
}
