import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Random } from '../../core/lib/random.ts'
import { openSample, randomBytes, temporaryDirectory } from './store-fixture.ts'
import type { StoredContent } from './store.ts'

const KILLS = 20
/** Several batches of the side file of written chunks. */
const CONTENT_BYTES = 24_000_000

/** What the processes said before they were killed. */
interface Told {
  readonly names: Map<string, string>
  readonly finished: Set<string>
  /** A removal was begun: it may have happened or not. */
  readonly removing: Set<string>
  readonly removed: Set<string>
}

/** Runs a process at work on the directory and kills it after that many lines. */
async function workUntilKilled(directory: string, seed: string, lines: number, told: Told): Promise<void> {
  const script = fileURLToPath(new URL('writes-until-killed.worker.js', import.meta.url))
  const child = spawn(process.execPath, [script, directory, seed, String(CONTENT_BYTES)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  let count = 0
  for await (const line of createInterface(child.stdout)) {
    const [event, id = '', name = ''] = line.split(' ')
    if (event === 'created') told.names.set(id, name)
    if (event === 'finished') told.finished.add(id)
    if (event === 'removing') told.removing.add(id)
    if (event === 'removed') told.removed.add(id)
    if (++count === lines) child.kill('SIGKILL')
  }
  assert.deepEqual(await exited, [null, 'SIGKILL'])
}

/** Whether every chunk that a content offers is what its author wrote. */
async function isTrue(content: StoredContent, name: string): Promise<boolean> {
  const bytes = Buffer.from(randomBytes(name, CONTENT_BYTES))
  for (const [first, count] of content.have.ranges()) {
    const start = content.manifest.chunkOffset(first)
    const read = await content.read(first, count)
    if (!bytes.subarray(start, start + read.length).equals(read)) return false
    for (let chunk = first; chunk < first + count; chunk++) {
      const at = content.manifest.chunkOffset(chunk) - start
      if (!content.manifest.verifyChunk(chunk, read.subarray(at, at + content.manifest.chunkBytes(chunk)))) return false
    }
  }
  return true
}

test(`killed ${KILLS} times at work, the store serves nothing but what was written, and all that was finished`, async (context) => {
  const directory = temporaryDirectory(context)
  const random = new Random('kill')
  const told: Told = { names: new Map(), finished: new Set(), removing: new Set(), removed: new Set() }
  let partialChunks = 0
  for (let kill = 0; kill < KILLS; kill++) {
    await workUntilKilled(directory, `round${kill}`, 1 + random.below(200), told)
    const { store, events } = await openSample(context, directory)
    await store.settled()
    for (const info of store.contents()) {
      const content = store.find(info.id)
      assert.ok(content !== undefined)
      const name = told.names.get(content.id) ?? info.name // made, and killed before it was told
      assert.ok(await isTrue(content, name), `${info.id} after kill ${kill}`)
      if (info.state === 'partial') partialChunks += content.have.count
    }
    for (const id of told.finished) {
      if (told.removed.has(id)) assert.equal(store.find(id), undefined, `${id} was removed before kill ${kill}`)
      else if (!told.removing.has(id)) assert.equal(store.find(id)?.isComplete, true, `${id} was finished before kill ${kill}`)
    }
    assert.deepEqual(
      events.filter((event) => event.type === 'failed'),
      [],
    )
    // Half of it makes way, so that the disk and the time that this takes stay small; the rest goes through more kills.
    for (const info of store.contents()) {
      const id = store.find(info.id)?.id ?? info.id
      if (random.below(2) === 0) continue
      await store.remove(id)
      told.removed.add(id)
    }
    await store.close()
  }
  assert.ok(told.finished.size > 3 && partialChunks > 20, 'kills in the middle of things')
})
