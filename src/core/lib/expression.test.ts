import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { compileExpression } from './expression.ts'

function matches(source: string, text: string): boolean {
  const expression = compileExpression(source)
  assert.ok(typeof expression !== 'string', `${source}: ${JSON.stringify(expression)}`)
  return expression.matches(text)
}

test('expressions of Go match what Go says', () => {
  for (const [source, yes, no] of [
    ['', ['', 'a'], []],
    ['b', ['b', 'abc'], ['', 'ac']],
    ['^b$', ['b'], ['ab', 'b\n', '']],
    // As in `^%s$` around alternatives.
    ['^a|b$', ['ax', 'xb'], ['xa', 'bx']],
    ['^(a|b)$', ['a', 'b'], ['ab', '']],
    ['^(?:a|b|)c$', ['ac', 'bc', 'c'], ['abc']],
    ['^web-[0-9]{2,3}$', ['web-01', 'web-123'], ['web-1', 'web-1234', 'web-ab']],
    ['^x{2}y{1,}z{0}$', ['xxy', 'xxyyy'], ['xy', 'xxyz']],
    ['^a{,2}$', ['a{,2}'], ['aa']],
    ['^a*b+c?$', ['b', 'aabbc'], ['a', 'abcc']],
    ['^a*?b$', ['b', 'aab'], ['a']],
    ['^[^a-c]$', ['d', 'é'], ['a', '', 'dd']],
    ['^[]a]$', [']', 'a'], ['b']],
    ['^[a-]$', ['a', '-'], ['b']],
    ['^[[:alpha:]\\d_]+$', ['ab9_'], ['-']],
    ['^[[:^digit:]]$', ['a'], ['1']],
    ['^\\w\\W\\s\\S\\d\\D$', ['a- x1x'], ['a-xx1x']],
    ['^\\pL\\p{Greek}\\P{L}$', ['éα1'], ['1α1', 'aa1']],
    ['^.$', ['a', '💡'], ['\n', '']],
    ['(?s)^.$', ['\n'], ['']],
    ['(?i)^we[B]$', ['WEB', 'web'], ['wex']],
    ['^(?i:a)b$', ['Ab'], ['AB']],
    ['(?i)^a(?-i)b$', ['Ab'], ['AB']],
    ['(?m)^b$', ['a\nb\nc'], ['ab']],
    ['^(?P<x>a)(?<y>b)$', ['ab'], ['a']],
    ['\\bcat\\b', ['a cat!'], ['cats']],
    ['\\Ba', ['ba'], ['a']],
    ['\\Aa\\z', ['a'], ['ba', 'ab']],
    ['^\\Q.*\\E+$', ['.*', '.***'], ['.', 'a']],
    ['^\\x41\\x{1F4A1}\\101\\t\\.$', ['A💡A\t.'], ['A💡A\tx']],
    ['^(a*)*$', ['', 'aaa'], ['b']],
    ['^(|a)+$', ['', 'aa'], ['b']],
  ] as [string, string[], string[]][]) {
    for (const text of yes) assert.ok(matches(source, text), `${source} matches ${JSON.stringify(text)}`)
    for (const text of no) assert.ok(!matches(source, text), `${source} does not match ${JSON.stringify(text)}`)
  }
})

test('what is no expression is said', () => {
  for (const [source, problem] of [
    ['(', 'missing closing )'],
    ['a)', 'unexpected )'],
    ['[a', 'missing closing ]'],
    ['*a', 'missing argument to repetition operator'],
    ['a**', 'invalid nested repetition operator'],
    ['a{1001}', 'invalid repeat count'],
    ['a{2,1}', 'invalid repeat count'],
    ['a\\', 'trailing backslash'],
    ['\\y', 'invalid escape sequence'],
    ['[b-a]', 'invalid character class range'],
    ['\\p{Nothing}', 'invalid character class range'],
    ['(?=a)', 'invalid or unsupported Perl syntax'],
    ['((a{100}){100}){100}', 'expression too large'],
    ['('.repeat(100), 'nests too deeply'],
    ['a'.repeat(2000), 'more than 1024'],
  ] as [string, string][]) {
    const result = compileExpression(source)
    assert.ok(typeof result === 'string' && result.includes(problem), `${source}: ${JSON.stringify(result)}`)
  }
})

test('simple expressions match as those of JavaScript do', () => {
  const piece = fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', 'a*', 'b+', 'c?', '(a|bc)', '(?:ab)*', 'a{1,2}', '|', '^', '$', '\\b')
  const source = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(''))
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' '), maxLength: 8 })
  fc.assert(
    fc.property(source, text, (given, subject) => {
      assert.equal(matches(given, subject), new RegExp(given, 'u').test(subject))
    }),
    { numRuns: 1000 },
  )
})

test('whatever is given, nothing throws', () => {
  const unit = fc.constantFrom(...'ab(|)[]{}?*+^$\\.,-:019PpQExi<>'.split(''))
  fc.assert(
    fc.property(fc.string({ unit, maxLength: 30 }), fc.string({ maxLength: 10 }), (source, text) => {
      const expression = compileExpression(source)
      if (typeof expression !== 'string') expression.matches(text)
    }),
    { numRuns: 2000 },
  )
})

test('an expression that keeps backtracking engines busy for years is nothing special', () => {
  assert.ok(!matches('^(a+)+(a*)*(a|aa)+$', `${'a'.repeat(2000)}b`))
})

function check(expression: string, text: string): boolean | undefined {
  const compiled = compileExpression(expression)
  return typeof compiled === 'string' ? undefined : compiled.matches(text)
}

test('expressions match as in Go', () => {
  for (const [expression, text, isMatch] of [
    ['', 'anything', true],
    ['web', 'a web server', true],
    ['^web$', 'a web server', false],
    ['^web-[0-9]+$', 'web-17', true],
    ['^web-\\d+$', 'web-', false],
    ['^(db|web)$', 'web', true],
    ['^(?:db|web|)$', '', true],
    ['^a|b$', 'ac', true],
    ['^a{2,3}$', 'aaaa', false],
    ['^a{2,}$', 'aaaa', true],
    ['^a{2}$', 'aa', true],
    ['^a{0}$', '', true],
    ['a{,2}', 'a{,2}', true],
    ['^.$', 'ö', true],
    ['^.$', '😀', true],
    ['^.$', '\n', false],
    ['(?s)^.$', '\n', true],
    ['(?i)^WEB$', 'wEb', true],
    ['(?i)^[a-c]+$', 'ABC', true],
    ['^(?i:a)b$', 'AB', false],
    ['^[^a-c]$', 'd', true],
    ['^[]a]+$', ']a', true],
    ['^[a-]+$', '-a', true],
    ['^[[:alpha:]]+$', 'abcXYZ', true],
    ['^[[:^digit:]]$', '1', false],
    ['^[\\d.]+$', '1.2', true],
    ['^[\\D]$', '1', false],
    ['\\bweb\\b', 'a-web-b', true],
    ['\\bweb\\b', 'webs', false],
    ['^\\Qa.b\\E$', 'a.b', true],
    ['^\\x41\\x{1F600}$', 'A😀', true],
    ['^(?P<name>a+?)b*?$', 'aab', true],
    ['(?m)^b$', 'a\nb', true],
    ['^b$', 'a\nb', false],
    ['\\Aa\\z', 'a', true],
    ['^(a*)*$', 'aaa', true],
    ['^(a|b)*c$', 'ababc', true],
    ['^(|a)+$', 'aa', true],
    ['\\.', 'a', false],
  ] as const) {
    assert.equal(check(expression, text), isMatch, `${expression} on ${JSON.stringify(text)}`)
  }
})

test('what is wrong, not understood, or too long does not compile', () => {
  for (const expression of [
    '(',
    ')',
    '[a',
    '[z-a]',
    '*a',
    'a**',
    'a{2,1}',
    'a{1001}',
    '\\',
    '\\8',
    '(?=a)',
    '(?<!a)',
    '[[:nope:]]',
    '\\x{110000}',
    'a'.repeat(2000),
    '(((a{100}){100}){100})',
    '('.repeat(100) + ')'.repeat(100),
  ]) {
    assert.equal(typeof compileExpression(expression), 'string', expression.slice(0, 40))
  }
})

test('no expression takes long, however many ways there are', () => {
  const text = `${'a'.repeat(5000)}b`
  assert.equal(check('^(a+)+$', text), false)
  assert.equal(check('^(a|aa)+$', text), false)
  assert.equal(check('^(a?){200}a{200}$', 'a'.repeat(200)), true)
})

test('where both understand an expression, it matches as in JavaScript', () => {
  const part = fc.constantFrom('a', 'b', '.', 'a*', 'b+', '(ab)?', '(a|b)', '[ab]', '[^a]', 'a{2}', '^', '$', '\\b', '|')
  fc.assert(
    fc.property(fc.array(part, { maxLength: 6 }), fc.array(fc.constantFrom('a', 'b', 'c', ' '), { maxLength: 8 }), (parts, chars) => {
      const expression = parts.join('')
      assert.equal(check(expression, chars.join('')), new RegExp(expression, 'u').test(chars.join('')), expression)
    }),
    { numRuns: 2000 },
  )
})
