/**
 * Takes secrets out of what is about to be logged: values of fields and headers that hold credentials, user information and
 * signatures in URLs, authorization schemes in running text.
 *
 * It is a net below those who log, who should not hand over secrets in the first place; what it can't know, such as a password
 * in the middle of a sentence, passes. It also bounds what one line can hold.
 */

const HIDDEN = '[secret]'
const MAX_TEXT = 8192
const MAX_ITEMS = 100
const MAX_DEPTH = 6

const SECRET_KEY =
  /authorization|cookie|token|secret|passw|passphrase|credential|api[-_]?key|access[-_]?key|private[-_]?key|^sig(nature)?$/i
const HARMLESS_HEADER =
  /^(accept-ranges|age|cache-control|connection|content-(encoding|length|range|type)|date|etag|host|if-range|last-modified|location|range|retry-after|server|user-agent|via)$/i

const TEXT_RULES: readonly (readonly [RegExp, string])[] = [
  // User information of URLs, everything up to the last @ before the path.
  [/([a-z][a-z0-9+.-]*:\/\/)[^\s/?#"'<>]*@/gi, `$1${HIDDEN}@`],
  // Parameters of signed URLs and tokens in queries and fragments.
  [/([?&;#][^=&#\s]*(?:sig|token|secret|passw|credential|api-?_?key|access-?_?key|auth|session)[^=&#\s]*=)[^&#\s"'<>]*/gi, `$1${HIDDEN}`],
  // Header lines.
  [/\b((?:proxy-)?authorization|(?:set-)?cookie|x-[a-z-]*(?:token|key|secret|auth)[a-z-]*)(\s*[:=]\s*)[^\r\n"]+/gi, `$1$2${HIDDEN}`],
  // Authorization values on their own.
  [/\b(Bearer|Basic|Negotiate)\s+[A-Za-z0-9._~+/-]{6,}=*/gi, `$1 ${HIDDEN}`],
]

/** The text without what looks like a secret, cut to 8 Ki characters. */
export function scrubText(text: string): string {
  let result = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}… (${text.length} characters)` : text
  for (const [pattern, replacement] of TEXT_RULES) result = result.replace(pattern, replacement)
  return result
}

/** A copy of what is to be logged without secrets; errors become plain objects, bytes their length, deep or long things are cut. */
export function scrub(value: unknown): unknown {
  return scrubValue(value, MAX_DEPTH)
}

function scrubValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return scrubText(value)
  if (typeof value === 'bigint') return String(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth === 0) return Array.isArray(value) ? `[${value.length} items]` : '[object]'
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (value instanceof Error) return scrubError(value, depth)
  if (value instanceof URL) return scrubText(value.href)
  if (value instanceof Date) return value
  if (value instanceof Map)
    return scrubEntries(
      [...value].map(([key, one]) => [String(key), one] as const),
      depth,
      false,
    )
  if (value instanceof Set) return scrubList([...value], depth)
  if (Array.isArray(value)) return scrubList(value, depth)
  return scrubEntries(Object.entries(value), depth, false)
}

function scrubError(error: Error, depth: number): Record<string, unknown> {
  const { name, message, stack, cause, ...rest } = error as Error & Record<string, unknown>
  return {
    type: name,
    message: scrubText(message),
    ...scrubEntries(Object.entries(rest), depth, false),
    ...(stack === undefined ? {} : { stack: scrubText(stack) }),
    ...(cause === undefined ? {} : { cause: scrubValue(cause, depth - 1) }),
  }
}

function scrubList(list: readonly unknown[], depth: number): unknown[] {
  const shown = list.slice(0, MAX_ITEMS)
  // Node's rawHeaders: names and values take turns.
  const result = shown.map((item, index) => {
    const before = shown[index - 1]
    return typeof item === 'string' && typeof before === 'string' && SECRET_KEY.test(before) ? HIDDEN : scrubValue(item, depth - 1)
  })
  if (list.length > MAX_ITEMS) result.push(`… ${list.length - MAX_ITEMS} more`)
  return result
}

function scrubEntries(entries: readonly (readonly [string, unknown])[], depth: number, areHeaders: boolean): Record<string, unknown> {
  const result: [string, unknown][] = []
  for (const [key, value] of entries.slice(0, MAX_ITEMS)) {
    if (value === undefined) continue
    if (areHeaders ? !HARMLESS_HEADER.test(key) : SECRET_KEY.test(key)) result.push([key, HIDDEN])
    else if (/headers$/i.test(key) && isPlain(value)) result.push([key, scrubEntries(Object.entries(value), depth - 1, true)])
    else result.push([key, scrubValue(value, depth - 1)])
  }
  if (entries.length > MAX_ITEMS) result.push(['…', `${entries.length - MAX_ITEMS} more`])
  return Object.fromEntries(result)
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
