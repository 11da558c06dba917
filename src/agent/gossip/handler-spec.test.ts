import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseHandler } from './handler-spec.ts'

test('a filter and a command, or a command for all', () => {
  assert.deepEqual(parseHandler('member-join,user:deploy=/opt/a b=c'), { filter: ['member-join', 'user:deploy'], script: '/opt/a b=c' })
  assert.deepEqual(parseHandler('/opt/a'), { filter: ['*'], script: '/opt/a' })
})

test('what is no handler says why', () => {
  const cases: [text: string, problem: RegExp][] = [
    ['member-joined=/a', /"member-joined" is no kind of event/],
    ['member-join= ', /a command is missing/],
    ['a\0', /NUL/],
  ]
  for (const [text, problem] of cases) {
    const parsed = parseHandler(text)
    assert.ok(typeof parsed === 'string', text)
    assert.match(parsed, problem)
  }
})
