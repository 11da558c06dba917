/** What is simulated: named swarms with their bounds, run by `main.ts`; the figures they gave are in figures.json. */
import type { HostOptions } from './network.ts'
import type { SwarmWorldOptions } from './swarm-world.ts'

const MIB = 1024 * 1024
const CONTENT_BYTES = 256 * MIB
const CHUNK_BYTES = 128 * 1024
/** 100 Mbit/s. */
const RATE = 12_500_000
/** Of the scenarios that are about unequal links; the one about many has 1,000. */
const PEERS = 200
const ZONES = 4

export interface Scenario {
  readonly name: string
  readonly what: string
  readonly options: SwarmWorldOptions
  /** Peers whose times count. */
  readonly counted: (peer: number) => boolean
}

function scenario(
  name: string,
  what: string,
  count: number,
  host: (peer: number) => HostOptions,
  more: Partial<SwarmWorldOptions> = {},
  counted: (peer: number) => boolean = () => true,
): Scenario {
  const options: SwarmWorldOptions = {
    seed: name,
    latencyMs: 0.2,
    contentBytes: CONTENT_BYTES,
    chunkBytes: CHUNK_BYTES,
    origin: even(),
    peers: Array.from({ length: count }, (_, peer) => host(peer)),
    ...more,
  }
  return { name, what, options, counted }
}

function even(share = 1): HostOptions {
  return { upBytesPerSec: RATE * share, downBytesPerSec: RATE * share }
}

const isSlow = (peer: number): boolean => peer % 5 === 2

export const SCENARIOS: readonly Scenario[] = [
  scenario('equal-1000', '1,000 peers with equal links', 1000, () => even()),
  scenario(
    'zones-4',
    '200 peers in 4 zones; a zone has a tenth of its sum to the core',
    PEERS,
    (peer) => ({ ...even(), zone: `z${peer % ZONES}` }),
    {
      coreBytesPerSec: (RATE * PEERS) / ZONES / 10,
    },
  ),
  scenario(
    'slow-20-percent',
    'of 200 peers every fifth has a tenth of the rate; the others count',
    PEERS,
    (peer) => even(isSlow(peer) ? 0.1 : 1),
    {},
    (peer) => !isSlow(peer),
  ),
]
