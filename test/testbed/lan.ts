/**
 * One LAN of hosts in network namespaces, with all that a switch, a router or an administrator can do to multicast: for tests of this
 * folder and for bench/multicast.
 *
 * The testbed beside the project (`TESTBED`, by default ../shared/testbed/testbed) makes hosts, a switch and shaped links, and takes all
 * of it down, with the processes that still run in it. This adds what that has no command for. Nothing outside of the namespaces
 * `tb-PREFIX-…` is touched. What the Linux bridge does with each setting is held by lan.test.ts; it is kinder than many switches of
 * metal: without a querier it floods, where those may drop (`multicastFlood` makes it unkind).
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'

const TESTBED = process.env['TESTBED'] ?? path.resolve(import.meta.dirname, '../../../../shared/testbed/testbed')
const CENTISECONDS_PER_SEC = 100
const SMCROUTE_LIMIT_MS = 5000

const isInstalled = (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(path.join(folder, 'smcrouted')))
/** Why two LANs cannot be routed here, or false. */
export const smcrouteMissing: string | false = isInstalled
  ? false
  : 'NOT RUN: the command smcrouted is missing (Debian package smcroute; npm test installs it as root in containers)'

/** What a LAN is made of. */
export interface LanOptions {
  /** 1 to 16 of a-z and 0-9, one for each LAN that exists at a time. */
  readonly prefix: string
  /** h0 to h(hosts − 1). */
  readonly hosts: number
  /** Of each host's link, both ways; `none`, the default, is unshaped. */
  readonly rate?: string
  /** Of all links and the switch; 1500 by default. */
  readonly mtuBytes?: number
  /** Buffer of each of the switch's ports, as time at the port's rate: 8 is 1 MB at 1gbit. */
  readonly portBufferMs?: number
  /** Also addresses fd77::1 to fd77::N. Loss covers IPv6; the testbed's partitions don't. */
  readonly isIpv6?: boolean
}

/** Which packets to a host are lost on the switch. */
export type Loss =
  /** Each for itself. */
  | { readonly percent: number }
  /** `burst` in a row, the last of every `outOf`. */
  | { readonly burst: number; readonly outOf: number }

/** A querier of the switch. Times are short, since no test waits for the minutes of the standards. */
export interface Querier {
  readonly igmp: 2 | 3
  readonly mld?: 1 | 2
  /** 5 by default; the standards' is 125. */
  readonly intervalSec?: number
  /** 1 by default; the standards' is 10. */
  readonly responseSec?: number
  /** Those that it asks soon after it is turned on, before the intervals begin: 2 by default. */
  readonly startupQueries?: number
  /** How long the switch remembers who joined: by default as the standards have it, two intervals and a response. */
  readonly membershipSec?: number
}

/** Which of a router's groups pass from one LAN to the other. */
export interface MulticastRoute {
  /** One, or a range such as 232.0.0.0/8, where the first LAN has no snooping. */
  readonly group: string
  readonly from: 'first' | 'second'
}

/** A LAN that is up. */
export class Lan {
  readonly prefix: string
  readonly hosts: number
  readonly #addresses: string[]
  readonly #directory: string
  #isLossy = false

  private constructor({ prefix, hosts }: LanOptions) {
    this.prefix = prefix
    this.hosts = hosts
    this.#addresses = Array.from({ length: hosts }, (_, k) =>
      k === 0 ? '10.77.0.1' : `10.77.${Math.ceil(k / 250)}.${((k - 1) % 250) + 1}`,
    )
    this.#directory = mkdtempSync(path.join(tmpdir(), `polycast-lan-${prefix}-`))
  }

  /** Makes it, in place of what a run that crashed has left of the same prefix. */
  static up(options: LanOptions): Lan {
    const lan = new Lan(options)
    const { rate = 'none', mtuBytes = 1500, portBufferMs = 20 } = options
    lan.testbed('up', String(options.hosts - 1), '--rate', rate, '--mtu', String(mtuBytes), '--buffer', String(portBufferMs))
    if (options.isIpv6 === true) lan.#enableIpv6Everywhere()
    return lan
  }

  /** Takes it down, and ends what still runs in it. */
  down(): void {
    this.testbed('down')
    rmSync(this.#directory, { recursive: true, force: true })
  }

  /** A command of the testbed; gives its output. */
  testbed(...args: readonly string[]): string {
    return run(TESTBED, '--prefix', this.prefix, ...args)
  }

  /** What a program is started with to run on a host. */
  launcher(host: number): readonly string[] {
    return ['nsenter', `--net=/run/netns/${this.namespace(`h${host}`)}`]
  }

  onHost(host: number, ...command: readonly string[]): string {
    const [program = '', ...args] = [...this.launcher(host), ...command]
    return run(program, ...args)
  }

  /** The same for a program that takes its time: this process goes on meanwhile. */
  async runOnHost(host: number, ...command: readonly string[]): Promise<string> {
    const [program = '', ...args] = [...this.launcher(host), ...command]
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const [printed, [code]] = await Promise.all([text(child.stdout), once(child, 'close')])
    assert.equal(code, 0, `${program} ${args.join(' ')}`)
    return printed
  }

  onSwitch(...command: readonly string[]): string {
    return run('nsenter', `--net=/run/netns/${this.namespace('sw')}`, ...command)
  }

  namespace(name: string): string {
    return `tb-${this.prefix}-${name}`
  }

  /** IPv4, or IPv6 where the host has that alone. */
  address(host: number): string {
    const address = this.#addresses[host]
    assert.ok(address !== undefined, `there is no host h${host}`)
    return address
  }

  address6(host: number): string {
    return `fd77::${(host + 1).toString(16)}`
  }

  // ---- the switch ---------------------------------------------------------------

  /** Whether the switch forwards a group only to ports from where it was asked for; it takes that up when there is a querier. */
  snooping(isOn: boolean): void {
    this.#bridge('mcast_snooping', isOn ? '1' : '0')
  }

  /** Asks the hosts which groups they want, from an address of its own; undefined: nobody asks. */
  querier(querier: Querier | undefined): void {
    if (querier === undefined) return this.#bridge('mcast_querier', '0')
    const { igmp, mld = 2, intervalSec = 5, responseSec = 1, startupQueries = 2 } = querier
    const { membershipSec = 2 * intervalSec + responseSec } = querier
    this.#bridge('mcast_querier', '0')
    // Before it is turned on: the switch filters only once the response time that was set at that moment has passed.
    this.#bridge(
      ...['mcast_igmp_version', String(igmp), 'mcast_mld_version', String(mld)],
      ...['mcast_query_interval', String(intervalSec * CENTISECONDS_PER_SEC)],
      ...['mcast_startup_query_count', String(startupQueries)],
      ...['mcast_startup_query_interval', String(responseSec * CENTISECONDS_PER_SEC)],
      ...['mcast_query_response_interval', String(responseSec * CENTISECONDS_PER_SEC)],
      ...['mcast_membership_interval', String(membershipSec * CENTISECONDS_PER_SEC)],
    )
    this.#bridge('mcast_querier', '1')
  }

  /** Off: a port gets no multicast that was not asked for; without a querier that is none at all, the link-local groups included. */
  multicastFlood(host: number, isOn: boolean): void {
    this.#port(host, 'mcast_flood', isOn)
  }

  /** Off: a port gets no broadcast, ARP included. */
  broadcastFlood(host: number, isOn: boolean): void {
    this.#port(host, 'bcast_flood', isOn)
  }

  /** Isolated ports do not reach each other, as the clients of an access point with isolation; they reach all others. */
  isolate(host: number, isIsolated: boolean): void {
    this.#port(host, 'isolated', isIsolated)
  }

  /** The MTU of one port of the switch: larger packets to this host are lost, and nobody is told. */
  portMtu(host: number, mtuBytes: number): void {
    this.onSwitch('ip', 'link', 'set', `h${host}`, 'mtu', String(mtuBytes))
  }

  /** The MTU that a host believes in. */
  hostMtu(host: number, mtuBytes: number): void {
    this.onHost(host, 'ip', 'link', 'set', 'eth0', 'mtu', String(mtuBytes))
  }

  /** The rate of one host's link, both ways. */
  rate(host: number, rate: string): void {
    this.testbed('rate', `h${host}`, rate)
  }

  /** Loses packets on their way to a host; undefined ends it. */
  loss(host: number, loss: Loss | undefined): void {
    if (!this.#isLossy) {
      this.#isLossy = true
      // One loss is to be one packet, not a segment of 64 KB.
      for (let k = 0; k < this.hosts; k++) this.onHost(k, 'ip', 'link', 'set', 'eth0', 'gso_max_segs', '1')
      this.onSwitch('nft', 'add table bridge loss')
    }
    const chain = `h${host}`
    this.onSwitch('nft', `add chain bridge loss ${chain} { type filter hook forward priority 1 ; }`)
    this.onSwitch('nft', `flush chain bridge loss ${chain}`)
    if (loss === undefined) return
    const lost =
      'percent' in loss
        ? `numgen random mod 100000 < ${Math.round(loss.percent * 1000)}`
        : `numgen inc mod ${loss.outOf} >= ${loss.outOf - loss.burst}`
    this.onSwitch('nft', `add rule bridge loss ${chain} oifname "h${host}" ${lost} drop`)
  }

  /** Bytes and packets that each host has sent and got, headers of Ethernet included. */
  counters(): Record<string, { tx: number; rx: number; txPackets: number; rxPackets: number }> {
    return JSON.parse(this.testbed('counters')) as ReturnType<Lan['counters']>
  }

  // ---- a host ---------------------------------------------------------------------

  /** Takes a host's interface down, as its administrator does, or up again with the addresses and routes that it had. */
  link(host: number, state: 'up' | 'down'): void {
    this.onHost(host, 'ip', 'link', 'set', 'eth0', state)
    if (state === 'down') return
    this.#routeMulticast(host)
    if (this.onHost(host, 'sysctl', '-n', 'net.ipv6.conf.eth0.disable_ipv6').trim() === '0') this.#addAddress6(host)
  }

  /** Gives a host another address; a default route that it had goes with the old one. */
  readdress(host: number, address: string): void {
    this.onHost(host, 'ip', 'addr', 'del', `${this.address(host)}/16`, 'dev', 'eth0')
    this.onHost(host, 'ip', 'addr', 'add', `${address}/16`, 'brd', '+', 'dev', 'eth0')
    this.#addresses[host] = address
    this.#routeMulticast(host)
  }

  /** A host whose routes cover its LAN and no multicast; it has no default route in any case. */
  withoutMulticastRoute(host: number): void {
    this.onHost(host, 'ip', 'route', 'del', '224.0.0.0/4', 'dev', 'eth0')
  }

  /** Takes a host's IPv4 address and routes. */
  ipv6Only(host: number): void {
    this.onHost(host, 'ip', '-4', 'addr', 'flush', 'dev', 'eth0')
    this.onHost(host, 'ip', '-4', 'route', 'flush', 'dev', 'eth0')
    this.#addresses[host] = this.address6(host)
  }

  /** Gives a host IPv6, on addresses that are usable at once. */
  enableIpv6(host: number): void {
    // Before it comes up: an address that is looked for first cannot be used for a second or two.
    for (const setting of ['default.disable_ipv6', 'lo.disable_ipv6', 'eth0.accept_dad', 'all.disable_ipv6', 'eth0.disable_ipv6'])
      this.onHost(host, 'sysctl', '-qw', `net.ipv6.conf.${setting}=0`)
    this.#addAddress6(host)
  }

  /** Drops what comes to a host, or with `output` what it sends, and fits a rule of nftables; gives what ends that. One at a time for each host. */
  drop(host: number, rule: string, hooks: readonly ('input' | 'output')[] = ['input']): () => void {
    this.onHost(host, 'nft', 'add table inet fault')
    for (const hook of hooks) {
      this.onHost(host, 'nft', `add chain inet fault ${hook} { type filter hook ${hook} priority 0 ; }`)
      this.onHost(host, 'nft', `add rule inet fault ${hook} ${rule} drop`)
    }
    return () => void this.onHost(host, 'nft', 'delete table inet fault')
  }

  /** From now on all that a host sends by UDP seems to come from another's address. */
  spoof(host: number, address: string): void {
    this.onHost(host, 'nft', 'add table ip spoof')
    this.onHost(host, 'nft', 'add chain ip spoof out { type filter hook postrouting priority 300 ; }')
    this.onHost(host, 'nft', `add rule ip spoof out oifname "eth0" meta l4proto udp ip saddr set ${address}`)
  }

  /** Addresses and ports (IPv4) of the UDP sockets on a host: those bound to a group name it. */
  udpSockets(host: number): { address: string; port: number; drops: number }[] {
    const lines = this.onHost(host, 'cat', '/proc/net/udp').trim().split('\n').slice(1)
    return lines.map((line) => {
      const fields = line.trim().split(/\s+/)
      const [address = '', port = ''] = (fields[1] ?? '').split(':')
      const bytes = address.match(/../g) ?? []
      return {
        address: bytes
          .toReversed()
          .map((byte) => Number.parseInt(byte, 16))
          .join('.'),
        port: Number.parseInt(port, 16),
        drops: Number(fields.at(-1)),
      }
    })
  }

  // ---- two LANs -------------------------------------------------------------------

  /**
   * Moves hosts to a second LAN (10.78.0.0/16), behind a router that passes on unicast, and of multicast what is listed, both by IPv4.
   * Each host gets a default route by way of the router.
   */
  async routed(hosts: readonly number[], routes: readonly MulticastRoute[]): Promise<void> {
    const router = this.namespace('router')
    const [first, second] = ['10.77.255.254', '10.78.255.254']
    run('ip', 'netns', 'add', router)
    this.onSwitch('ip', 'link', 'add', 'br1', 'type', 'bridge', 'mcast_snooping', '0', 'forward_delay', '0')
    this.onSwitch('ip', 'link', 'set', 'br1', 'up')
    for (const [lan, bridge, address] of [
      ['lan1', 'br0', first],
      ['lan2', 'br1', second],
    ] as const) {
      this.onSwitch('ip', 'link', 'add', `to-${lan}`, 'type', 'veth', 'peer', 'name', lan, 'netns', router)
      this.onSwitch('ip', 'link', 'set', `to-${lan}`, 'master', bridge, 'up')
      run('ip', '-n', router, 'addr', 'add', `${address}/16`, 'brd', '+', 'dev', lan)
      run('ip', '-n', router, 'link', 'set', lan, 'up')
    }
    run('ip', 'netns', 'exec', router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
    for (const host of hosts) {
      this.onSwitch('ip', 'link', 'set', `h${host}`, 'master', 'br1')
      this.readdress(host, this.address(host).replace('10.77.', '10.78.'))
    }
    for (let host = 0; host < this.hosts; host++) {
      this.onHost(host, 'ip', 'route', 'add', 'default', 'via', hosts.includes(host) ? second : first)
    }
    await this.#routeGroups(router, routes)
  }

  async #routeGroups(router: string, routes: readonly MulticastRoute[]): Promise<void> {
    const configuration = path.join(this.#directory, 'smcroute.conf')
    const socket = path.join(this.#directory, 'smcroute.sock')
    const lines = routes.map(({ group, from }) => {
      const [inwards, outwards] = from === 'first' ? ['lan1', 'lan2'] : ['lan2', 'lan1']
      // A range of groups cannot be joined; a switch with snooping would not bring it here.
      const joined = group.includes('/') ? '' : `mgroup from ${inwards} group ${group}\n`
      return `${joined}mroute from ${inwards} group ${group} to ${outwards}\n`
    })
    writeFileSync(configuration, `phyint lan1 enable ttl-threshold 1\nphyint lan2 enable ttl-threshold 1\n${lines.join('')}`)
    const files = ['-f', configuration, '-u', socket, '-P', path.join(this.#directory, 'smcroute.pid')]
    // `down` ends it with everything else that runs in the namespaces.
    const daemon = spawn('ip', ['netns', 'exec', router, 'smcrouted', '-n', '-N', ...files], { stdio: 'ignore' })
    daemon.unref()
    const ended = once(daemon, 'exit')
    for (let waitedMs = 0; !existsSync(socket); waitedMs += 20) {
      assert.ok(waitedMs < SMCROUTE_LIMIT_MS, 'smcrouted does not get ready')
      const isOver = await Promise.race([ended.then(() => true), new Promise<false>((resolve) => setTimeout(() => resolve(false), 20))])
      assert.ok(!isOver, `smcrouted ended with ${daemon.exitCode ?? daemon.signalCode}`)
    }
  }

  #enableIpv6Everywhere(): void {
    // The switch needs an address of its own for its MLD queries.
    for (const device of ['default', 'br0']) this.onSwitch('sysctl', '-qw', `net.ipv6.conf.${device}.disable_ipv6=0`)
    for (let host = 0; host < this.hosts; host++) this.enableIpv6(host)
  }

  #addAddress6(host: number): void {
    this.onHost(host, 'ip', '-6', 'addr', 'replace', `${this.address6(host)}/64`, 'dev', 'eth0', 'nodad')
  }

  #routeMulticast(host: number): void {
    this.onHost(host, 'ip', 'route', 'replace', '224.0.0.0/4', 'dev', 'eth0')
  }

  #bridge(...settings: readonly string[]): void {
    this.onSwitch('ip', 'link', 'set', 'br0', 'type', 'bridge', ...settings)
  }

  #port(host: number, setting: string, isOn: boolean): void {
    this.onSwitch('bridge', 'link', 'set', 'dev', `h${host}`, setting, isOn ? 'on' : 'off')
  }
}

function run(command: string, ...args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  assert.equal(status, 0, `${command} ${args.join(' ')}: ${error?.message ?? stderr}`)
  return stdout
}
