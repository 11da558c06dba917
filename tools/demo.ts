/**
 * The demonstration: one seed and 8 agents as real processes on this machine's loopback addresses, and a file that the seed
 * delivers to all of them: `npm run demo [-- PATH|URL]`.
 *
 * It orders the delivery with `polycast send`, as a person would. On loopback nothing limits a node but the processor that all
 * share, which says little about a network; so each agent's uplink is limited by its option `upload-rate` (`--rate`). Whatever
 * way it ends, its processes are ended by their ids and its folder is removed.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import type { DeliveryEvent, DeliveryInfo } from '#src/agent/deliveries/delivery-info.js'
import type { MemberList } from '#src/agent/http/api.js'
import { ApiClient } from '#src/cli/api-client.js'
import { Agents, POLYCAST, stopChild, withoutPolycast, type Agent } from './demo/agents.ts'
import { prepareSource, sha256, type DemoSource } from './demo/source.ts'
import { DemoView, report } from './demo/view.ts'

const USAGE = `Usage: npm run demo [-- [--rate RATE] [PATH|URL]]

Starts one seed and 8 agents on this machine and delivers PATH or URL to them, or a generated file of 256 MiB.
  --rate RATE  what each node may send per second, such as 100mbit or 50MiB; 0 is no limit (default 500mbit)
`

const AGENTS = 8
const JOIN_LIMIT_MS = 20_000
const JOIN_POLL_MS = 50

/** Where there are addresses beside 127.0.0.1 each node gets one of its own; elsewhere ports tell them apart. */
const hostOf = (index: number): string => (process.platform === 'linux' ? `127.0.80.${index + 1}` : '127.0.0.1')

class Demo {
  readonly #rate: string
  readonly #given: string | undefined
  readonly #stop: AbortController = new AbortController()
  #agents: Agents | undefined
  #sending: ChildProcess | undefined
  #view: DemoView | undefined
  #folder: string | undefined

  constructor(rate: string, given: string | undefined) {
    this.#rate = rate
    this.#given = given
  }

  /** Runs to the end or to `interrupt`; gives the exit code. */
  async run(): Promise<number> {
    const stopped = new Promise<never>((_, reject) => {
      this.#stop.signal.addEventListener('abort', () => reject(this.#stop.signal.reason as Error), { once: true })
    })
    const all = this.#all()
    all.catch(() => undefined)
    try {
      return await Promise.race([all, stopped])
    } finally {
      this.#view?.clear()
      await this.#cleanUp()
    }
  }

  interrupt(reason: Error): void {
    this.#stop.abort(reason)
  }

  async #all(): Promise<number> {
    this.#folder = await mkdtemp(path.join(tmpdir(), 'polycast-demo-'))
    const source = await prepareSource(this.#given, this.#folder, AGENTS + 1)
    const seed = await this.#startAgents(this.#folder)
    const limit = this.#rate === '0' ? 'no limit on what a node sends' : `each sends at most ${this.#rate}`
    say(`${AGENTS + 1} agents run, one of them the seed; ${limit}`)
    say(`the seed delivers ${source.text}\n`)
    const delivery = await this.#send(seed, source)
    process.stdout.write(`\n${report(delivery)}`)
    if (delivery.state !== 'done') return 3
    await this.#compare(source, delivery)
    return 0
  }

  async #startAgents(folder: string): Promise<Agent> {
    const flags = ['--upload-rate', this.#rate, '--allow-hard-links']
    this.#agents = new Agents({ folder, flags, onDeath: (error) => this.interrupt(error) })
    const seed = await this.#agents.start('seed', hostOf(0), ['--seed'])
    const starting = Array.from({ length: AGENTS }, (_, index) =>
      this.#agents!.start(`node${index + 1}`, hostOf(index + 1), ['--join', seed.gossip]),
    )
    await Promise.all(starting)
    const api = await ApiClient.at(seed.http)
    for (const startedAt = performance.now(); ;) {
      const { members } = await api.json<MemberList>('GET', '/v1/members')
      const alive = members.filter((member) => member.status === 'alive').length
      if (alive > AGENTS) return seed
      if (performance.now() - startedAt > JOIN_LIMIT_MS) {
        throw new Error(`only ${alive} of ${AGENTS + 1} agents found each other within ${JOIN_LIMIT_MS / 1000} s.`)
      }
      await new Promise((resolve) => setTimeout(resolve, JOIN_POLL_MS))
    }
  }

  /** Runs `polycast send` against the seed; resolves with how the delivery ended. */
  async #send(seed: Agent, source: DemoSource): Promise<DeliveryInfo> {
    const args = [POLYCAST, 'send', source.location, '--to', 'all', '--name', source.name, '--json', '--api', seed.http]
    const child = spawn(process.execPath, args, { env: withoutPolycast(process.env), stdio: ['ignore', 'pipe', 'pipe'] })
    let complaint = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text))
    this.#sending = child
    const view = new DemoView(source.bytes)
    this.#view = view
    for await (const line of createInterface({ input: child.stdout })) {
      this.#stop.signal.throwIfAborted()
      const event = JSON.parse(line) as DeliveryEvent | { event?: undefined; error: { message: string; advice: string } }
      if (event.event === undefined) throw new Error(`${event.error.message}\n  ${event.error.advice}`)
      view.show(event)
      if (event.event === 'done' || event.event === 'error') {
        if (event.event === 'error') process.stdout.write(`\n${event.error.message}\n  ${event.error.advice}\n`)
        return event.delivery
      }
    }
    throw new Error(`polycast send ended without saying how the delivery did. ${complaint}`)
  }

  /** Reads what the nodes have written and compares it with the original, without any help of Polycast's. */
  async #compare(source: DemoSource, delivery: DeliveryInfo): Promise<void> {
    if (!source.isFile) return
    const wanted = await sha256(source.location)
    for (const { name, receipt } of delivery.members) {
      if (receipt?.path === undefined) throw new Error(`the receipt of ${name} does not say where the file is.`)
      const found = await sha256(receipt.path)
      if (found !== wanted) throw new Error(`${receipt.path} has the SHA-256 ${found}, the original ${wanted}.`)
    }
    say(`compared         ${delivery.members.length} files with the original, all have its SHA-256 ${wanted.slice(0, 16)}…`)
  }

  async #cleanUp(): Promise<void> {
    if (this.#sending !== undefined) await stopChild(this.#sending)
    await this.#agents?.stop()
    if (this.#folder !== undefined) await rm(this.#folder, { recursive: true, force: true })
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

class Interrupted extends Error {
  readonly exitCode: number

  constructor(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP') {
    super(`interrupted by ${signal}; the agents are ended and their folder is removed.`)
    this.exitCode = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal]
  }
}

async function main(): Promise<number> {
  let parsed
  try {
    parsed = parseArgs({ allowPositionals: true, options: { rate: { type: 'string', default: '500mbit' }, help: { type: 'boolean' } } })
    if (parsed.positionals.length > 1) throw new Error('one PATH or URL is enough.')
  } catch (error) {
    process.stderr.write(`polycast demo: ${(error as Error).message}\n${USAGE}`)
    return 2
  }
  if (parsed.values.help === true) {
    process.stdout.write(USAGE)
    return 0
  }
  const demo = new Demo(parsed.values.rate, parsed.positionals[0])
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => demo.interrupt(new Interrupted(signal)))
  try {
    return await demo.run()
  } catch (error) {
    process.stderr.write(`\npolycast demo: ${(error as Error).message}\n`)
    return error instanceof Interrupted ? error.exitCode : 1
  }
}

process.exitCode = await main()
