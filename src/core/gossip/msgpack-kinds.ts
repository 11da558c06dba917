/**
 * What the fields of memberlist's and Serf's messages are, each kind once for both directions (docs/specs/04-gossip.md §2). A message is a
 * `struct` of them, under the names that its fields have in Go; how deep a message can be is how deep its kinds are.
 *
 * As in Go, a field that is missing or nil reads as zero, fields that nobody knows are gone past, and of a field that comes twice the last counts.
 */
import { assert } from '../lib/assert.ts'
import { copyBytes, utf8Encode } from '../lib/bytes.ts'
import type { MsgpackReader, MsgpackWriter } from './msgpack.ts'

/** Fields of a struct that are looked at, known or not. */
const MAX_FIELDS = 64
const MAX_KEY_BYTES = 255
const EMPTY: Uint8Array = new Uint8Array(0)

/** How values of one kind are read and written. Reading what is not allowed makes the reader fail; writing it is a bug. */
export interface Kind<T> {
  /** The value of a field that is not there. */
  readonly zero: T
  read(reader: MsgpackReader): T
  write(writer: MsgpackWriter, value: T): void
  /** Whether a struct leaves the field out. */
  isLeftOut?(value: T): boolean
}

export const BOOLEAN: Kind<boolean> = {
  zero: false,
  read: (reader) => reader.boolean(),
  write: (writer, value) => writer.boolean(value),
}

export const FLOAT: Kind<number> = {
  zero: 0,
  read: (reader) => reader.float(),
  write: (writer, value) => writer.float(value),
}

/** A whole number from `least` to `most`. */
export function integer(least: number, most: number): Kind<number> {
  return {
    zero: 0,
    read(reader) {
      const value = reader.integer()
      if (value < least || value > most) reader.refuse()
      return value
    },
    write(writer, value) {
      assert(value >= least && value <= most, `an integer from ${least} to ${most}`)
      writer.integer(value)
    },
  }
}

export const U8: Kind<number> = integer(0, 0xff)
export const U16: Kind<number> = integer(0, 0xffff)
export const U32: Kind<number> = integer(0, 0xffffffff)
/** Of 64 bits in Go; beyond 2^53 it is refused. */
export const U64: Kind<number> = integer(0, Number.MAX_SAFE_INTEGER)
/** Of 64 bits in Go; beyond 2^53 it is refused. */
export const I64: Kind<number> = integer(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)

/** Strict UTF-8 of at most `maxBytes`. */
export function text(maxBytes: number): Kind<string> {
  return {
    zero: '',
    read: (reader) => reader.text(maxBytes),
    write(writer, value) {
      const bytes = utf8Encode(value)
      assert(bytes.length <= maxBytes, `a text of at most ${maxBytes} bytes`)
      writer.raw(bytes)
    },
  }
}

/** Bytes, read as a view into the message: for what is passed on. None is written as nil. */
export function view(maxBytes: number): Kind<Uint8Array> {
  return {
    zero: EMPTY,
    read: (reader) => reader.raw(maxBytes) ?? EMPTY,
    write(writer, value) {
      assert(value.length <= maxBytes, `at most ${maxBytes} bytes`)
      if (value.length === 0) writer.nil()
      else writer.raw(value)
    },
  }
}

/** Bytes, read as a copy: for what is kept longer than the packet. None is written as nil. */
export function bytes(maxBytes: number): Kind<Uint8Array> {
  const kind = view(maxBytes)
  return { ...kind, read: (reader) => copyBytes(kind.read(reader)) }
}

/** 4 or 16 bytes of IP address; empty where there is none. */
export const ADDRESS: Kind<Uint8Array> = {
  ...bytes(16),
  read(reader) {
    const address = copyBytes(reader.raw(16) ?? EMPTY)
    if (address.length !== 0 && address.length !== 4 && address.length !== 16) reader.refuse()
    return address
  },
}

/** Undefined for a field that is not there or nil; a struct leaves it out then. */
export function optional<T>(kind: Kind<T>): Kind<T | undefined> {
  return { ...nullable(kind), isLeftOut: (value) => value === undefined }
}

/** Undefined for nil. */
export function nullable<T>(kind: Kind<T>): Kind<T | undefined> {
  return {
    zero: undefined,
    read: (reader) => (reader.takeNil() ? undefined : kind.read(reader)),
    write(writer, value) {
      if (value === undefined) writer.nil()
      else kind.write(writer, value)
    },
  }
}

/** `most` values of a kind at most; none is written as an empty array. */
export function list<T>(kind: Kind<T>, most: number): Kind<readonly T[]> {
  return {
    zero: [],
    read(reader) {
      const count = reader.array(most)
      const values: T[] = []
      while (values.length < count && !reader.failed) values.push(kind.read(reader))
      return values
    },
    write(writer, values) {
      assert(values.length <= most, `at most ${most} values`)
      writer.array(values.length)
      for (const value of values) kind.write(writer, value)
    },
  }
}

/** As `list`, but none is written as nil. */
export function listOrNil<T>(kind: Kind<T>, most: number): Kind<readonly T[]> {
  const values = list(kind, most)
  return {
    ...values,
    write(writer, value) {
      if (value.length === 0) writer.nil()
      else values.write(writer, value)
    },
  }
}

/** Values of one kind under `most` names at most. Written in the order of the names; read in any. */
export function dictionary<T>(kind: Kind<T>, most: number, maxKeyBytes: number): Kind<ReadonlyMap<string, T>> {
  const key = text(maxKeyBytes)
  return {
    zero: new Map(),
    read(reader) {
      const count = reader.map(most)
      const values = new Map<string, T>()
      for (let i = 0; i < count && !reader.failed; i++) {
        const name = key.read(reader)
        values.set(name, kind.read(reader))
      }
      return values
    },
    write(writer, values) {
      assert(values.size <= most, `at most ${most} values`)
      writer.map(values.size)
      for (const name of [...values.keys()].sort()) {
        key.write(writer, name)
        kind.write(writer, values.get(name) as T)
      }
    },
  }
}

/** Fields by their names, which are ASCII: written in the order of their bytes, read in any. */
export function struct<T extends object>(fields: { readonly [Name in keyof T]: Kind<T[Name]> }): Kind<T> {
  type Name = keyof T & string
  const names = (Object.keys(fields) as Name[]).sort()
  const zero = Object.fromEntries(names.map((name) => [name, fields[name].zero])) as T
  return {
    zero,
    read(reader) {
      const values = { ...zero }
      const count = reader.map(MAX_FIELDS)
      for (let i = 0; i < count && !reader.failed; i++) {
        const name = reader.text(MAX_KEY_BYTES)
        if (Object.hasOwn(fields, name)) values[name as Name] = fields[name as Name].read(reader)
        else reader.skip()
      }
      return values
    },
    write(writer, values) {
      const present = names.filter((name) => fields[name].isLeftOut?.(values[name]) !== true)
      writer.map(present.length)
      for (const name of present) {
        writer.text(name)
        fields[name].write(writer, values[name])
      }
    },
  }
}
