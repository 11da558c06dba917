/**
 * The project's checks, in parts from cheap to dear, and their sum on the last line: `N passed, N failed, N skipped`. A part that
 * did not run is said when its turn comes and again at the end, since a check that silently isn't there is one that always passes.
 */
import { checkDocs, checkSameTraces, checkSimulator } from './built.ts'
import { killChildren } from './child.ts'
import { newerNode } from './newer-node.ts'
import { addResults, notRun, verdict, type Context, type Part, type PartResult } from './part.ts'
import { checkFormat, checkImports, checkLint, checkUnused } from './static.ts'
import { findTestFiles, runEach, runPure } from './test-files.ts'
import { whyNoTestbed } from './testbed.ts'

/** The time for all checks together, in milliseconds. */
const TOTAL_LIMIT_MS = 25 * 60_000

/** Process tests that run at a time; on fewer cores fewer. */
const PROCESSES_AT_ONCE = 2

const SLOWEST_SHOWN = 8

const TESTBED_FOLDER = 'test/testbed'

export interface ChecksInput {
  readonly root: string
  readonly testbed: string
  /** Names of parts, and `--files TEXT`. */
  readonly args: readonly string[]
  /** How the build went that came before. */
  readonly types: { readonly status: number; readonly ms: number }
}

const PARTS: readonly Part[] = [
  { name: 'format', title: 'formatting', run: checkFormat },
  { name: 'lint', title: 'lint rules', run: checkLint },
  { name: 'rooms', title: 'direction of imports', run: checkImports },
  { name: 'unused', title: 'unused code and dependencies', run: checkUnused },
  { name: 'pure', title: 'tests beside the code', run: runPureTests },
  { name: 'docs', title: 'generated docs', run: checkDocs },
  { name: 'sim', title: 'simulator figures', run: checkSimulator },
  { name: 'process', title: 'tests with real processes', run: runProcessTests },
  { name: 'testbed', title: 'tests on hosts in network namespaces', run: runTestbedTests },
  { name: 'newer', title: 'the pure tests, one process test and some simulated swarms on a newer Node', run: runOnNewerNode },
]

/** Runs the parts asked for, or all; @returns the exit code: 0 only when nothing failed. */
export async function runChecks(input: ChecksInput): Promise<number> {
  const startedAt = performance.now()
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    process.once(signal, () => {
      killChildren()
      process.exit(code)
    })
  }
  const { names, filter } = parseArguments(input.args)
  const unknown = names.find((name) => !PARTS.some((part) => part.name === name))
  if (unknown !== undefined) {
    process.stderr.write(`polycast: there is no part called ${unknown}. Parts: ${PARTS.map((part) => part.name).join(' ')}\n`)
    return 2
  }
  const context: Context = { root: input.root, testbed: input.testbed, filter, deadline: startedAt + TOTAL_LIMIT_MS }
  const results: PartResult[] = [verdict(input.types.status === 0)]
  report('types', results[0]!, input.types.ms)
  const left: string[] = []
  for (const part of PARTS) {
    if (names.length > 0 && !names.includes(part.name)) {
      left.push(part.name)
      continue
    }
    process.stdout.write(`\n== ${part.name}: ${part.title}\n`)
    const partStartedAt = performance.now()
    const result = await runPart(part, context)
    report(part.name, result, performance.now() - partStartedAt)
    results.push(result)
  }
  const sum = addResults(results)
  closing(sum, left, performance.now() - startedAt)
  return sum.failed === 0 ? 0 : 1
}

function parseArguments(args: readonly string[]): { names: string[]; filter: string | undefined } {
  const at = args.indexOf('--files')
  if (at < 0) return { names: [...args], filter: undefined }
  return { names: args.filter((_, index) => index !== at && index !== at + 1), filter: args[at + 1] }
}

async function runPart(part: Part, context: Context): Promise<PartResult> {
  if (performance.now() > context.deadline) {
    return { passed: 0, failed: 1, skipped: 0, notRun: `the ${TOTAL_LIMIT_MS / 60_000} minutes for all checks were used up before it` }
  }
  try {
    return await part.run(context)
  } catch (error) {
    process.stdout.write(`  the check itself failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    return verdict(false)
  }
}

async function runPureTests(context: Context): Promise<PartResult> {
  return await runPure(context, await pureTests(context))
}

async function pureTests(context: Context): Promise<string[]> {
  return [...(await findTestFiles(context, 'src')), ...(await findTestFiles(context, 'tools'))]
}

async function runProcessTests(context: Context): Promise<PartResult> {
  return await runEach(context, await findTestFiles(context, 'test', [TESTBED_FOLDER]), PROCESSES_AT_ONCE)
}

async function runTestbedTests(context: Context): Promise<PartResult> {
  const files = (await findTestFiles(context, 'test')).filter((file) => file.startsWith(`${TESTBED_FOLDER}/`))
  const reason = await whyNoTestbed(context)
  if (reason !== undefined) return { passed: 0, failed: 0, skipped: Math.max(1, files.length), notRun: reason }
  return await runEach(context, files, 1)
}

async function runOnNewerNode(context: Context): Promise<PartResult> {
  const node = await newerNode(context)
  if ('reason' in node) return notRun(node.reason)
  const processTests = await findTestFiles(context, 'test', [TESTBED_FOLDER])
  const first = processTests.find((file) => file.includes('deliver')) ?? processTests[0]
  return addResults([
    await runPure(context, await pureTests(context), node.binary),
    await runEach(context, first === undefined ? [] : [first], 1, node.binary),
    await checkSameTraces(context, node.binary),
  ])
}

const notRunLines: string[] = []

function report(name: string, result: PartResult, ms: number): void {
  const counts = `${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped`
  process.stdout.write(`-- ${name}: ${counts} (${(ms / 1000).toFixed(1)} s)\n`)
  if (result.notRun === undefined) return
  const line = `!! NOT RUN, ${name}: ${result.notRun}`
  process.stdout.write(`${line}\n`)
  notRunLines.push(line)
}

function closing(sum: PartResult, left: readonly string[], ms: number): void {
  // A file that ran twice, on two versions of Node, counts with its longer time.
  const times = new Map<string, number>()
  for (const { file, ms: fileMs } of sum.files ?? []) times.set(file, Math.max(fileMs, times.get(file) ?? 0))
  const slowest = [...times].toSorted((a, b) => b[1] - a[1]).slice(0, SLOWEST_SHOWN)
  if (slowest.length > 0) process.stdout.write('\nslowest test files:\n')
  for (const [file, fileMs] of slowest) process.stdout.write(`  ${(fileMs / 1000).toFixed(1).padStart(6)} s  ${file}\n`)
  process.stdout.write(`\nall checks: ${(ms / 1000).toFixed(0)} s of at most ${TOTAL_LIMIT_MS / 1000} s\n`)
  if (left.length > 0) process.stdout.write(`!! NOT RUN, not asked for: ${left.join(' ')}\n`)
  for (const line of notRunLines) process.stdout.write(`${line}\n`)
  process.stdout.write(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped\n`)
}
