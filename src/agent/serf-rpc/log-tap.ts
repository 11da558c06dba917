/**
 * The agent's last log lines and those to come, for `serf monitor`: in Serf's form, `2026/11/22 09:07:50 [INFO] membership: joined`.
 *
 * It keeps a ring of lines, so that who begins to listen sees what just happened. Lines that the agent does not log are not here: the
 * option log-level is the least that can be listened to.
 */

/** Serf's levels, from the least to the most severe. */
const LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERR'] as const

export type SerfLevel = (typeof LEVELS)[number]

/** Lines that are kept; Serf's own number. The oldest one goes. */
const MAX_LINES = 512
/** Characters of a line; the rest is cut off. */
const MAX_LINE_LENGTH = 8192

/** Where a logger puts its lines. */
export interface LogTap {
  /** `level` is the logger's (`info`, `error` …), `line` what follows the level. */
  onLine(level: string, line: string): void
}

interface Line {
  readonly level: SerfLevel
  readonly text: string
}

export class LogRing implements LogTap {
  readonly #now: () => Date
  /** Oldest first. */
  readonly #lines: Line[] = []
  readonly #listeners: Set<(line: Line) => void> = new Set()

  constructor(now: () => Date = () => new Date()) {
    this.#now = now
  }

  onLine(level: string, line: string): void {
    const serfLevel = LEVEL_OF[level] ?? 'INFO'
    const one = { level: serfLevel, text: `${timeText(this.#now())} [${serfLevel}] ${line.slice(0, MAX_LINE_LENGTH)}` }
    this.#lines.push(one)
    if (this.#lines.length > MAX_LINES) this.#lines.shift()
    for (const listener of this.#listeners) listener(one)
  }

  /** Takes a line of JSON as the root logger writes it (`log.ts`). */
  onJson(json: string): void {
    const { level, room, msg, time: _time, node: _node, ...fields } = JSON.parse(json) as Record<string, unknown>
    const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    this.onLine(String(level), `${typeof room === 'string' ? room : 'agent'}: ${typeof msg === 'string' ? msg : ''}${rest.join('')}`)
  }

  /** Calls back with the lines that are kept and with those to come, of a level at least; the function returned ends it. */
  listen(least: SerfLevel, listener: (line: string) => void): () => void {
    const from = LEVELS.indexOf(least)
    const take = ({ level, text }: Line): void => {
      if (LEVELS.indexOf(level) >= from) listener(text)
    }
    for (const line of [...this.#lines]) take(line)
    this.#listeners.add(take)
    return () => {
      this.#listeners.delete(take)
    }
  }
}

/** Serf's level of that name, in capitals; undefined if it has none. */
export function serfLevel(name: string): SerfLevel | undefined {
  return LEVELS.find((level) => level === name)
}

const LEVEL_OF: Readonly<Record<string, SerfLevel>> = {
  trace: 'TRACE',
  debug: 'DEBUG',
  info: 'INFO',
  warn: 'WARN',
  error: 'ERR',
  fatal: 'ERR',
}

/** Local time, as Go's log package writes it. */
function timeText(time: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  const date = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join('/')
  return `${date} ${[time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(':')}`
}
