/**
 * What the tests of the codecs share: AES-GCM, the vectors of docs/specs/04-gossip.md §10, messages of all kinds, and faults to put into
 * bytes. Named as a test so that it is compiled with Node's types; the test here holds the cipher to a published vector.
 */
import * as fc from 'fast-check'
import assert from 'node:assert/strict'
import { createCipheriv, createDecipheriv, type CipherGCMTypes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { concatBytes, fromHex, toHex, utf8Encode } from '../lib/bytes.ts'
import type { Framing } from './framing.ts'
import { Keyring, TAG_BYTES, type Cipher, type Encryption, type EncryptionVersion } from './keyring.ts'
import type { MemberRecord, PacketMessage, ProtocolVersions } from './messages.ts'

const SPEC = join(import.meta.dirname, '../../../docs/specs/04-gossip.md')

/** The `name = hex` lines of the block in §10; a value goes on in the lines after it that are indented. */
export const VECTORS: ReadonlyMap<string, Uint8Array> = new Map(
  (/^## 10[^]*?^```text\n([^]*?)^```/m.exec(readFileSync(SPEC, 'utf8'))?.[1] ?? '')
    .replaceAll(/\n +/g, '')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [name, hex] = line.split(' = ') as [string, string]
      return [name, bytesOf(hex)]
    }),
)

export function vector(name: string): Uint8Array {
  const bytes = VECTORS.get(name)
  assert.ok(bytes !== undefined, `a vector of ${name}`)
  return bytes
}

export function bytesOf(hex: string): Uint8Array {
  const bytes = fromHex(hex.replaceAll(/\s/g, ''))
  assert.ok(bytes !== undefined, hex)
  return bytes
}

/** 127.0.0.`last`. */
export function loopback(last: number): Uint8Array {
  return Uint8Array.of(127, 0, 0, last)
}

/** Bytes from 0 up, as the vectors have them for key and nonce. */
export function counting(count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, index) => index)
}

function algorithmOf(key: Uint8Array): CipherGCMTypes {
  return `aes-${8 * key.length}-gcm` as CipherGCMTypes
}

export const CIPHER: Cipher = {
  seal(key, nonce, plaintext, associated) {
    const cipher = createCipheriv(algorithmOf(key), key, nonce)
    cipher.setAAD(associated)
    return concatBytes([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
  },
  open(key, nonce, sealed, associated) {
    if (sealed.length < TAG_BYTES) return undefined
    const decipher = createDecipheriv(algorithmOf(key), key, nonce)
    decipher.setAAD(associated)
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES))
    const plaintext = decipher.update(sealed.subarray(0, -TAG_BYTES))
    try {
      return concatBytes([plaintext, decipher.final()])
    } catch {
      // The tag does not fit, which is an answer.
      return undefined
    }
  },
}

/** Encryption with these keys, the first one primary, and the nonce of the vectors. */
export function encryptionWith(keys: readonly Uint8Array[], change: Partial<Encryption> = {}): Encryption {
  return { keyring: new Keyring(keys), cipher: CIPHER, nonce: () => counting(12), version: 1, isSending: true, isRequired: true, ...change }
}

export const PLAIN: Framing = { label: new Uint8Array(0), isCompressing: false, encryption: undefined }

/** Every way to put layers around messages. */
export const FRAMINGS: readonly Framing[] = ['', 'lab'].flatMap((label) =>
  [false, true].flatMap((isCompressing) =>
    ([undefined, 0, 1] as (EncryptionVersion | undefined)[]).map((version) => ({
      label: utf8Encode(label),
      isCompressing,
      encryption: version === undefined ? undefined : encryptionWith([counting(16)], { version }),
    })),
  ),
)

// ---- messages of all kinds ----

/** Plain objects, as decoders make them. */
export function record<T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record<T>(fields, { noNullPrototype: true })
}

export const u32: fc.Arbitrary<number> = fc.oneof(
  fc.nat(),
  fc.integer({ min: 0, max: 300 }),
  fc.constantFrom(0, 65_535, 65_536, 0xffffffff),
)
export const u16: fc.Arbitrary<number> = fc.integer({ min: 0, max: 0xffff })
export const name: fc.Arbitrary<string> = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 15 })
export const anyName: fc.Arbitrary<string> = fc.string({ unit: 'grapheme', maxLength: 15 })
export const address: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
)
export const payload: fc.Arbitrary<Uint8Array> = fc.uint8Array({ maxLength: 300 })
const versions: fc.Arbitrary<ProtocolVersions | undefined> = fc.option(
  fc.uint8Array({ minLength: 6, maxLength: 6 }).map((six) => [...six] as unknown as ProtocolVersions),
  { nil: undefined },
)
const source = fc.oneof(
  fc.constant({}),
  record({ sourceAddress: address, sourcePort: fc.integer({ min: 1, max: 0xffff }), sourceNode: name }),
  record({ sourceNode: name }),
)

export const member: fc.Arbitrary<MemberRecord> = record<MemberRecord>({
  node: name,
  address,
  port: u16,
  meta: payload,
  incarnation: u32,
  state: fc.constantFrom('alive', 'suspect', 'dead', 'left'),
  versions,
})

export const PACKET_MESSAGES: { readonly [Type in PacketMessage['type']]: fc.Arbitrary<PacketMessage> } = {
  ping: fc.tuple(u32, anyName, source, fc.nat(3)).map(([sequence, node, from, parts]) => ({
    type: 'ping',
    sequence,
    node,
    ...((parts & 1) === 0 ? {} : { isBrief: true }),
    ...((parts & 2) === 0 ? {} : { wantsTableHash: true }),
    ...from,
  })),
  'indirect-ping': fc
    .tuple(record({ sequence: u32, target: address, port: u16, node: anyName, nack: fc.boolean() }), source)
    .map(([fields, from]) => ({ type: 'indirect-ping', ...fields, ...from })),
  ack: fc
    .tuple(u32, fc.option(payload, { nil: undefined }), fc.option(u32, { nil: undefined }))
    .map(([sequence, bytes, hash]) => ({ type: 'ack', sequence, payload: bytes, ...(hash === undefined ? {} : { tableHash: hash }) })),
  nack: record({ type: fc.constant('nack'), sequence: u32 }),
  suspect: record({ type: fc.constant('suspect'), incarnation: u32, node: name, from: anyName }),
  dead: record({ type: fc.constant('dead'), incarnation: u32, node: name, from: anyName }),
  alive: record({ type: fc.constant('alive'), incarnation: u32, node: name, address, port: u16, meta: payload, versions }),
  user: record({ type: fc.constant('user'), bytes: payload }),
}
export const anyPacketMessage: fc.Arbitrary<PacketMessage> = fc.oneof(...Object.values(PACKET_MESSAGES))

// ---- faults ----

/** Every way to cut `bytes` off, and to set one of them to anything. */
export function* broken(bytes: Uint8Array): Generator<Uint8Array> {
  for (let length = 0; length < bytes.length; length++) yield bytes.slice(0, length)
  for (let at = 0; at < bytes.length; at++) {
    for (let value = 0; value < 256; value++) {
      const changed = Uint8Array.from(bytes)
      changed[at] = value
      yield changed
    }
  }
}

/** What claims to be, or to have, more than there is. */
const HUGE = ['dbffffffff', 'ddffffffff', 'dfffffffff', 'c6ffffffff', 'dc7fff', 'de7fff', 'daffff', 'cfffffffffffffffff', 'c9ffffffff'].map(
  bytesOf,
)

/** `bytes` with each of them replaced by each of the greatest lengths and counts there are. */
export function* exaggerated(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at++) {
    for (const huge of HUGE) yield concatBytes([bytes.subarray(0, at), huge, bytes.subarray(at + 1)])
  }
}

/** Bytes with some of them replaced, taken out or put in. */
export function withFaults(of: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  const fault = fc.record({
    kind: fc.constantFrom('set', 'cut', 'insert'),
    at: fc.nat(),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 4 }),
  })
  return fc.tuple(of, fc.array(fault, { minLength: 1, maxLength: 5 })).map(([bytes, faults]) => {
    let result = bytes
    for (const { kind, at, bytes: given } of faults) {
      const from = at % (result.length + 1)
      const removed = kind === 'insert' ? 0 : given.length
      result = concatBytes([result.subarray(0, from), kind === 'cut' ? new Uint8Array(0) : given, result.subarray(from + removed)])
    }
    return result
  })
}

/** How much more memory is in use after `work` than before, in bytes. */
export function memoryTaken(work: () => void): number {
  const inUse = (): number => process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers
  const before = inUse()
  work()
  return inUse() - before
}

test('the cipher of the tests is AES-GCM', () => {
  // McGrew and Viega, The Galois/Counter Mode of Operation, test case 2.
  const zeroes = new Uint8Array(16)
  const sealed = CIPHER.seal(zeroes, zeroes.subarray(0, 12), zeroes, new Uint8Array(0))
  assert.equal(toHex(sealed), '0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf')
})
