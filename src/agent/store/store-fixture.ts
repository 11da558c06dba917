/**
 * What the tests of the store have in common: hash and signatures as in the agent, contents made from a seed, and data
 * directories that go away again.
 */
import { blake3 } from '@napi-rs/blake-hash'
import { spawnSync } from 'node:child_process'
import { createCipheriv, createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify, type KeyObject } from 'node:crypto'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { Chunker } from '../../core/content/chunker.ts'
import type { Manifest } from '../../core/content/manifest.ts'
import { buildSealed, ManifestAuthor } from '../../core/content/manifest-author.ts'
import type { Signer } from '../../core/content/primitives.ts'
import { encodeTree, sortTree, treeFileBytes, type TreeEntry } from '../../core/content/tree.ts'
import { concatBytes } from '../../core/lib/bytes.ts'
import { removeTree } from './output-tree.ts'
import { openStore, type Store, type StoredContent, type StoreEvent, type StoreOptions } from './store.ts'

/** A content as its author has it. */
export interface Sample {
  readonly manifest: Manifest
  readonly bytes: Uint8Array
}

/** BLAKE3-256. */
export function hash(bytes: Uint8Array): Uint8Array {
  return blake3(bytes)
}

const publicKeys = new Map<string, KeyObject>()

/** Ed25519 with raw public keys. */
export function verifySignature(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const x = Buffer.from(publicKey).toString('base64url')
  const key = publicKeys.get(x) ?? createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x } })
  publicKeys.set(x, key)
  return verify(null, message, key, signature)
}

/** A new key pair. */
export function makeSigner(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
  const key = createPrivateKey(privateKey.export({ format: 'pem', type: 'pkcs8' }))
  return { publicKey: raw, sign: (message) => sign(null, message, key) }
}

/** Bytes that a seed decides: AES in counter mode, some gigabytes a second. */
export function randomBytes(seed: string, length: number): Uint8Array {
  const cipher = createCipheriv('aes-128-ctr', hash(Buffer.from(seed)).subarray(0, 16), new Uint8Array(16))
  return new Uint8Array(cipher.update(new Uint8Array(length)))
}

/** Lengths and hashes of the chunks of `bytes`. */
export function chunksOf(bytes: Uint8Array, averageBytes: number): { lengths: number[]; hashes: Uint8Array } {
  const chunker = new Chunker(averageBytes)
  const lengths = [...chunker.push(bytes), ...chunker.finish()]
  let at = 0
  const hashes = lengths.map((length) => hash(bytes.subarray(at, (at += length))))
  return { lengths, hashes: concatBytes(hashes) }
}

/** A content that is known whole: chunks of 1 KiB on average unless told. */
export function makeSample(bytes: Uint8Array, averageBytes: number = 1024, treeBytes: number = 0): Sample {
  const manifest = buildSealed(chunksOf(bytes, averageBytes), { averageBytes, mediaType: 'application/octet-stream', treeBytes, hash })
  return { manifest, bytes }
}

/** The same in chunks of that length, so that their number is known. */
export function makeEvenSample(bytes: Uint8Array, chunkBytes: number): Sample {
  const lengths = Array.from({ length: Math.ceil(bytes.length / chunkBytes) }, (_, i) =>
    Math.min(chunkBytes, bytes.length - i * chunkBytes),
  )
  const hashes = concatBytes(lengths.map((length, i) => hash(bytes.subarray(i * chunkBytes, i * chunkBytes + length))))
  return { manifest: buildSealed({ lengths, hashes }, { averageBytes: 256, mediaType: '', treeBytes: 0, hash }), bytes }
}

/** A directory as a content; `files` hold the bytes of the entries of kind file, by path. */
export function makeTreeSample(entries: readonly TreeEntry[], files: Readonly<Record<string, Uint8Array>>): Sample {
  const withSizes = entries.map((entry) => ({ ...entry, bytes: files[entry.path]?.length ?? 0 }))
  const tree = encodeTree(withSizes)
  const parts = sortTree(withSizes).flatMap((entry) => (entry.kind === 'file' ? [files[entry.path] ?? new Uint8Array(0)] : []))
  const bytes = concatBytes([tree, ...parts])
  if (bytes.length !== tree.length + treeFileBytes(withSizes)) throw new Error('a file without bytes')
  return makeSample(bytes, 1024, tree.length)
}

/** The author of a content that grows. */
export function makeAuthor(averageBytes: number = 1024, expectedBytes?: number): ManifestAuthor {
  const nonce = randomBytes(String(process.hrtime.bigint()), 16)
  return new ManifestAuthor({ averageBytes, mediaType: '', treeBytes: 0, expectedBytes, signer: makeSigner(), nonce, hash })
}

/** The bytes of chunks `first` to `first + count − 1` as one part for each. */
export function partsOf({ manifest, bytes }: Sample, first: number, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => bytes.subarray(manifest.chunkOffset(first + i), manifest.chunkOffset(first + i + 1)))
}

/** Writes all chunks and finishes. */
export async function fill(content: StoredContent, sample: Sample): Promise<void> {
  const count = sample.manifest.knownChunks
  if (count > 0) await content.write(0, count, partsOf(sample, 0, count))
  await content.finish()
}

/** Puts a whole content into the store. */
export async function put(store: Store, sample: Sample, name: string = 'sample'): Promise<StoredContent> {
  const content = await store.create(sample.manifest, { name })
  await fill(content, sample)
  return content
}

/** A directory that is removed after the test. */
export function temporaryDirectory(context: TestContext, parent: string = tmpdir()): string {
  const path = fs.mkdtempSync(join(parent, 'polycast-store-'))
  context.after(() => removeTree(path))
  return path
}

/** The same in memory where there is such a place: for tests that open thousands of stores, each with its fsyncs. */
export function fastDirectory(context: TestContext): string {
  return temporaryDirectory(context, fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir())
}

const openStores = new WeakMap<TestContext, Store[]>()

/** A store that is closed after the test, with the events that it reported. */
export async function openSample(
  context: TestContext,
  directory: string,
  options: Partial<StoreOptions> = {},
): Promise<{ store: Store; events: StoreEvent[] }> {
  const events: StoreEvent[] = []
  const store = await openStore({ directory, hash, verify: verifySignature, onEvent: (event) => events.push(event), ...options })
  openStores.set(context, [...(openStores.get(context) ?? []), store])
  context.after(() => store.close())
  return { store, events }
}

/** What a crash leaves, at `copy`: the data directory as it is now without its lock. Times of change survive in whole seconds. */
export function copyDataDirectory(directory: string, copy: string): void {
  for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
    if (entry.name.startsWith('lock')) continue
    const [from, to] = [join(directory, entry.name), join(copy, entry.name)]
    if (entry.isDirectory()) {
      fs.mkdirSync(to)
      copyDataDirectory(from, to)
    } else {
      fs.copyFileSync(from, to)
      const { mtime } = fs.statSync(from)
      fs.utimesSync(to, mtime, mtime)
    }
  }
}

/** A file system in memory of that size, unmounted after the test; undefined, and the test skipped with a word, where this user may not mount. */
export function mountDisk(context: TestContext, options: string): string | undefined {
  const path = fs.mkdtempSync(join(tmpdir(), 'polycast-disk-'))
  const { status, stderr, error } = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path], { encoding: 'utf8' })
  if (status !== 0) {
    fs.rmdirSync(path)
    const why = `NOT TESTED: a small file system cannot be mounted here: ${error?.message ?? stderr.trim()}`
    process.stderr.write(`${context.name}: ${why}\n`)
    context.skip(why)
    return undefined
  }
  context.after(async () => {
    // Hooks run in the order of their making, and the stores in here were opened after it.
    for (const store of openStores.get(context) ?? []) await store.close()
    const { status: left } = spawnSync('umount', [path])
    if (left !== 0) throw new Error(`${path} is still mounted`)
    fs.rmdirSync(path)
  })
  return path
}
