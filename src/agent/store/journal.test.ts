import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isPolycastError } from '../errors.ts'
import { Journal, readJournal, STORE_VERSION, type ContentRecord, type JournalRecord } from './journal.ts'
import { decodeRecords, encodeRecord } from './records.ts'
import { temporaryDirectory } from './store-fixture.ts'

function record(id: string, more: Partial<ContentRecord> = {}): JournalRecord {
  return { t: 'content', id, name: `name of ${id}`, mediaType: '', chunkCount: 3, createdAt: 1, usedAt: 2, isPinned: false, ...more }
}

async function startJournal(context: TestContext, snapshot: () => JournalRecord[] = () => []): Promise<{ journal: Journal; path: string }> {
  const path = join(temporaryDirectory(context), 'journal')
  const journal = new Journal(path, snapshot)
  await journal.start(0)
  context.after(() => journal.close())
  return { journal, path }
}

test('what was appended is there again, the last word on each content counting', async (context) => {
  const { journal, path } = await startJournal(context, () => [record('a', { isPinned: true })])
  await Promise.all([
    journal.append(record('b'), false),
    journal.append(record('b', { contentId: 'c', totalBytes: 5, complete: { bytes: 5, mtimeNs: '123456789012345678' } }), true),
    journal.append(record('d'), false),
    journal.append({ t: 'removed', id: 'd' }, false),
    journal.append({ t: 'aside', path: '/x/.y.polycast-00000000' }, false),
    journal.append({ t: 'aside', path: '/x/.z.polycast-00000000' }, false),
    journal.append({ t: 'aside-done', path: '/x/.y.polycast-00000000' }, false),
  ])
  const state = readJournal(path)
  assert.deepEqual([...state.contents.keys()], ['a', 'b'])
  assert.equal(state.contents.get('a')?.isPinned, true)
  assert.deepEqual(state.contents.get('b')?.complete, { bytes: 5, mtimeNs: '123456789012345678' })
  assert.deepEqual([...state.asides], ['/x/.z.polycast-00000000'])
  assert.equal(state.clean, undefined)
  assert.equal(state.lostBytes, 0)
})

test('a journal counts as closed in order only while nothing comes after', async (context) => {
  const { journal, path } = await startJournal(context)
  await journal.append({ t: 'clean', partial: { a: { bytes: 1, mtimeNs: '2' } } }, true)
  assert.deepEqual(readJournal(path).clean?.get('a'), { bytes: 1, mtimeNs: '2' })
  fs.appendFileSync(path, 'x')
  assert.equal(readJournal(path).clean, undefined)
  fs.truncateSync(path, fs.statSync(path).size - 1)
  await journal.append(record('b'), false)
  assert.equal(readJournal(path).clean, undefined)
})

test('cut off at any byte, the journal says what it said before that record', async (context) => {
  const { journal, path } = await startJournal(context)
  const sizes = [fs.statSync(path).size]
  for (const id of ['a', 'b', 'c']) {
    await journal.append(record(id), false)
    sizes.push(fs.statSync(path).size)
  }
  const whole = fs.readFileSync(path)
  for (let length = 0; length <= whole.length; length++) {
    fs.writeFileSync(path, whole.subarray(0, length))
    const state = readJournal(path)
    assert.equal(state.contents.size, Math.max(0, sizes.filter((size) => size <= length).length - 1), `cut at ${length}`)
    assert.equal(state.validBytes + state.lostBytes, length)
  }
})

test('records that this version does not know are passed over', (context) => {
  const path = join(temporaryDirectory(context), 'journal')
  const bodies = ['{"t":"store","version":1}', '{"t":"news"}', 'no JSON', '{"t":"content","id":7}', JSON.stringify(record('a'))]
  fs.writeFileSync(path, Buffer.concat(bodies.map((body) => encodeRecord(Buffer.from(body)))))
  assert.deepEqual([...readJournal(path).contents.keys()], ['a'])
})

test('a journal of a later version is refused, not rewritten', (context) => {
  const path = join(temporaryDirectory(context), 'journal')
  fs.writeFileSync(path, encodeRecord(Buffer.from(`{"t":"store","version":${STORE_VERSION + 1}}`)))
  assert.throws(
    () => readJournal(path),
    (error) => isPolycastError(error, 'data-dir-unusable') && /later version/.test(error.message),
  )
})

test('a journal that has grown to a multiple of what it says is written anew', async (context) => {
  const { journal, path } = await startJournal(context, () => [record('a')])
  const long = record('b', { name: 'n'.repeat(10_000) })
  await Promise.all(Array.from({ length: 1200 }, () => journal.append(long, false)))
  assert.ok(fs.statSync(path).size < 9_000_000, `${fs.statSync(path).size} bytes`)
  const { bodies } = decodeRecords(fs.readFileSync(path))
  assert.match(String(bodies[1]), /"id":"a"/)
  await journal.append(record('c'), true)
  assert.ok(readJournal(path).contents.has('c'))
})

test('after it was closed, nothing is appended and nobody waits for ever', async (context) => {
  const { journal } = await startJournal(context)
  await journal.close()
  await assert.rejects(journal.append(record('a'), true), (error) => isPolycastError(error))
})
