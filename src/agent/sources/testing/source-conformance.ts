/** What every kind of source must do, as tests: a new kind passes them before anything uses it. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import { isPolycastError, type ErrorCode } from '../../errors.ts'
import type { OpenOptions, Source } from '../source.ts'

/** A content at a source of the kind under test, and what can be done to it. */
export interface Fixture {
  readonly source: Source
  /** The name that the stream must give it. */
  readonly name: string
  /** Replaces the content by another version. */
  readonly change: (bytes: Uint8Array) => Promise<void>
  readonly remove: () => Promise<void>
  /** Resolves once the source holds no connection and no file. */
  readonly released: () => Promise<void>
  readonly close: () => Promise<void>
}

export interface Kind {
  readonly name: string
  readonly codes: { readonly missing: ErrorCode; readonly changed: ErrorCode }
  create(bytes: Uint8Array): Promise<Fixture>
}

const SIZES = [0, 1, 65_536, 3_000_001]

/** The same bytes at each run; others for another seed. */
export function testBytes(length: number, seed = 'a'): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let at = 0, block = 0; at < length; at += 32, block++) {
    bytes.set(
      createHash('sha256')
        .update(`${seed} ${block}`)
        .digest()
        .subarray(0, Math.min(32, length - at)),
      at,
    )
  }
  return bytes
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(Uint8Array.from(chunk))
  return all
}

/** Reads all that a stream gives. */
export async function readAll(source: Source, options: Partial<OpenOptions> = {}): Promise<Uint8Array> {
  const { chunks } = await source.open({ signal: new AbortController().signal, ...options })
  return Buffer.concat(await collect(chunks))
}

/** Rejects with a PolycastError of that code. */
export async function rejectsWith(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(isPolycastError(error), `not a PolycastError: ${String(error)}`)
    assert.equal(error.code, code, error.message)
    return true
  })
}

export function describeSource(kind: Kind): void {
  const withFixture = (name: string, bytes: Uint8Array, body: (fixture: Fixture) => Promise<void>): void => {
    void test(name, async (t) => {
      const fixture = await kind.create(bytes)
      t.after(() => fixture.close())
      await body(fixture)
    })
  }
  const content = testBytes(3_000_001)

  void describe(`${kind.name}: a source`, () => {
    for (const size of SIZES) {
      withFixture(`gives ${size} bytes as they are, and tells length and name before`, testBytes(size), async ({ source, name }) => {
        const stream = await source.open({ signal: new AbortController().signal })
        assert.equal(stream.totalBytes, size)
        assert.equal(stream.name, name)
        assert.deepEqual(Buffer.concat(await collect(stream.chunks)), Buffer.from(testBytes(size)))
      })
    }

    withFixture('goes on from an offset of the same version', content, async ({ source }) => {
      const { validator, chunks } = await source.open({ signal: new AbortController().signal })
      await collect(chunks)
      assert.ok(validator !== undefined)
      for (const offset of [1, 65_536, content.length - 1, content.length]) {
        const rest = await readAll(source, { offset, validator })
        assert.deepEqual(Buffer.from(rest), Buffer.from(content.subarray(offset)), `from ${offset}`)
      }
    })

    withFixture('tells the whole length when opened at an offset', content, async ({ source }) => {
      const signal = new AbortController().signal
      const { validator, chunks } = await source.open({ signal })
      await collect(chunks)
      const stream = await source.open({ signal, offset: 1000, validator: validator! })
      await collect(stream.chunks)
      assert.equal(stream.totalBytes, content.length)
    })

    withFixture('refuses an offset without knowing the version of the bytes before it', content, async ({ source }) => {
      await rejectsWith(readAll(source, { offset: 10 }), 'source-range-unsupported')
    })

    for (const offset of [0, 1000]) {
      withFixture(`refuses another version than the one asked for, at ${offset}`, content, async ({ source, change }) => {
        const { validator, chunks } = await source.open({ signal: new AbortController().signal })
        await collect(chunks)
        await change(testBytes(content.length, 'b'))
        await rejectsWith(readAll(source, { offset, validator: validator! }), kind.codes.changed)
      })
    }

    withFixture('gives the new version when none was asked for', content, async ({ source, change }) => {
      await readAll(source)
      await change(testBytes(5000, 'b'))
      assert.deepEqual(Buffer.from(await readAll(source)), Buffer.from(testBytes(5000, 'b')))
    })

    withFixture('says that there is nothing', content, async ({ source, remove }) => {
      await remove()
      await rejectsWith(readAll(source), kind.codes.missing)
    })

    withFixture('is not opened by a signal that is aborted', content, async ({ source, released }) => {
      await rejectsWith(readAll(source, { signal: AbortSignal.abort() }), 'cancelled')
      await released()
    })

    withFixture('stops in the middle when its signal is aborted, and lets go of everything', content, async ({ source, released }) => {
      const abort = new AbortController()
      const { chunks } = await source.open({ signal: abort.signal })
      const reading = async (): Promise<void> => {
        for await (const _ of chunks) abort.abort()
      }
      await rejectsWith(reading(), 'cancelled')
      await released()
    })

    withFixture('lets go of everything when the signal is aborted before the first read', content, async ({ source, released }) => {
      const abort = new AbortController()
      const { chunks } = await source.open({ signal: abort.signal })
      abort.abort()
      await released()
      await rejectsWith(collect(chunks), 'cancelled')
    })

    withFixture('lets go of everything when its reader leaves', content, async ({ source, released }) => {
      const { chunks } = await source.open({ signal: new AbortController().signal })
      for await (const _ of chunks) break
      await released()
    })

    withFixture('lets go of everything at the end', content, async ({ source, released }) => {
      await readAll(source)
      await released()
    })

    withFixture('is read by two at a time', content, async ({ source }) => {
      for (const bytes of await Promise.all([readAll(source), readAll(source)])) assert.deepEqual(Buffer.from(bytes), Buffer.from(content))
    })
  })
}
