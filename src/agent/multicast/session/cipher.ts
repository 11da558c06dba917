/**
 * What seals the blocks and control packets of multicast sessions: AES-128-GCM under keys that are made for one session alone.
 *
 * All of a session's keys come from the gossip key by HKDF-SHA256 (RFC 5869), with the session's id and its random salt as the
 * salt of the derivation, so that no two sessions share a key: a block's number is nonce enough, and for a control packet its sender's
 * id, which receivers draw anew each time that they begin, with the packet's counter. Blocks are
 * sealed whole, 280 KB at a time, for AES-GCM in Node costs 13 to 37 µs per call (a gigabit has 85,000 packets a second).
 *
 * Whoever has the gossip key can make any packet here: what a member may not forge is the content, which is verified against its manifest.
 * Without a gossip key nothing is sealed; control packets have a checksum against chance. docs/specs/11-multicast-transfer.md §6.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync } from 'node:crypto'
import { equalBytes } from '../../../core/lib/bytes.ts'
import type { SessionCipher } from '../../../core/multicast/session-types.ts'

/** Makes a 64-bit authenticator of packets from a key of 16 bytes. */
export type TagMaker = (key: Uint8Array) => (packet: Uint8Array) => readonly [high: number, low: number]

/** What the keys of a session are made of, beside the gossip key: both travel in the invitation. */
export interface SessionSeed {
  /** Eight bytes, in hex. */
  readonly sessionId: string
  readonly salt: Uint8Array
}

const KEY_BYTES = 16
const NONCE_BYTES = 12
const GCM_TAG_BYTES = 16
const CHECKSUM_BYTES = 8
const ALGORITHM = 'aes-128-gcm'

/** Names a gossip key without telling anything of it: four bytes, in the invitation. */
export function keyIdOf(gossipKey: Uint8Array): Uint8Array {
  return derive(gossipKey, new Uint8Array(0), 'polycast multicast key id', 4)
}

/** The key whose id an invitation has, if it is one of these. */
export function keyById(gossipKeys: readonly Uint8Array[], keyId: Uint8Array): Uint8Array | undefined {
  return gossipKeys.find((key) => equalBytes(keyIdOf(key), keyId))
}

/** The cipher of a session under a gossip key. */
export function groupCipher(gossipKey: Uint8Array, seed: SessionSeed, tagMaker: TagMaker): SessionCipher {
  const salt = Buffer.concat([Buffer.from(seed.sessionId, 'hex'), seed.salt])
  const keys = derive(gossipKey, salt, 'polycast multicast session 1', 3 * KEY_BYTES)
  return new GroupCipher(
    keys.subarray(0, KEY_BYTES),
    keys.subarray(KEY_BYTES, 2 * KEY_BYTES),
    tagMaker(Uint8Array.from(keys.subarray(2 * KEY_BYTES))),
  )
}

class GroupCipher implements SessionCipher {
  readonly blockOverheadBytes: number = GCM_TAG_BYTES
  readonly controlOverheadBytes: number = GCM_TAG_BYTES
  readonly #blockKey: Uint8Array
  readonly #controlKey: Uint8Array
  readonly #tag: (packet: Uint8Array) => readonly [high: number, low: number]

  constructor(blockKey: Uint8Array, controlKey: Uint8Array, tag: (packet: Uint8Array) => readonly [high: number, low: number]) {
    this.#blockKey = blockKey
    this.#controlKey = controlKey
    this.#tag = tag
  }

  sealBlock(block: number, payload: Uint8Array): Uint8Array {
    const sealed = new Uint8Array(payload.length + GCM_TAG_BYTES)
    const cipher = createCipheriv(ALGORITHM, this.#blockKey, blockNonce(block))
    sealed.set(cipher.update(payload))
    cipher.final()
    sealed.set(cipher.getAuthTag(), payload.length)
    return sealed
  }

  openBlock(block: number, sealed: Uint8Array): Uint8Array | undefined {
    return open(this.#blockKey, blockNonce(block), sealed, undefined)
  }

  sealControl(senderId: number, counter: number, header: Uint8Array, payload: Uint8Array): Uint8Array {
    const sealed = new Uint8Array(payload.length + GCM_TAG_BYTES)
    const cipher = createCipheriv(ALGORITHM, this.#controlKey, controlNonce(senderId, counter))
    cipher.setAAD(header)
    sealed.set(cipher.update(payload))
    cipher.final()
    sealed.set(cipher.getAuthTag(), payload.length)
    return sealed
  }

  openControl(senderId: number, counter: number, header: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    return open(this.#controlKey, controlNonce(senderId, counter), sealed, header)
  }

  tagData(packet: Uint8Array): readonly [high: number, low: number] {
    return this.#tag(packet)
  }
}

/** For groups without a gossip key: nothing is hidden, nobody is authenticated. */
export const OPEN_CIPHER: SessionCipher = {
  blockOverheadBytes: 0,
  controlOverheadBytes: CHECKSUM_BYTES,
  sealBlock: (_block, payload) => payload,
  openBlock: (_block, sealed) => sealed,
  sealControl(senderId, counter, header, payload) {
    const sealed = new Uint8Array(CHECKSUM_BYTES + payload.length)
    sealed.set(checksum(senderId, counter, header, payload))
    sealed.set(payload, CHECKSUM_BYTES)
    return sealed
  },
  openControl(senderId, counter, header, sealed) {
    if (sealed.length < CHECKSUM_BYTES) return undefined
    const payload = sealed.subarray(CHECKSUM_BYTES)
    return checksum(senderId, counter, header, payload).equals(sealed.subarray(0, CHECKSUM_BYTES)) ? payload : undefined
  },
  tagData: () => NO_TAG,
}

const NO_TAG: readonly [number, number] = [0, 0]

function open(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array, aad: Uint8Array | undefined): Uint8Array | undefined {
  const end = sealed.length - GCM_TAG_BYTES
  if (end < 0) return undefined
  const cipher = createDecipheriv(ALGORITHM, key, nonce)
  if (aad !== undefined) cipher.setAAD(aad)
  cipher.setAuthTag(sealed.subarray(end))
  const payload = cipher.update(sealed.subarray(0, end))
  try {
    cipher.final()
  } catch {
    // Node throws where the authenticator is wrong: for who asked that is an answer.
    return undefined
  }
  return payload
}

function blockNonce(block: number): Uint8Array {
  const nonce = Buffer.alloc(NONCE_BYTES)
  nonce.writeUInt32BE(block, NONCE_BYTES - 4)
  return nonce
}

/** Six bytes of who sends, and four of the counter. */
function controlNonce(senderId: number, counter: number): Uint8Array {
  const nonce = Buffer.alloc(NONCE_BYTES)
  nonce.writeUIntBE(senderId, 0, 6)
  nonce.writeUInt32BE(counter, NONCE_BYTES - 4)
  return nonce
}

function checksum(senderId: number, counter: number, header: Uint8Array, payload: Uint8Array): Buffer {
  const hash = createHash('sha256').update(controlNonce(senderId, counter)).update(header).update(payload)
  return hash.digest().subarray(0, CHECKSUM_BYTES)
}

function derive(key: Uint8Array, salt: Uint8Array, info: string, bytes: number): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, salt, info, bytes))
}
