/**
 * Bytes that many members have alike, kept once: what most nodes of a cluster say of themselves is the same but for their names, and as
 * an array of its own it costs each of ten thousand members a quarter of a kilobyte.
 *
 * A table of the values seen, by their hash. It is no cache that must be right: when it is full it starts anew, and what is in use stays.
 */
import { copyBytes, equalBytes } from '../lib/bytes.ts'

/** Values that are remembered. */
const MAX_VALUES = 512

export class SharedBytes {
  readonly #byHash: Map<number, Uint8Array> = new Map()

  /** These bytes, as those have them that had the same before; never to be changed. */
  share(bytes: Uint8Array): Uint8Array {
    const hash = hashBytes(bytes)
    const known = this.#byHash.get(hash)
    if (known !== undefined && equalBytes(known, bytes)) return known
    if (this.#byHash.size >= MAX_VALUES) this.#byHash.clear()
    const own = copyBytes(bytes)
    this.#byHash.set(hash, own)
    return own
  }
}

/** FNV-1a. */
function hashBytes(bytes: Uint8Array): number {
  let hash = 0x811c9dc5
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash
}
