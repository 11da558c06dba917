/**
 * Reads regular expressions of Go (RE2 syntax) into a tree: the grammar's half of `go-regexp.ts`. What is wrong, or not understood, gives no
 * tree.
 */

const MAX_DEPTH = 64
/** The most that a repetition may count to; Go's. */
const MAX_REPEAT = 1000

/** Code points from one to another. */
export type Range = readonly [number, number]
/** What has to hold between two characters. */
export type Assertion = 'start' | 'end' | 'boundary' | 'no-boundary' | 'line-start' | 'line-end'

/** An expression as a tree. */
export type Node =
  | { readonly type: 'set'; readonly ranges: readonly Range[]; readonly isNegated: boolean }
  | { readonly type: 'assert'; readonly what: Assertion }
  | { readonly type: 'all'; readonly nodes: readonly Node[] }
  | { readonly type: 'any-of'; readonly nodes: readonly Node[] }
  | { readonly type: 'repeat'; readonly node: Node; readonly least: number; readonly most: number }

interface Flags {
  readonly ignoresCase: boolean
  readonly dotIsAll: boolean
  readonly isMultiline: boolean
}

const DIGITS: readonly Range[] = [[0x30, 0x39]]
const SPACES: readonly Range[] = [
  [0x09, 0x0a],
  [0x0c, 0x0d],
  [0x20, 0x20],
]
/** Characters of words, by which `\b` and `\w` go. */
export const WORDS: readonly Range[] = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]
const ANY: readonly Range[] = [[0, 0x10ffff]]
const POSIX: Readonly<Record<string, readonly Range[]>> = {
  alnum: [...DIGITS, [0x41, 0x5a], [0x61, 0x7a]],
  alpha: [
    [0x41, 0x5a],
    [0x61, 0x7a],
  ],
  ascii: [[0, 0x7f]],
  blank: [
    [0x09, 0x09],
    [0x20, 0x20],
  ],
  digit: DIGITS,
  lower: [[0x61, 0x7a]],
  upper: [[0x41, 0x5a]],
  punct: [
    [0x21, 0x2f],
    [0x3a, 0x40],
    [0x5b, 0x60],
    [0x7b, 0x7e],
  ],
  space: [
    [0x09, 0x0d],
    [0x20, 0x20],
  ],
  word: WORDS,
  xdigit: [...DIGITS, [0x41, 0x46], [0x61, 0x66]],
}
const CONTROL: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 }

/** The tree of an expression; undefined where it is wrong, or uses what is not understood. */
export function parseGoRegExp(expression: string): Node | undefined {
  return new Parser(expression).parse()
}

/** Thrown inside the parser alone, and caught by it: an expression that is wrong. */
class Refusal extends Error {}

class Parser {
  readonly #chars: readonly string[]
  #at = 0
  #depth = 0

  constructor(expression: string) {
    this.#chars = Array.from(expression)
  }

  parse(): Node | undefined {
    try {
      const node = this.#alternatives({ ignoresCase: false, dotIsAll: false, isMultiline: false })
      return this.#at === this.#chars.length ? node : undefined
    } catch (error) {
      if (error instanceof Refusal) return undefined
      throw error
    }
  }

  #alternatives(flags: Flags): Node {
    if (++this.#depth > MAX_DEPTH) throw new Refusal()
    const nodes: Node[] = []
    let current = flags
    do {
      const parts: Node[] = []
      while (this.#at < this.#chars.length && this.#peek() !== '|' && this.#peek() !== ')') {
        const flagged = this.#flags(current)
        if (flagged === undefined) parts.push(this.#repeated(current))
        else current = flagged
      }
      nodes.push({ type: 'all', nodes: parts })
    } while (this.#take('|'))
    this.#depth--
    return nodes.length === 1 ? nodes[0]! : { type: 'any-of', nodes }
  }

  /** `(?i)`: for what follows in this group. */
  #flags(flags: Flags): Flags | undefined {
    const match = /^\(\?([ims]*)(?:-([ims]+))?\)/.exec(this.#chars.slice(this.#at, this.#at + 12).join(''))
    if (match === null) return undefined
    this.#at += match[0].length
    return withFlags(flags, match[1]!, match[2] ?? '')
  }

  #repeated(flags: Flags): Node {
    let node = this.#atom(flags)
    for (let count = 0; ; count++) {
      const bounds = this.#bounds()
      if (bounds === undefined) return node
      // As in Go, `**` is wrong; one question mark behind makes it lazy, which changes nothing for whether it matches.
      if (count > 0) throw new Refusal()
      this.#take('?')
      node = { type: 'repeat', node, least: bounds[0], most: bounds[1] }
    }
  }

  #bounds(): Range | undefined {
    if (this.#take('*')) return [0, Infinity]
    if (this.#take('+')) return [1, Infinity]
    if (this.#take('?')) return [0, 1]
    const match = /^\{(\d{1,4})(?:(,)(\d{1,4})?)?\}/.exec(this.#chars.slice(this.#at, this.#at + 12).join(''))
    if (match === null) return undefined
    const least = Number(match[1])
    const most = match[2] === undefined ? least : match[3] === undefined ? Infinity : Number(match[3])
    if (least > MAX_REPEAT || (most !== Infinity && (most > MAX_REPEAT || most < least))) throw new Refusal()
    this.#at += match[0].length
    return [least, most]
  }

  #atom(flags: Flags): Node {
    const char = this.#next()
    switch (char) {
      case '(':
        return this.#group(flags)
      case '[':
        return this.#class(flags)
      case '.':
        return set(flags.dotIsAll ? ANY : [[0x0a, 0x0a]], !flags.dotIsAll)
      case '^':
        return { type: 'assert', what: flags.isMultiline ? 'line-start' : 'start' }
      case '$':
        return { type: 'assert', what: flags.isMultiline ? 'line-end' : 'end' }
      case '*':
      case '+':
      case '?':
        throw new Refusal()
      case '\\':
        return this.#escape(flags)
      default:
        return this.#literal(char, flags)
    }
  }

  #group(flags: Flags): Node {
    let inner = flags
    if (this.#peek() === '?') {
      const match = /^\?(?:P?<\w+>|([ims]*)(?:-([ims]+))?:)/.exec(this.#chars.slice(this.#at, this.#at + 64).join(''))
      if (match === null) throw new Refusal()
      this.#at += match[0].length
      inner = withFlags(flags, match[1] ?? '', match[2] ?? '')
    }
    const node = this.#alternatives(inner)
    if (!this.#take(')')) throw new Refusal()
    return node
  }

  #escape(flags: Flags): Node {
    const char = this.#next()
    switch (char) {
      case 'A':
        return { type: 'assert', what: 'start' }
      case 'z':
        return { type: 'assert', what: 'end' }
      case 'b':
        return { type: 'assert', what: 'boundary' }
      case 'B':
        return { type: 'assert', what: 'no-boundary' }
      case 'Q': {
        const nodes: Node[] = []
        while (this.#at < this.#chars.length && !(this.#peek() === '\\' && this.#chars[this.#at + 1] === 'E')) {
          nodes.push(this.#literal(this.#next(), flags))
        }
        if (this.#at < this.#chars.length) this.#at += 2
        return { type: 'all', nodes }
      }
      default: {
        const shorthand = shorthandOf(char)
        if (shorthand !== undefined) return shorthand
        return this.#literal(String.fromCodePoint(this.#escapedCode(char)), flags)
      }
    }
  }

  /** A character behind a backslash, its letter being taken already. */
  #escapedCode(char: string): number {
    const control = CONTROL[char]
    if (control !== undefined) return control
    if (char === 'x') {
      const match = /^(?:\{([0-9a-fA-F]{1,6})\}|([0-9a-fA-F]{2}))/.exec(this.#chars.slice(this.#at, this.#at + 8).join(''))
      const code = parseInt(match?.[1] ?? match?.[2] ?? '', 16)
      if (match === null || code > 0x10ffff) throw new Refusal()
      this.#at += match[0].length
      return code
    }
    if (!/^[!-/:-@[-`{-~]$/.test(char)) throw new Refusal()
    return char.codePointAt(0)!
  }

  #class(flags: Flags): Node {
    const isNegated = this.#take('^')
    const ranges: Range[] = []
    for (let isFirst = true; isFirst || this.#peek() !== ']'; isFirst = false) {
      const part = this.#classPart()
      if (typeof part !== 'number') {
        ranges.push(...part)
        continue
      }
      if (this.#peek() === '-' && this.#chars[this.#at + 1] !== ']') {
        this.#next()
        const end = this.#classPart()
        if (typeof end !== 'number' || end < part) throw new Refusal()
        ranges.push([part, end])
      } else ranges.push([part, part])
    }
    this.#next()
    return set(flags.ignoresCase ? bothCases(ranges) : ranges, isNegated)
  }

  #classPart(): number | readonly Range[] {
    const char = this.#next()
    if (char === '[' && this.#peek() === ':') {
      const match = /^:(\^?)([a-z]+):\]/.exec(this.#chars.slice(this.#at, this.#at + 12).join(''))
      const ranges = match === null ? undefined : Object.hasOwn(POSIX, match[2]!) ? POSIX[match[2]!] : undefined
      if (match === null || ranges === undefined) throw new Refusal()
      this.#at += match[0].length
      return match[1] === '' ? ranges : others(ranges)
    }
    if (char !== '\\') return char.codePointAt(0)!
    const escaped = this.#next()
    const shorthand = shorthandOf(escaped)
    if (shorthand?.type === 'set') return shorthand.isNegated ? others(shorthand.ranges) : shorthand.ranges
    return this.#escapedCode(escaped)
  }

  #literal(char: string, { ignoresCase }: Flags): Node {
    const code = char.codePointAt(0)!
    return set(ignoresCase ? bothCases([[code, code]]) : [[code, code]], false)
  }

  #peek(): string | undefined {
    return this.#chars[this.#at]
  }

  #next(): string {
    const char = this.#chars[this.#at++]
    if (char === undefined) throw new Refusal()
    return char
  }

  #take(char: string): boolean {
    if (this.#peek() !== char) return false
    this.#at++
    return true
  }
}

function withFlags(flags: Flags, on: string, off: string): Flags {
  const is = (flag: string, before: boolean): boolean => (before || on.includes(flag)) && !off.includes(flag)
  return { ignoresCase: is('i', flags.ignoresCase), dotIsAll: is('s', flags.dotIsAll), isMultiline: is('m', flags.isMultiline) }
}

function set(ranges: readonly Range[], isNegated: boolean): Node {
  return { type: 'set', ranges, isNegated }
}

function shorthandOf(char: string): Extract<Node, { type: 'set' }> | undefined {
  const ranges = { d: DIGITS, s: SPACES, w: WORDS }[char.toLowerCase()]
  return ranges === undefined ? undefined : { type: 'set', ranges, isNegated: char !== char.toLowerCase() }
}

function others(ranges: readonly Range[]): Range[] {
  const found: Range[] = []
  let next = 0
  for (const [first, last] of ranges.toSorted((a, b) => a[0] - b[0])) {
    if (first > next) found.push([next, first - 1])
    next = Math.max(next, last + 1)
  }
  if (next <= 0x10ffff) found.push([next, 0x10ffff])
  return found
}

/** With the other case of all letters of ASCII; of others, where a range is one character. */
function bothCases(ranges: readonly Range[]): Range[] {
  const both: Range[] = [...ranges]
  for (const [first, last] of ranges) {
    if (first === last) {
      for (const other of [String.fromCodePoint(first).toLowerCase(), String.fromCodePoint(first).toUpperCase()]) {
        if (Array.from(other).length === 1) both.push([other.codePointAt(0)!, other.codePointAt(0)!])
      }
      continue
    }
    for (const [low, high, shift] of [
      [0x41, 0x5a, 0x20],
      [0x61, 0x7a, -0x20],
    ] as const) {
      const from = Math.max(first, low)
      const to = Math.min(last, high)
      if (from <= to) both.push([from + shift, to + shift])
    }
  }
  return both
}
