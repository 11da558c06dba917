/**
 * `polycast keys` and `keygen`: the keys that gossip is encrypted with.
 *
 * A key is never taken from the command line, where other users of the machine see it, nor said back: people are shown the beginning of
 * its SHA-256, its fingerprint.
 */
import { createHash, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { KeyReport } from '../agent/gossip/gossip.ts'
import type { KeyOrder } from '../agent/http/gossip-api.ts'
import { withContext } from './context.ts'
import type { CommonOptions, Context } from './context.ts'
import { failure } from './failure.ts'
import { formatTable, printable } from './format.ts'
import { readInput } from './input.ts'

const KEY_BYTES = 32
/** The exit code where some members did not do it. */
const SOME_FAILED = 3

/** Runs `keygen`. */
export function keygen(options: { readonly json?: boolean }): number {
  const key = randomBytes(KEY_BYTES).toString('base64')
  process.stdout.write(options.json === true ? `${JSON.stringify({ key })}\n` : `${key}\n`)
  return 0
}

/** `keys list`. */
export async function listKeys(options: CommonOptions & { readonly reveal?: boolean }): Promise<number> {
  return withContext(options, async (context) => {
    const report = await context.api.json<KeyReport>('GET', '/v1/keys')
    const show = options.reveal === true ? (key: string): string => key : fingerprint
    if (context.isJson) {
      context.printJson({ ...report, keys: renamed(report.keys, show), primaryKeys: renamed(report.primaryKeys, show) })
    } else {
      const rows = Object.entries(report.keys).map(([key, members]) => [show(key), String(members), String(report.primaryKeys[key] ?? 0)])
      context.print(formatTable(['KEY', '>MEMBERS', '>IN USE'], rows))
      context.print(`${report.responses} of ${report.members} members answered\n`)
      tellErrors(context, report)
    }
    return codeOf(report)
  })
}

/** `keys install`, `use` and `remove`. */
export async function changeKeys(operation: KeyOrder['operation'], file: string | undefined, options: CommonOptions): Promise<number> {
  return withContext(options, async (context) => {
    const key = await readKey(file)
    const body: KeyOrder = { operation, key }
    const report = await context.api.json<KeyReport>('POST', '/v1/keys', { body })
    if (context.isJson) {
      context.printJson({ ...report, keys: renamed(report.keys, fingerprint), primaryKeys: renamed(report.primaryKeys, fingerprint) })
    } else {
      context.print(`key ${fingerprint(key)} ${WORDS[operation]} ${report.responses - report.errors} of ${report.members} members\n`)
      tellErrors(context, report)
    }
    return codeOf(report)
  })
}

const WORDS: Readonly<Record<KeyOrder['operation'], string>> = {
  install: 'is known to',
  use: 'is in use on',
  remove: 'is forgotten by',
}

/** The one key of a file, as text or as a JSON array, or of standard input. Nothing of it gets into an error. */
async function readKey(file: string | undefined): Promise<string> {
  const isInput = file === undefined || file === '-'
  const text = isInput
    ? (await readInput()).toString('utf8')
    : await readFile(file, 'utf8').catch(async () => {
        // The argument may be a key that was given by mistake: it is not said back either.
        throw await failure('usage', {
          reason: 'The file with the key cannot be read. Give the path of a file, or the key on standard input: never the key itself.',
        })
      })
  const keys = keysOf(text)
  const [key] = keys
  if (key === undefined || keys.length > 1) {
    throw await failure('usage', {
      reason: `${isInput ? 'Standard input' : 'The file'} holds ${keys.length} keys, and exactly one is wanted.`,
    })
  }
  return key
}

function keysOf(text: string): string[] {
  if (text.trimStart().startsWith('[')) {
    try {
      const list: unknown = JSON.parse(text)
      return Array.isArray(list) ? list.filter((item) => typeof item === 'string') : []
    } catch {
      // Neither form: said by the number of keys.
      return []
    }
  }
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
}

/** The first 8 digits of the SHA-256 of a key in base64. */
function fingerprint(key: string): string {
  return createHash('sha256').update(Buffer.from(key, 'base64')).digest('hex').slice(0, 8)
}

function renamed(counts: Readonly<Record<string, number>>, name: (key: string) => string): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).map(([key, count]) => [name(key), count]))
}

function tellErrors(context: Context, { messages, members, responses, absent }: KeyReport): void {
  for (const [member, message] of Object.entries(messages)) context.note(`${printable(member)}: ${printable(message)}\n`)
  if (responses < members) context.note(`${members - responses} of ${members} members did not answer: run it again once they do\n`)
  for (const member of absent)
    context.note(`${printable(member)}: is down, and comes back with the keys that it had: run this again once it is back\n`)
}

function codeOf({ members, responses, errors, absent }: KeyReport): number {
  return errors > 0 || responses < members || absent.length > 0 ? SOME_FAILED : 0
}
