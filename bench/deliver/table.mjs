/** Groups JSON lines of runs (standard input) into a Markdown table: median (least-greatest). */
import { runsBy, spread, table } from '../bed.mjs'

const HEAD = [
  ...['N', 'rate', 'F MB', 'tool', 'runs', 'makespan s', '× F/B', 'median s', 'origin × F', 'CPU-s/GB', 'machine'],
  ...['peak RSS MB (anon)', 'failed'],
]

function labelOf({ tool, settings }) {
  const shown = ['loss', 'tree', 'warm', 'piece', 'share'].filter((key) => ![undefined, false, '0'].includes(settings[key]))
  return [tool, ...shown.map((key) => `${key}=${settings[key]}`)].join(' ')
}

const groups = await runsBy((run) => [run.n, run.rate, run.f, labelOf(run)].join('|'))
const rows = groups.map((runs) => [
  runs[0].n,
  runs[0].rate,
  runs[0].f / 1e6,
  labelOf(runs[0]),
  runs.length,
  spread(runs, 'makespan'),
  spread(runs, 'ratio', 3),
  spread(runs, 'median'),
  spread(runs, 'origin_x', 3),
  spread(runs, 'cpu_gb', 1),
  spread(runs, 'machine'),
  `${spread(runs, 'rss_mb', 0)} (${spread(runs, 'anon_mb', 0)})`,
  runs.reduce((sum, run) => sum + run.failures, 0),
])
process.stdout.write(table(HEAD, rows))
