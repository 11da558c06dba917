import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Endpoint } from '../../core/gossip/messages.ts'
import { until } from '../deliveries/test-time.ts'
import { endpointsOf, Joins, textOf } from './joins.ts'

const SELF: Endpoint = { address: Uint8Array.of(127, 0, 0, 1), port: 7946 }

test('an address is joined once, however many want it, and its outcome is theirs', async () => {
  const asked: Endpoint[] = []
  const joins = new Joins((endpoint) => asked.push(endpoint))
  const both = Promise.all([joins.join('127.0.0.2', SELF), joins.join('127.0.0.2:7946', SELF)])
  await until(() => asked.length > 0)
  assert.deepEqual(asked.map(textOf), ['127.0.0.2:7946'])
  joins.exchanged(asked[0]!, 'refused')
  assert.deepEqual(
    (await both).map(({ error }) => error),
    ['refused', 'refused'],
  )
  const again = joins.join('127.0.0.2', SELF)
  await until(() => asked.length === 2)
  joins.exchanged(asked[1]!, undefined)
  joins.exchanged(asked[1]!, 'late')
  assert.deepEqual(await again, { address: '127.0.0.2', error: undefined, isSelf: false })
})

test('the own address, one that is not wanted, and what is none ask nobody', async () => {
  const joins = new Joins(() => assert.fail('nobody is to be asked'))
  assert.equal((await joins.join('127.0.0.1:7946', SELF)).isSelf, true)
  assert.deepEqual(await joins.join('127.0.0.2', SELF, () => false), { address: '127.0.0.2', error: undefined, isSelf: false })
  assert.match((await joins.join('a b', SELF)).error ?? '', /is no address|cannot be resolved/)
  assert.equal(typeof (await endpointsOf('')), 'string')
  assert.deepEqual(await endpointsOf('[::1]:1'), [{ address: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), port: 1 }])
})
