/** Checks that run no code of the project: formatting, lint rules, direction of imports, unused exports and dependencies. */
import path from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { runChild } from './child.ts'
import { verdict, type Context, type PartResult } from './part.ts'
import { checkRooms } from './rooms.ts'

/** The longest that one tool may take, in milliseconds. */
const TOOL_LIMIT_MS = 3 * 60_000

export async function checkFormat(context: Context): Promise<PartResult> {
  return await runTool(context, 'oxfmt/bin/oxfmt', ['--list-different'], 'These files are formatted otherwise. Run `npm run format`.')
}

export async function checkLint(context: Context): Promise<PartResult> {
  const args = ['--type-aware', '--report-unused-disable-directives', '--deny-warnings']
  return await runTool(context, 'oxlint/bin/oxlint', args, 'The rules are in .oxlintrc.json, their reasons in STYLE.md.')
}

export async function checkUnused(context: Context): Promise<PartResult> {
  return await runTool(context, 'knip/bin/knip.js', ['--no-progress'], 'Remove what nothing uses, or say in knip.json why it stays.')
}

export async function checkImports(context: Context): Promise<PartResult> {
  const complaints = await checkRooms(context.root)
  for (const complaint of complaints) process.stdout.write(`  ${complaint}\n`)
  return verdict(complaints.length === 0)
}

async function runTool(context: Context, script: string, args: readonly string[], advice: string): Promise<PartResult> {
  const file = path.join(context.root, 'node_modules', script)
  const child = await runChild(process.execPath, [file, ...args], { cwd: context.root, limitMs: TOOL_LIMIT_MS })
  if (child.status === 0) return verdict(true)
  process.stdout.write(`${stripVTControlCharacters(child.output).trimEnd()}\n`)
  process.stdout.write(child.isOverLimit ? `  not over after ${TOOL_LIMIT_MS / 1000} s and killed\n` : `  ${advice}\n`)
  return verdict(false)
}
