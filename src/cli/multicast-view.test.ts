import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MulticastLinkReport } from '../agent/multicast/reach/doctor-report.ts'
import { multicastLines } from './multicast-view.ts'

const LINK: MulticastLinkReport = {
  interface: 'eth0',
  family: 4,
  address: '10.0.0.1',
  group: '239.255.1.1',
  state: 'open',
  sinceMs: 90_000,
  isSending: true,
  maxBytes: 1472,
  matrix: [
    { by: 'a', of: 'b', multicastBytes: 1472, broadcast: true, lossShare: 0 },
    { by: 'b', of: 'a', multicastBytes: 200, broadcast: false, lossShare: 0.123 },
    { by: 'c', of: 'a', multicastBytes: 0, broadcast: true, lossShare: 0 },
  ],
}

test('who hears whom, a row for each', () => {
  assert.deepEqual(multicastLines({ port: 7949, links: [LINK], findings: [] }), [
    'multicast, port 7949: rows hear columns; bytes of the largest datagram, b for broadcast, share lost',
    '  eth0 IPv4 10.0.0.1, group 239.255.1.1, sends up to 1472 bytes: multicast comes for 1 min 30 s',
    '       a        b      c',
    '    a  .        1472b  ?',
    '    b  200 12%  .      ?',
    '    c  -b       ?      .',
  ])
})

test('of many nodes the counts, of nobody that, and no interface at all', () => {
  const many = Array.from({ length: 20 }, (_, index) => ({ ...LINK.matrix[index % 3]!, by: `n${index}`, of: 'a' }))
  const lines = multicastLines({ port: 1, links: [{ ...LINK, matrix: many }], findings: [] })
  assert.deepEqual(lines.slice(2), ['    7 paths: 1472 bytes', '    7 paths: 200 bytes', '    6 paths: broadcast alone'])
  assert.match(
    multicastLines({ port: 1, links: [{ ...LINK, matrix: [], isSending: false }], findings: [] })[1]!,
    /listens only.*nobody is heard/,
  )
  assert.deepEqual(multicastLines({ port: 1, links: [], findings: [] }), ['multicast: no interface that it could be used on'])
})
