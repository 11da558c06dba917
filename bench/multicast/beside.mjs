/**
 * What happens beside a transfer, and what is found of it: each case gives `begun`, called when the transfer begins, `findings`, called
 * when it has ended, and `end`.
 */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onHost, reader, round, stop } from '../bed.mjs'

const WATCH = join(dirname(fileURLToPath(import.meta.url)), 'watch.mjs')

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
 * The port of h1 gets no multicast for some seconds. It goes on once bytes come again, whatever way they take; it is back once multicast
 * brings it chunks, which an agent says itself (its metrics, `watch.mjs`). Of other tools it is known only what reached the port: since the bridge
 * floods, that is everything, whether they make use of it or not.
 */
function blockedInBetween({ lan, meter, bitsPerSec, tool, undo }) {
  const samples = new Samples(meter)
  const timers = []
  const at = {}
  const said = []
  const watch = tool !== 'polycast' ? undefined : { child: onHost(1, [process.execPath, WATCH, 'http://127.0.0.1:7948']) }
  if (watch !== undefined) {
    undo.push(() => stop(watch))
    void listen(watch.child.stdout)
  }
  return {
    begun() {
      samples.begin()
      timers.push(
        setTimeout(() => block(true), BLOCK_AT_MS),
        setTimeout(() => block(false), BLOCK_AT_MS + BLOCKED_FOR_MS),
      )
    },
    findings() {
      if (at.blocked === undefined) return {}
      const linkBytesPerMs = bitsPerSec / 8000
      const flow = samples.list.slice(1).map((sample, i) => {
        const previous = samples.list[i]
        return { at: sample.at, share: (sample.others - previous.others) / (sample.at - previous.at) / linkBytesPerMs }
      })
      const goesOn = flow.find((one) => one.at > at.blocked + 2 * SAMPLE_MS && one.share > 0.05)
      const gained = said.slice(1).map((one, i) => ({ at: one.at, bytes: one.multicast - said[i].multicast }))
      const isBack = gained.find((one) => at.unblocked !== undefined && one.at > at.unblocked && one.bytes > 0)
      return {
        blocked_at: round((at.blocked - samples.list[0]?.at) / 1000),
        goes_on_s: goesOn === undefined ? null : round((goesOn.at - at.blocked) / 1000),
        back_s: isBack === undefined ? null : round((isBack.at - at.unblocked) / 1000),
      }
    },
    async end() {
      samples.end()
      for (const timer of timers) clearTimeout(timer)
      if (watch !== undefined) await stop(watch)
    },
  }

  function block(isBlocked) {
    lan.multicastFlood(1, !isBlocked)
    at[isBlocked ? 'blocked' : 'unblocked'] = Date.now()
  }

  async function listen(stream) {
    for await (const line of reader(stream)) said.push(JSON.parse(line))
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
    const take = () => this.list.push({ at: Date.now(), ...this.meter.read() })
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
