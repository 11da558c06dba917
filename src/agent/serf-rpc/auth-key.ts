/** The file with the key that clients of Serf's RPC have to know: a file, because arguments are for everybody to see. */
import { readFile } from 'node:fs/promises'
import { explainError, fail } from '../errors.ts'

const MAX_KEY_BYTES = 4096

/** The key of a file: its text without white space around it. Errors: config-invalid, which does not say what the file holds. */
export async function readAuthKey(path: string): Promise<string> {
  const refuse = (reason: string): Error =>
    fail('config-invalid', { key: 'serf-rpc-auth-key-file', value: path, where: 'the file itself', reason })
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw refuse(explainError(error))
  }
  const key = text.trim()
  if (key === '') throw refuse('it is empty, and a key that everybody has is none')
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) throw refuse(`it has more than ${MAX_KEY_BYTES} bytes`)
  return key
}
