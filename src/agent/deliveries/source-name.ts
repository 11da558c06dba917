/**
 * What a user may name as the thing to get or to send: a content id, a URL, or (to send) a path.
 *
 * Credentials in a URL (`https://user:password@host/`) become a header at once, so that the URL, which is logged, recorded
 * and told to other nodes, never holds them.
 */
import { isAbsolute, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fail } from '../errors.ts'

/** A source that was understood. */
export type SourceName =
  | { readonly kind: 'id'; readonly id: string }
  | { readonly kind: 'url'; readonly url: string; readonly headers: Record<string, string> }
  | { readonly kind: 'path'; readonly path: string }

const MAX_URL_CHARACTERS = 8192
const MAX_HEADERS = 64
const MAX_HEADER_CHARACTERS = 16 * 1024

/** Understands what is to be fetched to this node: URL or content id (or a prefix of one, 8 hex digits at least). Errors: usage, source-unsupported. */
export function parseGetSource(text: string, headers: Record<string, string> = {}): SourceName {
  if (isContentId(text)) return { kind: 'id', id: text.toLowerCase() }
  if (hasScheme(text)) return parseUrl(text, headers)
  throw fail('source-unsupported', { url: printable(text), reason: 'it is neither a URL nor a content id' })
}

/** Understands what is to be sent: URL, absolute path, or content id; a file that is named like an id is given as `./…` and so as a path. Errors: usage, source-unsupported. */
export function parseSendSource(text: string, headers: Record<string, string> = {}): SourceName {
  if (isAbsolute(text)) return { kind: 'path', path: resolve(text) }
  return parseGetSource(text, headers)
}

/** Whether the text can be a content id or a prefix of one. */
export function isContentId(text: string): boolean {
  return /^[0-9a-f]{8,64}$/i.test(text)
}

/** A source as it may be shown and logged: without the query, which may hold a signature. */
export function loggable(source: string): string {
  const query = source.indexOf('?')
  return query < 0 || !hasScheme(source) ? source : `${source.slice(0, query)}?…`
}

function parseUrl(text: string, given: Record<string, string>): SourceName {
  if (text.length > MAX_URL_CHARACTERS)
    throw fail('source-unsupported', { url: printable(text), reason: `it is longer than ${MAX_URL_CHARACTERS} characters` })
  let url: URL
  try {
    url = new URL(text)
  } catch (error) {
    throw fail('source-unsupported', { url: printable(text), reason: 'it is not a URL' }, error)
  }
  if (url.protocol === 'file:') return { kind: 'path', path: filePath(url) }
  const headers = checkHeaders(given)
  if (url.username !== '' || url.password !== '') {
    const credentials = `${decoded(url.username)}:${decoded(url.password)}`
    headers['authorization'] ??= `Basic ${Buffer.from(credentials, 'utf8').toString('base64')}`
    url.username = ''
    url.password = ''
  }
  url.hash = ''
  return { kind: 'url', url: url.href, headers }
}

/** Percent-decoded where that is possible, else as it stands: a password may hold a bare `%`. */
function decoded(text: string): string {
  return text.replaceAll(/(?:%[0-9a-f]{2})+/gi, (escapes) => Buffer.from(escapes.replaceAll('%', ''), 'hex').toString('utf8'))
}

function filePath(url: URL): string {
  try {
    return fileURLToPath(url)
  } catch (error) {
    throw fail('source-unsupported', { url: printable(url.href), reason: 'a file: URL names an absolute path of this machine' }, error)
  }
}

function checkHeaders(given: Record<string, string>): Record<string, string> {
  const headers: Record<string, string> = {}
  const entries = Object.entries(given)
  if (entries.length > MAX_HEADERS) throw fail('usage', { reason: `More than ${MAX_HEADERS} headers for a source.` })
  for (const [name, value] of entries) {
    // The value stays out of the message: it may be the secret.
    if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(name) || /[\0\r\n]/.test(value) || value.length > MAX_HEADER_CHARACTERS) {
      throw fail('usage', { reason: `The header "${printable(name)}" is not one that HTTP allows.` })
    }
    headers[name.toLowerCase()] = value
  }
  return headers
}

function hasScheme(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text)
}

function printable(text: string): string {
  return text
    .slice(0, 200)
    .replaceAll(/\p{Cc}/gu, '?')
    .replace(/\/\/[^/@]*@/, '//')
}
