/**
 * Who a peer's neighbours are: taken, refused, dropped, dismissed, and connected to.
 *
 * `contacts.ts` remembers what is known of others, neighbour or not. What is exchanged with a neighbour is no matter of this file.
 */
import type { Announcements } from './announcements.ts'
import { Contacts } from './contacts.ts'
import { MAX_NAMED_PEERS, type NamedPeer, type PlanMessage } from './frames.ts'
import { Neighbour } from './neighbour.ts'
import type { PeerState } from './peer-state.ts'

export class Neighbourhood {
  readonly #state: PeerState
  readonly #contacts: Contacts
  readonly #announcements: Announcements
  readonly #left: (neighbour: Neighbour, now: number) => void

  /** @param left a neighbour is one no more */
  constructor(state: PeerState, announcements: Announcements, left: (neighbour: Neighbour, now: number) => void) {
    this.#state = state
    this.#contacts = new Contacts(state.options.id, state.limits)
    this.#announcements = announcements
    this.#left = left
  }

  // ---- who comes and goes ----

  /** There is a connection: the neighbour, or undefined when it is refused. */
  up(id: string, address: string | undefined, now: number): Neighbour | undefined {
    const { neighbours, limits, content } = this.#state
    this.#contacts.connected(id)
    if (this.#contacts.isBanned(id, now)) {
      this.#state.emit({ type: 'misbehaved', id, reason: 'it was dropped from this content before' })
      return undefined
    }
    if (neighbours.has(id)) this.down(id, now)
    if (neighbours.size >= limits.maxNeighbours && !this.#makeRoom(now)) {
      this.#state.send(id, { type: 'close', reason: `${limits.maxNeighbours} neighbours are the limit, and all are in use` })
      return undefined
    }
    const neighbour = new Neighbour(id, address ?? this.#contacts.addressOf(id), content.knownChunks)
    neighbour.isOrigin = this.#contacts.isOrigin(id)
    neighbour.activeAt = now
    neighbours.set(id, neighbour)
    this.#announcements.tellAll(neighbour)
    return neighbour
  }

  /** The connection ended, or could not be made. */
  down(id: string, now: number): void {
    const neighbour = this.#state.neighbours.get(id)
    this.#contacts.failed(id, neighbour !== undefined, now)
    if (neighbour !== undefined) this.#remove(neighbour, now)
    else if (!this.#contacts.isPlanned(id)) return
    this.#announcements.reportLost(id, now)
  }

  /** Drops a neighbour: for good when it lied, else until `untilMs`. */
  drop(id: string, reason: string, untilMs: number = Infinity): void {
    this.#contacts.ban(id, untilMs)
    this.#state.emit({ type: 'misbehaved', id, reason })
  }

  tell(neighbour: Neighbour): void {
    this.#announcements.tell(neighbour)
  }

  #remove(neighbour: Neighbour, now: number): void {
    const { neighbours, availability } = this.#state
    neighbours.delete(neighbour.id)
    if (!neighbour.isOrigin) availability.remove(neighbour.announced, this.#state.contentEnd())
    this.#left(neighbour, now)
  }

  // ---- whom to connect to ----

  /** Connects to those that the plan names. */
  follow(plan: PlanMessage, now: number): void {
    const state = this.#state
    this.#contacts.plan(plan.peers)
    for (const peer of plan.peers) {
      if (peer.id === state.options.id || this.#contacts.isBanned(peer.id, now)) continue
      const neighbour = state.neighbours.get(peer.id)
      if (neighbour === undefined) {
        // A thousand peers would be a thousand connections at the origin: only its children need one, the others when they must ask it.
        const isNeeded = !peer.isOrigin || state.parents.includes(peer.id)
        if (isNeeded) state.emit({ type: 'connect', id: peer.id, address: peer.address })
      } else if (peer.isOrigin && !neighbour.isOrigin) {
        state.availability.remove(neighbour.announced, state.contentEnd())
        neighbour.isOrigin = true
      }
    }
  }

  /** Something is missing that only the origin may have: connects to it, now and then. */
  reachOrigin(now: number): void {
    const origin = this.#contacts.originToTry((id) => this.#state.neighbours.has(id), now)
    if (origin !== undefined) this.#state.emit({ type: 'connect', ...origin })
  }

  /** A neighbour named others: connects to some, as long as more are wanted. */
  named(by: Neighbour, peers: readonly NamedPeer[], now: number): void {
    const { limits, neighbours } = this.#state
    // More often than they are due, they are not looked at: each may cost connections.
    if (now - by.namedPeersAt < limits.peersIntervalMs / 2) return
    by.namedPeersAt = now
    for (const peer of this.#contacts.follow(peers, neighbours, now)) this.#state.emit({ type: 'connect', ...peer })
  }

  /** Tells neighbours of each other: without a tracker this is how those whose neighbours died find new ones. */
  nameOthers(): void {
    const { neighbours, random } = this.#state
    const live: NamedPeer[] = []
    for (const { id, address, isOrigin } of neighbours.values()) if (address !== undefined && !isOrigin) live.push({ id, address })
    for (const neighbour of neighbours.values()) {
      const others = random.shuffle(live.filter((peer) => peer.id !== neighbour.id)).slice(0, MAX_NAMED_PEERS)
      if (others.length > 0) this.#state.send(neighbour.id, { type: 'peers', peers: others })
    }
  }

  // ---- who makes room ----

  /** When there are many neighbours, those that nothing passes to or from make room for others. */
  dismissIdle(now: number): void {
    const { neighbours, limits } = this.#state
    for (const neighbour of neighbours.values()) {
      if (neighbours.size * 2 <= limits.maxNeighbours) return
      if (now - neighbour.activeAt >= limits.idleNeighbourMs && this.#isIdle(neighbour)) this.#dismiss(neighbour, now)
    }
  }

  /** Leaves the neighbour that nothing has passed to or from for longest; false when all are in use. */
  #makeRoom(now: number): boolean {
    let idlest: Neighbour | undefined
    for (const neighbour of this.#state.neighbours.values()) {
      if (this.#isIdle(neighbour) && neighbour.activeAt < (idlest?.activeAt ?? Infinity)) idlest = neighbour
    }
    if (idlest !== undefined) this.#dismiss(idlest, now)
    return idlest !== undefined
  }

  /** Neither of the two wants anything from the other now, and the plan does not name it. */
  #isIdle(neighbour: Neighbour): boolean {
    if (neighbour.mask !== 0 || neighbour.isManifestParent || neighbour.outstanding.size > 0 || neighbour.asked.length > 0) return false
    return (neighbour.subscription?.mask ?? 0) === 0 && neighbour.manifestFrom < 0 && !this.#contacts.isPlanned(neighbour.id)
  }

  #dismiss(neighbour: Neighbour, now: number): void {
    this.#state.send(neighbour.id, { type: 'close', reason: 'nothing was exchanged for a while, and others want the place' })
    this.#remove(neighbour, now)
  }
}
