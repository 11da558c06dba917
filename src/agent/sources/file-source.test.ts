import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { appendFile, mkdtemp, readdir, readlink, rename, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { createFileSource } from './file-source.ts'
import { describeSource, readAll, rejectsWith, testBytes } from './testing/source-conformance.ts'

async function folderFor(t: TestContext): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'polycast-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** How often this process has the file open. */
async function timesOpen(file: string): Promise<number> {
  const links = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => 'closed meanwhile')),
  )
  return links.filter((link) => link === file).length
}

describeSource({
  name: 'file',
  codes: { missing: 'path-not-found', changed: 'path-changed' },
  create: async (bytes) => {
    const folder = await mkdtemp(path.join(tmpdir(), 'polycast-test-'))
    const file = path.join(folder, 'content.bin')
    await writeFile(file, bytes)
    return {
      source: createFileSource(file),
      name: 'content.bin',
      change: async (other) => {
        await writeFile(file, other)
        await utimes(file, 1, 1) // the clock of a file system may not have moved on since the first version
      },
      remove: () => rm(file),
      released: async () => {
        while (process.platform === 'linux' && (await timesOpen(file)) > 0) await new Promise(setImmediate)
      },
      close: () => rm(folder, { recursive: true }),
    }
  },
})

const changes: { name: string; change: (file: string) => Promise<void> }[] = [
  { name: 'becomes longer', change: (file) => appendFile(file, 'more') },
  { name: 'becomes shorter', change: (file) => truncate(file, 2_000_000) },
  { name: 'is written to', change: (file) => writeFile(file, testBytes(3_000_000, 'b')).then(() => utimes(file, 1, 1)) },
]

for (const { name, change } of changes) {
  test(`a file that ${name} while it is read is an error`, async (t) => {
    const file = path.join(await folderFor(t), 'f')
    await writeFile(file, testBytes(3_000_000))
    const { chunks } = await createFileSource(file).open({ signal: new AbortController().signal })
    const reading = async (): Promise<void> => {
      let isFirst = true
      for await (const _ of chunks) {
        if (isFirst) await change(file)
        isFirst = false
      }
    }
    await rejectsWith(reading(), 'path-changed')
  })
}

test('a file that is replaced by a rename while it is read is read to its end as it was', async (t) => {
  const folder = await folderFor(t)
  const file = path.join(folder, 'f')
  await writeFile(file, testBytes(3_000_000))
  await writeFile(path.join(folder, 'new'), testBytes(10, 'b'))
  const { chunks } = await createFileSource(file).open({ signal: new AbortController().signal })
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) {
    if (parts.push(Uint8Array.from(chunk)) === 1) await rename(path.join(folder, 'new'), file)
  }
  assert.deepEqual(Buffer.concat(parts), Buffer.from(testBytes(3_000_000)))
})

test('a directory is refused', async (t) => {
  await rejectsWith(readAll(createFileSource(await folderFor(t))), 'path-not-readable')
})

test('a pipe is refused and does not hang', async (t) => {
  const file = path.join(await folderFor(t), 'pipe')
  execFileSync('mkfifo', [file])
  await rejectsWith(readAll(createFileSource(file)), 'path-not-readable')
})
