import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { compileGoRegExp } from './go-regexp.ts'

function check(expression: string, text: string): boolean | undefined {
  return compileGoRegExp(expression)?.(text)
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
    '\\pL',
    '(?=a)',
    '(?<!a)',
    '[[:nope:]]',
    '\\x{110000}',
    'a'.repeat(2000),
    '(((a{100}){100}){100})',
    '((((){1000}){1000}){1000})',
    '(((|){0,1000}){1000})',
    '('.repeat(100) + ')'.repeat(100),
  ]) {
    assert.equal(compileGoRegExp(expression), undefined, expression.slice(0, 40))
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
