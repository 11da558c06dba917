/** A cipher for tests: nothing is hidden, all is authenticated, under a key that an outsider does not have. */
import type { Kernel } from '../fec/load-kernel.ts'
import type { SessionCipher } from '../session-types.ts'

const TAG_BYTES = 8

/** Bytes that are hashed at a time: what the kernel takes. */
const PART_BYTES = 65_536

/** `key` tells one group from another. Without `isKeyed` everybody can make what is accepted, as in a cluster without a key. */
export function testCipher(kernel: Kernel, key: number, isKeyed: boolean = true): SessionCipher {
  const keyBytes = new Uint8Array(16).fill(isKeyed ? key : 0)
  const tagOf = (words: readonly number[], ...parts: readonly Uint8Array[]): Uint8Array => {
    const numbers = Float64Array.from(words)
    let digest = [...kernel.sipHash(keyBytes, new Uint8Array(numbers.buffer))]
    for (const part of parts)
      for (let at = 0; at <= part.length; at += PART_BYTES) {
        const bytes = part.subarray(at, at + PART_BYTES)
        digest = [...kernel.sipHash(keyBytes, bytes), digest[0]! ^ digest[1]!]
        digest = [...kernel.sipHash(keyBytes, new Uint8Array(Uint32Array.from(digest).buffer))]
      }
    return new Uint8Array(Uint32Array.from(digest.slice(0, 2)).buffer)
  }
  const open = (sealed: Uint8Array, words: readonly number[], ...before: readonly Uint8Array[]): Uint8Array | undefined => {
    if (sealed.length < TAG_BYTES) return undefined
    const payload = sealed.subarray(0, sealed.length - TAG_BYTES)
    const tag = tagOf(words, ...before, payload)
    return tag.every((byte, index) => byte === sealed[payload.length + index]) ? payload : undefined
  }
  const seal = (payload: Uint8Array, words: readonly number[], ...before: readonly Uint8Array[]): Uint8Array => {
    const sealed = new Uint8Array(payload.length + TAG_BYTES)
    sealed.set(payload)
    sealed.set(tagOf(words, ...before, payload), payload.length)
    return sealed
  }
  return {
    blockOverheadBytes: TAG_BYTES,
    controlOverheadBytes: TAG_BYTES,
    sealBlock: (block, payload) => seal(payload, [1, block]),
    openBlock: (block, sealed) => open(sealed, [1, block]),
    sealControl: (senderId, counter, header, payload) => seal(payload, [2, senderId, counter], header),
    openControl: (senderId, counter, header, sealed) => open(sealed, [2, senderId, counter], header),
    tagData: (covered) => (isKeyed ? kernel.sipHash(keyBytes, covered) : [0, 0]),
  }
}
