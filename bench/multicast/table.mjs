/** Groups JSON lines of runs (standard input) into Markdown tables, one per case: median (least–greatest). */
import { runsBy, spread, table } from '../bed.mjs'

const CASES = {
  transfer: { title: 'A transfer alone', columns: [] },
  slow: {
    title: 'One receiver on a port of a tenth of the rate',
    columns: [
      ['the others s', 'others', 2],
      ['the slow one s', 'h1', 2],
    ],
  },
  blocked: {
    title: 'Multicast blocked at one port from 3 s on, for 4 s',
    columns: [
      ['the others s', 'others', 2],
      ['the blocked one s', 'h1', 2],
      ['of use there × F', 'h1_used_x', 3],
      ['goes on after s', 'goes_on_s', 2],
      ['back after s', 'back_s', 2],
    ],
  },
  tcp: {
    title: 'Beside one TCP flow',
    columns: [
      ['share', 'share', 3],
      ['tool Mbit/s', 'tool_mbit', 0],
      ['TCP Mbit/s', 'tcp_mbit', 0],
      ['TCP alone', 'tcp_alone_mbit', 0],
      ['TCP keeps', 'tcp_kept', 2],
    ],
  },
}

const runs = await runsBy((run) => JSON.stringify([run.case, run.n, run.f, run.rate, run.mtu, lossOf(run), labelOf(run)]))
for (const [name, { title, columns }] of Object.entries(CASES)) {
  const groups = runs.filter(([first]) => first.case === name)
  if (groups.length === 0) continue
  const head = [
    ...[
      'N',
      'F MB',
      'rate',
      'MTU',
      'loss %',
      'tool',
      'runs',
      'last s',
      '× F/B',
      'origin × F',
      'multicast × F',
      'of use × F',
      'to the sender kB',
    ],
    ...['CPU-s/GB sender', 'CPU-s/GB receiver', 'machine', ...columns.map(([column]) => column), 'failed'],
  ]
  const rows = groups.map((group) => [
    ...[group[0].n, group[0].f / 1e6, group[0].rate, group[0].mtu, lossOf(group[0]), labelOf(group[0]), group.length],
    ...[spread(group, 'makespan'), spread(group, 'ratio', 3), spread(group, 'origin_x', 3)],
    ...[spread(group, 'multicast_x', 3), spread(group, 'used_x', 3)],
    ...[spread(group, 'feedback_kb', 0), spread(group, 'sender_cpu_gb', 1), spread(group, 'receiver_cpu_gb', 1), spread(group, 'machine')],
    ...columns.map(([, key, digits]) => spread(group, key, digits)),
    failuresOf(group),
  ])
  process.stdout.write(`### ${title}\n\n${table(head, rows)}\n`)
}

function lossOf({ loss, burst }) {
  return burst === null ? loss : `bursts ${burst}`
}

function labelOf({ tool, mode, settings }) {
  return [tool, ...(mode === null ? [] : [mode]), ...settings.set, ...(settings.warm ? ['warm'] : [])].join(' ')
}

/** Receivers without the file, over all runs, and why. */
function failuresOf(group) {
  const count = group.reduce((sum, run) => sum + run.failures, 0)
  const why = [...new Set(group.flatMap(({ errors }) => errors))].map((text) => text.slice(0, 60).replaceAll('|', '/'))
  return count === 0 ? 0 : `${count} (${why.join('; ')})`
}
