/**
 * That the LAN of these tests behaves as it is described: what each setting of the switch, a host or the router does to datagrams of plain
 * sockets. Whatever is found with multicast on this LAN rests on this. Counted: what reached a host (on the wire), and what a socket there got.
 */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { HostProgram } from './host-program.ts'
import { Lan, smcrouteMissing, type LanOptions } from './lan.ts'
import type { Answer, Order } from './lan-probe.ts'
import { until } from '../cluster.ts'

const COUNT = 100
const POLL_MS = 40
const QUIET_POLLS = 3

type Heard = Extract<Answer, { count: number }>
type Send = Partial<Omit<Extract<Order, { do: 'send' }>, 'do' | 'port'>> & { readonly to: string }
type Listen = Omit<Extract<Order, { do: 'listen' }>, 'do' | 'port'>

/** A process with plain sockets on a host. */
class Probe {
  readonly host: number
  readonly #lan: Lan
  readonly #program: HostProgram<Order, Answer>

  constructor(lan: Lan, host: number) {
    this.host = host
    this.#lan = lan
    this.#program = new HostProgram(lan, host, 'lan-probe')
    lan.onHost(host, 'nft', 'add table inet wire')
    lan.onHost(host, 'nft', 'add set inet wire seen { type inet_service ; flags dynamic ; counter ; }')
    lan.onHost(host, 'nft', 'add chain inet wire in { type filter hook prerouting priority -400 ; }')
    lan.onHost(host, 'nft', 'add rule inet wire in iifname eth0 meta l4proto udp add @seen { udp dport }')
  }

  try(order: Order): Promise<Answer> {
    return this.#program.do(order)
  }

  async do(order: Order): Promise<Answer> {
    const answer = await this.try(order)
    assert.ok(answer.ok, `h${this.host} ${JSON.stringify(order)}: ${JSON.stringify(answer)}`)
    return answer
  }

  async heard(port: number): Promise<Heard> {
    return (await this.do({ do: 'heard', port })) as Heard
  }

  /** Packets to a port that have reached the host, asked for or not. */
  wire(port: number): number {
    const { nftables } = JSON.parse(this.#lan.onHost(this.host, 'nft', '-j', 'list', 'set', 'inet', 'wire', 'seen')) as {
      nftables: { set?: { elem?: { elem: { val: number; counter: { packets: number } } }[] } }[]
    }
    const elements = nftables.flatMap(({ set }) => set?.elem ?? [])
    return elements.find(({ elem }) => elem.val === port)?.elem.counter.packets ?? 0
  }
}

/** A LAN with a probe on each host; ports and groups are used once each, since what a switch knows of one outlives a case. */
class Laboratory {
  readonly lan: Lan
  readonly probes: Probe[]
  #port = 20_000

  constructor(t: TestContext, options: LanOptions) {
    this.lan = Lan.up(options)
    t.after(() => this.lan.down())
    this.probes = Array.from({ length: options.hosts }, (_, host) => new Probe(this.lan, host))
  }

  get sender(): Probe {
    return this.probes[0]!
  }

  /** Sends from h0 once the given hosts listen; what came to each host since, as `wire/socket`, in which `-` is a host without a socket. */
  async counts(send: Send, listeners: Record<number, Listen>): Promise<Record<string, string>> {
    const port = ++this.#port
    for (const [host, listen] of Object.entries(listeners)) await this.probes[Number(host)]!.do({ do: 'listen', port, ...listen })
    // A report of IGMP is one packet on its way to the switch, sent before this.
    await pause()
    await this.sender.do({ do: 'send', count: COUNT, bytes: 100, ...send, port })
    await this.settled(Object.keys(listeners).map(Number), port)
    const result: Record<string, string> = {}
    for (const probe of this.probes.slice(1)) {
      const socket = probe.host in listeners ? (await probe.heard(port)).count : '-'
      result[`h${probe.host}`] = `${probe.wire(port)}/${socket}`
    }
    return result
  }

  /** What the sockets of hosts got. */
  async heard(send: Send, listeners: Record<number, Listen>): Promise<Record<string, Heard>> {
    const port = ++this.#port
    for (const [host, listen] of Object.entries(listeners)) await this.probes[Number(host)]!.do({ do: 'listen', port, ...listen })
    await pause()
    await this.sender.do({ do: 'send', count: COUNT, bytes: 100, ...send, port })
    await this.settled(Object.keys(listeners).map(Number), port)
    const result: Record<string, Heard> = {}
    for (const host of Object.keys(listeners)) result[`h${host}`] = await this.probes[Number(host)]!.heard(port)
    return result
  }

  /** Until nothing comes any more: for a while, since a busy machine may hold up a process for longer than one pause. */
  async settled(hosts: readonly number[], port: number): Promise<void> {
    const sum = async (): Promise<number> => {
      const heard = await Promise.all(hosts.map((host) => this.probes[host]!.heard(port)))
      return heard.reduce((total, { count }) => total + count, 0)
    }
    let before = await sum()
    for (let quietPolls = 0; quietPolls < QUIET_POLLS;) {
      await pause()
      const now = await sum()
      quietPolls = now === before ? quietPolls + 1 : 0
      before = now
    }
  }

  /** Until the switch keeps a group nobody has asked for from all ports. */
  async filtering(group: (k: number) => string, isIpv6: boolean = false): Promise<void> {
    let k = 0
    await until('the switch filters', async () => {
      const to = group(k++)
      return (await this.counts({ to, isIpv6, ...(isIpv6 ? { at: '::%eth0' } : {}) }, {}))['h1'] === '0/-'
    })
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, POLL_MS))
}

/** h1 has joined, h2 has not, h3 and h4 want it from another and from this source. */
function four(lan: Lan, group: string): Record<number, Listen> {
  return { 1: { group }, 3: { group, source: '10.77.9.9' }, 4: { group, source: lan.address(0) } }
}

/** The same for a group of IPv6. */
function four6(lan: Lan, group: string): Record<number, Listen> {
  const at = '::%eth0'
  return {
    1: { group, at, isIpv6: true },
    3: { group, at, source: 'fd77::999', isIpv6: true },
    4: { group, at, source: lan.address6(0), isIpv6: true },
  }
}

test('what a switch does with groups: snooping, queriers, ports that are closed to them', async (t) => {
  const laboratory = new Laboratory(t, { prefix: 'lana', hosts: 5, isIpv6: true })
  const { lan } = laboratory
  const everywhere = { h1: '100/100', h2: '100/-', h3: '100/0', h4: '100/100' }

  await t.test('no snooping: each port gets all, and the kernel keeps what was not asked for from sockets', async () => {
    lan.snooping(false)
    assert.deepEqual(await laboratory.counts({ to: '239.1.1.1' }, four(lan, '239.1.1.1')), everywhere)
  })
  await t.test('snooping without a querier: the bridge floods', async () => {
    lan.snooping(true)
    assert.deepEqual(await laboratory.counts({ to: '239.1.1.2' }, four(lan, '239.1.1.2')), everywhere)
  })
  await t.test('a port that gets no unknown multicast, and no broadcast', async () => {
    const listen = { 1: { group: '239.1.1.3' }, 2: { group: '239.1.1.3' } }
    const toAll = { to: '255.255.255.255', at: lan.address(0), isBroadcast: true }
    lan.multicastFlood(1, false)
    assert.deepEqual(await laboratory.counts({ to: '239.1.1.3' }, listen), { h1: '0/0', h2: '100/100', h3: '100/-', h4: '100/-' })
    assert.equal((await laboratory.counts({ to: '224.0.0.251' }, { 1: { group: '224.0.0.251' } }))['h1'], '0/0')
    assert.equal((await laboratory.counts(toAll, { 1: {} }))['h1'], '100/100')
    assert.equal((await laboratory.counts({ to: '10.77.255.255', at: lan.address(0), isBroadcast: true }, { 1: {} }))['h1'], '100/100')
    lan.multicastFlood(1, true)
    lan.broadcastFlood(1, false)
    assert.equal((await laboratory.counts(toAll, { 1: {} }))['h1'], '0/0')
    assert.equal((await laboratory.counts({ to: '239.1.1.4' }, { 1: { group: '239.1.1.4' } }))['h1'], '100/100')
    lan.broadcastFlood(1, true)
  })
  await t.test('isolated ports do not reach each other', async () => {
    lan.isolate(0, true)
    lan.isolate(1, true)
    const listen = { 1: { group: '239.1.1.5' }, 2: { group: '239.1.1.5' } }
    assert.deepEqual(await laboratory.counts({ to: '239.1.1.5' }, listen), { h1: '0/0', h2: '100/100', h3: '100/-', h4: '100/-' })
    lan.isolate(0, false)
    lan.isolate(1, false)
  })
  await t.test('an IGMPv3 and MLDv2 querier: the switch forwards where a group was asked for from this source', async () => {
    lan.querier({ igmp: 3, mld: 2 })
    await laboratory.filtering((k) => `239.7.0.${k}`)
    const wanted = { h1: '100/100', h2: '0/-', h3: '0/0', h4: '100/100' }
    assert.deepEqual(await laboratory.counts({ to: '239.1.2.1' }, four(lan, '239.1.2.1')), wanted)
    assert.deepEqual(await laboratory.counts({ to: '232.1.2.1' }, four(lan, '232.1.2.1')), wanted)
    await laboratory.filtering((k) => `ff15::7:${k + 1}`, true)
    for (const to of ['ff35::8000:1', 'ff15::1234']) {
      assert.deepEqual(await laboratory.counts({ to, at: '::%eth0', isIpv6: true }, four6(lan, to)), wanted)
    }
  })
  await t.test('the link-local group of mDNS is always flooded', async () => {
    assert.deepEqual(await laboratory.counts({ to: '224.0.0.251' }, four(lan, '224.0.0.251')), everywhere)
  })
  await t.test('an IGMPv2 querier knows no sources; the kernel still does', async () => {
    lan.querier({ igmp: 2 })
    await laboratory.filtering((k) => `239.8.0.${k}`)
    const wanted = { h1: '100/100', h2: '0/-', h3: '100/0', h4: '100/100' }
    await until('the hosts speak IGMPv2', async () => {
      const to = `239.1.3.${Math.floor(Math.random() * 250)}`
      return (await laboratory.counts({ to }, four(lan, to)))['h3'] === wanted.h3
    })
    assert.deepEqual(await laboratory.counts({ to: '239.1.4.1' }, four(lan, '239.1.4.1')), wanted)
  })
})

test('what a link and a host do: MTU, loss, rate, interfaces that go and come, addresses, routes', async (t) => {
  const laboratory = new Laboratory(t, { prefix: 'lanb', hosts: 4, mtuBytes: 9000, isIpv6: true, portBufferMs: 8 })
  const { lan, sender } = laboratory
  const group = '239.2.1.1'
  const both = { 1: { group }, 2: { group } }

  await t.test('one port with an MTU of 1500 on a LAN with 9000: it loses what is larger, silently', async () => {
    lan.portMtu(1, 1500)
    const sizes = { 1472: ['100/100', '100/100'], 8972: ['0/0', '100/100'] }
    for (const [bytes, counts] of Object.entries(sizes)) {
      const { h1, h2 } = await laboratory.counts({ to: group, bytes: Number(bytes) }, both)
      assert.deepEqual([h1, h2], counts, bytes)
    }
    lan.portMtu(1, 9000)
  })
  await t.test('loss of one host, at random and in bursts', async () => {
    lan.loss(1, { percent: 20 })
    const random = await laboratory.heard({ to: group, count: 2000 }, both)
    assert.ok(random['h1']!.count > 1450 && random['h1']!.count < 1750, `${random['h1']!.count} of 2000 with 20 % lost`)
    assert.equal(random['h2']!.count, 2000)
    lan.loss(1, { burst: 50, outOf: 500 })
    const bursts = await laboratory.heard({ to: group, count: 2000 }, both)
    assert.equal(bursts['h1']!.longestGap, 50)
    assert.ok(bursts['h1']!.count >= 1780 && bursts['h1']!.count <= 1820, `${bursts['h1']!.count} of 2000 with 50 of 500 lost`)
    assert.equal(bursts['h2']!.count, 2000)
    lan.loss(1, undefined)
    assert.equal((await laboratory.heard({ to: group, count: 2000 }, both))['h1']!.count, 2000)
  })
  await t.test('a slow port keeps what its buffer holds, and loses the rest of a burst', async () => {
    lan.rate(1, '20mbit')
    const { h1, h2 } = await laboratory.heard({ to: group, count: 1000, bytes: 1472 }, both)
    assert.ok(h1!.count > 50 && h1!.count < 600, `${h1!.count} of 1000 came through the slow port`)
    assert.equal(h2!.count, 1000)
    lan.rate(1, 'none')
  })
  await t.test('an interface goes down and comes up: sockets of before have joined still', async () => {
    const port = 30_001
    await laboratory.probes[1]!.do({ do: 'listen', port, group, at: lan.address(1) })
    const send: Order = { do: 'send', to: group, port, count: 10, bytes: 100 }
    lan.link(1, 'down')
    await sender.do(send)
    await laboratory.settled([1], port)
    assert.equal((await laboratory.probes[1]!.heard(port)).count, 0)
    lan.link(1, 'up')
    await until('the link carries', async () => {
      await sender.do(send)
      return (await laboratory.probes[1]!.heard(port)).count > 0
    })
    assert.equal(
      (await laboratory.counts({ to: 'ff15::77', at: '::%eth0', isIpv6: true }, { 1: { group: 'ff15::77', at: '::%eth0', isIpv6: true } }))[
        'h1'
      ],
      '100/100',
    )
  })
  await t.test('without a route for groups: only by the address of an interface', async () => {
    lan.withoutMulticastRoute(0)
    const send: Order = { do: 'send', to: group, port: 30_002, count: 1, bytes: 100 }
    assert.deepEqual(await sender.try(send), { ok: false, code: 'ENETUNREACH' })
    assert.deepEqual(await sender.try({ do: 'listen', port: 30_002, group }), { ok: false, code: 'ENODEV' })
    assert.deepEqual(await sender.try({ ...send, to: '255.255.255.255', isBroadcast: true }), { ok: false, code: 'ENETUNREACH' })
    assert.equal((await laboratory.counts({ to: group, at: lan.address(0) }, both))['h1'], '100/100')
    await sender.do({ do: 'listen', port: 30_003, group, at: lan.address(0) })
  })
  await t.test('a host with another address sends from that', async () => {
    lan.readdress(0, '10.77.3.3')
    const wanted = { 1: { group, source: '10.77.3.3' }, 2: { group, source: '10.77.0.1' } }
    const { h1, h2 } = await laboratory.counts({ to: group }, wanted)
    assert.deepEqual([h1, h2], ['100/100', '100/0'])
  })
  await t.test('a host with the address of another passes for it, and sockets of a host are listed', async () => {
    const port = 30_005
    await laboratory.probes[1]!.do({ do: 'listen', port, group, source: lan.address(0), at: lan.address(1) })
    const send: Order = { do: 'send', to: group, port, count: 10, bytes: 100 }
    await laboratory.probes[2]!.do(send)
    await laboratory.settled([1], port)
    assert.equal((await laboratory.probes[1]!.heard(port)).count, 0)
    lan.spoof(2, lan.address(0))
    await laboratory.probes[2]!.do(send)
    await laboratory.settled([1], port)
    assert.equal((await laboratory.probes[1]!.heard(port)).count, 10)
    assert.deepEqual(
      lan.udpSockets(1).filter((socket) => socket.port === port),
      [{ address: '0.0.0.0', port, drops: 0 }],
    )
  })
  await t.test('hosts without IPv4', async () => {
    for (let k = 0; k < lan.hosts; k++) lan.ipv6Only(k)
    const wanted = { group: 'ff02::7:7', at: '::%eth0', isIpv6: true }
    assert.equal((await laboratory.counts({ to: 'ff02::7:7', at: '::%eth0', isIpv6: true }, { 1: wanted }))['h1'], '100/100')
    assert.equal((await laboratory.counts({ to: lan.address6(1), isIpv6: true }, { 1: { isIpv6: true } }))['h1'], '100/100')
    assert.equal((await sender.try({ do: 'send', to: group, port: 30_004, count: 1, bytes: 100 })).ok, false)
  })
})

test('two LANs and a router between them', { skip: smcrouteMissing }, async (t) => {
  const laboratory = new Laboratory(t, { prefix: 'lanc', hosts: 3 })
  const { lan } = laboratory
  const group = '239.3.1.1'
  await lan.routed([2], [{ group, from: 'first' }])
  const listen = { 1: { group }, 2: { group } }
  assert.deepEqual(await laboratory.counts({ to: group, ttl: 1 }, listen), { h1: '100/100', h2: '0/0' })
  assert.deepEqual(await laboratory.counts({ to: group, ttl: 4 }, listen), { h1: '100/100', h2: '100/100' })
  const other = { 1: { group: '239.3.1.2' }, 2: { group: '239.3.1.2' } }
  assert.deepEqual(await laboratory.counts({ to: '239.3.1.2', ttl: 4 }, other), { h1: '100/100', h2: '0/0' })
  assert.deepEqual(await laboratory.counts({ to: lan.address(2) }, { 2: {} }), { h1: '0/-', h2: '100/100' })
  assert.equal((await laboratory.counts({ to: '10.78.255.255', at: lan.address(0), isBroadcast: true }, { 2: {} }))['h2'], '0/0')
})
