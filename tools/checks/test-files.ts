/**
 * Runs compiled test files and adds up what they report. The list comes from the sources, so that a test whose source is gone and
 * whose output is still in dist/ does not run.
 */
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import path from 'node:path'
import { runChild, type ChildResult } from './child.ts'
import type { Context, PartResult } from './part.ts'
import { addResults } from './part.ts'
import type { TestRecord } from './reporter.ts'

/** The longest that one test file may take, in milliseconds; tests that go on for as long as they are told have that beside it. */
const FILE_LIMIT_MS = 5 * 60_000 + 1000 * Number(process.env['TEST_SECONDS'] ?? 0)

/** Lines of a failed process's output that are shown. */
const SHOWN_LINES = 120

/** Sources of tests below a folder, relative to the root, sorted; `testdata` and the folders named are left out. */
export async function findTestFiles(context: Context, folder: string, without: readonly string[] = []): Promise<string[]> {
  const entries = await readdir(path.join(context.root, folder), { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
    .map((entry) => path.relative(context.root, path.join(entry.parentPath, entry.name)))
    .filter((file) => !without.some((name) => file.startsWith(`${name}/`)))
    .filter((file) => context.filter === undefined || file.includes(context.filter))
    .toSorted()
}

/** Runs files in one process. */
export async function runPure(context: Context, files: readonly string[], node: string = process.execPath): Promise<PartResult> {
  if (files.length === 0) return nothingToRun(context)
  const runner = path.join(import.meta.dirname, 'pure.js')
  return await runTests(context, { node, script: runner, args: files.map((file) => compiled(context, file)), label: 'the pure tests' })
}

/** Runs files each in a process of its own, as many at a time as there are cores for, at most `atOnce`. */
export async function runEach(
  context: Context,
  files: readonly string[],
  atOnce: number,
  node: string = process.execPath,
): Promise<PartResult> {
  if (files.length === 0) return nothingToRun(context)
  const waiting = [...files]
  const results: PartResult[] = []
  const worker = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const result = await runTests(context, { node, script: compiled(context, file), args: [], label: file })
      process.stdout.write(`  ${file}: ${result.passed} passed${result.failed > 0 ? `, ${result.failed} FAILED` : ''}\n`)
      results.push(result)
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, availableParallelism()) }, worker))
  return addResults(results)
}

function nothingToRun(context: Context): PartResult {
  if (context.filter !== undefined) return { passed: 0, failed: 0, skipped: 0 }
  return { passed: 0, failed: 0, skipped: 1, notRun: 'there is no such test file yet' }
}

function compiled(context: Context, file: string): string {
  return path.join(context.root, 'dist', file.replace(/^src\//, '').replace(/\.ts$/, '.js'))
}

interface TestRun {
  readonly node: string
  readonly script: string
  readonly args: readonly string[]
  /** How the run is called in a complaint. */
  readonly label: string
}

async function runTests(context: Context, run: TestRun): Promise<PartResult> {
  const remainingMs = context.deadline - performance.now()
  if (remainingMs <= 0) {
    process.stdout.write(`  !! ${run.label} NOT RUN: the time for all checks is used up\n`)
    return { passed: 0, failed: 1, skipped: 0, notRun: 'the time for all checks is used up' }
  }
  const folder = await mkdtemp(path.join(tmpdir(), 'polycast-checks-'))
  try {
    const records = path.join(folder, 'records')
    const reporter = path.join(import.meta.dirname, 'reporter.js')
    const flags = ['--enable-source-maps', `--test-reporter=${reporter}`, `--test-reporter-destination=${records}`]
    const child = await runChild(run.node, [...flags, run.script, ...run.args], {
      cwd: context.root,
      limitMs: Math.min(FILE_LIMIT_MS, remainingMs),
    })
    return summarise(context, run, child, await readRecords(records))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function readRecords(file: string): Promise<TestRecord[]> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  // A process that was killed may have left half a line at the end.
  const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as TestRecord)
}

function summarise(context: Context, run: TestRun, child: ChildResult, records: readonly TestRecord[]): PartResult {
  const counted = records.filter((record) => !record.isContainer)
  const passed = counted.filter((record) => record.outcome === 'passed').length
  const failures = counted.filter((record) => record.outcome === 'failed')
  const skips = counted.filter((record) => record.outcome === 'skipped')
  for (const failure of failures) {
    const place = failure.file === undefined ? run.label : `${path.relative(context.root, failure.file)}:${failure.line ?? 0}`
    process.stdout.write(`  FAILED ${place} ${failure.name}\n${indent(failure.detail ?? 'no reason given')}\n`)
  }
  for (const skip of skips) process.stdout.write(`  skipped: ${skip.name} (${skip.detail ?? 'no reason given'})\n`)
  const complaint = complaintAbout(child, failures.length, counted.length)
  if (complaint !== undefined) process.stdout.write(`  FAILED ${run.label}: ${complaint}\n`)
  if (complaint !== undefined || failures.length > 0) process.stdout.write(indent(child.output.split('\n').slice(-SHOWN_LINES).join('\n')))
  return {
    passed,
    failed: failures.length + (complaint === undefined ? 0 : 1),
    skipped: skips.length,
    files: run.args.length === 0 ? [{ file: run.label, ms: child.ms }] : timePerFile(context, records),
  }
}

/** What is wrong with the process itself, beyond the tests that it reported. */
function complaintAbout(child: ChildResult, failed: number, counted: number): string | undefined {
  if (child.isOverLimit) {
    return `not over after ${Math.round(child.ms / 1000)} s and killed: a test hangs, or something it opened (server, timer, child) still is`
  }
  if (child.status !== 0 && failed === 0) return `exit code ${child.status}, although every test that ended had passed`
  if (counted === 0) return 'it ran no test'
  if (child.leftProcesses) return 'it left processes behind (killed now)'
  return undefined
}

function timePerFile(context: Context, records: readonly TestRecord[]): { file: string; ms: number }[] {
  const times = new Map<string, number>()
  for (const { nesting, file, ms } of records) {
    if (nesting === 0 && file !== undefined) times.set(file, (times.get(file) ?? 0) + ms)
  }
  return [...times].map(([file, ms]) => ({ file: path.relative(context.root, file), ms }))
}

function indent(text: string): string {
  return text.trimEnd() === '' ? '' : `${text.trimEnd().replaceAll(/^/gm, '    ')}\n`
}
