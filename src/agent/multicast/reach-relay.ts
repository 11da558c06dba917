/**
 * Joins what gossip knows of multicast with those who use it: whom it reaches, and the keys of the group, go to the data plane with each
 * change; the delivery service asks who is reached before it makes its offers.
 */
import type { ReachEntry } from '../../core/multicast/reach/reach-types.ts'
import type { ReachedNode } from '../data-plane/data-plane.ts'
import { asPolycastError } from '../errors.ts'

export interface ReachRelayParts {
  /** A session is worth it from so many receivers on. */
  readonly minReceivers: number
  readonly gossip: {
    reach(): ReadonlyMap<string, readonly ReachEntry[]>
    onReach(listener: (reach: ReadonlyMap<string, readonly ReachEntry[]>) => void): () => void
    reachWanted(): Promise<void>
    /** The primary key first; none where gossip is not encrypted. */
    ringKeys(): Promise<readonly Uint8Array[]>
  }
  readonly isEncrypted: boolean
  /** Takes whom multicast reaches, and the keys. */
  readonly tell: (reached: readonly ReachedNode[], keys: readonly Uint8Array[]) => void
  readonly log: (level: 'debug' | 'info', message: string, fields: Record<string, unknown>) => void
}

/** How often the keys are asked for, in case that somebody changed them, ms. */
const KEYS_MS = 10_000

export class ReachRelay {
  readonly minReceivers: number
  readonly #parts: ReachRelayParts
  #reached: ReadonlySet<string> = new Set()
  #keys: readonly Uint8Array[] = []
  #stopListening: () => void = () => undefined
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(parts: ReachRelayParts) {
    this.#parts = parts
    this.minReceivers = parts.minReceivers
  }

  /** Begins, once gossip runs. */
  start(): void {
    const { gossip, isEncrypted } = this.#parts
    this.#stopListening = gossip.onReach(() => this.#tell())
    if (!isEncrypted) return this.#tell()
    this.#timer = setInterval(() => void this.#askKeys(), KEYS_MS)
    this.#timer.unref()
    void this.#askKeys()
  }

  close(): void {
    this.#isClosed = true
    this.#stopListening()
    clearInterval(this.#timer)
  }

  isReached(member: string): boolean {
    return this.#reached.has(member)
  }

  /** Something will be sent to several soon: who is reached is to be known as well as can be. */
  wanted(): void {
    if (this.#isClosed) return
    this.#parts.gossip.reachWanted().catch((error: unknown) => {
      this.#parts.log('debug', 'it is not known better who is reached by multicast', { reason: asPolycastError(error).message })
    })
  }

  async #askKeys(): Promise<void> {
    try {
      const keys = await this.#parts.gossip.ringKeys()
      const isSame = keys.length === this.#keys.length && keys.every((key, i) => Buffer.from(key).equals(this.#keys[i]!))
      if (isSame) return
      this.#keys = keys
      this.#tell()
    } catch (error) {
      // Gossip ends before this does: whoever has the last keys goes on with them.
      this.#parts.log('debug', 'the keys of the group are not known', { reason: asPolycastError(error).message })
    }
  }

  #tell(): void {
    const { gossip, isEncrypted, tell, log } = this.#parts
    if (this.#isClosed || (isEncrypted && this.#keys.length === 0)) return
    const reached: ReachedNode[] = []
    for (const [name, entries] of gossip.reach()) {
      for (const entry of entries) {
        if (entry.multicastBytes === 0) continue
        reached.push({ name, interface: entry.interface, family: entry.family, datagramBytes: entry.multicastBytes })
      }
    }
    const names = new Set(reached.map(({ name }) => name))
    const gone = [...this.#reached].filter((name) => !names.has(name))
    const come = [...names].filter((name) => !this.#reached.has(name))
    this.#reached = names
    if (gone.length + come.length > 0) {
      log('info', 'whom multicast reaches has changed', {
        reached: names.size,
        ...(gone.length === 0 ? {} : { noLonger: gone.slice(0, 16) }),
      })
    }
    tell(reached, this.#keys)
  }
}
