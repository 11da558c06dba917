import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SessionRate } from './rate-control.ts'
import type { RateOptions } from './rate-options.ts'
import type { ReceiverReport } from './session-types.ts'
import { BottleneckWorld, type BottleneckOptions, type LinkOptions, type ReceiverOptions } from './testing/bottleneck.ts'

/** 1 Gbit/s. */
const LINK = 125_000_000
const MB = 1_000_000
/** Of a switch with 1 MB, and with 20 ms. */
const BUFFERS = [MB, 2.5 * MB]

interface Bed {
  readonly world: BottleneckWorld
  readonly rate: SessionRate
}

function bedOf(options: Partial<RateOptions>, receivers: readonly ReceiverOptions[], changes: Partial<BottleneckOptions> = {}): Bed {
  const rate = new SessionRate(options, 0)
  const links: LinkOptions[] = [{ bytesPerSec: LINK, bufferBytes: MB }]
  return { rate, world: new BottleneckWorld(rate, { links, receivers, reportEveryMs: 20, ...changes }) }
}

const three = (one: ReceiverOptions = {}): ReceiverOptions[] => [one, one, one]

/** Of the link, what arrived at the first receiver in this time. */
function shareIn(world: BottleneckWorld, ms: number): number {
  return world.run(ms).session[0]! / (LINK * (ms / 1000))
}

function within(value: number, least: number, most: number, what: string): void {
  assert.ok(value >= least && value <= most, `${what}: ${value.toFixed(3)}, from ${least} to ${most}`)
}

test('alone, the start is at the speed of the link in 200 ms, and it stays there', () => {
  for (const bufferBytes of [100_000, ...BUFFERS]) {
    const { world } = bedOf({}, three(), { links: [{ bytesPerSec: LINK, bufferBytes }] })
    world.run(100)
    within(shareIn(world, 100), 0.75, 1.01, `the second 100 ms with a buffer of ${bufferBytes}`)
    world.run(800)
    within(shareIn(world, 3000), 0.85, 1.01, `from the first second on, with a buffer of ${bufferBytes}`)
  }
})

test('what is known of the link is not exceeded', () => {
  const { world, rate } = bedOf({ mostBytesPerSec: LINK, initialBytesPerSec: 60 * MB }, three())
  let most = 0
  world.run(1000, () => (most = Math.max(most, rate.rateBytesPerSec)))
  assert.equal(most, LINK)
  within(shareIn(world, 1000), 0.95, 1.01, 'the second second')
})

test('fair leaves about half to a CUBIC flow that is there already', () => {
  for (const bufferBytes of BUFFERS) {
    for (const warmUpMs of [1000, 4000]) {
      const links = [{ bytesPerSec: LINK, bufferBytes, hasTcp: true }]
      const { world } = bedOf({}, three(), { links, reportEveryMs: 50 })
      world.warmUp(warmUpMs)
      const { session, tcp } = world.run(15_000)
      within(session[0]! / (session[0]! + tcp[0]!), 0.35, 0.65, `share with a buffer of ${bufferBytes}, ${warmUpMs} ms after the flow`)
    }
  }
})

test('a session that has the link takes in a CUBIC flow', () => {
  for (const bufferBytes of BUFFERS) {
    const links = [{ bytesPerSec: LINK, bufferBytes, hasTcp: true }]
    const { world } = bedOf({ initialBytesPerSec: 0.9 * LINK }, three(), { links, reportEveryMs: 50 })
    world.run(5000)
    const { session, tcp } = world.run(15_000)
    within(session[0]! / (session[0]! + tcp[0]!), 0.35, 0.65, `share with a buffer of ${bufferBytes}`)
  }
})

test('scavenger leaves the link to a CUBIC flow, and takes it when it is alone', () => {
  for (const bufferBytes of BUFFERS) {
    const links = [{ bytesPerSec: LINK, bufferBytes, hasTcp: true }]
    const { world } = bedOf({ mode: 'scavenger' }, three(), { links, reportEveryMs: 50 })
    world.warmUp(4000)
    const { session, tcp } = world.run(15_000)
    within(session[0]! / (session[0]! + tcp[0]!), 0, 0.1, `share with a buffer of ${bufferBytes}`)
    const alone = bedOf({ mode: 'scavenger' }, three(), { links: [{ bytesPerSec: LINK, bufferBytes }] })
    alone.world.run(10_000)
    within(shareIn(alone.world, 3000), 0.6, 1.01, `alone with a buffer of ${bufferBytes}`)
  }
})

test('2 % of random loss cost at most 15 % of the rate, from the first second on, and become parity', () => {
  const { world } = bedOf({}, three())
  world.run(500)
  const clean = shareIn(world, 4000)
  for (const loss of [0.02, 0.1]) {
    const lossy = bedOf({}, three({ loss: () => loss }))
    lossy.world.run(500)
    within(shareIn(lossy.world, 4000) / (1 - loss) / clean, 0.85, 1.05, `rate at ${loss}`)
    within(lossy.rate.proactiveShare, 0.7 * loss, 1.5 * loss, 'parity ahead')
  }
})

test('random loss that begins later is found out, and given back', () => {
  const { world, rate } = bedOf({ mostBytesPerSec: 0.9 * LINK }, three({ loss: (now) => (now > 500 ? 0.02 : 0) }))
  world.run(500)
  within(shareIn(world, 2500), 0.85 * 0.9 * 0.98, 0.9, 'rate')
  assert.ok(rate.status().trialsUndone > 0)
})

test('random loss in bursts costs no more', () => {
  // Each 300 ms all packets of half a millisecond, about 40, and of 6 ms, about 450.
  for (const [burstMs, least] of [
    [0.5, 0.9],
    [6, 0.6],
  ] as const) {
    let at = 0
    const loss = (now: number): number => {
      if (now >= at + burstMs) at += 300
      return now >= at ? 1 : 0
    }
    const { world } = bedOf({ mostBytesPerSec: 0.9 * LINK }, three({ loss }))
    world.run(500)
    within(shareIn(world, 4000), least * 0.9, 0.9, `rate with bursts of ${burstMs} ms`)
  }
})

test('a receiver whose clock is off by milliseconds does not make random loss a congestion', () => {
  const { world } = bedOf({}, three({ loss: () => 0.02, jitterMs: 15 }))
  world.run(500)
  within(shareIn(world, 4000), 0.8, 1.01, 'rate')
})

test('a socket that overflows holds the rate at what is read, without a cut as for congestion', () => {
  const { world, rate } = bedOf({}, [{}, {}, { readsBytesPerSec: 0.6 * LINK }])
  world.run(500)
  within(shareIn(world, 3000), 0.5, 0.65, 'rate')
  assert.deepEqual(world.slow, [])
  assert.ok(rate.status().overrunCuts > 0)
})

test('a receiver at a tenth of the others is given out soon, and the others lose next to nothing by it', () => {
  const links = [
    { bytesPerSec: LINK, bufferBytes: MB },
    { bytesPerSec: LINK / 10, bufferBytes: MB },
  ]
  const alone = bedOf({}, three())
  for (const receivers of [
    [{}, {}, { link: 1 }],
    [{}, { link: 1 }],
  ]) {
    const { world } = bedOf({}, receivers, { links })
    const share = shareIn(world, 1000)
    assert.deepEqual(world.slow, [receivers.length - 1])
    within(share / shareIn(bedOf({}, three()).world, 1000), 0.9, 1.2, 'of the rate without it')
  }
  within(shareIn(alone.world, 1000), 0.7, 1, 'without it')
  assert.deepEqual(alone.world.slow, [])
})

test('a link that becomes slow in mid-transfer, and one that reads slowly, are given out as well', () => {
  const { world } = bedOf({}, [{}, {}, {}, { readsBytesPerSec: LINK / 10 }])
  world.run(1500)
  assert.deepEqual(world.slow, [3])
  const late = bedOf({}, [{}, {}, { loss: (now) => (now > 1000 ? 0.9 : 0) }])
  late.world.run(1000)
  assert.deepEqual(late.world.slow, [])
  within(shareIn(late.world, 1500), 0.75, 1.01, 'rate')
  assert.deepEqual(late.world.slow, [2])
})

test('a receiver at 60 % is waited for, and nobody is slow where the link of all is', () => {
  const links = [
    { bytesPerSec: LINK, bufferBytes: MB },
    { bytesPerSec: 0.6 * LINK, bufferBytes: MB },
  ]
  const { world } = bedOf({}, [{}, {}, { link: 1 }], { links })
  world.run(1000)
  within(shareIn(world, 3000), 0.5, 0.62, 'rate')
  assert.deepEqual(world.slow, [])
  const half = bedOf({}, three({ loss: () => 0.5 }))
  half.world.run(2000)
  assert.deepEqual(half.world.slow, [])
})

test('a sender that cannot send as fast does not raise its rate for ever', () => {
  const { world, rate } = bedOf({}, three(), { sendsBytesPerSec: 60 * MB })
  world.run(3000)
  within(rate.rateBytesPerSec, 60 * MB, 160 * MB, 'rate')
})

test('a session that nobody answers falls to next to nothing, and comes again with the first report', () => {
  for (const mode of ['fair', 'fixed'] as const) {
    const { world, rate } = bedOf({ mode }, three({ isSilent: (now) => now > 500 && now < 9500 }))
    world.run(500)
    world.sentBytes = 0
    world.run(9000)
    within(world.sentBytes, 0, 200 * MB, 'bytes into the void')
    within(rate.rateBytesPerSec, 0, 40_000, 'rate')
    world.run(1000)
    within(rate.rateBytesPerSec, 9 * MB, 2 * LINK, 'rate when somebody is there again')
  }
})

test('without a report at all no more than two halves of a second go out at the first rate', () => {
  const { world } = bedOf({}, three({ isSilent: () => true }))
  world.run(60_000)
  within(world.sentBytes, 5 * MB, 13 * MB, 'bytes')
})

test('reports of more receivers than are told apart are counted, and change nothing', () => {
  const rate = new SessionRate({ mostReceivers: 2 }, 0)
  const report = {
    receivedPackets: 100,
    lostPackets: 50,
    lossBursts: 50,
    overrunPackets: 0,
    queueMs: 30,
    receivedBytesPerSec: MB,
    rttMs: 1,
  }
  const of = (receiver: number, lostPackets: number): ReceiverReport => ({ ...report, receiver, lostPackets, queueMs: 0 })
  rate.report(of(1, 0), 1)
  rate.report(of(2, 0), 1)
  const before = rate.rateBytesPerSec
  rate.report({ ...report, receiver: 3 }, 100)
  assert.equal(rate.rateBytesPerSec, before)
  assert.equal(rate.status().reportsUnread, 1)
})

test('parity ahead follows the receiver in the middle, none below a thousandth', () => {
  const rate = new SessionRate({}, 0)
  const losses = [0, 0.0005, 0.0005, 0.3, 0]
  const told = (scale: number, from: number): void => {
    for (let at = from; at < from + 1000; at += 50) {
      for (const [receiver, loss] of losses.entries()) {
        const lostPackets = Math.round(10_000 * Math.min(0.3, loss * scale))
        const receivedPackets = 10_000 - lostPackets
        rate.report(
          {
            receiver,
            receivedPackets,
            lostPackets,
            lossBursts: lostPackets,
            overrunPackets: 0,
            queueMs: 0,
            receivedBytesPerSec: MB,
            rttMs: 1,
          },
          at,
        )
      }
    }
  }
  told(1, 0)
  assert.equal(rate.proactiveShare, 0)
  told(40, 1000)
  within(rate.proactiveShare, 0.018, 0.022, 'share')
})

test('a queue on the way to one of several does not end the start, nor for ever hold it up', () => {
  const startOf = (queued: number, untilMs: number): number => {
    const rate = new SessionRate({ initialBytesPerSec: 10_000_000 }, 0)
    for (let now = 25; now <= untilMs; now += 25) {
      const bytes = (rate.rateBytesPerSec * 25) / 1000
      rate.sent(bytes, now)
      for (let receiver = 0; receiver < 4; receiver++) {
        const packets = Math.round(bytes / 1500)
        rate.report(
          {
            receiver,
            receivedPackets: packets,
            lostPackets: 0,
            lossBursts: 0,
            overrunPackets: 0,
            queueMs: receiver < queued ? 40 : 0,
            receivedBytesPerSec: rate.rateBytesPerSec,
            rttMs: 0.5,
          },
          now,
        )
      }
    }
    return rate.rateBytesPerSec
  }
  assert.ok(startOf(1, 200) >= 80_000_000, 'one of four')
  assert.ok(startOf(3, 200) < 20_000_000, 'most of them')
  assert.ok(startOf(1, 2000) <= startOf(1, 500), 'one of four that loses nothing: the start ends in the end')
})
