/** Checks that run a built program of the project and go by its exit code. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { runChild } from './child.ts'
import { notRun, verdict, type Context, type PartResult } from './part.ts'

/** The longest that one program may take, in milliseconds. */
const PROGRAM_LIMIT_MS = 5 * 60_000

/** The generated pages of docs/reference are what the generator writes now. */
export async function checkDocs(context: Context): Promise<PartResult> {
  return await runProgram(context, 'dist/tools/docs.js', ['--check'])
}

/** The simulator gives the committed figures; it prints the difference where not. */
export async function checkSimulator(context: Context): Promise<PartResult> {
  return await runProgram(context, 'dist/sim/main.js', ['check'])
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
