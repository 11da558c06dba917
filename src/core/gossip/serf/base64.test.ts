import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8Encode } from '../../lib/bytes.ts'
import { toBase64 } from './base64.ts'

test('the vectors of RFC 4648 §10, and the last letters of the alphabet', () => {
  for (const [text, encoded] of [
    ['', ''],
    ['f', 'Zg=='],
    ['fo', 'Zm8='],
    ['foo', 'Zm9v'],
    ['foob', 'Zm9vYg=='],
    ['fooba', 'Zm9vYmE='],
    ['foobar', 'Zm9vYmFy'],
  ] as const) {
    assert.equal(toBase64(utf8Encode(text)), encoded)
  }
  assert.equal(toBase64(Uint8Array.of(0xfb, 0xff, 0xbf)), '+/+/')
})
