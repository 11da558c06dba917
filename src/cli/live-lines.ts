/**
 * Lines on a terminal that are redrawn in place while something goes on.
 *
 * The cursor stays visible and no mode of the terminal is changed, so that whatever ends the program, even kill -9, leaves
 * the terminal as it was, at the beginning of a line.
 */

/** The part of a terminal stream that is used. */
export interface TerminalStream {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
  write(text: string): boolean
}

const REDRAW_MS = 80
const ERASE_BELOW = '\u001B[J'

/** Redrawn lines at the end of what was printed. */
export class LiveLines {
  readonly #stream: TerminalStream
  readonly #now: () => number
  #drawn = 0
  #drawnAt = -Infinity

  constructor(stream: TerminalStream, now: () => number = () => performance.now()) {
    this.#stream = stream
    this.#now = now
  }

  /** Draws these lines in place of the last ones, at most every 80 ms; does nothing where there is no terminal. */
  draw(lines: () => readonly string[]): void {
    if (this.#stream.isTTY !== true || this.#now() - this.#drawnAt < REDRAW_MS) return
    this.#drawnAt = this.#now()
    const columns = Math.max(20, this.#stream.columns || 80)
    const most = Math.max(2, (this.#stream.rows || 24) - 1)
    const all = lines()
    const shown = all.length <= most ? all : [...all.slice(0, most - 1), `… and ${all.length - most + 1} more`]
    this.#stream.write(`${this.#erasing()}${shown.map((line) => `${cut(line, columns - 1)}\n`).join('')}`)
    this.#drawn = shown.length
  }

  /** Prints lines that stay, above the redrawn ones, which the next `draw` brings back. */
  print(text: string): void {
    this.#stream.write(`${this.#erasing()}${text}`)
    this.#drawn = 0
    this.#drawnAt = -Infinity
  }

  /** Takes the redrawn lines away. */
  clear(): void {
    if (this.#drawn === 0) return
    this.#stream.write(this.#erasing())
    this.#drawn = 0
  }

  #erasing(): string {
    return this.#drawn === 0 ? '' : `\u001B[${this.#drawn}A\r${ERASE_BELOW}`
  }
}

/** A bar of some width: `[#####.....]`; without a total it says so. */
export function bar(have: number, total: number | undefined, width = 20): string {
  if (total === undefined) return `[${'?'.padEnd(width, ' ')}]`
  const full = total === 0 ? width : Math.min(width, Math.floor((have / total) * width))
  return `[${'#'.repeat(full)}${'.'.repeat(width - full)}]`
}

/** `53 %`, four wide; blank without a total. */
export function percent(have: number, total: number | undefined): string {
  return (total === undefined ? '' : `${total === 0 ? 100 : Math.floor((have / total) * 100)} %`).padStart(5)
}

function cut(line: string, columns: number): string {
  return line.length <= columns ? line : `${line.slice(0, columns - 1)}…`
}
