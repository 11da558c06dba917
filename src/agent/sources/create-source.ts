/** The kinds of sources by the scheme of their URL: where a new kind is registered. */
import { fileURLToPath } from 'node:url'
import { fail } from '../errors.ts'
import { createFileSource } from './file-source.ts'
import { createHttpSource, type HttpSourceOptions } from './http-source.ts'
import type { Source } from './source.ts'

export type SourceOptions = HttpSourceOptions

const KINDS: Readonly<Record<string, (url: URL, options: SourceOptions) => Source>> = {
  'http:': createHttpSource,
  'https:': createHttpSource,
  'file:': (url) => createFileSource(pathOf(url)),
}

/** Makes the source for a URL; throws `source-unsupported` for one that no kind knows. Nothing is opened yet. */
export function createSource(location: string, options: SourceOptions = {}): Source {
  const url = URL.parse(location)
  if (url === null) throw fail('source-unsupported', { url: location, reason: 'it is not a URL' })
  const kind = KINDS[url.protocol]
  if (kind === undefined) throw fail('source-unsupported', { url: location, reason: `the scheme ${url.protocol} is unknown` })
  return kind(url, options)
}

function pathOf(url: URL): string {
  try {
    return fileURLToPath(url)
  } catch (error) {
    throw fail('source-unsupported', { url: url.href, reason: 'a file: URL is file:///PATH, on this machine' }, error)
  }
}
