/**
 * A number for a text, the same everywhere: FNV-1a over its 16-bit units and murmur3's last mix, so that texts that are alike stand apart.
 * It spreads and keeps nothing safe: who chooses the text chooses the hash.
 *
 * There are two, since what either of them gave is in protocols: `hashText` takes a unit in two steps, low byte first, `hashUnits` in one.
 */

/** The basis of FNV-1a; another one gives a hash that has nothing to do with this one. */
const BASIS = 0x811c9dc5

/** 32 bits, unsigned. */
export function hashText(text: string, basis: number = BASIS): number {
  let hash = basis | 0
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193)
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193)
  }
  return mixed(hash)
}

/** 32 bits, unsigned; another salt gives another hash. */
export function hashUnits(text: string, salt = 0): number {
  let hash = BASIS ^ salt
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return mixed(hash)
}

function mixed(sum: number): number {
  let hash = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
