/**
 * How a value of each kind of option is read, checked and written.
 *
 * Whatever the source, a value comes in as text, as a list of texts or as a map of texts: the environment and flags have nothing
 * else, and the file is read without YAML's guesses at numbers and booleans, so that `zone: 007` stays what was written. The
 * schemas (zod) turn it into the value of `AgentConfig` or say what is wrong.
 */

import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { z } from 'zod'
import { parseAddress, parseListenAddress } from '../addresses.ts'
import { parseHandler } from '../gossip/handler-spec.ts'
import { tagsProblem } from '../membership/member.ts'
import { formatBytes, formatDuration, parseBytes, parseDuration, parseRate } from './units.ts'
import type { OptionRow } from './option.ts'

/** What a source gives for an option, before it was checked. */
export type RawValue = string | readonly string[] | Readonly<Record<string, string>>

/** The schema of one option; relative paths are taken from `baseDirectory`. Its issues are phrases that go on "The option x cannot be y:". */
export function schemaOf(row: OptionRow, baseDirectory: string): z.ZodType {
  switch (row.kind) {
    case 'text':
      return orNone(row, text().regex(new RegExp(row.pattern ?? '', 'u'), `it takes ${row.patternText ?? 'text'}`))
    case 'integer':
      return number(row, (given) => (/^\d{1,16}$/.test(given) ? Number(given) : 'it takes a whole number'), String)
    case 'port':
      return number(
        { min: 0, max: 65_535 },
        (given) => (/^\d{1,16}$/.test(given) ? Number(given) : 'it takes a port number, 0 to 65535'),
        String,
      )
    case 'bytes':
      return number(row, parseBytes, formatBytes)
    case 'rate':
      return number(row, parseRate, (bytes) => `${formatBytes(bytes)}/s`)
    case 'duration':
      return number(row, parseDuration, formatDuration)
    case 'boolean':
      return text().transform((given, context) => {
        if (/^(true|yes|on|1)$/i.test(given)) return true
        if (/^(false|no|off|0)$/i.test(given)) return false
        return problem(context, 'it takes true or false')
      })
    case 'choice':
      return z.enum([...(row.choices ?? [])], `it takes one of ${(row.choices ?? []).join(', ')}`)
    case 'ip':
      return text().refine((given) => isIP(given) !== 0, 'it takes an IP address, not a host name')
    case 'address':
      return orNone(
        row,
        text().refine(
          (given) => parseListenAddress(given) !== undefined,
          'it takes HOST:PORT, such as 127.0.0.1:7373; port 0 is any free one',
        ),
      )
    case 'path':
      return orNone(row, path(baseDirectory))
    case 'host-list':
      return list(
        text().refine(
          (given) => parseAddress(given, 1) !== undefined,
          'it takes HOST or HOST:PORT, with an IPv6 address in brackets where a port follows',
        ),
      )
    case 'path-list':
      return list(path(baseDirectory)).refine((paths) => paths.length > 0, 'it takes at least one directory')
    case 'tags':
      return tags()
    case 'handler-list':
      return handlers()
  }
}

/** What a checked value looks like in the file: a text, a list or a map. */
export function formatValue(row: OptionRow, value: unknown): RawValue {
  if (typeof value === 'number') {
    if (row.kind === 'bytes' || row.kind === 'rate') return formatBytes(value)
    return row.kind === 'duration' ? formatDuration(value) : String(value)
  }
  if (typeof value === 'string' || typeof value === 'boolean') return String(value)
  return value as RawValue
}

function text(): z.ZodString {
  return z.string('it takes a single text').trim().min(1, "it takes a text that isn't empty").max(4096, 'it is too long')
}

function path(baseDirectory: string): z.ZodType<string> {
  return text()
    .refine((given) => !given.includes('\0'), 'a path has no NUL')
    .transform((given) => resolve(baseDirectory, given))
}

/** The same, or an empty text where the row allows it. */
function orNone(row: OptionRow, schema: z.ZodType<string>): z.ZodType<string> {
  if (row.emptyIsNone !== true) return schema
  return z.unknown().transform((given, context): string => {
    if (typeof given === 'string' && given.trim() === '') return ''
    const result = schema.safeParse(given)
    return result.success ? result.data : problem(context, result.error.issues[0]?.message ?? 'it is not understood')
  })
}

/** A list, or a text with a line for each (the environment): commands hold commas of their own. */
function handlers(): z.ZodType<string[]> {
  const split = (given: unknown): unknown => (typeof given === 'string' ? given.split('\n').filter((line) => line.trim() !== '') : given)
  const handler = text().superRefine((given, context) => {
    const parsed = parseHandler(given)
    if (typeof parsed === 'string') context.addIssue({ code: 'custom', message: parsed })
  })
  return z.preprocess(split, z.array(handler, 'it takes a list').max(100, 'it takes at most 100 entries'))
}

/** A list from a list, or from a text with commas (the environment). */
function list<Item>(item: z.ZodType<Item>): z.ZodType<Item[]> {
  return z.preprocess(splitText, z.array(item, 'it takes a list').max(1000, 'it takes at most 1000 entries'))
}

function splitText(given: unknown): unknown {
  return typeof given === 'string' ? given.split(',').filter((part) => part.trim() !== '') : given
}

/** A map from a map, from a list of KEY=VALUE (flags) or from a text with commas between them (the environment). */
function tags(): z.ZodType<Record<string, string>> {
  return z.unknown().transform((given, context): Record<string, string> => {
    const entries: [string, string][] = []
    if (typeof given === 'string' || Array.isArray(given)) {
      for (const part of typeof given === 'string' ? given.split(',') : given.flatMap((one) => String(one).split(','))) {
        if (part.trim() === '') continue
        const equals = part.indexOf('=')
        if (equals < 0) return problem(context, `"${part}" has no equals sign: a tag is KEY=VALUE`)
        entries.push([part.slice(0, equals).trim(), part.slice(equals + 1).trim()])
      }
    } else if (typeof given === 'object' && given !== null) {
      for (const [key, value] of Object.entries(given)) {
        if (typeof value !== 'string') return problem(context, `the tag ${key} takes a single text`)
        entries.push([key, value])
      }
    }
    for (const [key, value] of entries) {
      if (entries.some(([otherKey, otherValue]) => otherKey === key && otherValue !== value))
        return problem(context, `the tag ${key} is given twice`)
    }
    const result = Object.fromEntries(entries)
    const wrong = tagsProblem(result)
    return wrong === undefined ? result : problem(context, wrong)
  })
}

function number(
  row: Pick<OptionRow, 'min' | 'max' | 'zeroIsNone'>,
  parse: (given: string) => number | string,
  format: (value: number) => string,
): z.ZodType<number> {
  return text().transform((given, context) => {
    const value = parse(given)
    if (typeof value === 'string') return problem(context, value)
    if (value === 0 && row.zeroIsNone === true) return value
    const orNone = row.zeroIsNone === true ? ', or 0 for none' : ''
    if (row.min !== undefined && value < row.min) return problem(context, `${format(row.min)} is the least${orNone}`)
    if (row.max !== undefined && value > row.max) return problem(context, `${format(row.max)} is the most`)
    return value
  })
}

function problem(context: z.RefinementCtx, message: string): never {
  context.addIssue({ code: 'custom', message })
  return z.NEVER
}
