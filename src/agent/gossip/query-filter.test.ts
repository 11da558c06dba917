import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSelector } from '../deliveries/selector.ts'
import { queryFilters } from './query-filter.ts'

test('all has no filter; names are one, and each tag is one', () => {
  assert.deepEqual(queryFilters(parseSelector('all')), [])
  assert.deepEqual(queryFilters(parseSelector('name=n1,role=web,name=n2,role=db')), [
    { type: 'nodes', nodes: ['n1', 'n2'] },
    { type: 'tag', tag: 'role', expression: '^(?:web|db)$' },
  ])
})

test('a value matches itself alone, whatever it holds', () => {
  const [filter] = queryFilters(parseSelector(String.raw`v=1.2+(a|b)[c]{d}^$\e*?`))
  assert.ok(filter?.type === 'tag')
  assert.match(String.raw`1.2+(a|b)[c]{d}^$\e*?`, new RegExp(filter.expression))
  assert.doesNotMatch(String.raw`1x2+(a|b)[c]{d}^$\e*?`, new RegExp(filter.expression))
})
