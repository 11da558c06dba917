/** The constants of the rate of a session, with what each is for. docs/specs/07-multicast.md §11. */
import type { RateMode } from './session-types.ts'

export interface RateOptions {
  /**
   * `fair` shares a link about equally with a TCP flow; `scavenger` leaves it to TCP and takes what nobody wants; `fixed` sends at
   * `initialBytesPerSec` whatever is lost, for networks that are reserved for it.
   */
  readonly mode: RateMode
  /**
   * The rate at the start, bytes/s on the wire. Higher: short transfers are over sooner; too high for the slowest link: the first
   * round is lost there. What an earlier session to the same receivers reached is a good value.
   */
  readonly initialBytesPerSec: number
  /** Never faster, bytes/s on the wire. The speed of the sender's link, where it is known; what the operator allows, where that is less. */
  readonly mostBytesPerSec: number
  /** Never slower, bytes/s, but for a session that nobody answers. Whoever cannot keep up with this is given out as slow. */
  readonly leastBytesPerSec: number
  /** The start doubles at most this often, ms, and no sooner than a report tells of the doubling before. Shorter: steeper, and further beyond the link when it ends. */
  readonly leastRoundMs: number
  /** Without a report for so long while packets go out, the rate is halved, and again after as long. Shorter: a pause of all receivers costs rate. */
  readonly silenceMs: number
  /** A session that nobody answers falls to this, bytes/s: enough to find out that somebody does again. */
  readonly silentBytesPerSec: number
  /**
   * Of the rate that is left after loss with a queue. 0.7 is CUBIC's, so that two flows that lose together stay as they are to each
   * other; lower leaves more to others and takes longer to come again.
   */
  readonly congestionFactor: number
  /** Of the rate that is left after loss without a queue, until the next reports tell whether it was the rate's fault. Nearer to 1: cheaper when it was not, and less certain to find out. */
  readonly trialFactor: number
  /** The start ends at this share of what arrived. Below 1, so that the queue that it left can drain. */
  readonly startExitShare: number
  /** Loss below this share in the start, without a queue, is held for random at once; the next doubling would show it if it was not. */
  readonly startTolerance: number
  /** A queue of less than this, ms, with a loss says nothing. Higher than what a busy receiver's clock is off by; a switch with small buffers stays below it, and is found by trials. */
  readonly lossQueueMs: number
  /** `fair` yields at a queue longer than this, ms: before TCP loses a packet. Higher: holds its own better where queues are always long, and makes them longer. */
  readonly fairQueueMs: number
  /** What `scavenger` tries to keep the queue at, ms (LEDBAT's target). Higher: less timid where clocks are inexact; takes more from TCP. */
  readonly scavengerQueueMs: number
  /** Of the rate that is left after yielding to a queue. */
  readonly yieldFactor: number
  /**
   * So many yields in a row, and the queue has not drained to half of the limit: somebody else fills it, and yielding would end at nothing.
   * `fair` goes by losses alone then, until it sees the queue drained. More: surer, and more rate lost until it knows.
   */
  readonly mostFutileYields: number
  /** Bytes of a packet of the TCP flow whose growth `fair` has: `tcpGrowth` of them per round trip. */
  readonly tcpPacketBytes: number
  /**
   * Packets per round trip that the rate grows by, after the start. CUBIC's friendly region has 0.53 with a factor of 0.7 (RFC 9438 §4.3); a bit more makes up
   * for yielding to queues now and then, which CUBIC does not. */
  readonly tcpGrowth: number
  /** A round trip is counted as this long at the least, ms: growth has its square, and packets on a LAN are shorter under way than they wait in sockets. */
  readonly leastRoundTripMs: number
  /** `scavenger` grows by this after the start, bytes/s in a second, and twice as fast for each `scavengerDoublingMs` that nothing speaks against it. */
  readonly scavengerBytesPerSec2: number
  readonly scavengerDoublingMs: number
  /** What `scavenger` has left after loss with a queue. */
  readonly scavengerCongestionFactor: number
  /** A receiver whose own socket drops more than this share holds the rate at what it could read. Below: the repair is cheaper than going slower. */
  readonly overrunTolerance: number
  /** A receiver that would hold the rate below this share of what the median of the others can take is slow. Lower: more patience with slow ones, everybody waits for them. */
  readonly slowShare: number
  /** For so long it must be slow before `takeSlow` gives it out, ms. Shorter: a pause of a receiver's process throws it out; longer: the others carry its repairs for longer. */
  readonly slowHoldMs: number
  /** What a receiver could once take counts for so long as what it can, ms, unless it lost since. */
  readonly provenMs: number
  /** A receiver that has reported nothing for this long no longer counts, ms. */
  readonly staleMs: number
  /** Receivers that are told apart; reports of others are not looked at, and counted. */
  readonly mostReceivers: number
  /** Parity goes ahead for the loss of the receiver at this share of all, in order of loss. Higher: fewer rounds of repair; everybody carries it for few. */
  readonly proactiveQuantile: number
  /** Below this loss no parity goes ahead. */
  readonly leastProactive: number
  /** More parity than this share of the source never goes ahead. */
  readonly mostProactive: number
}

const MB = 1_000_000

export const DEFAULT_RATE_OPTIONS: RateOptions = {
  mode: 'fair',
  initialBytesPerSec: 10 * MB,
  mostBytesPerSec: 1250 * MB,
  leastBytesPerSec: 0.1 * MB,
  leastRoundMs: 10,
  silenceMs: 500,
  silentBytesPerSec: 0.02 * MB,
  congestionFactor: 0.7,
  trialFactor: 0.85,
  startExitShare: 0.9,
  startTolerance: 0.1,
  lossQueueMs: 2,
  fairQueueMs: 5,
  scavengerQueueMs: 3,
  yieldFactor: 0.92,
  mostFutileYields: 4,
  tcpPacketBytes: 1500,
  tcpGrowth: 0.8,
  leastRoundTripMs: 2,
  scavengerBytesPerSec2: MB,
  scavengerDoublingMs: 2000,
  scavengerCongestionFactor: 0.35,
  overrunTolerance: 0.05,
  slowShare: 0.5,
  slowHoldMs: 250,
  provenMs: 5000,
  staleMs: 3000,
  mostReceivers: 20_000,
  proactiveQuantile: 0.5,
  leastProactive: 0.001,
  mostProactive: 0.5,
}
