/**
 * A number for a name, the same for everybody: FNV-1a over its UTF-16 units, then mixed so that names that differ in the last letter alone
 * are far apart. It decides who watches whom and who confirms, and keeps nothing safe.
 */

/** 32 bits, unsigned. */
export function nameHash(name: string, salt = 0): number {
  let hash = 0x811c9dc5 ^ salt
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** How far it is from one place on the ring to another, going up; a whole round from a place to itself. */
export function ringDistance(from: number, to: number): number {
  const distance = (to - from) >>> 0
  return distance === 0 ? 0x1_0000_0000 : distance
}
