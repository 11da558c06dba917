/**
 * How a sealed block lies in its symbols: sealed bytes, then padding, and in the last byte how much padding that is. All symbols of a block have one
 * length, at most that of the session; a short block takes fewer and shorter ones, so that padding is never more than k − 1 bytes.
 */
import { assert } from '../lib/assert.ts'
import { DATA_HEADER_BYTES } from './data-packet.ts'
import type { SessionCipher, SessionParameters } from './session-types.ts'

export interface BlockLayout {
  readonly k: number
  readonly symbolBytes: number
}

/** The longest symbol of a session. */
export function maxSymbolBytes(parameters: SessionParameters): number {
  return parameters.symbolBytes ?? parameters.datagramBytes - DATA_HEADER_BYTES
}

/** How many blocks of a session may be under way at a time; 4 however long they are. */
export function windowBlocks(
  parameters: SessionParameters,
  limits: { readonly windowBlocks: number; readonly windowBytes: number },
): number {
  const blockBytes = parameters.blockSymbols * maxSymbolBytes(parameters)
  return Math.max(4, Math.min(limits.windowBlocks, Math.floor(limits.windowBytes / blockBytes)))
}

/** Payload bytes of a block, at the most. */
export function maxPayloadBytes(parameters: SessionParameters, cipher: SessionCipher): number {
  const bytes = parameters.blockSymbols * maxSymbolBytes(parameters) - 1 - cipher.blockOverheadBytes
  assert(bytes > 0, 'symbols that are longer than what sealing adds')
  return bytes
}

/** The fewest and shortest symbols for a sealed block. */
export function layoutOf(sealedBytes: number, parameters: SessionParameters): BlockLayout {
  const bytes = sealedBytes + 1
  const k = Math.ceil(bytes / maxSymbolBytes(parameters))
  const symbolBytes = Math.ceil(bytes / k)
  const padding = k * symbolBytes - bytes
  assert(k <= parameters.blockSymbols && padding <= 255, 'a block of the session')
  return { k, symbolBytes }
}

/** Writes a sealed block over `symbols`, whose length is that of all source symbols. */
export function fillSymbols(symbols: Uint8Array, sealed: Uint8Array): void {
  symbols.set(sealed)
  symbols.fill(0, sealed.length)
  symbols[symbols.length - 1] = symbols.length - 1 - sealed.length
}

/** The sealed block in its symbols, a view; undefined when the padding cannot be. */
export function sealedOf(symbols: Uint8Array): Uint8Array | undefined {
  const length = symbols.length - 1 - (symbols[symbols.length - 1] as number)
  return length < 0 ? undefined : symbols.subarray(0, length)
}
