#!/usr/bin/env node
/** The command line: parses, runs, and turns what went wrong into words and an exit code. */
import module from 'node:module'
import { CommanderError } from 'commander'
import { tuneEngine } from './engine.ts'
import { createProgram } from './program.ts'

const USAGE = 2

await main(process.argv)

async function main(argv: string[]): Promise<void> {
  // Node 22 and newer keep what they compiled.
  Reflect.get(module, 'enableCompileCache')?.()
  endQuietlyWithoutReader()
  const isAgent = argv[2] === 'agent'
  if (isAgent) tuneEngine()
  try {
    const program = await createProgram(
      (code) => {
        process.exitCode = code
      },
      isAgent || (argv[2] === 'help' && argv[3] === 'agent'),
    )
    for (const command of [program, ...program.commands, ...program.commands.flatMap((one) => one.commands)]) command.exitOverride()
    await program.parseAsync(argv)
  } catch (error) {
    process.exitCode = await report(error, argv.includes('--json'))
    // A node that could not start ends, whatever of it has not: nobody would know that it still holds its ports and its directory.
    if (isAgent) process.exit()
  }
}

async function report(error: unknown, isJson: boolean): Promise<number> {
  if (error instanceof CommanderError) {
    // Commander has written what there is to say; help that was asked for is no error.
    return error.exitCode === 0 ? 0 : USAGE
  }
  const { asFailure, explain } = await import('./failure.ts')
  const failure = await asFailure(error)
  if (isJson) process.stdout.write(`${JSON.stringify({ error: failure.body })}\n`)
  else process.stderr.write(explain(failure.body))
  if (failure.body.code === 'internal' && error instanceof Error) process.stderr.write(`${error.stack}\n`)
  return failure.exitCode
}

/** `polycast content ls | head` is no failure. */
function endQuietlyWithoutReader(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0)
      throw error
    })
  }
}
