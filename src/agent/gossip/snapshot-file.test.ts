import assert from 'node:assert/strict'
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { nextGeneration, SnapshotFile } from './snapshot-file.ts'

function directoryFor(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'polycast-snapshot-'))
  t.after(() => rmSync(directory, { recursive: true }))
  return directory
}

test('what was appended is read again; a line that was cut off is not', (t) => {
  const path = join(directoryFor(t), 'gossip', 'snapshot')
  const file = new SnapshotFile(path, assert.fail)
  assert.deepEqual(file.read(), [])
  file.append('alive: a 10.0.0.1:7946', () => ['alive: a 10.0.0.1:7946'])
  file.append('clock: 3', () => assert.fail('it is short yet'))
  file.close()
  appendFileSync(path, 'alive: b 10.0.0.2:79')
  const again = new SnapshotFile(path, assert.fail)
  assert.deepEqual(again.read(), ['alive: a 10.0.0.1:7946', 'clock: 3'])
})

test('the file is written anew when it has grown, and stays short', (t) => {
  const path = join(directoryFor(t), 'snapshot')
  const file = new SnapshotFile(path, assert.fail)
  for (let i = 0; i < 20_000; i++) file.append(`clock: ${i} ${'x'.repeat(50)}`, () => [`clock: ${i}`])
  file.close()
  assert.ok(statSync(path).size < 300 * 1024)
  assert.match(new SnapshotFile(path, assert.fail).read().at(-1)!, /^clock: 19999 /)
})

test('a file that cannot be written is told of, and nothing else happens', (t) => {
  const directory = directoryFor(t)
  mkdirSync(join(directory, 'snapshot'))
  const errors: Error[] = []
  const file = new SnapshotFile(join(directory, 'snapshot'), (error) => errors.push(error))
  assert.deepEqual(file.read(), [])
  file.append('clock: 1', () => [])
  file.append('clock: 2', () => [])
  assert.equal(errors.length, 3)
})

test('each start has a higher number, whatever became of the file or the clock', (t) => {
  const path = join(directoryFor(t), 'gossip', 'generation')
  assert.equal(nextGeneration(path, 5000), 5000)
  assert.equal(nextGeneration(path, 5000), 5001)
  assert.equal(nextGeneration(path, 1), 5002, 'the clock was set back')
  writeFileSync(path, 'rubbish')
  assert.equal(nextGeneration(path, 6000), 6000)
  assert.equal(readFileSync(path, 'utf8'), '6000')
})
