/** The Range header of RFC 9110 §14, as far as a content has use for it: one range of bytes. */

/** The bytes to send: the whole, a part, or nothing because no byte of it is there. */
export type RangeAnswer =
  | { readonly kind: 'whole' }
  | { readonly kind: 'part'; readonly first: number; readonly last: number }
  | { readonly kind: 'unsatisfiable' }

/** Reads a Range header for `totalBytes`; a header that isn't understood, or asks for several ranges, gives the whole, as the RFC allows. */
export function parseRange(header: string | undefined, totalBytes: number): RangeAnswer {
  const match = header === undefined ? null : /^\s*bytes\s*=\s*(\d{0,15})\s*-\s*(\d{0,15})\s*$/i.exec(header)
  if (match === null) return { kind: 'whole' }
  const [, from = '', to = ''] = match
  if (from === '' && to === '') return { kind: 'whole' }
  if (from === '') {
    const suffix = Number(to)
    if (suffix === 0 || totalBytes === 0) return { kind: 'unsatisfiable' }
    return { kind: 'part', first: Math.max(0, totalBytes - suffix), last: totalBytes - 1 }
  }
  const first = Number(from)
  if (to !== '' && Number(to) < first) return { kind: 'whole' }
  if (first >= totalBytes) return { kind: 'unsatisfiable' }
  return { kind: 'part', first, last: to === '' ? totalBytes - 1 : Math.min(Number(to), totalBytes - 1) }
}
