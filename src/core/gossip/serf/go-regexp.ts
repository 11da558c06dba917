/**
 * Regular expressions of Go (RE2 syntax, github.com/google/re2/wiki/Syntax), as far as filters of members use them: alternatives, groups,
 * repetitions, classes, anchors, word boundaries, and the flags i, m and s. Whatever else, Unicode classes among it, does not compile.
 *
 * The expression comes from other members. JavaScript's own engine tries ways one after another, and some expressions keep it busy for
 * years; so this one goes through all ways at once, a state set per character (Thompson, CACM 11/6, 1968): time is the product of the
 * lengths of program and text, and both are bounded.
 */
import { parseGoRegExp, WORDS, type Assertion, type Node, type Range } from './go-regexp-parser.ts'

/** UTF-16 units of an expression; steps that it comes to. Beyond them it does not compile. */
const MAX_EXPRESSION_LENGTH = 1024
const MAX_STEPS = 2048
/** Parts of the tree that are gone through for them, those of repetitions each time; what is empty comes to no step. */
const MAX_PARTS = 8 * MAX_STEPS

interface Split {
  readonly type: 'split'
  a: number
  b: number
}

type Step =
  | { readonly type: 'set'; readonly ranges: readonly Range[]; readonly isNegated: boolean }
  | { readonly type: 'assert'; readonly what: Assertion }
  | Split
  | { readonly type: 'match' }

/** A compiled expression: whether it matches anywhere in a text. */
export type GoRegExp = (text: string) => boolean

/** Undefined where the expression is wrong, too long, or uses what is not understood here. */
export function compileGoRegExp(expression: string): GoRegExp | undefined {
  if (expression.length > MAX_EXPRESSION_LENGTH) return undefined
  const node = parseGoRegExp(expression)
  const program: Step[] = []
  if (node === undefined || !new Compiler(program).emit(node)) return undefined
  program.push({ type: 'match' })
  return (text) => run(program, text)
}

class Compiler {
  readonly #program: Step[]
  #partCount = 0

  constructor(program: Step[]) {
    this.#program = program
  }

  /** Appends the steps of a node; false when there are too many. Each piece goes on at the step after its last. */
  emit(node: Node): boolean {
    if (this.#program.length > MAX_STEPS || ++this.#partCount > MAX_PARTS) return false
    switch (node.type) {
      case 'set':
      case 'assert':
        this.#program.push(node)
        return true
      case 'all':
        return node.nodes.every((part) => this.emit(part))
      case 'any-of':
        return this.#alternatives(node.nodes)
      case 'repeat':
        for (let i = 0; i < node.least; i++) if (!this.emit(node.node)) return false
        return node.most === Infinity ? this.#loop(node.node) : this.#optional(node.node, node.most - node.least)
    }
  }

  #loop(node: Node): boolean {
    const split = this.#split()
    if (!this.emit(node)) return false
    this.#program.push({ type: 'split', a: split.a - 1, b: split.a - 1 })
    split.b = this.#program.length
    return true
  }

  #optional(node: Node, count: number): boolean {
    const splits: Split[] = []
    for (let i = 0; i < count; i++) {
      splits.push(this.#split())
      if (!this.emit(node)) return false
    }
    for (const split of splits) split.b = this.#program.length
    return true
  }

  #alternatives(nodes: readonly Node[]): boolean {
    const exits: Split[] = []
    for (const node of nodes.slice(0, -1)) {
      const split = this.#split()
      if (!this.emit(node)) return false
      exits.push(this.#split())
      split.b = this.#program.length
    }
    const last = nodes.at(-1)
    if (last !== undefined && !this.emit(last)) return false
    for (const exit of exits) exit.a = exit.b = this.#program.length
    return true
  }

  /** A step with two ways on: the next one, and one that is to be filled in. */
  #split(): Split {
    const split: Split = { type: 'split', a: this.#program.length + 1, b: 0 }
    this.#program.push(split)
    return split
  }
}

function run(program: readonly Step[], text: string): boolean {
  const codes = Array.from(text, (char) => char.codePointAt(0)!)
  const marks = new Int32Array(program.length).fill(-1)
  let states: number[] = []
  for (let at = 0; at <= codes.length; at++) {
    // A match may begin anywhere.
    states.push(0)
    const reached: number[] = []
    while (states.length > 0) {
      const index = states.pop()!
      if (marks[index] === at) continue
      marks[index] = at
      const step = program[index]!
      if (step.type === 'match') return true
      if (step.type === 'split') states.push(step.a, step.b)
      else if (step.type === 'assert') {
        if (holds(step.what, codes, at)) states.push(index + 1)
      } else if (at < codes.length && isIn(step, codes[at]!)) reached.push(index + 1)
    }
    states = reached
  }
  return false
}

function isIn({ ranges, isNegated }: Extract<Step, { type: 'set' }>, code: number): boolean {
  return ranges.some(([first, last]) => code >= first && code <= last) !== isNegated
}

function holds(what: Assertion, codes: readonly number[], at: number): boolean {
  switch (what) {
    case 'start':
      return at === 0
    case 'end':
      return at === codes.length
    case 'line-start':
      return at === 0 || codes[at - 1] === 0x0a
    case 'line-end':
      return at === codes.length || codes[at] === 0x0a
    case 'boundary':
      return isWord(codes[at - 1]) !== isWord(codes[at])
    case 'no-boundary':
      return isWord(codes[at - 1]) === isWord(codes[at])
  }
}

function isWord(code: number | undefined): boolean {
  return code !== undefined && WORDS.some(([first, last]) => code >= first && code <= last)
}
