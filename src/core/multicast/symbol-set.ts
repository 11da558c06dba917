/** A set of symbols of one block, as its bits travel in a NACK: symbol i is bit i mod 8 of byte i div 8. Bytes that are cut off are 0. */

/** Symbols of a block, source and parity together, at the most: an index is a byte. */
export const MAX_SYMBOLS = 256

/** Bytes that hold every symbol of a block. */
export const SYMBOL_SET_BYTES: number = MAX_SYMBOLS / 8

export function hasSymbol(set: Uint8Array, index: number): boolean {
  return (((set[index >>> 3] ?? 0) >>> (index & 7)) & 1) === 1
}

export function addSymbol(set: Uint8Array, index: number): void {
  set[index >>> 3] = (set[index >>> 3] as number) | (1 << (index & 7))
}

export function removeSymbol(set: Uint8Array, index: number): void {
  set[index >>> 3] = (set[index >>> 3] as number) & ~(1 << (index & 7))
}

/** The set in as few bytes as hold it. */
export function trimSet(set: Uint8Array): Uint8Array {
  let length = set.length
  while (length > 0 && set[length - 1] === 0) length--
  return new Uint8Array(set.subarray(0, length))
}

/** What is in either of two sets. */
export function uniteSets(a: Uint8Array, b: Uint8Array): Uint8Array {
  const united = new Uint8Array(Math.max(a.length, b.length))
  for (let i = 0; i < united.length; i++) united[i] = (a[i] ?? 0) | (b[i] ?? 0)
  return united
}
