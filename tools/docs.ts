/**
 * Writes the generated pages of docs/reference, or with `--check` tells which of them are not what would be written now (exit 1).
 *
 * The pages say what the tables in the code say and nothing else: to change a page, change its table. A new page is a line in `PAGES`.
 */
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Argument, Command } from 'commander'
import { flagText } from '#src/agent/config/flags.js'
import { formatValue } from '#src/agent/config/kinds.js'
import type { OptionRow } from '#src/agent/config/option.js'
import { environmentName, OPTION_NAMES, optionRow, RESERVED_ENVIRONMENT } from '#src/agent/config/options.js'
import { ERRORS, type ErrorRow } from '#src/agent/errors.js'
import { openapiReference } from '#src/agent/http/openapi.js'
import { BUCKETS, METRICS, type MetricRow } from '#src/agent/metrics.js'
import { createProgram } from '#src/cli/program.js'

const FOLDER = path.resolve(import.meta.dirname, '../../docs/reference')

const PAGES: Readonly<Record<string, () => string | Promise<string>>> = {
  'cli.md': cliPage,
  'configuration.md': configurationPage,
  'errors.md': errorsPage,
  'metrics.md': metricsPage,
  'openapi.json': openapiReference,
}

const NOTE = 'Generated from the code by `npm run docs`: changes here are lost.'

async function cliPage(): Promise<string> {
  const program = await createProgram(() => undefined, true)
  return [
    '# Command line',
    NOTE,
    'Exit codes: 0 done, 1 failed, 2 usage, 3 some members failed, 4 cannot reach the agent, 130 interrupted. With `--json` a command writes JSON to standard output, also for an error; what the codes of errors mean is in [errors.md](errors.md). Progress goes to standard error.',
    ...program.commands.flatMap(withSubcommands).map(commandText),
  ].join('\n\n')
}

/** A command that only gathers others, and so has no options, is no entry of its own. */
function withSubcommands(command: Command): readonly Command[] {
  if (command.commands.length === 0) return [command]
  return command.options.length > 0 ? [command, ...command.commands] : command.commands
}

function commandText(command: Command): string {
  const isInTable = (long: string | undefined): boolean =>
    command.name() === 'agent' &&
    OPTION_NAMES.some((name) =>
      flagText(optionRow(name))
        .split(/[ ,]/)
        .includes(long ?? ''),
    )
  const options = command.options.filter(({ long, hidden }) => !hidden && !isInTable(long))
  const { parent } = command
  const parents = parent === null || parent.parent === null ? [] : [parent.name()]
  const usage = ['polycast', ...parents, command.name(), ...command.registeredArguments.map(argumentText), '[options]'].join(' ')
  const more = options.length < command.options.length ? '\n\nAnd a flag for each option of [configuration.md](configuration.md).' : ''
  const rows = options.map(({ flags, description, mandatory }) => `| \`${flags}\` | ${description}${mandatory ? ' (required)' : ''} |`)
  return [
    `## ${[...parents, command.name()].join(' ')}`,
    `\`${usage}\``,
    `${sentence(command.description())}${more}`,
    ['| option | |', '| --- | --- |', ...rows].join('\n'),
  ].join('\n\n')
}

function argumentText(argument: Argument): string {
  const name = argument.name() + (argument.variadic ? '...' : '')
  return argument.required ? `<${name}>` : `[${name}]`
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}

function configurationPage(): string {
  const rows = OPTION_NAMES.map(optionRow)
  const groups = [...new Set(rows.map((row) => row.group))]
  const variables = Object.entries(RESERVED_ENVIRONMENT).map(([name, text]) => `- \`${name}\`: ${text}`)
  return [
    '# Configuration of the agent',
    NOTE,
    `An option has one value, from the highest of: flags, environment variables, the configuration file (YAML), the default. \`polycast agent --print-config\` prints every option with its value and where that comes from, as a file that can be used as one.`,
    `Two more variables are read, which are no options:\n\n${variables.join('\n')}`,
    ...groups.flatMap((group) => [`## ${group}`, ...rows.filter((row) => row.group === group).map(optionText)]),
  ].join('\n\n')
}

function optionText(row: OptionRow): string {
  const facts = [
    `flag \`${flagText(row)}\``,
    `environment \`${environmentName(row)}\``,
    `${row.kind === 'choice' ? `one of ${(row.choices ?? []).join(', ')}` : row.kind}${boundsText(row)}`,
    `default ${defaultText(row)}`,
  ]
  return `### ${row.key}\n\n${row.doc}\n\n${facts.join(' · ')}`
}

function boundsText(row: OptionRow): string {
  const show = (bound: number): string => formatValue(row, bound) as string
  const none = row.zeroIsNone === true ? ', or 0' : ''
  if (row.min !== undefined && row.max !== undefined) return ` from ${show(row.min)} to ${show(row.max)}${none}`
  if (row.min !== undefined) return ` from ${show(row.min)}${none}`
  if (row.max !== undefined) return ` up to ${show(row.max)}${none}`
  return ''
}

function defaultText(row: OptionRow): string {
  if (typeof row.default === 'object' && 'computed' in row.default && typeof row.default.computed === 'string') return row.default.computed
  const value = formatValue(row, row.default)
  if (typeof value === 'string') return `\`${value}\``
  return Object.keys(value).length === 0 ? 'none' : `\`${JSON.stringify(value)}\``
}

function errorsPage(): string {
  const entries = Object.entries(ERRORS) as [string, ErrorRow][]
  return [
    '# Errors',
    NOTE,
    'Every operation that fails gives one of these codes: in the JSON of the HTTP API, in the `--json` output of the command line, in receipts, and in the metric `polycast_errors_total`. Codes stay as they are; messages may be worded better. Exit codes: 1 failed, 2 usage, 3 some members failed, 4 cannot reach the agent.',
    ...entries.map(([code, row]) => {
      const facts = `HTTP ${row.status} · exit ${row.exitCode} · ${row.isRetryable ? 'the same call may succeed later' : 'the same call fails again'}`
      return `## ${code}\n\n${row.message}\n\n${row.advice}\n\n${facts}`
    }),
  ].join('\n\n')
}

function metricsPage(): string {
  const rows: MetricRow[] = Object.values(METRICS)
  const buckets = Object.entries(BUCKETS).map(([name, bounds]) => `- ${name}: ${bounds.join(', ')}`)
  return [
    '# Metrics',
    NOTE,
    "Served at `/metrics` of the agent's HTTP address in the text format of Prometheus.",
    [
      '| metric | type | labels | what it counts |',
      '| --- | --- | --- | --- |',
      ...rows.map((row) => `| \`${row.name}\` | ${typeText(row)} | ${row.labels.join(', ')} | ${row.help.replaceAll('|', '\\|')} |`),
    ].join('\n'),
    `Upper bounds of histogram buckets, in seconds:\n\n${buckets.join('\n')}`,
  ].join('\n\n')
}

function typeText(row: MetricRow): string {
  return row.buckets === undefined ? row.type : `${row.type} (${row.buckets})`
}

async function main(isCheck: boolean): Promise<number> {
  await mkdir(FOLDER, { recursive: true })
  const stale: string[] = []
  for (const [name, render] of Object.entries(PAGES)) {
    const file = path.join(FOLDER, name)
    const wanted = `${await render()}\n`
    const found = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    if (found === wanted) continue
    stale.push(name)
    if (!isCheck) await writeFile(file, wanted)
  }
  const unknown = (await readdir(FOLDER)).filter((name) => !(name in PAGES))
  for (const name of stale) process.stdout.write(`docs/reference/${name}: ${isCheck ? 'not up to date, run `npm run docs`' : 'written'}\n`)
  for (const name of unknown)
    process.stdout.write(`docs/reference/${name}: nothing generates it; it belongs elsewhere, or into tools/docs.ts\n`)
  return isCheck && stale.length + unknown.length > 0 ? 1 : 0
}

process.exitCode = await main(process.argv.includes('--check'))
