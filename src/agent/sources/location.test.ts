import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mediaTypeFrom, nameFromDisposition, nameFromUrl, safeName, showUrl } from './location.ts'

test('a URL is shown without what may be a credential', () => {
  assert.equal(showUrl(new URL('https://me:pw@host:8443/a/b?sig=x#f')), 'https://host:8443/a/b?…')
})

for (const [url, name] of [
  ['http://host/a/b.iso', 'b.iso'],
  ['http://host/a/b.iso?x=/y', 'b.iso'],
  ['http://host/a/', 'a'],
  ['http://host/', 'host'],
  ['http://host/a%20b', 'a b'],
  ['http://host/%2e%2e%2fpasswd', 'passwd'],
  ['http://host/..%2f', 'host'],
  ['http://host/100%', '100%'],
] as const) {
  test(`${url} is called ${name}`, () => assert.equal(nameFromUrl(new URL(url)), name))
}

for (const [header, name] of [
  [undefined, undefined],
  ['attachment', undefined],
  ['attachment; filename=a.bin', 'a.bin'],
  ['attachment; filename="a \\"b\\".bin"', 'a "b".bin'],
  ["attachment; filename=plain; filename*=UTF-8''%e2%82%ac.txt", '€.txt'],
  ['attachment; filename="../../etc/passwd"', 'passwd'],
  ['attachment; filename=".."', undefined],
  ['attachment; filename="C:\\\\dir\\\\a.txt"', 'a.txt'],
] as const) {
  test(`the name in ${header ?? 'no header'} is ${name ?? 'none'}`, () => assert.equal(nameFromDisposition(header), name))
}

test('a name is one component that a file system takes', () => {
  assert.equal(safeName('a\u0000b\n'), 'ab')
  assert.equal(Buffer.byteLength(safeName('é'.repeat(300)) ?? ''), 254)
})

test('a media type is without parameters, and never free text', () => {
  assert.equal(mediaTypeFrom('Text/HTML; charset=utf-8'), 'text/html')
  assert.equal(mediaTypeFrom('what is this'), 'application/octet-stream')
  assert.equal(mediaTypeFrom(undefined), 'application/octet-stream')
})
