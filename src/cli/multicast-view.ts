/** Who hears whom by multicast, as a table for a terminal, and what is wrong. */
import type { MulticastLinkReport, MulticastReport } from '../agent/multicast/reach/doctor-report.ts'
import { count, formatDuration, printable } from './format.ts'

/** Nodes up to which the table has a column for each. */
const MAX_COLUMNS = 12

/** The lines of one node's report. */
export function multicastLines({ port, links }: MulticastReport): string[] {
  if (links.length === 0) return ['multicast: no interface that it could be used on']
  return [
    `multicast, port ${port}: rows hear columns; bytes of the largest datagram, b for broadcast, share lost`,
    ...links.flatMap((link) => linkLines(link)),
  ]
}

function linkLines(link: MulticastLinkReport): string[] {
  const { interface: name, family, address, group, state, sinceMs, isSending, maxBytes, matrix } = link
  const role = isSending ? `sends up to ${maxBytes} bytes` : 'listens only'
  const head = `  ${printable(name)} IPv${family} ${printable(address)}, group ${printable(group)}, ${role}: ${STATES[state]} for ${formatDuration(sinceMs)}`
  const names = [...new Set(matrix.flatMap(({ by, of }) => [by, of]))].toSorted()
  if (names.length === 0) return [`${head}; nobody is heard`]
  if (names.length > MAX_COLUMNS) return [head, ...summary(link)]
  const cells = new Map(matrix.map((entry) => [`${entry.by} ${entry.of}`, cellOf(entry)]))
  const rows = [
    ['', ...names.map(printable)],
    ...names.map((by) => [printable(by), ...names.map((of) => (by === of ? '.' : (cells.get(`${by} ${of}`) ?? '?')))]),
  ]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return [head, ...rows.map((row) => `    ${row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')}`.trimEnd())]
}

const STATES: Readonly<Record<MulticastLinkReport['state'], string>> = {
  listening: 'nothing heard',
  open: 'multicast comes',
  rejoining: 'multicast stopped, joining again',
  blocked: 'multicast does not come',
}

function cellOf({ multicastBytes, broadcast, lossShare }: MulticastLinkReport['matrix'][number]): string {
  const loss = multicastBytes > 0 && lossShare >= 0.01 ? ` ${Math.round(100 * lossShare)}%` : ''
  return `${multicastBytes > 0 ? multicastBytes : '-'}${broadcast ? 'b' : ''}${loss}`
}

/** By size, how many pairs there are. */
function summary({ matrix }: MulticastLinkReport): string[] {
  const bySize = new Map<string, number>()
  for (const { multicastBytes, broadcast } of matrix) {
    const what = multicastBytes > 0 ? `${multicastBytes} bytes` : broadcast ? 'broadcast alone' : 'nothing'
    bySize.set(what, (bySize.get(what) ?? 0) + 1)
  }
  return [...bySize].map(([what, pairs]) => `    ${count(pairs, 'path')}: ${what}`)
}
