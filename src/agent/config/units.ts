/**
 * Sizes, rates and durations as people write them: `10GiB`, `50mbit`, `30s`.
 *
 * Each reader gives a plain number in the base unit, or a string that says what is wrong; each writer gives a text that its
 * reader turns into the same number.
 */

const BYTE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  tib: 1024 ** 4,
}
const BIT_UNITS: Readonly<Record<string, number>> = { bit: 1 / 8, kbit: 125, mbit: 125_000, gbit: 125_000_000, tbit: 125_000_000_000 }
const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Bytes from `1048576`, `512MB` (powers of 1000) or `10GiB`, `10G` (powers of 1024), in any case; else what is wrong. */
export function parseBytes(text: string): number | string {
  return parseQuantity(text, BYTE_UNITS, 'write bytes, or a number with kB, MB, GB, TB, KiB, MiB, GiB or TiB')
}

/** Bytes per second from the same as `parseBytes`, with or without `/s`, or from `50mbit`; else what is wrong. */
export function parseRate(text: string): number | string {
  const problem = 'write bytes per second, a number with a unit of bytes such as 10MB, or bits as 50mbit'
  return parseQuantity(text.replace(/\/s$/i, ''), { ...BYTE_UNITS, ...BIT_UNITS }, problem)
}

/** Milliseconds from `500ms`, `30s`, `10m`, `2h`, `7d` or `0`; else what is wrong. */
export function parseDuration(text: string): number | string {
  if (/^\s*0+\s*$/.test(text)) return 0
  return parseQuantity(text, DURATION_UNITS, 'write a number with ms, s, m, h or d, such as 30s')
}

/** The shortest exact text of a number of bytes: `64MiB`. */
export function formatBytes(bytes: number): string {
  return formatQuantity(
    bytes,
    [
      ['TiB', 1024 ** 4],
      ['GiB', 1024 ** 3],
      ['MiB', 1024 ** 2],
      ['KiB', 1024],
    ],
    '',
  )
}

/** The shortest exact text of a duration: `90s`. */
export function formatDuration(ms: number): string {
  return ms === 0
    ? '0'
    : formatQuantity(
        ms,
        [
          ['d', 86_400_000],
          ['h', 3_600_000],
          ['m', 60_000],
          ['s', 1000],
        ],
        'ms',
      )
}

function parseQuantity(text: string, units: Readonly<Record<string, number>>, problem: string): number | string {
  const match = /^(\d{1,16}(?:\.\d{1,9})?)\s*([A-Za-z]*)$/.exec(text.trim())
  const unit = match?.[2]?.toLowerCase() ?? ''
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined
  if (match === null || factor === undefined) return problem
  const value = Math.round(Number(match[1]) * factor)
  return Number.isSafeInteger(value) ? value : 'the number is too large'
}

function formatQuantity(value: number, units: readonly (readonly [string, number])[], base: string): string {
  const unit = value === 0 ? undefined : units.find(([, factor]) => value % factor === 0)
  return unit === undefined ? `${value}${base}` : `${value / unit[1]}${unit[0]}`
}
