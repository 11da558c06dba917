/** The figures of a simulated cluster. */
import { rounded, type Figures } from '../scenario.ts'
import type { Spread } from './gossip-checks.ts'
import type { GossipWorld } from './gossip-world.ts'

export function figuresOf(world: GossipWorld, followed: Spread | undefined, oneViewMs: number | undefined): Figures {
  const { hosts, now, measuredFrom, checks, traceHash } = world
  const nodeSeconds = (hosts.length * (now - measuredFrom)) / 1000
  const sum = (of: (host: (typeof hosts)[number]) => number): number => hosts.reduce((total, host) => total + of(host), 0)
  const times = followed?.times() ?? []
  return {
    /** Datagrams' payload; what streams carried is apart. */
    packetBytesPerSec: rounded(sum((host) => host.sentBytes) / nodeSeconds, 1),
    streamBytesPerSec: rounded(sum((host) => host.streamBytes) / nodeSeconds, 1),
    packetsPerSec: rounded(sum((host) => host.sentPackets) / nodeSeconds, 3),
    accused: checks.accusations,
    refuted: checks.refutations,
    failedThoughUp: checks.failuresOfRunning,
    falselyFailed: checks.falseFailures,
    mostQueued: checks.mostQueued,
    ...(followed === undefined
      ? {}
      : {
          heardBy: times.length,
          firstMs: rounded(times[0] ?? Infinity, 0),
          medianMs: rounded(times[Math.floor(times.length / 2)] ?? Infinity, 0),
          lastMs: rounded(times.at(-1) ?? Infinity, 0),
        }),
    ...(oneViewMs === undefined ? {} : { oneViewMs: rounded(oneViewMs, 0) }),
    trace: traceHash.toString(16),
  }
}

export function describeRun(figures: Figures): string {
  const { packetBytesPerSec, streamBytesPerSec, packetsPerSec, accused, refuted, falselyFailed, mostQueued, trace } = figures
  const traffic = `a node sends ${packetBytesPerSec} B/s in ${packetsPerSec} packets/s and ${streamBytesPerSec} B/s on streams`
  const { failedThoughUp, oneViewMs, heardBy, firstMs, medianMs, lastMs } = figures
  const spread = heardBy === undefined ? '' : `, heard by ${heardBy}: first ${firstMs} ms, median ${medianMs} ms, last ${lastMs} ms`
  const oneView = oneViewMs === undefined ? '' : `, one view after ${oneViewMs} ms`
  return `${traffic}, accused ${accused}, refuted ${refuted}, failed though up ${failedThoughUp}, falsely failed ${falselyFailed}, most queued ${mostQueued}${spread}${oneView}, trace ${trace}`
}
