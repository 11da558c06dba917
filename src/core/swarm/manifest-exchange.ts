/**
 * How a peer gets the manifest and gives it on: from one neighbour at a time, to all that ask.
 *
 * The parent of the first stripe sends it, another neighbour when that one is gone or says nothing. No chunk comes before its entry:
 * parents are told up to where entries are known, and send nothing beyond (`clear`).
 */
import { isWireError, type WireError } from '../wire/wire-error.ts'
import type { ManifestPart } from './frames.ts'
import type { Neighbour } from './neighbour.ts'
import type { PeerState } from './peer-state.ts'

/**
 * After this long without a word of the manifest another neighbour is asked for it, ms; or after so many times what it took until anybody
 * had a chunk: over slow links a page takes its time on each step down the tree, and who asks elsewhere lets those wait who are next there.
 */
const STALL_MS = 500
const STALL_TIMES = 3
const MAX_STALL_MS = 30_000
/** The same where nobody is known to be ahead, ms: of a content that has begun, a source that reads slowly is no reason to change. */
const QUIET_STALL_MS = 3000
const BEGINNING_STALL_MS = 5000

export class ManifestExchange {
  readonly #state: PeerState
  readonly #subscribe: (neighbour: Neighbour, now: number) => void
  #parent: string | undefined
  /** The planned one said nothing: the plan does not decide until entries come again. */
  #isStalled = false
  #grewAt: number

  /** @param subscribe tells a neighbour what is wanted from it, when that has changed */
  constructor(state: PeerState, subscribe: (neighbour: Neighbour, now: number) => void, now: number) {
    this.#state = state
    this.#subscribe = subscribe
    this.#grewAt = now
  }

  // ---- getting it ----

  isWantedFrom(neighbour: Neighbour): boolean {
    return !this.#state.content.isComplete && this.#parent === neighbour.id
  }

  /** The plan or the neighbours changed: the parent of the first stripe sends the manifest; where none is planned, whoever came first. */
  prefer(neighbour: Neighbour, now: number): void {
    const { parents, neighbours } = this.#state
    if (parents.length === 0 || this.#isStalled) return
    const isServed = this.#parent !== undefined && neighbours.has(this.#parent)
    if (parents[0] === neighbour.id || (parents[0] === undefined && !isServed)) this.#choose(neighbour.id, now)
  }

  accept(part: ManifestPart): WireError | undefined {
    const error = this.#state.content.acceptManifest(part)
    return isWireError(error) && error.disposition !== 'ignore' ? error : undefined
  }

  grew(now: number): void {
    this.#grewAt = now
    this.#isStalled = false
  }

  neighbourGone(neighbour: Neighbour, now: number): void {
    if (this.#parent === neighbour.id) this.#replace(now)
  }

  tick(now: number): void {
    if (this.#state.content.isComplete || now - this.#grewAt <= STALL_MS) return
    if (now - this.#grewAt > this.#patienceMs()) this.#replace(now)
  }

  #patienceMs(): number {
    const { content, pace } = this.#state
    if (this.#ahead().length > 0) return Math.min(MAX_STALL_MS, Math.max(STALL_MS, STALL_TIMES * pace.firstMs))
    return content.knownChunks === 0 ? BEGINNING_STALL_MS : QUIET_STALL_MS
  }

  /** Neighbours that must know more of the manifest, without the origin, which always does. */
  #ahead(): Neighbour[] {
    const known = this.#state.content.knownChunks
    return [...this.#state.neighbours.values()].filter(
      ({ announced, isOrigin }) => !isOrigin && announced.nextSet(known) < announced.length,
    )
  }

  #choose(id: string, now: number): void {
    if (this.#state.options.isOrigin || this.#state.content.isComplete || id === this.#parent) return
    const last = this.#parent === undefined ? undefined : this.#state.neighbours.get(this.#parent)
    this.#parent = id
    this.#grewAt = now
    if (last !== undefined) this.#subscribe(last, now)
  }

  #replace(now: number): void {
    const { neighbours, random } = this.#state
    const isOther = ({ id }: Neighbour): boolean => id !== this.#parent
    const others = [...neighbours.values()].filter(isOther)
    const list = [this.#ahead().filter(isOther), others.filter(({ isOrigin }) => isOrigin), others].find(({ length }) => length > 0) ?? []
    this.#isStalled = true
    this.#grewAt = now
    if (list.length === 0) {
      if (this.#parent !== undefined && !neighbours.has(this.#parent)) this.#parent = undefined
      return
    }
    const chosen = random.pick(list)
    this.#choose(chosen.id, now)
    this.#subscribe(chosen, now)
  }

  // ---- giving it on ----

  sendTo(neighbour: Neighbour): void {
    const { content } = this.#state
    for (;;) {
      const { parts, next, hasHead, hasSeal } = content.manifestParts(
        neighbour.manifestFrom,
        neighbour.hasManifestHead,
        neighbour.hasManifestSeal,
      )
      neighbour.hasManifestHead = hasHead
      neighbour.hasManifestSeal = hasSeal
      if (parts.length === 0) return
      for (const part of parts) this.#state.send(neighbour.id, { type: 'manifest', part })
      neighbour.manifestFrom = next
    }
  }

  sendToAll(): void {
    for (const neighbour of this.#state.neighbours.values()) if (neighbour.manifestFrom >= 0) this.sendTo(neighbour)
  }
}
