/** The configuration file: YAML with one key per option, every scalar taken as the text that was written. */

import { LineCounter, isMap, isScalar, parseDocument } from 'yaml'
import { fail } from '../errors.ts'
import type { RawValue } from './kinds.ts'

/** One key of the file and the line that it is on, counted from 1. */
export interface FileEntry {
  readonly key: string
  readonly value: RawValue
  readonly line: number
}

/** Reads the text of a configuration file; the keys are not checked here. Throws `config-unreadable`. */
export function readConfigText(path: string, text: string): FileEntry[] {
  const lines = new LineCounter()
  const document = parseDocument(text, { schema: 'failsafe', lineCounter: lines, prettyErrors: false, logLevel: 'silent' })
  const error = document.errors[0]
  if (error !== undefined) throw unreadable(path, `line ${lines.linePos(error.pos[0]).line}: ${error.message}`)
  if (document.contents === null) return []
  if (!isMap(document.contents)) throw unreadable(path, 'it is to be a map of options, one "key: value" per line')
  return document.contents.items.map((pair) => {
    const range = isScalar(pair.key) ? pair.key.range : undefined
    const line = lines.linePos(range?.[0] ?? 0).line
    if (!isScalar(pair.key) || typeof pair.key.value !== 'string')
      throw unreadable(path, `line ${line}: the key of an option is a single text`)
    return { key: pair.key.value, value: toRaw(path, line, document.createPair('value', pair.value).toJSON()), line }
  })
}

function toRaw(path: string, line: number, json: unknown): RawValue {
  const value = isRecord(json) ? json['value'] : undefined
  if (value === null || value === undefined) return ''
  if (typeof value === 'string') return value
  const entries = isRecord(value) ? Object.values(value) : []
  const isFlat = Array.isArray(value)
    ? value.every((item) => typeof item === 'string')
    : isRecord(value) && entries.every((item) => typeof item === 'string')
  if (!isFlat) throw unreadable(path, `line ${line}: no option takes lists or maps inside of others`)
  return value as RawValue
}

function unreadable(path: string, reason: string): Error {
  return fail('config-unreadable', { path, reason })
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
