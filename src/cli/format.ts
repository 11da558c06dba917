/** Numbers and tables as people read them. */

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** `0 B`, `1023 B`, `1.5 KiB`, `256 MiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    if (unit === 0 && value < 1024) break
    value /= 1024
    unit++
  }
  const text = unit === 0 || value >= 99.95 ? value.toFixed(0) : value.toFixed(1)
  return `${text} ${BYTE_UNITS[unit]}`
}

/** `12 ms`, `3.4 s`, `2 min 5 s`, `3 h 20 min`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`
}

/** `30.5 MiB/s`; nothing where there was no time to measure. */
export function formatRate(bytes: number, ms: number): string {
  return ms < 1 ? '' : `${formatBytes((bytes * 1000) / ms)}/s`
}

/** `2026-01-31 23:59:59`, in this machine's time zone. */
export function formatTime(ms: number): string {
  const time = new Date(ms)
  const two = (value: number): string => String(value).padStart(2, '0')
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`
}

/** Rows under a heading, columns aligned, numbers (marked by `>` before their heading) to the right. */
export function formatTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const isRight = headings.map((heading) => heading.startsWith('>'))
  const all = [headings.map((heading) => heading.replace(/^>/, '')), ...rows.map((row) => row.map(printable))]
  const widths = headings.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)))
  return all
    .map((row) => {
      const cells = row.map((cell, column) =>
        isRight[column] === true ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      return `${cells.join('  ').trimEnd()}\n`
    })
    .join('')
}

/** What came from other nodes, safe on a terminal. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '?')
}

/** The first digits of a content id, which the commands take for the whole. */
export function shortId(id: string): string {
  return id.slice(0, 16)
}

/** `3 members`, `1 member`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

/** A round-trip time: `0.24 ms`, `12.5 ms`, `3.4 s`. */
export function formatRtt(ms: number): string {
  if (ms >= 1000) return formatDuration(ms)
  return `${ms.toFixed(ms < 10 ? 2 : 1)} ms`
}
