/**
 * What others have said on a link, for as long as they said that it holds (RFC 6762 §10): bounded, with the times at which a record that is
 * still wanted should be asked for again.
 *
 * A record with the cache-flush bit ends all others of its name and type that are older than a second, and one of TTL 0 ends itself, both
 * a second later, so that several hosts that share a set, or contradict, may still say so.
 */
import type { Random } from '../../lib/random.ts'
import { nameKey, recordKey, type DnsName, type DnsRecord } from './dns-message.ts'

export interface RecordCacheOptions {
  readonly random: Random
  /** Records in all; beyond it new ones are left out and counted. */
  readonly maxRecords: number
  /** Records are kept for at least so long, whatever they say. */
  readonly minTtlSec: number
}

export interface CachedRecord {
  readonly record: DnsRecord
  readonly expiresAt: number
}

interface Entry {
  record: DnsRecord
  receivedAt: number
  expiresAt: number
  /** How often it was asked for again since it came. */
  refreshes: number
  refreshAt: number
}

/** Shares of the TTL after which it is asked for again, each with up to 2 % of it more (§5.2). */
const REFRESH_SHARES = [0.8, 0.85, 0.9, 0.95] as const
const REFRESH_JITTER = 0.02
const GRACE_MS = 1000
const MAX_TTL_SEC = 86_400

export class RecordCache {
  /** Records left out for want of room. */
  dropped = 0
  readonly #options: RecordCacheOptions
  /** By name and type, then by what it says. */
  readonly #sets: Map<string, Map<string, Entry>> = new Map()
  #count = 0
  #sweepAt = Infinity

  constructor(options: RecordCacheOptions) {
    this.#options = options
  }

  /** When there is something to sweep. */
  get nextSweepAt(): number {
    return this.#sweepAt
  }

  get size(): number {
    return this.#count
  }

  records(name: DnsName, type: number): CachedRecord[] {
    return [...(this.#sets.get(setKey(name, type))?.values() ?? [])]
  }

  has(record: DnsRecord): boolean {
    return this.#sets.get(setKey(record.name, record.type))?.has(recordKey(record)) === true
  }

  /** Takes the records of one message; gives those that were not known. */
  take(records: readonly DnsRecord[], now: number): DnsRecord[] {
    const added = records.filter((record) => this.#take(record, now))
    for (const { name, type, isFlush } of records) {
      if (!isFlush) continue
      for (const entry of this.#sets.get(setKey(name, type))?.values() ?? []) {
        if (entry.receivedAt < now - GRACE_MS) this.#endSoon(entry, now)
      }
    }
    return added
  }

  /** Ends what is over, and gives what is to be asked for again. */
  sweep(now: number): { readonly ended: readonly DnsRecord[]; readonly stale: readonly DnsRecord[] } {
    const ended: DnsRecord[] = []
    const stale: DnsRecord[] = []
    this.#sweepAt = Infinity
    for (const [key, set] of this.#sets) {
      for (const [id, entry] of set) {
        if (now >= entry.expiresAt) {
          set.delete(id)
          this.#count--
          ended.push(entry.record)
          continue
        }
        if (now >= entry.refreshAt) {
          stale.push(entry.record)
          entry.refreshes++
          this.#schedule(entry)
        }
        this.#sweepAt = Math.min(this.#sweepAt, entry.expiresAt, entry.refreshAt)
      }
      if (set.size === 0) this.#sets.delete(key)
    }
    return { ended, stale }
  }

  #take(record: DnsRecord, now: number): boolean {
    const key = setKey(record.name, record.type)
    const set = this.#sets.get(key)
    const known = set?.get(recordKey(record))
    if (record.ttlSec === 0) {
      if (known !== undefined) this.#endSoon(known, now)
      return false
    }
    const ttlMs = Math.min(MAX_TTL_SEC, Math.max(this.#options.minTtlSec, record.ttlSec)) * 1000
    const entry: Entry = { record, receivedAt: now, expiresAt: now + ttlMs, refreshes: 0, refreshAt: Infinity }
    if (known !== undefined) Object.assign(known, entry)
    else if (this.#count >= this.#options.maxRecords) {
      this.dropped++
      return false
    } else {
      this.#count++
      if (set === undefined) this.#sets.set(key, new Map([[recordKey(record), entry]]))
      else set.set(recordKey(record), entry)
    }
    this.#schedule(known ?? entry)
    this.#sweepAt = Math.min(this.#sweepAt, (known ?? entry).refreshAt)
    return known === undefined
  }

  #schedule(entry: Entry): void {
    const share = REFRESH_SHARES[entry.refreshes]
    const ttlMs = entry.expiresAt - entry.receivedAt
    entry.refreshAt = share === undefined ? Infinity : entry.receivedAt + ttlMs * (share + this.#options.random.float() * REFRESH_JITTER)
  }

  #endSoon(entry: Entry, now: number): void {
    entry.expiresAt = Math.min(entry.expiresAt, now + GRACE_MS)
    entry.refreshAt = Infinity
    this.#sweepAt = Math.min(this.#sweepAt, entry.expiresAt)
  }
}

function setKey(name: DnsName, type: number): string {
  return `${nameKey(name)}\0/${type}`
}
