/**
 * Holds code and spec together both ways: computes the vectors of docs/specs/01-manifest.md §9 and compares them with what
 * stands there. After a change of format that is meant, the failing test's `actual` is the new text.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { concatBytes, toHex } from '../lib/bytes.ts'
import { Chunker, GEAR } from './chunker.ts'
import { author, hash, nonce } from './fixtures.test.ts'
import type { Manifest } from './manifest.ts'
import { buildSealed, ManifestAuthor } from './manifest-author.ts'
import { encodeTree } from './tree.ts'

const SPEC = join(import.meta.dirname, '../../../docs/specs/01-manifest.md')

/** The stream of §9: the top bytes of a linear congruential generator from 1 on. */
function stream(count: number): Uint8Array {
  let state = 1
  return Uint8Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state >>> 24
  })
}

function computed(): Map<string, string> {
  const words = new DataView(new ArrayBuffer(1024))
  GEAR.forEach((word, i) => words.setInt32(4 * i, word))
  const gear = new Uint8Array(words.buffer)
  const bytes = stream(4000)
  const chunker = new Chunker(256)
  const lengths = [...chunker.push(bytes), ...chunker.finish()]
  let at = 0
  const chunks = lengths.map((length) => bytes.subarray(at, (at += length)))
  const hashes = concatBytes(chunks.map((chunk) => hash(chunk)))
  const settings = { averageBytes: 256, mediaType: 'text/plain', treeBytes: 0, hash }
  const sealed: Manifest = buildSealed({ lengths, hashes }, settings)
  const from = new ManifestAuthor({ ...settings, expectedBytes: 4000, signer: author, nonce })
  from.append(lengths[0]!, hash(chunks[0]!))
  from.append(lengths[1]!, hash(chunks[1]!))
  const segment = from.flush()!
  for (const chunk of chunks.slice(2)) from.append(chunk.length, hash(chunk))
  const { sealBytes } = from.finish()
  return new Map([
    ['gear words 0 to 3', toHex(gear.subarray(0, 16))],
    ['gear hash', toHex(hash(gear))],
    ['stream hash', toHex(hash(bytes))],
    ['chunk lengths', lengths.join(' ')],
    ['root', toHex(sealed.rootBytes()!)],
    ['content id', toHex(sealed.contentId()!)],
    ['page 0 hash', toHex(hash(sealed.page(0)!))],
    ['growing header', toHex(from.headerBytes)],
    ['growing id', toHex(from.manifest.swarmId)],
    ['segment', toHex(segment)],
    ['seal hash', toHex(hash(sealBytes))],
    ['seal signature', toHex(sealBytes.subarray(-64))],
    [
      'tree',
      toHex(
        encodeTree([
          { kind: 'symlink', path: 'bin/t', mode: 0o777, bytes: 0, target: 'tool' },
          { kind: 'file', path: 'bin-old', mode: 0o644, bytes: 0 },
          { kind: 'file', path: 'bin/tool', mode: 0o755, bytes: 300 },
          { kind: 'directory', path: 'bin', mode: 0o755, bytes: 0 },
        ]),
      ),
    ],
  ])
}

/** The `name = value` lines of the block in §9; a value goes on in the lines after it that are indented. */
function written(): Map<string, string> {
  const block = /^## 9[^]*?^```text\n([^]*?)^```/m.exec(readFileSync(SPEC, 'utf8'))?.[1] ?? ''
  const lines = block
    .replaceAll(/\n +/g, '')
    .split('\n')
    .filter((line) => line !== '')
  return new Map(lines.map((line) => line.split(' = ') as [string, string]))
}

test('the vectors of the spec are those of the code', () => {
  assert.deepEqual(written(), computed())
})
