/** Locations of sources as text: what may be shown of them, and what a content is called after them. */

export const DEFAULT_MEDIA_TYPE = 'application/octet-stream'

/** Longest name taken from a source, in UTF-8 bytes: what file systems take as one component. */
const MAX_NAME_BYTES = 255

/**
 * A URL without what may be a credential: user, password and fragment are cut, a query is replaced by `?…` (signed URLs carry their
 * key there).
 */
export function showUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}${url.search === '' ? '' : '?…'}`
}

/** Makes one safe path component of a name that came from outside; undefined where nothing of it is left. */
export function safeName(name: string): string | undefined {
  const component = name
    .replaceAll(/\p{Cc}/gu, '')
    .split(/[/\\]/)
    .at(-1)!
    .trim()
  if (component === '' || component === '.' || component === '..') return undefined
  let end = component.length
  while (Buffer.byteLength(component.slice(0, end)) > MAX_NAME_BYTES) end--
  return component.slice(0, end)
}

/** The last component of a URL's path, decoded, or its host name. */
export function nameFromUrl(url: URL): string {
  const component = url.pathname.split('/').findLast((part) => part !== '') ?? ''
  return safeName(decodePercent(component)) ?? safeName(url.hostname) ?? 'content'
}

/** The `filename` of a Content-Disposition header (RFC 6266), `filename*` first; undefined without a usable one. */
export function nameFromDisposition(header: string | undefined): string | undefined {
  if (header === undefined) return undefined
  const extended = /(?:^|;)\s*filename\*\s*=\s*utf-8'[^']*'(?<name>[^;\s]+)/i.exec(header)?.groups?.['name']
  if (extended !== undefined) return safeName(decodePercent(extended))
  const quoted = /(?:^|;)\s*filename\s*=\s*"(?<name>(?:[^"\\]|\\.)*)"/i.exec(header)?.groups?.['name']
  if (quoted !== undefined) return safeName(quoted.replaceAll(/\\(.)/g, '$1'))
  const plain = /(?:^|;)\s*filename\s*=\s*(?<name>[^;\s"]+)/i.exec(header)?.groups?.['name']
  return plain === undefined ? undefined : safeName(plain)
}

/** The media type of a Content-Type header, in lower case and without parameters. */
export function mediaTypeFrom(header: string | undefined): string {
  const type = (header ?? '').split(';')[0]!.trim().toLowerCase()
  return /^[\w.+-]{1,100}\/[\w.+-]{1,100}$/.test(type) ? type : DEFAULT_MEDIA_TYPE
}

/** Decodes percent-encoding where it is valid, and else takes the text as it is. */
export function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text // URIError: not an encoding
  }
}
