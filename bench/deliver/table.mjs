/** Groups JSON lines of runs (standard input) into a Markdown table: median (least-greatest). */
import { createInterface } from 'node:readline'

const groups = new Map()
for await (const line of createInterface({ input: process.stdin })) {
  if (!line.startsWith('{')) continue
  const run = JSON.parse(line)
  const shown = ['loss', 'tree', 'warm', 'piece', 'share'].filter((key) => ![undefined, false, '0'].includes(run.settings[key]))
  const label = [run.tool, ...shown.map((key) => `${key}=${run.settings[key]}`)].join(' ')
  const key = [run.n, run.rate, run.f, label].join('|')
  groups.set(key, [...(groups.get(key) ?? []), run])
}
process.stdout.write(
  '| N | rate | F MB | tool | runs | makespan s | × F/B | median s | origin × F | CPU-s/GB | machine | peak RSS MB (anon) | failed |\n',
)
process.stdout.write(`|${' --- |'.repeat(13)}\n`)
for (const [key, runs] of groups) {
  const [n, rate, f, label] = key.split('|')
  const cells = [
    n,
    rate,
    Number(f) / 1e6,
    label,
    runs.length,
    spread(runs, 'makespan'),
    spread(runs, 'ratio', 3),
    spread(runs, 'median'),
    spread(runs, 'origin_x', 3),
    spread(runs, 'cpu_gb', 1),
    spread(runs, 'machine'),
    `${spread(runs, 'rss_mb', 0)} (${spread(runs, 'anon_mb', 0)})`,
    runs.reduce((sum, run) => sum + run.failures, 0),
  ]
  process.stdout.write(`| ${cells.join(' | ')} |\n`)
}

function spread(runs, key, digits = 2) {
  const sorted = runs
    .map((run) => run[key])
    .filter((value) => value !== null && value !== undefined)
    .sort((a, b) => a - b)
  if (sorted.length === 0) return '–'
  const middle = sorted[Math.floor(sorted.length / 2)].toFixed(digits)
  const [least, greatest] = [sorted[0].toFixed(digits), sorted.at(-1).toFixed(digits)]
  return least === greatest ? middle : `${middle} (${least}–${greatest})`
}
