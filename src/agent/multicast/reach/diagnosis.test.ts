import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PeerView } from '../../../core/multicast/reach/reach-types.ts'
import { fail } from '../../errors.ts'
import type { NetworkInterface } from '../sockets/interfaces.ts'
import { diagnoseMulticast, WANTED_BUFFER_BYTES, type LinkObservation, type MulticastObservation } from './diagnosis.ts'

const ETH0: NetworkInterface = {
  name: 'eth0',
  family: 4,
  address: '10.0.0.1',
  netmask: '255.255.255.0',
  prefixBits: 24,
  broadcast: '10.0.0.255',
  mtu: 1500,
  isLoopback: false,
  isLinkLocal: false,
  scopeId: 0,
}
const ETH1: NetworkInterface = { ...ETH0, name: 'eth1', address: '192.168.0.1', broadcast: '192.168.0.255' }

const PEER: PeerView = {
  member: 'b',
  from: '10.0.0.2 5000',
  heardBytes: 1472,
  sentBytes: 1472,
  isBroadcastHeard: true,
  lossShare: 0,
  isDeaf: false,
  hearsBytes: 1472,
  hearsBroadcast: true,
  hearsLossShare: 0,
}

function linkOf(change: Partial<LinkObservation> = {}, via: NetworkInterface = ETH0): LinkObservation {
  return {
    link: { id: `${via.name}/4`, interface: via.name, family: 4, maxBytes: 1472, hasBroadcast: true, isSending: true },
    interface: via,
    group: '239.255.1.1',
    state: 'open',
    sinceMs: 60_000,
    livedMs: undefined,
    revivals: 0,
    isFast: true,
    peers: [PEER, { ...PEER, member: 'c' }],
    unreadable: 0,
    replayed: 0,
    matrix: [],
    sendError: undefined,
    sentPackets: 10,
    ...change,
  }
}

function diagnose(change: Partial<MulticastObservation>): { readonly codes: string[]; readonly text: string } {
  const findings = diagnoseMulticast({
    port: 7949,
    links: [linkOf()],
    problems: [],
    members: [{ name: 'b', address: '10.0.0.2' }],
    maxReceiveBufferBytes: WANTED_BUFFER_BYTES,
    ...change,
  })
  for (const { sentence, evidence, advice, severity } of findings) {
    assert.match(sentence, /\.$/)
    assert.ok(evidence.length > 0 && advice.length > 20)
    assert.equal(severity, 'warning')
  }
  return { codes: findings.map(({ code }) => code), text: JSON.stringify(findings) }
}

const SILENT: PeerView = { ...PEER, heardBytes: 0, lossShare: 0 }

test('all is well', () => {
  assert.deepEqual(diagnose({}).codes, [])
  assert.deepEqual(diagnose({ links: [], members: [] }).codes, [])
  assert.deepEqual(diagnose({ links: [linkOf({ state: 'listening', sinceMs: 1000, peers: [] })] }).codes, [], 'it has just begun')
  assert.deepEqual(diagnose({ links: [linkOf({ state: 'listening', peers: [] })], members: [] }).codes, [], 'it is alone')
})

test('a switch without querier: by the time, or since joining again helps', () => {
  const stopped = diagnose({ links: [linkOf({ state: 'blocked', livedMs: 261_000, peers: [SILENT] })] })
  assert.deepEqual(stopped.codes, ['multicast-no-querier'])
  assert.match(stopped.text, /4 min 21 s/)
  assert.deepEqual(diagnose({ links: [linkOf({ revivals: 3, livedMs: 5000 })] }).codes, ['multicast-no-querier'])
  assert.deepEqual(diagnose({ links: [linkOf({ revivals: 1, livedMs: 5000 })] }).codes, [], 'once may be chance')
})

test('multicast that stopped, and multicast that never came', () => {
  const stopped = diagnose({ links: [linkOf({ state: 'blocked', livedMs: 30_000, peers: [SILENT] })] })
  assert.deepEqual(stopped.codes, ['multicast-stopped'])
  assert.match(stopped.text, /broadcasts of b arrive/)
  const never = diagnose({ links: [linkOf({ state: 'blocked', peers: [SILENT] })] })
  assert.deepEqual(never.codes, ['multicast-filtered'])
  assert.match(never.text, /UDP port 7949/)
  assert.deepEqual(
    diagnose({ links: [linkOf({ state: 'listening', peers: [] })] }).codes,
    ['multicast-filtered'],
    'a neighbour is alive by gossip',
  )
})

test('the wrong interface', () => {
  const listening = linkOf({ state: 'listening', peers: [] })
  const other = linkOf({ link: { ...linkOf().link, id: 'eth1/4', interface: 'eth1', isSending: false } }, ETH1)
  const { codes, text } = diagnose({ links: [listening, other] })
  assert.deepEqual(codes, ['multicast-wrong-interface'])
  assert.match(text, /--bind 192\.168\.0\.1/)
  const sending = { ...other, link: { ...other.link, isSending: true } }
  assert.deepEqual(diagnose({ links: [listening, sending], members: [] }).codes, [], 'bound to all: the others are on one of them')
})

test('frames of different sizes, in either direction, by name and size', () => {
  const link = { ...linkOf().link, maxBytes: 8972 }
  const { codes, text } = diagnose({ links: [linkOf({ link, peers: [PEER, { ...PEER, member: 'c', hearsBytes: 8972 }] })] })
  assert.deepEqual(codes, ['multicast-mtu-mismatch'])
  assert.match(text, /b gets 1472 bytes of this node in one datagram, and not 8972/)
  assert.match(
    diagnose({ links: [linkOf({ peers: [{ ...PEER, sentBytes: 8972 }] })] }).text,
    /this node gets 1472 bytes of b in one datagram, and not 8972/,
  )
})

test('nobody hears this node, or some do not', () => {
  const unheard: PeerView = { ...PEER, hearsBytes: 0 }
  assert.deepEqual(diagnose({ links: [linkOf({ peers: [unheard, unheard] })] }).codes, ['multicast-unheard'])
  const { codes, text } = diagnose({ links: [linkOf({ peers: [PEER, { ...unheard, member: 'c', isDeaf: true }] })] })
  assert.deepEqual(codes, ['multicast-peers-deaf'])
  assert.match(text, /c hears no multicast of anybody, and hears its broadcasts/)
})

test('no route, no interface, a small buffer, loss', () => {
  const route = fail('multicast-no-route', { group: '239.255.1.1', interface: 'eth0', reason: 'the network is unreachable' })
  assert.deepEqual(diagnose({ links: [linkOf({ sendError: route })] }).codes, ['multicast-no-route'])
  const gone = fail('multicast-interface-gone', { group: '239.255.1.1', interface: 'eth0', reason: 'there is no such interface' })
  assert.deepEqual(diagnose({ links: [], problems: [{ interface: ETH0, error: gone }] }).codes, ['multicast-unusable'])
  const small = diagnose({ maxReceiveBufferBytes: 212_992 })
  assert.deepEqual(small.codes, ['multicast-small-buffer'])
  assert.match(small.text, /sysctl -w net\.core\.rmem_max=4194304/)
  const { codes, text } = diagnose({ links: [linkOf({ peers: [{ ...PEER, hearsLossShare: 0.3 }] })] })
  assert.deepEqual(codes, ['multicast-lossy'])
  assert.match(text, /30 % of this node's are lost on the way to b/)
})
