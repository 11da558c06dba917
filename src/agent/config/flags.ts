/** The agent's options as flags of commander, and back. */

import { Option } from 'commander'
import { OPTION_NAMES, flagName, optionRow } from './options.ts'
import type { Command } from 'commander'
import type { RawValue } from './kinds.ts'
import type { OptionRow } from './option.ts'

/** Adds a flag for every option to `command`; a boolean one gets its --no- form too, to override file and environment. */
export function addOptionFlags(command: Command): void {
  for (const name of OPTION_NAMES) {
    const row = optionRow(name)
    command.addOption(new Option(flagText(row), row.summary).helpGroup(`${row.group}:`))
    if (row.kind === 'boolean') command.addOption(new Option(`--no-${flagName(row)}`).hideHelp())
  }
}

/** What the command line gave, by flag name, for `loadConfig`: flags that weren't given are absent. */
export function readOptionFlags(command: Command): Record<string, RawValue> {
  const flags: Record<string, RawValue> = {}
  for (const name of OPTION_NAMES) {
    const flag = flagName(optionRow(name))
    const attribute = flag.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
    if (command.getOptionValueSource(attribute) !== 'cli') continue
    const value: unknown = command.getOptionValue(attribute)
    flags[flag] = typeof value === 'boolean' ? String(value) : (value as RawValue)
  }
  return flags
}

/** How a flag is written: `--gossip-port <PORT>`. */
export function flagText(row: OptionRow): string {
  if (row.kind === 'boolean') return `--${flagName(row)}`
  const several = row.kind === 'host-list' || row.kind === 'path-list' || row.kind === 'tags' || row.kind === 'handler-list'
  return `--${flagName(row)} <${placeholderOf(row)}${several ? '...' : ''}>`
}

/** What stands for the value of an option in help and reference. */
export function placeholderOf(row: OptionRow): string {
  if (row.placeholder !== undefined) return row.placeholder
  const byKind: Partial<Record<OptionRow['kind'], string>> = { bytes: 'SIZE', rate: 'RATE', duration: 'TIME', integer: 'N' }
  return byKind[row.kind] ?? 'VALUE'
}
