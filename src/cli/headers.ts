/** The `--header` flag: `Name: value`, or `@FILE` with one header a line, which keeps secrets out of the list of processes. */
import { readFile } from 'node:fs/promises'
import { failure } from './failure.ts'

/** The headers that the flags give. Errors: usage, path-not-found, path-not-readable. */
export async function readHeaders(flags: readonly string[] | undefined): Promise<Record<string, string> | undefined> {
  if (flags === undefined || flags.length === 0) return undefined
  const lines: string[] = []
  for (const flag of flags) {
    if (!flag.startsWith('@')) lines.push(flag)
    else lines.push(...(await readLines(flag.slice(1))))
  }
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const colon = line.indexOf(':')
    // The line stays out of the message: it may be the secret.
    if (colon <= 0) throw await failure('usage', { reason: 'A --header is not of the form "Name: value".' })
    headers[line.slice(0, colon).trim()] = line.slice(colon + 1).trim()
  }
  return headers
}

async function readLines(path: string): Promise<string[]> {
  try {
    return (await readFile(path, 'utf8')).split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'))
  } catch (error) {
    const { fromErrno } = await import('../agent/errors.ts')
    throw fromErrno(error, { doing: 'read-path', path })
  }
}
