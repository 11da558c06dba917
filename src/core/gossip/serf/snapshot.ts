/**
 * The snapshot: what a member needs to be one of the cluster again after a crash, as lines that are appended to a file, Serf's own.
 * docs/specs/04-gossip.md §7.6.
 *
 *   alive: NAME ADDRESS:PORT | not-alive: NAME | clock: N | event-clock: N | query-clock: N | leave | # remark
 *
 * Members whose names have a line break are left out. The last word on each matter counts. Clocks are the last times that were seen. Lines that are none are gone past: the end of the file
 * may be cut off.
 */
import { assert } from '../../lib/assert.ts'
import type { Endpoint } from '../messages.ts'

export interface Snapshot {
  /** Members that were alive, by name. */
  readonly alive: ReadonlyMap<string, Endpoint>
  readonly memberTime: number
  readonly eventTime: number
  readonly queryTime: number
}

/** More members than that are not read: each would be tried. */
const MAX_ALIVE = 100_000
const LINE =
  /^(?:alive: (?<name>.+) (?<endpoint>\S+)|not-alive: (?<gone>.+)|(?<clock>clock|event-clock|query-clock): (?<time>\d{1,16})|(?<leave>leave))$/

/** @param rejoinsAfterLeave whether what was before a leave counts */
export function readSnapshot(lines: readonly string[], rejoinsAfterLeave: boolean): Snapshot {
  const alive = new Map<string, Endpoint>()
  const times = { clock: 0, 'event-clock': 0, 'query-clock': 0 }
  for (const line of lines) {
    const groups = LINE.exec(line)?.groups
    if (groups === undefined) continue
    const { name, endpoint, gone, clock, time, leave } = groups
    if (name !== undefined) {
      const parsed = parseEndpoint(endpoint!)
      if (parsed !== undefined && alive.size < MAX_ALIVE) alive.set(name, parsed)
    } else if (gone !== undefined) alive.delete(gone)
    else if (clock !== undefined) times[clock as keyof typeof times] = Number(time)
    else if (leave !== undefined && !rejoinsAfterLeave) {
      alive.clear()
      times.clock = times['event-clock'] = times['query-clock'] = 0
    }
  }
  return { alive, memberTime: times.clock, eventTime: times['event-clock'], queryTime: times['query-clock'] }
}

/** Whether a name goes into a line: others choose their names, and would write lines of their own. */
export function isLineSafe(name: string): boolean {
  return !/[\r\n]/.test(name)
}

export function aliveLine(name: string, endpoint: Endpoint): string {
  return `alive: ${name} ${formatEndpoint(endpoint)}`
}

/** As Go writes it: `10.0.0.1:7946`, `[fe80:0:0:0:0:0:0:1]:7946`. */
export function formatEndpoint({ address, port }: Endpoint): string {
  assert(address.length === 4 || address.length === 16, 'an address of 4 or 16 bytes')
  if (address.length === 4) return `${address.join('.')}:${port}`
  const groups = Array.from({ length: 8 }, (_, index) => ((address[2 * index]! << 8) | address[2 * index + 1]!).toString(16))
  return `[${groups.join(':')}]:${port}`
}

export function parseEndpoint(text: string): Endpoint | undefined {
  const match = /^(?:\[(?<six>[0-9a-fA-F:.]+)\]|(?<four>[0-9.]+)):(?<port>\d{1,5})$/.exec(text)
  const { six, four, port } = match?.groups ?? {}
  const address = four !== undefined ? parseFour(four) : six !== undefined ? parseSix(six) : undefined
  const number = Number(port)
  return address === undefined || !(number > 0 && number < 65536) ? undefined : { address, port: number }
}

function parseFour(text: string): Uint8Array | undefined {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256)) return undefined
  return Uint8Array.from(parts.map(Number))
}

function parseSix(text: string): Uint8Array | undefined {
  const last = /[^:]*$/.exec(text)![0]
  const tail = last.includes('.') ? parseFour(last) : undefined
  if (last.includes('.') && tail === undefined) return undefined
  const whole = tail === undefined ? text : text.slice(0, -last.length) + hextets(tail).join(':')
  const sides = whole.split('::').map((side) => (side === '' ? [] : side.split(':')))
  if (sides.length > 2) return undefined
  const [before = [], after] = sides
  const missing = 8 - before.length - (after?.length ?? 0)
  if (after === undefined ? missing !== 0 : missing < 1) return undefined
  const groups = [...before, ...Array.from({ length: missing }, () => '0'), ...(after ?? [])]
  if (!groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined
  return Uint8Array.from(groups.flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 0xff]))
}

function hextets(four: Uint8Array): string[] {
  return [((four[0]! << 8) | four[1]!).toString(16), ((four[2]! << 8) | four[3]!).toString(16)]
}
