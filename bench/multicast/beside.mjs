/**
 * What happens beside a transfer, and what is found of it: each case gives `begun`, called when the transfer begins, `findings`, called
 * when it has ended, and `end`.
 */
import { onHost, round, stop } from '../bed.mjs'

/** Where the TCP flow goes to that a link is shared with. */
export const TCP_PORT = 5201
const TCP_ALONE_MS = 3000
const TCP_SETTLE_MS = 1000
const SAMPLE_MS = 100
const BLOCK_AT_MS = 3000
const BLOCKED_FOR_MS = 4000

/** The cases by their names. */
export const BESIDE = {
  transfer: () => quiet(),
  slow: () => quiet(),
  tcp: besideTcp,
  blocked: blockedInBetween,
}

function quiet() {
  return { begun() {}, findings: () => ({}), end() {} }
}

/** A TCP flow with the same sender and one of the receivers, so that both ends of the link are shared. */
async function besideTcp({ lan, meter, limitMs, undo }) {
  const server = { child: onHost(1, ['iperf3', '-s', '-1', '-p', String(TCP_PORT)], { stdio: 'ignore' }) }
  await pause(300)
  const seconds = String(Math.ceil(limitMs / 1000) + 60)
  const argv = ['iperf3', '-c', lan.address(1), '-p', String(TCP_PORT), '-t', seconds, '--congestion', 'cubic']
  const client = { child: onHost(0, argv, { stdio: 'ignore' }) }
  undo.push(
    () => stop(client),
    () => stop(server),
  )
  await pause(TCP_SETTLE_MS)
  const from = { at: performance.now(), ...meter.read() }
  await pause(TCP_ALONE_MS)
  const to = { at: performance.now(), ...meter.read() }
  if (client.child.exitCode !== null || to.flow === from.flow) throw new Error('the TCP flow does not flow')
  const alone = rate(from, to, 'flow')
  const samples = new Samples(meter)
  return {
    begun: () => samples.begin(),
    findings: () => {
      const { first, last } = samples.span(TCP_SETTLE_MS)
      const flow = rate(first, last, 'flow')
      const tool = rate(first, last, 'others')
      return {
        tcp_alone_mbit: round(alone, 0),
        tcp_mbit: round(flow, 0),
        tool_mbit: round(tool, 0),
        share: round(tool / (tool + flow), 3),
        tcp_kept: round(flow / alone, 3),
      }
    },
    end: async () => {
      samples.end()
      await stop(client)
      await stop(server)
    },
  }
}

/**
 * The port of h1 gets no multicast for some seconds. It goes on once bytes come again, whatever way they take; it is back once it is
 * multicast that brings them. What floods to its port without being of use to it does not count: then TCP goes on beside it.
 */
function blockedInBetween({ lan, meter, bitsPerSec }) {
  const samples = new Samples(meter)
  const timers = []
  const at = {}
  return {
    begun() {
      samples.begin()
      timers.push(
        setTimeout(() => block(true), BLOCK_AT_MS),
        setTimeout(() => block(false), BLOCK_AT_MS + BLOCKED_FOR_MS),
      )
    },
    findings() {
      const linkBytesPerMs = bitsPerSec / 8000
      const all = samples.list.slice(1).map((sample, i) => {
        const previous = samples.list[i]
        const perMs = (key) => (sample[key] - previous[key]) / (sample.at - previous.at) / linkBytesPerMs
        return { at: sample.at, multicast: perMs('multicast'), unicast: perMs('others') - perMs('multicast') }
      })
      const goesOn = all.find(
        (one) => at.blocked !== undefined && one.at > at.blocked + 2 * SAMPLE_MS && one.multicast + one.unicast > 0.05,
      )
      const isBack = all.find((one) => at.unblocked !== undefined && one.at > at.unblocked && one.multicast > 0.2 && one.unicast < 0.1)
      return {
        blocked_at: round((at.blocked - samples.list[0]?.at) / 1000),
        goes_on_s: goesOn === undefined ? null : round((goesOn.at - at.blocked) / 1000),
        back_s: isBack === undefined ? null : round((isBack.at - at.unblocked) / 1000),
      }
    },
    end() {
      samples.end()
      for (const timer of timers) clearTimeout(timer)
    },
  }

  function block(isBlocked) {
    lan.multicastFlood(1, !isBlocked)
    at[isBlocked ? 'blocked' : 'unblocked'] = performance.now()
  }
}

/** What came to a host, every now and then. */
class Samples {
  list = []
  #timer

  constructor(meter) {
    this.meter = meter
  }

  begin() {
    const take = () => this.list.push({ at: performance.now(), ...this.meter.read() })
    take()
    this.#timer = setInterval(take, SAMPLE_MS)
  }

  end() {
    clearInterval(this.#timer)
  }

  /** From a while after the beginning to the latest sample in which the tool still sent. */
  span(afterMs) {
    const first = this.list.find(({ at }) => at > this.list[0].at + afterMs) ?? this.list[0]
    const end = this.list.at(-1)
    const last = this.list.findLast((sample, i) => i > 0 && sample.others - this.list[i - 1].others > 10_000) ?? end
    return last.at > first.at ? { first, last } : { first: this.list[0], last: end }
  }
}

/** Mbit/s of a meter's count between two readings. */
function rate(from, to, key) {
  return ((to[key] - from[key]) * 8) / (to.at - from.at) / 1000
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
