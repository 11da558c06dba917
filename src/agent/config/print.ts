/** What `polycast agent --print-config` prints: the effective configuration as a file that can be used as one. */

import { stringify } from 'yaml'
import { formatValue } from './kinds.ts'
import { OPTION_NAMES, optionRow } from './options.ts'
import type { ResolvedConfig } from './resolve.ts'

/** YAML with a section per group and, behind each key, where its value comes from. */
export function printConfig({ config, origins }: ResolvedConfig): string {
  const sections: string[] = []
  for (const group of new Set(OPTION_NAMES.map((name) => optionRow(name).group))) {
    const lines = [`# ${group}`]
    for (const name of OPTION_NAMES.filter((one) => optionRow(one).group === group)) {
      const row = optionRow(name)
      const entry = stringify({ [row.key]: formatValue(row, config[name]) }, { schema: 'failsafe', lineWidth: 0 })
        .trimEnd()
        .split('\n')
      lines.push(`${(entry[0] ?? '').padEnd(40)} # ${origins[name].where}`, ...entry.slice(1))
    }
    sections.push(`${lines.join('\n')}\n`)
  }
  return sections.join('\n')
}
