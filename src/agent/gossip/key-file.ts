/**
 * The file of gossip keys: base64, the primary key first, as a JSON array (the key ring file of Serf) or one to a line. What is changed
 * while the cluster runs is written back, as JSON, so that a node that starts again has the keys of the others.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { isKey, MAX_KEYS } from '../../core/gossip/keyring.ts'
import { explainError, fail } from '../errors.ts'

/** The keys of a file. Throws `config-invalid` where it cannot be read, or holds no keys of 16, 24 or 32 bytes. */
export function readKeyFile(path: string): Uint8Array[] {
  const problem = (reason: string): Error =>
    fail('config-invalid', { key: 'gossip-key-file', value: path, where: 'the file itself', reason })
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw problem(explainError(error))
  }
  const keys = textsOf(text)?.map((line) => new Uint8Array(Buffer.from(line, 'base64')))
  if (keys === undefined || keys.length === 0) throw problem('it holds no keys; make one with: polycast keygen')
  if (keys.length > MAX_KEYS) throw problem(`it holds ${keys.length} keys, and ${MAX_KEYS} are the most`)
  // The key itself is not named: what is in this file is secret even where it is wrong.
  const wrong = keys.findIndex((key) => !isKey(key))
  if (wrong >= 0) throw problem(`its key ${wrong + 1} has ${keys[wrong]!.length} bytes after base64, and not 16, 24 or 32`)
  return keys
}

/** Writes the keys aside and puts them in place at once, for this user alone. */
export function writeKeyFile(path: string, keys: readonly Uint8Array[]): void {
  mkdirSync(dirname(path), { recursive: true })
  const aside = `${path}.new`
  const list = keys.map((key) => Buffer.from(key).toString('base64'))
  writeFileSync(aside, `${JSON.stringify(list, undefined, 2)}\n`, { mode: 0o600, flush: true })
  renameSync(aside, path)
}

function textsOf(text: string): string[] | undefined {
  if (!text.trimStart().startsWith('[')) return text.split(/\s+/).filter((line) => line !== '')
  try {
    const list: unknown = JSON.parse(text)
    return Array.isArray(list) && list.every((item) => typeof item === 'string') ? list : undefined
  } catch {
    // Not JSON after all; what is wrong with it is said by who asked.
    return undefined
  }
}
