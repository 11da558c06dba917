import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DNS_TYPES, type DnsRecord } from './dns-message.ts'
import { contestProbe } from './probe-contest.ts'

const a = (...address: number[]): DnsRecord => ({
  name: ['x', 'local'],
  type: DNS_TYPES.A,
  isFlush: false,
  ttlSec: 120,
  data: { kind: 'address', address: Uint8Array.from(address) },
})
const aaaa: DnsRecord = { ...a(...new Uint8Array(16)), type: DNS_TYPES.AAAA }

test('the later records win, as in the example of RFC 6762 §8.2', () => {
  assert.ok(contestProbe([a(169, 254, 99, 200)], [a(169, 254, 200, 50)]) < 0)
  assert.ok(contestProbe([a(169, 254, 200, 50)], [a(169, 254, 99, 200)]) > 0)
})

test('a higher type is later, more records are later than some of them, and the same are the same in any order', () => {
  assert.ok(contestProbe([aaaa], [a(255, 255, 255, 255)]) > 0)
  assert.ok(contestProbe([a(1, 1, 1, 1)], [a(1, 1, 1, 1), aaaa]) < 0)
  assert.equal(contestProbe([aaaa, a(1, 1, 1, 1)], [a(1, 1, 1, 1), aaaa]), 0)
})
