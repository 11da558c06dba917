/** What is simulated: named swarms with their bounds, run by `main.ts`; the figures they gave are in figures.json. */
import type { HostOptions } from './network.ts'
import type { SwarmWorld, SwarmWorldOptions } from './swarm-world.ts'

export interface Scenario {
  readonly name: string
  readonly what: string
  readonly options: SwarmWorldOptions
  /** The time that the figures are given in: what the transfer takes at the least, ms. */
  readonly boundMs: number
  /** When everybody who can has everything, in bounds. */
  readonly within: number
  /** What the origin may send at the most, over F. */
  readonly originAtMost: number
  /** Peers whose times count. */
  readonly counted: (peer: number) => boolean
  /** Arranges what goes wrong on the way. */
  readonly befall: (world: SwarmWorld, boundMs: number) => void
}

type Variation = Partial<Omit<Scenario, 'options'>> & { readonly options?: Partial<SwarmWorldOptions> }

const KIB = 1024
const MIB = 1024 * KIB
/** 100 Mbit/s. */
const RATE = 12_500_000
/** Of it, 1 Mbit/s and 200 kbit/s. */
const LOW_SHARE = 0.01
const LOWEST_SHARE = 0.002
const LAN_MS = 0.2

const MANY = 1000
const SOME = 200
const ZONES = 4
/** Of those about failures, and what they exchange. */
const FEW = 60
const SMALL_BYTES = 64 * MIB
const FAST_BYTES = 256 * MIB
const SMALL_MS = (SMALL_BYTES / RATE) * 1000

function even(share = 1): HostOptions {
  return { upBytesPerSec: RATE * share, downBytesPerSec: RATE * share }
}

function scenario(name: string, what: string, peers: readonly HostOptions[], small: boolean, variation: Variation): Scenario {
  const options: SwarmWorldOptions = {
    seed: name,
    latencyMs: LAN_MS,
    contentBytes: small ? SMALL_BYTES : 256 * MIB,
    chunkBytes: (small ? 16 : 128) * KIB,
    origin: even(),
    peers,
    ...variation.options,
  }
  return {
    boundMs: (options.contentBytes / (options.sourceBytesPerSec ?? RATE)) * 1000,
    within: 1.5,
    originAtMost: 1.25,
    counted: () => true,
    befall: () => undefined,
    ...variation,
    name,
    what,
    options,
  }
}

function large(name: string, what: string, count: number, host: (peer: number) => HostOptions, variation: Variation = {}): Scenario {
  const peers = Array.from({ length: count }, (_, peer) => host(peer))
  return scenario(name, what, peers, false, variation)
}

/** 60 peers with equal links and 64 MiB, and something that goes wrong. */
function failing(name: string, what: string, variation: Variation, host: (peer: number) => HostOptions = () => even()): Scenario {
  const peers = Array.from({ length: FEW }, (_, peer) => host(peer))
  return scenario(name, what, peers, true, variation)
}

const every =
  (nth: number, from = 0) =>
  (peer: number): boolean =>
    peer % nth === from

const isSlow = every(5, 2)
const hasSlowDisk = every(5, 3)
const isBad = every(10, 4)
const JOIN_AT = [0, 0, 0.3, 0.6, 1, 1.5]

/** Peers of every sixth crash, half of them without a word, and start again. */
function crashAndRestart(world: SwarmWorld, boundMs: number): void {
  for (let peer = 1; peer < FEW; peer += 6) {
    const at = boundMs * (0.1 + (0.7 * peer) / FEW)
    world.network.at(at, () => world.outage(peer + 1, peer % 12 === 1, 0.4 * boundMs))
  }
}

function originDies(share: number): Scenario['befall'] {
  return (world, boundMs) => world.network.at(share * boundMs, () => world.crash(0))
}

export const SCENARIOS: readonly Scenario[] = [
  large('equal-1000', '1,000 peers with equal links', MANY, () => even()),
  large(
    'zones-4',
    '1,000 peers in 4 zones; a zone has a tenth of its sum to the core',
    MANY,
    (peer) => ({ ...even(), zone: `z${peer % ZONES}` }),
    { options: { coreBytesPerSec: (RATE * MANY) / ZONES / 10 } },
  ),
  large(
    'slow-20-percent',
    'of 200 peers every fifth has a tenth of the rate; the others count',
    SOME,
    (peer) => even(isSlow(peer) ? 0.1 : 1),
    { counted: (peer) => !isSlow(peer), options: { isAwaited: (peer) => !isSlow(peer) } },
  ),
  large('low-rate', '300 peers on links of 1 Mbit/s, 16 MiB', 300, () => even(LOW_SHARE), {
    boundMs: ((16 * MIB) / (RATE * LOW_SHARE)) * 1000,
    originAtMost: 1.05,
    options: { contentBytes: 16 * MIB, chunkBytes: 16 * KIB, origin: even(LOW_SHARE) },
  }),
  large('lowest-rate', '300 peers on links of 200 kbit/s, 8 MiB', 300, () => even(LOWEST_SHARE), {
    boundMs: ((8 * MIB) / (RATE * LOWEST_SHARE)) * 1000,
    originAtMost: 1.05,
    options: { contentBytes: 8 * MIB, chunkBytes: 16 * KIB, origin: even(LOWEST_SHARE) },
  }),
  failing('loss', 'round trips of 10 ms and a packet in 1,000 lost', { options: { latencyMs: 5, loss: 0.001 } }),
  failing('partition', 'half of the peers are cut off for 10 s', {
    within: 5,
    originAtMost: 2,
    befall: (world) => {
      const cutOff = world.hosts.map(({ index }) => index).filter((index) => index > FEW / 2)
      world.network.at(2000, () => world.partition(cutOff, 10_000))
    },
  }),
  failing('crashes', 'every sixth peer crashes and starts again with what it had', {
    within: 3,
    originAtMost: 1.4,
    befall: crashAndRestart,
  }),
  failing('origin-dies-30', 'the origin dies at 30 % of the time, and some chunks with it', { within: 5, befall: originDies(0.3) }),
  failing('origin-dies-60', 'the origin dies at 60 % of the time, and some chunks with it', { within: 5, befall: originDies(0.6) }),
  failing(
    'origin-dies-last',
    'the origin dies when the peers have all chunks together, at 60 % of the time: they send half as fast as it does',
    { boundMs: 2 * SMALL_MS, within: 4, befall: originDies(0.6) },
    () => ({ upBytesPerSec: RATE / 2, downBytesPerSec: RATE }),
  ),
  failing('late-joiners', 'peers join until one and a half times the bound after the first', {
    options: { joinAt: (peer) => JOIN_AT[peer % JOIN_AT.length]! * SMALL_MS },
    within: 4,
  }),
  failing(
    'slow-disks',
    'every fifth disk writes a fifth of the rate; the others count',
    { within: 8, counted: (peer) => !hasSlowDisk(peer) },
    (peer) => ({ ...even(), ...(hasSlowDisk(peer) ? { diskBytesPerSec: RATE / 5 } : {}) }),
  ),
  failing(
    'slow-links',
    'every fifth peer has a tenth of the rate, and all of them finish',
    { boundMs: 10 * SMALL_MS, within: 1.5 },
    (peer) => even(isSlow(peer) ? 0.1 : 1),
  ),
  failing('weak-uplinks', 'every fifth peer sends with a tenth of the rate and takes with all of it', { within: 2.5 }, (peer) => ({
    upBytesPerSec: isSlow(peer) ? RATE / 10 : RATE,
    downBytesPerSec: RATE,
  })),
  failing('growing', 'the source brings half of the rate, and receivers follow it', { options: { sourceBytesPerSec: RATE / 2 } }),
  failing('fast-source', 'the source brings four times the rate, and half of the peers are cut off for a moment', {
    boundMs: (FAST_BYTES / RATE) * 1000,
    originAtMost: 1.05,
    options: { contentBytes: FAST_BYTES, chunkBytes: 64 * KIB, sourceBytesPerSec: 4 * RATE },
    befall: (world) => {
      const cutOff = world.hosts.map(({ index }) => index).filter((index) => index % 2 === 1)
      world.network.at(1000, () => world.partition(cutOff, 400))
    },
  }),
  failing('liars', 'every tenth peer announces everything and sends nothing', {
    options: { behaviour: (peer) => (isBad(peer) ? 'liar' : 'honest') },
    within: 4,
    originAtMost: 3,
    counted: (peer) => !isBad(peer),
  }),
  failing('silent', 'every tenth peer takes and never sends', {
    options: { behaviour: (peer) => (isBad(peer) ? 'silent' : 'honest') },
    within: 4,
    counted: (peer) => !isBad(peer),
  }),
  failing('wrong-bytes', 'every tenth peer sends one wrong run in eight', {
    options: { behaviour: (peer) => (isBad(peer) ? 'wrong-bytes' : 'honest') },
    within: 4,
    originAtMost: 2.5,
    counted: (peer) => !isBad(peer),
  }),
]
