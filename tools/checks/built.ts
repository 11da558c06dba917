/** Checks that run a built program of the project and go by its exit code. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { runChild } from './child.ts'
import { addResults, notRun, verdict, type Context, type PartResult } from './part.ts'

/** The longest that one program may take, in milliseconds. */
const PROGRAM_LIMIT_MS = 5 * 60_000

/** The generated pages of docs/reference, and the bytes of the kernel, are what their generators write now. */
export async function checkDocs(context: Context): Promise<PartResult> {
  const pages = await runProgram(context, 'dist/tools/docs.js', ['--check'])
  return addResults([pages, await runProgram(context, 'dist/tools/kernel.js', ['--check'])])
}

/** The simulator gives the committed figures; it prints the difference where not. */
export async function checkSimulator(context: Context): Promise<PartResult> {
  return await runProgram(context, 'dist/sim/main.js', ['check'])
}

/** Scenarios with failures, loss and chance in them that take a second each. */
const TRACED_SCENARIOS = [
  'swarm/loss',
  'swarm/crashes',
  'swarm/growing',
  'gossip/loss-30',
  'gossip/join-500',
  'gossip/starved',
  'multicast/bursts-100',
]

/** The simulator's runs are the same, event for event, on this Node and on another one. */
export async function checkSameTraces(context: Context, otherNode: string): Promise<PartResult> {
  const here = await tracesOf(context, process.execPath)
  const there = await tracesOf(context, otherNode)
  const isSame = here.length === TRACED_SCENARIOS.length && here.join() === there.join()
  const what = `traces of ${TRACED_SCENARIOS.join(', ')}`
  process.stdout.write(
    `  ${isSame ? 'the same' : 'FAILED: different'} ${what}: ${here.join(' ')}${isSame ? '' : ` here, ${there.join(' ')} there`}\n`,
  )
  return verdict(isSame)
}

async function tracesOf(context: Context, node: string): Promise<string[]> {
  const limitMs = Math.min(PROGRAM_LIMIT_MS, Math.max(1, context.deadline - performance.now()))
  const child = await runChild(node, [path.join(context.root, 'dist/sim/main.js'), 'run', ...TRACED_SCENARIOS], {
    cwd: context.root,
    limitMs,
  })
  return [...child.output.matchAll(/ trace ([0-9a-f]+)/g)].map((match) => match[1]!)
}

async function runProgram(context: Context, file: string, args: readonly string[]): Promise<PartResult> {
  const script = path.join(context.root, file)
  if (!existsSync(script)) return notRun(`${file} does not exist yet`)
  const limitMs = Math.min(PROGRAM_LIMIT_MS, Math.max(1, context.deadline - performance.now()))
  const child = await runChild(process.execPath, [script, ...args], { cwd: context.root, limitMs })
  if (child.output !== '') process.stdout.write(`${child.output.trimEnd()}\n`)
  if (child.isOverLimit) process.stdout.write(`  ${file} not over after ${Math.round(child.ms / 1000)} s and killed\n`)
  return verdict(child.status === 0)
}
