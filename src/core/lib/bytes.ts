/**
 * Bytes as hexadecimal and as UTF-8, compared and joined, without a platform API (core has neither Buffer nor
 * TextEncoder). Not for large payloads on a hot path: those stay views into the buffer that they arrived in.
 */

const HEX_OF_BYTE: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Lower-case hexadecimal of `bytes`, two digits each. */
export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += HEX_OF_BYTE[byte] as string
  return text
}

/** The bytes of a hexadecimal text of either case; undefined when its length is odd or a character is no digit. */
export function fromHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0) return undefined
  const bytes = new Uint8Array(text.length / 2)
  for (let i = 0; i < bytes.length; i++) {
    const high = hexDigit(text.charCodeAt(2 * i))
    const low = hexDigit(text.charCodeAt(2 * i + 1))
    if (high < 0 || low < 0) return undefined
    bytes[i] = (high << 4) | low
  }
  return bytes
}

/** Whether both hold the same bytes. Its time tells where they differ: never for secrets. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** One new array with all `parts` in their order. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const joined = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.length
  }
  return joined
}

/** A copy in memory of its own. Not `bytes.slice()`, which is a mere view where `bytes` is a Node Buffer. */
export function copyBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes)
}

/** UTF-8 of `text`; a lone surrogate becomes U+FFFD, as TextEncoder has it. */
export function utf8Encode(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length * 3)
  let at = 0
  for (let i = 0; i < text.length; i++) {
    let point = text.charCodeAt(i)
    if (point >= 0xd800 && point <= 0xdfff) {
      const low = point < 0xdc00 && i + 1 < text.length ? text.charCodeAt(i + 1) : 0
      if (low >= 0xdc00 && low <= 0xdfff) {
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00)
        i++
      } else {
        point = 0xfffd
      }
    }
    if (point < 0x80) {
      bytes[at++] = point
    } else if (point < 0x800) {
      bytes[at++] = 0xc0 | (point >> 6)
      bytes[at++] = 0x80 | (point & 0x3f)
    } else if (point < 0x10000) {
      bytes[at++] = 0xe0 | (point >> 12)
      bytes[at++] = 0x80 | ((point >> 6) & 0x3f)
      bytes[at++] = 0x80 | (point & 0x3f)
    } else {
      bytes[at++] = 0xf0 | (point >> 18)
      bytes[at++] = 0x80 | ((point >> 12) & 0x3f)
      bytes[at++] = 0x80 | ((point >> 6) & 0x3f)
      bytes[at++] = 0x80 | (point & 0x3f)
    }
  }
  return bytes.slice(0, at)
}

/**
 * The text of UTF-8 `bytes`; undefined when they are not exactly UTF-8 (RFC 3629 §3: no overlong form, no surrogate,
 * nothing above U+10FFFF, nothing cut off). A byte order mark is kept.
 */
export function utf8Decode(bytes: Uint8Array): string | undefined {
  let text = ''
  let units: number[] = []
  let at = 0
  while (at < bytes.length) {
    const lead = bytes[at++] as number
    if (lead < 0x80) {
      units.push(lead)
    } else {
      const more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1
      if (lead < 0xc2 || lead > 0xf4 || at + more > bytes.length) return undefined
      let point = lead & (0x3f >> more)
      for (let i = 0; i < more; i++) {
        const byte = bytes[at++] as number
        if ((byte & 0xc0) !== 0x80) return undefined
        point = (point << 6) | (byte & 0x3f)
      }
      if (point < (LEAST_POINT[more] as number) || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return undefined
      if (point < 0x10000) units.push(point)
      else units.push(0xd800 + ((point - 0x10000) >> 10), 0xdc00 + ((point - 0x10000) & 0x3ff))
    }
    if (units.length >= 4096) {
      text += String.fromCharCode(...units)
      units = []
    }
  }
  return text + String.fromCharCode(...units)
}

/** The least code point that needs as many continuation bytes as the index says. */
const LEAST_POINT: readonly number[] = [0, 0x80, 0x800, 0x10000]

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  if (code >= 0x61 && code <= 0x66) return code - 0x61 + 10
  if (code >= 0x41 && code <= 0x46) return code - 0x41 + 10
  return -1
}
