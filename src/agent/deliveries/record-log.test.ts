import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { RecordLog } from './record-log.ts'

async function inTemp(t: { after: (clean: () => Promise<void>) => void }): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'polycast-log-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return join(directory, 'log')
}

async function read(path: string): Promise<unknown[]> {
  const records: unknown[] = []
  const log = await RecordLog.open(path, (record) => records.push(record))
  await log.close()
  return records
}

const RECORDS = [{ a: 1 }, { text: 'ü'.repeat(100) }, { list: [1, 2, 3] }]

test('what was appended is replayed, in order', async (t) => {
  const path = await inTemp(t)
  const log = await RecordLog.open(path, () => assert.fail('it is new'))
  await Promise.all(RECORDS.map((record) => log.append(record)))
  await log.sync()
  await log.close()
  assert.deepEqual(await read(path), RECORDS)
  assert.equal((await stat(path)).mode & 0o777, 0o600)
})

test('a log cut at any byte gives the records before the cut, and can be appended to', async (t) => {
  const path = await inTemp(t)
  const log = await RecordLog.open(path, () => undefined)
  const ends = [0]
  for (const record of RECORDS) {
    await log.append(record)
    ends.push(log.bytes)
  }
  await log.close()
  const whole = await readFile(path)
  for (let bytes = 0; bytes <= whole.length; bytes++) {
    await writeFile(path, whole)
    await truncate(path, bytes)
    const kept = ends.filter((end) => end <= bytes).length - 1
    const cut = await RecordLog.open(path, () => undefined)
    await cut.append({ next: true })
    await cut.close()
    assert.deepEqual(await read(path), [...RECORDS.slice(0, kept), { next: true }], `cut at ${bytes}`)
  }
})

test('a record whose bytes changed ends the replay', async (t) => {
  const path = await inTemp(t)
  const log = await RecordLog.open(path, () => undefined)
  await log.append(RECORDS[0])
  const end = log.bytes
  await log.append(RECORDS[1])
  await log.close()
  const bytes = await readFile(path)
  bytes[end + 10]! ^= 1
  await writeFile(path, bytes)
  assert.deepEqual(await read(path), [RECORDS[0]])
  assert.equal((await stat(path)).size, end)
})

test('a rewrite replaces all records and goes on', async (t) => {
  const path = await inTemp(t)
  const log = await RecordLog.open(path, () => undefined)
  for (const record of RECORDS) await log.append(record)
  await log.rewrite([{ only: 1 }])
  await log.append({ next: 2 })
  await log.close()
  assert.deepEqual(await read(path), [{ only: 1 }, { next: 2 }])
})

test('appends never get stuck, whenever they come', async (t) => {
  const path = await inTemp(t)
  const log = await RecordLog.open(path, () => undefined)
  const pending: Promise<void>[] = []
  for (let count = 0; count < 200; count++) {
    pending.push(log.append({ count }))
    if (count % 7 === 0) await pending.at(-1)
    for (let tick = 0; tick < count % 5; tick++) await Promise.resolve()
  }
  await Promise.all(pending)
  await log.close()
  assert.equal((await read(path)).length, 200)
})

test('a closed log refuses', async (t) => {
  const log = await RecordLog.open(await inTemp(t), () => undefined)
  await log.close()
  await assert.rejects(log.append({}))
  await assert.rejects(log.sync())
})
