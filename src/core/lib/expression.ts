/**
 * Regular expressions as Go has them (RE2 syntax, https://golang.org/s/re2syntax), matched in time that grows with the text and the
 * expression alone: they come from the network, and a backtracking engine would let one expression stop a node.
 *
 * An expression becomes a program of steps (Thompson, 1968); matching follows all ways through it at once, one character after the other
 * (Cox, "Regular Expression Matching: the Virtual Machine Approach"). Only whether it matches is told, so groups capture nothing and lazy
 * repetitions are like greedy ones. Left out: `\C`. Case is folded character by character.
 */

/** Characters of an expression, steps of its program, groups within each other. */
const MAX_SOURCE_LENGTH = 1024
const MAX_STEPS = 4096
const MAX_DEPTH = 64
/** Go's own limit of the numbers in {n,m}. */
const MAX_REPEAT = 1000
/** Characters of a text; a longer one matches nothing. */
const MAX_TEXT_LENGTH = 8192

type CharacterTest = (point: number) => boolean
type Place = 'text start' | 'text end' | 'line start' | 'line end' | 'word boundary' | 'no word boundary'

type Node =
  | { readonly type: 'empty' }
  | { readonly type: 'character'; readonly test: CharacterTest }
  | { readonly type: 'place'; readonly place: Place }
  | { readonly type: 'sequence' | 'choice'; readonly nodes: readonly Node[] }
  | { readonly type: 'repeat'; readonly node: Node; readonly least: number; readonly most: number }

type Step =
  | { readonly type: 'character'; readonly test: CharacterTest }
  | { readonly type: 'place'; readonly place: Place }
  | { readonly type: 'fork'; readonly to: number[] }
  | { readonly type: 'match' }

/** A compiled expression. */
export interface Expression {
  /** Whether it matches somewhere in the text; put it between ^ and $ for all of it. */
  matches(text: string): boolean
}

/** Compiles an expression; a text that says what is wrong with it if it isn't one, or is beyond the limits. */
export function compileExpression(source: string): Expression | string {
  if (source.length > MAX_SOURCE_LENGTH) return `error parsing regexp: expression of more than ${MAX_SOURCE_LENGTH} characters`
  const problem = (what: string): string => `error parsing regexp: ${what}: \`${source}\``
  const parser = new Parser(source)
  const node = parser.parse()
  if (parser.problem !== undefined) return problem(parser.problem)
  const steps: Step[] = []
  if (!emit(node, steps)) return problem('expression too large')
  steps.push({ type: 'match' })
  return { matches: (text) => text.length <= MAX_TEXT_LENGTH && run(steps, text) }
}

/** Follows all ways at once; a way that begins later is a match somewhere in the text. */
function run(steps: readonly Step[], text: string): boolean {
  const points = Array.from(text, (character) => character.codePointAt(0) as number)
  // When a step was last put on the list, so that none is there twice for one character.
  const addedAt = new Int32Array(steps.length).fill(-1)
  let current: number[] = []
  for (let at = 0; at <= points.length; at++) {
    const waiting = [...current, 0].toReversed()
    const next: number[] = []
    for (let index = waiting.pop(); index !== undefined; index = waiting.pop()) {
      if (addedAt[index] === at) continue
      addedAt[index] = at
      const step = steps[index] as Step
      switch (step.type) {
        case 'match':
          return true
        case 'fork':
          waiting.push(...step.to)
          break
        case 'place':
          if (isAt(step.place, points, at)) waiting.push(index + 1)
          break
        case 'character': {
          const point = points[at]
          if (point !== undefined && step.test(point)) next.push(index + 1)
        }
      }
    }
    current = next
  }
  return false
}

function isAt(place: Place, points: readonly number[], at: number): boolean {
  const isWordBefore = at > 0 && isWord(points[at - 1] as number)
  const isWordAfter = at < points.length && isWord(points[at] as number)
  switch (place) {
    case 'text start':
      return at === 0
    case 'text end':
      return at === points.length
    case 'line start':
      return at === 0 || points[at - 1] === NEWLINE
    case 'line end':
      return at === points.length || points[at] === NEWLINE
    case 'word boundary':
      return isWordBefore !== isWordAfter
    case 'no word boundary':
      return isWordBefore === isWordAfter
  }
}

/** Appends the steps of a node, which go on at the step after them; false when there are too many. */
function emit(node: Node, steps: Step[]): boolean {
  if (steps.length > MAX_STEPS) return false
  switch (node.type) {
    case 'empty':
      return true
    case 'character':
    case 'place':
      steps.push(node)
      return true
    case 'sequence':
      return node.nodes.every((one) => emit(one, steps))
    case 'choice':
      return emitChoice(node.nodes, steps)
    case 'repeat':
      return emitRepeat(node.node, node.least, node.most, steps)
  }
}

function emitChoice(nodes: readonly Node[], steps: Step[]): boolean {
  const start: number[] = []
  steps.push({ type: 'fork', to: start })
  const ends: number[][] = []
  for (const node of nodes) {
    start.push(steps.length)
    if (!emit(node, steps)) return false
    const end: number[] = []
    steps.push({ type: 'fork', to: end })
    ends.push(end)
  }
  for (const end of ends) end.push(steps.length)
  return true
}

function emitRepeat(node: Node, least: number, most: number, steps: Step[]): boolean {
  for (let i = 0; i < least; i++) if (!emit(node, steps)) return false
  if (most === Infinity) {
    const loop = steps.length
    const to = [loop + 1]
    steps.push({ type: 'fork', to })
    if (!emit(node, steps)) return false
    steps.push({ type: 'fork', to: [loop] })
    to.push(steps.length)
    return true
  }
  const skips: number[][] = []
  for (let i = least; i < most; i++) {
    const to = [steps.length + 1]
    steps.push({ type: 'fork', to })
    skips.push(to)
    if (!emit(node, steps)) return false
  }
  for (const to of skips) to.push(steps.length)
  return true
}

interface Flags {
  readonly isCaseFolded: boolean
  readonly isMultiline: boolean
  readonly dotIsAll: boolean
}

/** Reads an expression from left to right; after the first problem it reads nothing more. */
class Parser {
  problem: string | undefined
  readonly #points: readonly string[]
  #at = 0
  #flags: Flags = { isCaseFolded: false, isMultiline: false, dotIsAll: false }

  constructor(source: string) {
    this.#points = Array.from(source)
  }

  parse(): Node {
    const node = this.#choice(0)
    if (this.#peek() === ')') this.#fail('unexpected )')
    return node
  }

  #choice(depth: number): Node {
    if (depth > MAX_DEPTH) this.#fail('expression nests too deeply')
    const nodes = [this.#sequence(depth)]
    while (this.#take('|')) nodes.push(this.#sequence(depth))
    return nodes.length === 1 ? (nodes[0] as Node) : { type: 'choice', nodes }
  }

  #sequence(depth: number): Node {
    const nodes: Node[] = []
    for (;;) {
      const next = this.#peek()
      if (next === undefined || next === '|' || next === ')') return { type: 'sequence', nodes }
      const quoted = this.#quotation()
      if (quoted === undefined) {
        nodes.push(this.#repeated(this.#one(depth)))
        continue
      }
      nodes.push(...quoted.slice(0, -1))
      const last = quoted.at(-1)
      if (last !== undefined) nodes.push(this.#repeated(last))
    }
  }

  /** `\Q…\E`: every character of it for itself. */
  #quotation(): Node[] | undefined {
    if (this.#peek() !== '\\' || this.#points[this.#at + 1] !== 'Q') return undefined
    this.#at += 2
    const nodes: Node[] = []
    while (this.#peek() !== undefined) {
      if (this.#peek() === '\\' && this.#points[this.#at + 1] === 'E') {
        this.#at += 2
        break
      }
      nodes.push(this.#literal(this.#next()))
    }
    return nodes
  }

  #repeated(node: Node): Node {
    const range = this.#repetition()
    if (range === undefined) return node
    this.#take('?')
    const before = this.#at
    if (this.#repetition() !== undefined) this.#fail(`invalid nested repetition operator at ${before}`)
    return { type: 'repeat', node, ...range }
  }

  #repetition(): { least: number; most: number } | undefined {
    if (this.#take('*')) return { least: 0, most: Infinity }
    if (this.#take('+')) return { least: 1, most: Infinity }
    if (this.#take('?')) return { least: 0, most: 1 }
    const match = /^\{(\d{1,6})(,(\d{0,6}))?\}/.exec(this.#points.slice(this.#at, this.#at + 16).join(''))
    if (match === null) return undefined
    this.#at += match[0].length
    const least = Number(match[1])
    const most = match[2] === undefined ? least : match[3] === '' ? Infinity : Number(match[3])
    if (least > MAX_REPEAT || (most !== Infinity && most > MAX_REPEAT) || most < least) this.#fail('invalid repeat count')
    return { least, most }
  }

  #one(depth: number): Node {
    const { isMultiline, dotIsAll } = this.#flags
    const character = this.#next()
    switch (character) {
      case '(':
        return this.#group(depth)
      case '[':
        return { type: 'character', test: this.#set() }
      case '.':
        return { type: 'character', test: (point) => dotIsAll || point !== NEWLINE }
      case '^':
        return { type: 'place', place: isMultiline ? 'line start' : 'text start' }
      case '$':
        return { type: 'place', place: isMultiline ? 'line end' : 'text end' }
      case '*':
      case '+':
      case '?':
        return this.#fail('missing argument to repetition operator')
      case '\\':
        return this.#escape()
      default:
        return this.#literal(character)
    }
  }

  #group(depth: number): Node {
    const outer = this.#flags
    if (this.#take('?')) {
      const head = /^(?:P?<(?<name>\w+)>|(?<flags>[imsU]*)(?:-(?<off>[imsU]+))?(?<end>[:)]))/.exec(this.#points.slice(this.#at).join(''))
      if (head === null) return this.#fail('invalid or unsupported Perl syntax')
      this.#at += head[0].length
      const { flags = '', off = '', end } = head.groups ?? {}
      const set = (letter: string, before: boolean): boolean => (flags.includes(letter) || before) && !off.includes(letter)
      this.#flags = {
        isCaseFolded: set('i', outer.isCaseFolded),
        isMultiline: set('m', outer.isMultiline),
        dotIsAll: set('s', outer.dotIsAll),
      }
      // (?i) alone is for the rest of the group that it stands in.
      if (end === ')') return { type: 'empty' }
    }
    const node = this.#choice(depth + 1)
    if (!this.#take(')')) this.#fail('missing closing )')
    this.#flags = outer
    return node
  }

  #escape(): Node {
    const letter = this.#peek()
    if (letter === undefined) return this.#fail('trailing backslash at end of expression')
    const place = PLACES[letter]
    if (place !== undefined) {
      this.#at++
      return { type: 'place', place }
    }
    const test = this.#classEscape()
    if (test !== undefined) return { type: 'character', test }
    return this.#literal(String.fromCodePoint(this.#escapedPoint()))
  }

  /** `\d`, `\pL` and the like, after the backslash. */
  #classEscape(): CharacterTest | undefined {
    const letter = this.#peek() ?? ''
    const test = CLASSES[letter]
    if (test !== undefined) {
      this.#at++
      return test
    }
    if (letter !== 'p' && letter !== 'P') return undefined
    this.#at++
    const name = /^(?:\{\^?(\w+)\}|[A-Z])/.exec(this.#points.slice(this.#at, this.#at + 40).join(''))?.[0]
    const property = name === undefined ? undefined : unicodeClass(name.replace(/[{}^]/g, ''))
    if (name === undefined || property === undefined) {
      this.#fail('invalid character class range')
      return undefined
    }
    this.#at += name.length
    const isNegated = (letter === 'P') !== name.includes('^')
    return isNegated ? (point) => !property(point) : property
  }

  /** The character that an escape stands for, after the backslash. */
  #escapedPoint(): number {
    const match =
      /^(?:x\{(?<wide>[0-9A-Fa-f]{1,6})\}|x(?<hex>[0-9A-Fa-f]{2})|(?<octal>0[0-7]{0,2}|[1-7][0-7]{1,2})|(?<control>[aftnrv])|(?<self>[!-/:-@[-`{-~]))/u.exec(
        this.#points.slice(this.#at, this.#at + 12).join(''),
      )
    const { wide, hex, octal, control, self } = match?.groups ?? {}
    const point =
      control !== undefined
        ? CONTROLS[control]
        : (self?.codePointAt(0) ?? Number.parseInt(wide ?? hex ?? octal ?? '', wide === undefined && hex === undefined ? 8 : 16))
    if (match === null || point === undefined || point > 0x10ffff) {
      this.#fail('invalid escape sequence')
      return 0
    }
    this.#at += match[0].length
    return point
  }

  /** What is between brackets. */
  #set(): CharacterTest {
    const isNegated = this.#take('^')
    const tests: CharacterTest[] = []
    for (let isFirst = true; isFirst || this.#peek() !== ']'; isFirst = false) {
      if (this.#peek() === undefined) {
        this.#fail('missing closing ]')
        break
      }
      const posix = /^\[:(\^?)([a-z]+):\]/.exec(this.#points.slice(this.#at, this.#at + 16).join(''))
      if (posix !== null) {
        this.#at += posix[0].length
        const test = POSIX[posix[2] as string]
        if (test === undefined) this.#fail('invalid character class range')
        else tests.push(posix[1] === '^' ? (point) => !test(point) : test)
        continue
      }
      tests.push(this.#setItem())
    }
    this.#at++
    const { isCaseFolded } = this.#flags
    const isIn: CharacterTest = (point) => tests.some((test) => test(point))
    const folded: CharacterTest = isCaseFolded ? (point) => casesOf(point).some(isIn) : isIn
    return isNegated ? (point) => !folded(point) : folded
  }

  #setItem(): CharacterTest {
    if (this.#peek() === '\\') {
      this.#at++
      const test = this.#classEscape()
      if (test !== undefined) return test
      this.#at--
    }
    const from = this.#setPoint()
    if (this.#peek() !== '-' || this.#points[this.#at + 1] === ']' || this.#points[this.#at + 1] === undefined)
      return (point) => point === from
    this.#at++
    const to = this.#setPoint()
    if (to < from) this.#fail('invalid character class range')
    return (point) => point >= from && point <= to
  }

  #setPoint(): number {
    return this.#take('\\') ? this.#escapedPoint() : (this.#next().codePointAt(0) as number)
  }

  #literal(character: string): Node {
    const wanted = character.codePointAt(0) ?? 0
    const cases = this.#flags.isCaseFolded ? casesOf(wanted) : [wanted]
    return { type: 'character', test: (point) => cases.includes(point) }
  }

  #peek(): string | undefined {
    return this.problem === undefined ? this.#points[this.#at] : undefined
  }

  #next(): string {
    const character = this.#points[this.#at++]
    if (character === undefined) this.#fail('unexpected end of expression')
    return character ?? '\0'
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false
    this.#at++
    return true
  }

  #fail(problem: string): Node {
    this.problem ??= problem
    return { type: 'empty' }
  }
}

const NEWLINE = 10

const PLACES: Readonly<Record<string, Place | undefined>> = { A: 'text start', z: 'text end', b: 'word boundary', B: 'no word boundary' }
const CONTROLS: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 }

function oneOf(...ranges: readonly (readonly [from: number, to: number])[]): CharacterTest {
  return (point) => ranges.some(([from, to]) => point >= from && point <= to)
}

const UPPER = [0x41, 0x5a] as const
const LOWER = [0x61, 0x7a] as const
const DIGIT = [0x30, 0x39] as const
const isWord = oneOf(UPPER, LOWER, DIGIT, [0x5f, 0x5f])
const isDigit = oneOf(DIGIT)
/** Tab, newline, form feed, carriage return, space: Go's has no vertical tab. */
const isSpace = oneOf([9, 10], [12, 13], [32, 32])

const CLASSES: Readonly<Record<string, CharacterTest | undefined>> = {
  d: isDigit,
  D: (point) => !isDigit(point),
  w: isWord,
  W: (point) => !isWord(point),
  s: isSpace,
  S: (point) => !isSpace(point),
}

const POSIX: Readonly<Record<string, CharacterTest | undefined>> = {
  alnum: oneOf(UPPER, LOWER, DIGIT),
  alpha: oneOf(UPPER, LOWER),
  ascii: oneOf([0, 0x7f]),
  blank: oneOf([9, 9], [32, 32]),
  cntrl: oneOf([0, 0x1f], [0x7f, 0x7f]),
  digit: isDigit,
  graph: oneOf([0x21, 0x7e]),
  lower: oneOf(LOWER),
  print: oneOf([0x20, 0x7e]),
  punct: oneOf([0x21, 0x2f], [0x3a, 0x40], [0x5b, 0x60], [0x7b, 0x7e]),
  space: oneOf([9, 13], [32, 32]),
  upper: oneOf(UPPER),
  word: isWord,
  xdigit: oneOf(DIGIT, [0x41, 0x46], [0x61, 0x66]),
}

/** A category or script of Unicode. One character at a time leaves the engine nothing to go back over. */
function unicodeClass(name: string): CharacterTest | undefined {
  for (const property of [name, `Script=${name}`]) {
    try {
      const pattern = new RegExp(`^\\p{${property}}$`, 'u')
      return (point) => pattern.test(String.fromCodePoint(point))
    } catch {
      // It is not one of these: perhaps one of the others.
    }
  }
  return undefined
}

/** A character in its upper and lower case, where they are one character each. */
function casesOf(point: number): number[] {
  const character = String.fromCodePoint(point)
  return [character, character.toLowerCase(), character.toUpperCase()]
    .filter((one) => Array.from(one).length === 1)
    .map((one) => one.codePointAt(0) as number)
}
