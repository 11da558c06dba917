import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import type { Context, PartResult } from './part.ts'
import { findTestFiles, runEach, runPure } from './test-files.ts'

/** A project of test files, given as they would be after compiling. */
async function project(t: TestContext, files: Readonly<Record<string, string>>, overrides: Partial<Context> = {}): Promise<Context> {
  const root = await mkdtemp(path.join(tmpdir(), 'polycast-test-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  await mkdir(path.join(root, 'test'))
  await mkdir(path.join(root, 'dist/test'), { recursive: true })
  await writeFile(path.join(root, 'package.json'), '{"type":"module"}')
  for (const [name, source] of Object.entries(files)) {
    await writeFile(path.join(root, 'test', `${name}.test.ts`), '')
    await writeFile(path.join(root, 'dist/test', `${name}.test.js`), `import { test } from 'node:test'\n${source}`)
  }
  // What the runs print would be read as the outcome of this very run.
  t.mock.method(process.stdout, 'write', () => true)
  return { root, testbed: '', filter: undefined, deadline: Infinity, ...overrides }
}

function counts({ passed, failed, skipped }: PartResult): number[] {
  return [passed, failed, skipped]
}

const cases: { name: string; source: string; expected: [passed: number, failed: number, skipped: number] }[] = [
  { name: 'a passing test', source: "test('a', () => {})", expected: [1, 0, 0] },
  { name: 'a failing test', source: "test('a', () => { throw new Error('no') })", expected: [0, 1, 0] },
  { name: 'a skipped test', source: "test('a', { skip: 'why' }, () => {}); test('b', () => {})", expected: [1, 0, 1] },
  {
    name: 'a failure inside a test',
    source: "test('a', async (t) => { await t.test('b', () => { throw new Error('no') }) })",
    expected: [0, 1, 0],
  },
  { name: 'no test at all', source: '', expected: [0, 1, 0] },
]

for (const { name, source, expected } of cases) {
  test(`${name} is counted, in a process of its own and beside others`, async (t) => {
    const context = await project(t, { one: source })
    const files = await findTestFiles(context, 'test')
    assert.deepEqual(counts(await runEach(context, files, 1)), expected)
    assert.deepEqual(counts(await runPure(context, files)), expected)
  })
}

test('a file that does not load is one failure and the files after it run', async (t) => {
  const context = await project(t, { a: "import './missing.js'", b: "test('b', () => {})" })
  assert.deepEqual(counts(await runPure(context, await findTestFiles(context, 'test'))), [1, 1, 0])
})

test('a process that dies after its tests have passed is a failure', async (t) => {
  const context = await project(t, { a: "test('a', () => {}); process.on('exit', () => { process.exitCode = 7 })" })
  assert.deepEqual(counts(await runEach(context, await findTestFiles(context, 'test'), 1)), [1, 1, 0])
})

test('a file that never ends is killed at the deadline and is a failure', async (t) => {
  const context = await project(t, { a: "test('a', () => {}); setInterval(() => {}, 1000)" }, { deadline: performance.now() + 1000 })
  const result = await runEach(context, await findTestFiles(context, 'test'), 1)
  assert.equal(result.failed, 1)
})

test('a file whose turn comes after the deadline is a failure and said', async (t) => {
  const context = await project(t, { a: "test('a', () => {})" }, { deadline: 0 })
  const result = await runEach(context, await findTestFiles(context, 'test'), 1)
  assert.equal(result.failed, 1)
  assert.match(result.notRun ?? '', /used up/)
})

test('a process that a test leaves behind is a failure', async (t) => {
  const source = "import { spawn } from 'node:child_process'\ntest('a', () => { spawn('sleep', ['60'], { stdio: 'ignore' }).unref() })"
  const context = await project(t, { a: source })
  assert.deepEqual(counts(await runEach(context, await findTestFiles(context, 'test'), 1)), [1, 1, 0])
})

test('a compiled test whose source is gone does not run', async (t) => {
  const context = await project(t, { a: "test('a', () => {})", b: "test('b', () => {})" })
  await rm(path.join(context.root, 'test/b.test.ts'))
  assert.deepEqual(await findTestFiles(context, 'test'), ['test/a.test.ts'])
})
