/** Named multicast sessions, what befalls them, and the limits that they are held to; `main.ts` runs them. */
import { rounded, type Figures, type Outcome, type Runnable } from '../scenario.ts'
import { HEADERS_BYTES, MulticastWorld, type MulticastWorldOptions } from './multicast-world.ts'

interface MulticastScenario {
  readonly name: string
  readonly what: string
  readonly receivers: number
  readonly blocks: number
  readonly options?: Partial<MulticastWorldOptions>
  /** Arranges what goes wrong. */
  readonly befall?: (world: MulticastWorld) => void
  /** Receivers that need not have all, as something happened to them; they must be told. */
  readonly isHarmed?: (receiver: number) => boolean
  /** When the last one that is not harmed has all, ms after the first block was asked for. */
  readonly withinMs: number
  /** All that the sender may send, with headers, once it has begun, over F. */
  readonly mostSent: number
  readonly mostNacksPerBlock?: number
  readonly mostFeedbackKbits?: number
  /** When the last of the harmed must know, ms after the start of the session. */
  readonly toldWithinMs?: number
  readonly isByHand?: boolean
}

const SECOND = 1000
const MB = 1_000_000
/** 1 Gbit/s. */
const LINK = 125 * MB
const SYMBOLS = 224
const DATAGRAM_BYTES = 1472
/** Payload of a symbol: a datagram less the session's header. */
const SYMBOL_BYTES = 1440
const GIVE_UP_MS = 60 * SECOND

const lossy = (share: number, burst?: number) => (): { share: number; burst?: number } =>
  burst === undefined ? { share } : { share, burst }

const every =
  (nth: number, from = 0) =>
  (receiver: number): boolean =>
    receiver % nth === from

const isSlow = every(16, 5)
const isBlocked = every(8, 3)
const isLeaving = every(8, 1)
const isKilled = every(8, 2)
/** Joins of many are collected into few answers, and the session waits until all are there. */
const MANY = { senderLimits: { settleMs: 3500, startTimeoutMs: 5000, welcomeMs: 20 } } as const

const SCENARIOS: readonly MulticastScenario[] = [
  { name: 'clean-3', what: '3 receivers, 64 MB, no loss', receivers: 3, blocks: 200, withinMs: 700, mostSent: 1.055 },
  {
    name: 'loss-3',
    what: '3 receivers, 64 MB, 2 % loss, independent',
    receivers: 3,
    blocks: 200,
    options: { lossOf: lossy(0.02) },
    withinMs: 800,
    mostSent: 1.09,
  },
  {
    name: 'half-lost-3',
    what: '3 receivers, 16 MB, half of all packets lost, independent',
    receivers: 3,
    blocks: 50,
    options: { lossOf: lossy(0.5) },
    withinMs: 2 * SECOND,
    mostSent: 3.5,
  },
  {
    name: 'loss-100',
    what: '100 receivers, 32 MB, 2 % loss, independent',
    receivers: 100,
    blocks: 100,
    options: { lossOf: lossy(0.02) },
    withinMs: 1200,
    mostSent: 1.11,
    mostNacksPerBlock: 5,
  },
  {
    name: 'bursts-100',
    what: '100 receivers, 32 MB, 2 % loss in bursts of 50 packets, independent',
    receivers: 100,
    blocks: 100,
    options: { lossOf: lossy(0.02, 50) },
    withinMs: 2 * SECOND,
    mostSent: 2.1,
    mostNacksPerBlock: 8,
  },
  {
    name: 'shared-100',
    what: '100 receivers, 32 MB, 2 % loss, the same for all',
    receivers: 100,
    blocks: 100,
    options: { sharedLoss: { share: 0.02 } },
    withinMs: 1200,
    mostSent: 1.09,
    mostNacksPerBlock: 5,
  },
  {
    name: 'loss-1000',
    what: '1,000 receivers, 13 MB, 2 % loss, independent',
    receivers: 1000,
    blocks: 40,
    options: { lossOf: lossy(0.02), ...MANY },
    withinMs: 800,
    mostSent: 1.12,
    mostNacksPerBlock: 5,
  },
  {
    name: 'shared-1000',
    what: '1,000 receivers, 6.5 MB, 2 % loss, the same for all',
    receivers: 1000,
    blocks: 20,
    options: { sharedLoss: { share: 0.02 }, ...MANY },
    withinMs: 800,
    mostSent: 1.09,
    mostNacksPerBlock: 5,
  },
  {
    name: 'loss-10000',
    what: '10,000 receivers, 650 kB, 2 % loss, independent',
    receivers: 10_000,
    blocks: 2,
    options: { lossOf: lossy(0.02), ...MANY },
    withinMs: 800,
    mostSent: 1.3,
  },
  {
    name: 'slow-port',
    what: 'of 16 receivers one has a port of 100 Mbit/s; 64 MB',
    receivers: 16,
    blocks: 200,
    options: { portOf: (receiver) => (isSlow(receiver) ? { bytesPerSec: LINK / 10, queueBytes: 256 * 1024 } : undefined) },
    isHarmed: isSlow,
    withinMs: 770,
    mostSent: 1.15,
    toldWithinMs: SECOND,
  },
  {
    name: 'slow-deep-port',
    what: 'of 4 receivers one has a port of 100 Mbit/s that keeps 1 MB: a queue of 84 ms before anything is lost; 64 MB',
    receivers: 4,
    blocks: 200,
    options: { portOf: (receiver) => (receiver === 1 ? { bytesPerSec: LINK / 10, queueBytes: MB } : undefined) },
    isHarmed: (receiver) => receiver === 1,
    withinMs: 900,
    mostSent: 1.15,
    toldWithinMs: SECOND,
  },
  {
    name: 'blocked',
    what: 'of 64 receivers with 1 % loss every eighth gets no multicast from 200 ms on; 64 MB',
    receivers: 64,
    blocks: 200,
    options: { lossOf: lossy(0.01) },
    befall: (world) =>
      world.at(200, () => {
        for (const host of world.hosts) if (isBlocked(host.index)) host.isBlocked = true
      }),
    isHarmed: isBlocked,
    withinMs: 1000,
    mostSent: 1.15,
    toldWithinMs: 2 * SECOND,
  },
  {
    name: 'leave-join',
    what: 'of 64 receivers with 1 % loss every eighth leaves, is killed, or joins late; 64 MB',
    receivers: 64,
    blocks: 200,
    options: { lossOf: lossy(0.01), joinAt: (receiver) => (receiver % 8 === 4 ? 150 + receiver * 5 : 0) },
    befall: (world) => {
      for (const host of world.hosts) {
        if (isLeaving(host.index)) world.at(100 + 5 * host.index, () => world.leave(host))
        if (isKilled(host.index)) world.at(120 + 5 * host.index, () => world.kill(host))
      }
    },
    isHarmed: isLeaving,
    withinMs: 900,
    mostSent: 1.15,
    toldWithinMs: SECOND,
  },
  {
    name: 'sender-killed',
    what: '64 receivers with 1 % loss; the sender ends without a word after 300 ms',
    receivers: 64,
    blocks: 200,
    options: { lossOf: lossy(0.01) },
    befall: (world) => world.at(300, () => world.killSender()),
    isHarmed: () => true,
    withinMs: 0,
    mostSent: 1,
    toldWithinMs: 2 * SECOND,
  },
  {
    name: 'loss-1000-long',
    what: '1,000 receivers, 97 MB, 2 % loss, independent',
    receivers: 1000,
    blocks: 300,
    options: { lossOf: lossy(0.02), ...MANY },
    withinMs: 2 * SECOND,
    mostSent: 1.12,
    mostNacksPerBlock: 5,
    isByHand: true,
  },
  {
    name: 'loss-10000-long',
    what: '10,000 receivers, 19 MB, 2 % loss, independent',
    receivers: 10_000,
    blocks: 60,
    options: { lossOf: lossy(0.02), ...MANY },
    withinMs: 2 * SECOND,
    mostSent: 1.15,
    mostNacksPerBlock: 5,
    isByHand: true,
  },
  {
    name: 'shared-10000',
    what: '10,000 receivers, 6.5 MB, 2 % loss, the same for all',
    receivers: 10_000,
    blocks: 20,
    options: { sharedLoss: { share: 0.02 }, ...MANY },
    withinMs: 2 * SECOND,
    mostSent: 1.15,
    mostNacksPerBlock: 8,
    isByHand: true,
  },
]

/** The scenarios as `main.ts` runs them. */
export const MULTICAST_RUNNABLES: readonly Runnable[] = SCENARIOS.map((scenario) => ({
  name: `multicast/${scenario.name}`,
  what: scenario.what,
  isByHand: scenario.isByHand === true,
  run: (seed) => runScenario(scenario, seed),
  describe: ({ sent, medianMs, lastMs, complete, ended, nacksPerBlock, feedbackKbits, parity, nackKbits, stalledMs, trace }): string =>
    `sent ${sent} F, ${complete} complete (median ${medianMs} ms, last ${lastMs} ms), others: ${ended}; ${nacksPerBlock} NACKs per block, ` +
    `feedback ${feedbackKbits} kbit/s (${nackKbits} of it NACKs), parity ahead ${parity}, stalled ${stalledMs} ms, trace ${trace}`,
}))

/** The world of a scenario before its first event. */
export function worldOf(receivers: number, blocks: number, seed: string, options: Partial<MulticastWorldOptions> = {}): MulticastWorld {
  // As many blocks as the machines' own limit in bytes has, were the symbols whole.
  const windowBlocks = Math.floor((48 * 1024 * 1024) / (SYMBOLS * SYMBOL_BYTES))
  return new MulticastWorld({
    seed,
    receivers,
    blocks,
    blockSymbols: SYMBOLS,
    datagramBytes: DATAGRAM_BYTES,
    link: { bytesPerSec: LINK, queueBytes: MB },
    rate: { mostBytesPerSec: LINK },
    latencyMs: [0.1, 0.3],
    lossOf: lossy(0),
    ...options,
    senderLimits: { windowBlocks, ...options.senderLimits },
    receiverLimits: { windowBlocks, ...options.receiverLimits },
  })
}

function runScenario(scenario: MulticastScenario, seed: string = scenario.name): Outcome {
  const { receivers, blocks, options, befall, isHarmed = () => false } = scenario
  const world = worldOf(receivers, blocks, seed, options)
  befall?.(world)
  world.run(GIVE_UP_MS)
  world.checks.finish(isHarmed)
  const figures = figuresOf(world)
  return { figures, violations: [...world.checks.violations, ...exceeded(scenario, world, figures)] }
}

function figuresOf(world: MulticastWorld): Figures {
  const { hosts, options, sender } = world
  const times = hosts.flatMap(({ completeAt }) => (completeAt < 0 ? [] : [completeAt - world.startedAt])).sort((a, b) => a - b)
  const lastMs = times.at(-1) ?? Infinity
  const ended = new Map<string, number>()
  for (const host of hosts) {
    const how = host.isKilled ? 'killed' : (host.ended ?? 'going on')
    if (how !== 'complete') ended.set(how, (ended.get(how) ?? 0) + 1)
  }
  const { nacks, proactivePackets, sourcePackets, stalledMs } = sender.status()
  const contentBytes = options.blocks * options.blockSymbols * (options.datagramBytes - DATAGRAM_BYTES + SYMBOL_BYTES)
  return {
    sent: rounded((world.sentWireBytes - world.joiningSentBytes) / contentBytes, 4),
    /** What headers alone make of it. */
    headers: rounded((options.datagramBytes + HEADERS_BYTES) / (options.datagramBytes - DATAGRAM_BYTES + SYMBOL_BYTES), 4),
    complete: times.length,
    medianMs: rounded(times[Math.floor(times.length / 2)] ?? Infinity, 0),
    lastMs: rounded(lastMs, 0),
    ended: [...ended].map(([how, count]) => `${count} ${how}`).join(', ') || 'none',
    nacksPerBlock: rounded(nacks / options.blocks, 2),
    feedbackKbits: rounded(((world.feedbackUntilCompleteBytes - world.feedbackBeforeBytes) * 8) / lastMs, 1),
    nackKbits: rounded((world.nackWireBytes * 8) / lastMs, 1),
    joinKbytes: rounded(world.joiningWireBytes / 1000, 1),
    parity: rounded(proactivePackets / Math.max(1, sourcePackets), 4),
    stalledMs: rounded(stalledMs, 0),
    trace: world.traceHash.toString(16),
  }
}

/** Which of a scenario's own limits were not kept. */
function exceeded(scenario: MulticastScenario, world: MulticastWorld, figures: Figures): string[] {
  const { isHarmed = () => false, withinMs, mostSent, mostNacksPerBlock, mostFeedbackKbits, toldWithinMs } = scenario
  const complaints: string[] = []
  const limit = (what: string, value: number, most: number): void => {
    if (value > most) complaints.push(`${what}: ${rounded(value, 4)}; ${most} are the limit`)
  }
  const well = world.hosts.filter((host) => !host.isKilled && !isHarmed(host.index))
  limit('ms until the last one had all', Math.max(0, ...well.map(({ completeAt }) => completeAt)) - world.startedAt, withinMs)
  limit('F sent', Number(figures['sent']), mostSent)
  limit('NACKs per block', Number(figures['nacksPerBlock']), mostNacksPerBlock ?? Infinity)
  limit('kbit/s of feedback', Number(figures['feedbackKbits']), mostFeedbackKbits ?? Infinity)
  const harmed = world.hosts.filter((host) => !host.isKilled && isHarmed(host.index))
  if (toldWithinMs !== undefined) limit('ms until the last was told', Math.max(0, ...harmed.map(({ endedAt }) => endedAt)), toldWithinMs)
  return complaints
}
