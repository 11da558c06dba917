/** Which version of a content an HTTP answer belongs to, and whether two answers belong to the same. */
import type { IncomingHttpHeaders } from 'node:http'
import type { Validator } from './source.ts'

/** What an answer says of the content as a whole; kept as the validator of a partial content. */
export interface Identity {
  readonly kind: 'http'
  /** With its quotes, and `W/` before them where it is weak. */
  readonly etag?: string
  readonly lastModified?: string
  /** True when Last-Modified is old enough that a second change within its second is impossible (RFC 9110 §8.8.2.2). */
  readonly isDateStrong: boolean
  readonly totalBytes: number | undefined
}

/** Reads the identity off an answer: a 200, or a 206 whose Content-Range tells the whole length. */
export function identify(status: number, headers: IncomingHttpHeaders): Identity {
  const etag = headers.etag
  const lastModified = headers['last-modified']
  const age = Date.parse(headers.date ?? '') - Date.parse(lastModified ?? '')
  return {
    kind: 'http',
    ...(etag === undefined ? {} : { etag }),
    ...(lastModified === undefined ? {} : { lastModified }),
    isDateStrong: age >= 1000,
    totalBytes: status === 206 ? rangeOf(headers)?.total : contentLength(headers),
  }
}

/** Whether a later request can ask for the rest of exactly this version. */
export function hasStrongValidator(identity: Identity): boolean {
  return ifRangeOf(identity) !== undefined
}

/** The value of If-Range for this version: a strong ETag, else a strong date; weak ones must not be used (RFC 9110 §13.1.5). */
export function ifRangeOf({ etag, lastModified, isDateStrong }: Identity): string | undefined {
  if (etag !== undefined && isStrong(etag)) return etag
  return isDateStrong ? lastModified : undefined
}

/** Whether an equal ETag means equal bytes. */
export function hasStrongEtag({ etag }: Identity): boolean {
  return etag !== undefined && isStrong(etag)
}

function isStrong(etag: string): boolean {
  return !etag.startsWith('W/')
}

/**
 * What tells the second answer's content from the first's, in words; undefined when nothing does. A partial answer (206) may leave out
 * what the first one said; a whole one that does comes from somewhere else.
 */
export function whatChanged(first: Identity, second: Identity, isPartial: boolean): string | undefined {
  const differs = (a: unknown, b: unknown): boolean => a !== b && !(isPartial && b === undefined)
  if (differs(first.etag, second.etag)) return `its ETag was ${first.etag ?? 'missing'} and is ${second.etag ?? 'missing'} now`
  if (differs(first.lastModified, second.lastModified)) {
    return `it was last modified ${first.lastModified ?? 'at no known time'} and is now ${second.lastModified ?? 'at no known time'}`
  }
  if (first.totalBytes !== undefined && second.totalBytes !== undefined && first.totalBytes !== second.totalBytes) {
    return `it had ${first.totalBytes} bytes and has ${second.totalBytes} now`
  }
  return undefined
}

/** Reads a validator that was kept; undefined when it is none of this kind. */
export function parseValidator(validator: Validator): Identity | undefined {
  let value: Partial<Identity> | null
  try {
    value = JSON.parse(validator) as Partial<Identity> | null
  } catch {
    return undefined // not one of ours, or cut off when it was written
  }
  return typeof value === 'object' && value?.kind === 'http' ? (value as Identity) : undefined
}

/** First byte and whole length of a Content-Range (RFC 9110 §14.4); the length is undefined where it is not told. */
export function rangeOf(headers: IncomingHttpHeaders): { readonly first: number; readonly total: number | undefined } | undefined {
  const groups = /^bytes\s+(?<first>\d{1,16})-\d{1,16}\/(?<total>\d{1,16}|\*)$/i.exec(headers['content-range'] ?? '')?.groups
  if (groups === undefined) return undefined
  return { first: Number(groups['first']), total: groups['total'] === '*' ? undefined : Number(groups['total']) }
}

function contentLength(headers: IncomingHttpHeaders): number | undefined {
  const header = headers['content-length']
  return header === undefined ? undefined : Number(header)
}
