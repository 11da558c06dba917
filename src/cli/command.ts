/** What the rows of the table of commands have in common. */
import type { Command } from 'commander'

/** Says with which exit code the command ended. */
export type Exit = (code: number) => void

/** What every command has. */
export function common(command: Command): Command {
  return command
    .option('--api <url>', 'the agent to talk to (POLYCAST_API; http://127.0.0.1:7948)')
    .option('--json', 'JSON: one document, or one a line for what goes on')
}

/** For flags that may be repeated. */
export function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value]
}
