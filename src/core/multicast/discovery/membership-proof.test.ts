import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { utf8Encode } from '../../lib/bytes.ts'
import type { FoundService } from './mdns-browser.ts'
import { describeNode, readNode, type ClusterIdentity } from './membership-proof.ts'
import { toyKey } from './testing/toy-key.ts'

const V4 = { address: Uint8Array.of(10, 0, 0, 1), port: 7946 }
const V6 = { address: new Uint8Array(16).fill(7), port: 7946 }
const keyed: ClusterIdentity = { cluster: 'one', key: toyKey('a') }
const plain: ClusterIdentity = { cluster: 'one', key: undefined }

function serviceOf(txt: readonly string[], changes: Partial<FoundService> = {}): FoundService {
  return { instance: 'n1', host: ['h', 'local'], port: 7946, addresses: [V4.address, V6.address], txt: txt.map(utf8Encode), ...changes }
}

test('members of one cluster and key know each other by what they say', () => {
  for (const identity of [plain, keyed]) {
    assert.deepEqual(readNode(serviceOf(describeNode('n1', [V4, V6], identity)), identity), { node: 'n1', endpoints: [V4, V6] })
  }
})

test('another name, another key, and a key or none are told apart', () => {
  const texts = describeNode('n1', [V4], keyed)
  assert.equal(readNode(serviceOf(texts), { ...keyed, cluster: 'two' }), 'another cluster')
  assert.equal(readNode(serviceOf(texts), { ...keyed, key: toyKey('b') }), 'another key')
  assert.equal(readNode(serviceOf(texts), plain), 'another key')
  assert.equal(readNode(serviceOf(describeNode('n1', [V4], plain)), keyed), 'another key')
})

test('a proof is good for its node, address and port alone', () => {
  const texts = describeNode('n1', [V4], keyed)
  assert.deepEqual(readNode(serviceOf(texts), keyed), { node: 'n1', endpoints: [V4] })
  assert.equal(readNode(serviceOf(texts, { port: 7947 }), keyed), 'another key')
  assert.equal(readNode(serviceOf(texts, { addresses: [Uint8Array.of(10, 0, 0, 2), V6.address] }), keyed), 'another key')
  assert.equal(readNode(serviceOf(texts.map((text) => text.replace('node=n1', 'node=n2'))), keyed), 'another key')
})

test('texts of anybody are read without throwing', () => {
  const text = fc.oneof(fc.constantFrom('txtvers=1', 'node=', 'node=x', 'cluster=one', 'p4=00', 'p4=zz', '=', 'CLUSTER=one'), fc.string())
  fc.assert(
    fc.property(fc.array(text), fc.integer({ min: 0, max: 65535 }), (texts, port) => {
      const read = readNode(serviceOf(texts, { port }), keyed)
      assert.equal(typeof read, 'string')
      readNode(serviceOf(texts, { port }), plain)
    }),
  )
})
