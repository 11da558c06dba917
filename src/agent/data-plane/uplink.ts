/**
 * How much a node has under way over all its links together.
 *
 * Each link has a window of its own (link.ts), and the windows of thirty links over a slow uplink are minutes of it: whatever is
 * asked for next, and the answer to each ping, would wait behind them. So the sum is held to what the uplink carries in two seconds,
 * as acknowledgements tell, and links that find no room go on in turn. Where links are quick the sum never comes near that. What
 * lies on links that acknowledge nothing is left out, so that those who don't read cannot hold up the others.
 * docs/specs/02-swarm.md §3.
 */

/** What may be under way in all: so much at first and for each byte acknowledged since; once there is a measurement, so many ms of it, and never less than the least. */
const START_BYTES = 256 * 1024
const UNDER_WAY_MS = 2000
const LEAST_BYTES = 64 * 1024
/** A measurement takes at least so long in which something was under way, ms, and so many bytes, but no longer than the most, ms. */
const LEAST_PERIOD_MS = 500
const LEAST_PERIOD_BYTES = 64 * 1024
const MOST_PERIOD_MS = 4000
/** What is left of the last measurement where the next one is lower: a period may have had little to send. */
const FADE = 0.7
/** A link that has had no acknowledgement for so long is not counted, ms. */
const STALLED_MS = 10_000

/** A link, as the uplink sees it. */
export interface UplinkUser {
  /** Data bytes handed over and not acknowledged, or on their way from the disk. */
  readonly underWayBytes: number
  /** When the last of them was acknowledged, or the first handed over, ms. */
  readonly movedAt: number
}

export class Uplink<User extends UplinkUser> {
  readonly #onTurn: (user: User) => void
  readonly #now: () => number
  readonly #users: Set<User> = new Set()
  /** Who found no room, the longest waiting first. */
  readonly #waiting: Set<User> = new Set()
  /** Whose turn it is just now. */
  #turn: User | undefined
  #underWayBytes = 0
  /** Bytes per ms; undefined until it was measured. */
  #rate: number | undefined
  /** What the measurement under way has seen: bytes acknowledged, the time in which something was under way, ms, and since when it is. */
  #ackedBytes = 0
  #busyMs = 0
  #busySince = 0

  /** `onTurn` is called when there is room for a link that `admits` has refused; it may send, or have nothing to send any more. */
  constructor(onTurn: (user: User) => void, now: () => number) {
    this.#onTurn = onTurn
    this.#now = now
  }

  /** The most that may be under way now, bytes. */
  get limitBytes(): number {
    if (this.#rate === undefined) return START_BYTES + this.#ackedBytes
    return Math.max(LEAST_BYTES, this.#rate * UNDER_WAY_MS)
  }

  /** Whether a link may send now; if not, its turn comes. */
  admits(user: User): boolean {
    if ((this.#waiting.size === 0 || this.#turn === user) && this.#hasRoom()) return true
    this.#waiting.add(user)
    return false
  }

  /** So many bytes more are under way on a link, whose own count says so already; fewer where that is negative. */
  add(user: User, bytes: number): void {
    if (this.#underWayBytes === 0) this.#busySince = this.#now()
    this.#underWayBytes += bytes
    if (user.underWayBytes > 0) this.#users.add(user)
    else this.#users.delete(user)
    if (this.#underWayBytes === 0) this.#busyMs += this.#now() - this.#busySince
  }

  acknowledged(user: User, bytes: number): void {
    this.#ackedBytes += bytes
    this.add(user, -bytes)
    this.#measure()
    this.release()
  }

  /** A link has ended; what it had under way is taken off by `add`. */
  forget(user: User): void {
    this.#waiting.delete(user)
    this.release()
  }

  /** Lets those go on who wait, as far as there is room. Called now and then, too, for links may have stalled meanwhile. */
  release(): void {
    if (this.#turn !== undefined) return
    for (const user of this.#waiting) {
      if (!this.#hasRoom()) return
      this.#waiting.delete(user)
      this.#turn = user
      this.#onTurn(user)
      this.#turn = undefined
    }
  }

  #hasRoom(): boolean {
    const { limitBytes } = this
    return this.#underWayBytes < limitBytes || this.#movingBytes() < limitBytes
  }

  /** What is under way on links that acknowledge. */
  #movingBytes(): number {
    const from = this.#now() - STALLED_MS
    let bytes = 0
    for (const user of this.#users) if (user.movedAt >= from) bytes += user.underWayBytes
    return bytes
  }

  #measure(): void {
    const busyMs = this.#busyMs + (this.#underWayBytes > 0 ? this.#now() - this.#busySince : 0)
    const isEnough = busyMs >= LEAST_PERIOD_MS && this.#ackedBytes >= LEAST_PERIOD_BYTES
    if (!isEnough && busyMs < MOST_PERIOD_MS) return
    this.#rate = Math.max(this.#ackedBytes / busyMs, (this.#rate ?? 0) * FADE)
    this.#ackedBytes = 0
    this.#busyMs = 0
    this.#busySince = this.#now()
  }
}
