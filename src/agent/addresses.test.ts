import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatAddress, isLoopback, isUnspecified, parseAddress, parseListenAddress } from './addresses.ts'

test('loopback and unspecified addresses are known in all their spellings', () => {
  for (const address of ['127.0.0.1', '127.255.0.9', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1']) assert.ok(isLoopback(address), address)
  for (const address of ['128.0.0.1', '0.0.0.0', '::', '::2', 'localhost', '', '::ffff:10.0.0.1']) assert.ok(!isLoopback(address), address)
  for (const address of ['0.0.0.0', '::', '0::0', '0:0:0:0:0:0:0:0', '::ffff:0.0.0.0', '::FFFF:0:0'])
    assert.ok(isUnspecified(address), address)
  for (const address of ['127.0.0.1', '::1', '::ffff:1.0.0.0', '0::ffff', '0.0.0.0.', '', 'x']) assert.ok(!isUnspecified(address), address)
})

test('host and port are split and put together', () => {
  for (const [text, host, port] of [
    ['n1', 'n1', 7946],
    ['n1.example:80', 'n1.example', 80],
    ['10.0.0.1:1', '10.0.0.1', 1],
    ['[::1]:7', '::1', 7],
    ['[fd00::1]', 'fd00::1', 7946],
    ['fd00::1', 'fd00::1', 7946],
    ['::', '::', 7946],
  ] as const) {
    assert.deepEqual(parseAddress(text, 7946), { host, port }, text)
  }
  for (const text of ['', ':80', 'n1:', 'n1:0', 'n1:65536', 'n1:x', 'a b', '[::1', '[::1]x', 'http://n1', 'ann@n1', 'n1/path', '[n1]:80']) {
    assert.equal(parseAddress(text, 7946), undefined, text)
  }
  for (const [text, host, port] of [
    ['127.0.0.1:0', '127.0.0.1', 0],
    ['[::1]:7373', '::1', 7373],
  ] as const) {
    assert.deepEqual(parseListenAddress(text), { host, port }, text)
  }
  for (const text of ['', 'n1', '::1', '[::1]', '127.0.0.1:65536']) assert.equal(parseListenAddress(text), undefined, text)
  assert.deepEqual([formatAddress('10.0.0.1', 80), formatAddress('::1', 80)], ['10.0.0.1:80', '[::1]:80'])
})
