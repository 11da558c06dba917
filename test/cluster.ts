/**
 * Agents as processes of their own, for the tests of this folder: each on an address of 127.0.0.0/8 that no other test process
 * uses, with a data directory that is removed at the end, ended by its pid.
 *
 * Not a simulation: what these tests see is what the program does. A watchdog ends an agent that takes more memory than any
 * correct one would, and the test that it belongs to fails, so that a leak fails a test and not the machine.
 */
import assert from 'node:assert/strict'
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { createCipheriv, createHash } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import type { DeliveryEvent, DeliveryInfo, GetInfo, Receipt } from '#src/agent/deliveries/delivery-info.js'
import type { ContentList, MemberList } from '#src/agent/http/api.js'
import type { ErrorBody } from '#src/agent/errors.js'

export const KIB = 1024
export const MIB: number = 1024 * KIB

const MAIN = path.join(import.meta.dirname, '../cli/main.js')
/** No agent of these tests needs a tenth of this; one that has it is ended. */
const MAX_RSS_BYTES = 1.5 * 1024 * MIB
const WATCH_EVERY_MS = 250
/** How long a condition may take to come true. No test is about this time: it is there to end. */
const PATIENCE_MS = 60_000
const POLL_MS = 20
const MAX_LOG_LINES = 20_000

/** What a command of the CLI gave. */
export interface CliResult {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A line of an agent's log. */
export interface LogLine {
  readonly msg: string
  readonly level: string | number
  readonly [key: string]: unknown
}

/** How an agent is started; further flags are those of `polycast agent`. */
export interface AgentStart {
  readonly join?: readonly Agent[]
  readonly flags?: readonly string[]
  /** By default a directory of its own. */
  readonly dataDirectory?: string
  /** By default an address of 127.0.0.0/8 that nobody else has. */
  readonly address?: string
  /** What its process and its commands are started with: `nsenter --net=…` on a host of the testbed. */
  readonly launcher?: readonly string[]
}

type AgentProcess = ChildProcessByStdio<null, Readable, Readable>

/** Processes that run; a test process that is ended itself takes them with it. */
const running = new Set<AgentProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => process.exit(1))

/** Resolves once the condition holds; rejects with what was waited for when that takes too long. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, `it never happened: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

/** How long something is to go on, ms: so many seconds, or as many as the environment variable `TEST_SECONDS` has. */
export function runMs(seconds: number): number {
  return 1000 * Number(process.env['TEST_SECONDS'] ?? seconds)
}

/** Bytes that no compression and no reuse makes less of, the same for the same seed. */
export function sampleBytes(seed: string, bytes: number): Buffer {
  const key = createHash('sha256').update(seed).digest()
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(bytes))
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** The SHA-256 of a file, in hex. */
export async function hashOf(file: string): Promise<string> {
  return sha256(await readFile(file))
}

/** Runs a command of the CLI to its end. */
export async function runCli(...args: string[]): Promise<CliResult> {
  return await startCli(...args).result
}

function launch(launcher: readonly string[], args: readonly string[]): AgentProcess {
  const [command = '', ...rest] = [...launcher, process.execPath, '--max-old-space-size=512', MAIN, ...args]
  return spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Starts a command of the CLI; `kill` ends it by a signal. */
export function startCli(...args: string[]): RunningCli {
  return watchCli(launch([], args))
}

/** A command of the CLI that runs. */
export interface RunningCli {
  readonly result: Promise<CliResult>
  /** What it has printed so far. */
  readonly printed: () => string
  readonly kill: (signal: NodeJS.Signals) => void
}

function watchCli(child: AgentProcess): RunningCli {
  const text = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (piece: string) => (text.stdout += piece))
  child.stderr.setEncoding('utf8').on('data', (piece: string) => (text.stderr += piece))
  const result = once(child, 'close').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as NodeJS.Signals | null,
    ...text,
  }))
  return { result, printed: () => text.stdout, kill: (signal) => void child.kill(signal) }
}

/** The agents of one test. */
export class Cluster {
  readonly directory: string
  readonly agents: Agent[] = []
  readonly #guard: NodeJS.Timeout
  readonly #tooLarge: string[] = []

  private constructor(directory: string) {
    this.directory = directory
    this.#guard = setInterval(() => this.#watch(), WATCH_EVERY_MS)
  }

  /** A cluster without agents; everything that it started and wrote is gone when the test ends. */
  static async open(t: TestContext): Promise<Cluster> {
    const cluster = new Cluster(await mkdtemp(path.join(tmpdir(), 'polycast-test-')))
    t.after(() => cluster.#close())
    return cluster
  }

  /** Starts an agent and waits until it is ready. */
  async start(name: string, options: AgentStart = {}): Promise<Agent> {
    const agent = new Agent(name, options.address ?? nextAddress(), {
      ...options,
      dataDirectory: options.dataDirectory ?? path.join(this.directory, `data-${name}`),
    })
    this.agents.push(agent)
    await agent.start()
    return agent
  }

  /** Starts one agent and then the others that join it, and waits until all know all. */
  async startAll(names: readonly string[], options: (name: string) => AgentStart = () => ({})): Promise<Agent[]> {
    const [first = '', ...others] = names
    const seed = await this.start(first, options(first))
    await Promise.all(others.map((name) => this.start(name, { join: [seed], ...options(name) })))
    const agents = names.map((name) => this.agents.find((agent) => agent.name === name)!)
    await this.acquainted(...agents)
    return agents
  }

  /** Waits until each of these agents sees each other one alive. */
  async acquainted(...agents: Agent[]): Promise<void> {
    for (const agent of agents) {
      await until(`${agent.name} sees ${agents.length} members alive`, async () => {
        const alive = (await agent.members()).filter(({ status }) => status === 'alive').map(({ name }) => name)
        return agents.every(({ name }) => alive.includes(name))
      })
    }
  }

  /** Writes a file of the test's directory; gives its path. */
  async file(name: string, bytes: Uint8Array): Promise<string> {
    const file = path.join(this.directory, name)
    await mkdir(path.dirname(file), { recursive: true })
    await writeFile(file, bytes)
    return file
  }

  #watch(): void {
    for (const agent of this.agents) {
      if (agent.rssBytes() < MAX_RSS_BYTES) continue
      this.#tooLarge.push(agent.name)
      void agent.end('SIGKILL')
    }
  }

  async #close(): Promise<void> {
    await Promise.all(this.agents.map((agent) => agent.end('SIGKILL')))
    clearInterval(this.#guard)
    await rm(this.directory, { recursive: true, force: true })
    assert.deepEqual(this.#tooLarge, [], `agents that grew beyond ${MAX_RSS_BYTES} bytes and were ended`)
  }
}

/** One agent, over all its starts: a restarted one has the same name, data directory and ports. */
export class Agent {
  readonly name: string
  readonly address: string
  readonly dataDirectory: string
  readonly log: LogLine[] = []
  /** `host:port`, known once it was ready. */
  gossip = ''
  swarm = ''
  http = ''
  readonly #options: AgentStart
  #process: AgentProcess | undefined
  #ended: Promise<unknown> = Promise.resolve()
  #stderr = ''

  constructor(name: string, address: string, options: AgentStart & { readonly dataDirectory: string }) {
    this.name = name
    this.address = address
    this.dataDirectory = options.dataDirectory
    this.#options = options
  }

  /** Starts it, again after it ended; resolves when it is ready, rejects with its last words when it ends before. */
  async start(): Promise<void> {
    const { join = [], flags = [], launcher = [] } = this.#options
    const port = (known: string): string => known.split(':').at(-1) || '0'
    const args = [
      ...['agent', '--name', this.name, '--data', this.dataDirectory, '--bind', this.address],
      ...['--gossip-port', port(this.gossip), '--swarm-port', port(this.swarm), '--http-port', port(this.http)],
      ...join.flatMap((other) => ['--join', other.gossip]),
      ...flags,
    ]
    const child = launch(launcher, args)
    this.#process = child
    this.#stderr = ''
    running.add(child)
    const ended = once(child, 'close').finally(() => running.delete(child))
    this.#ended = ended
    createInterface({ input: child.stderr }).on('line', (line) => this.#logged(line))
    const lines = createInterface({ input: child.stdout })
    const [first] = (await Promise.race([once(lines, 'line'), ended.then(() => [''])])) as [string]
    const ready = /^ready name=\S+ gossip=(\S+) swarm=(\S+) http=http:\/\/(\S+)$/.exec(first)
    if (ready === null) {
      await ended
      throw new Error(`${this.name} ended with ${child.exitCode ?? child.signalCode}: ${this.#stderr}`)
    }
    ;[, this.gossip = '', this.swarm = '', this.http = ''] = ready
  }

  /** Ends its process by a signal and waits until it is gone. */
  async end(signal: NodeJS.Signals): Promise<void> {
    this.#process?.kill(signal)
    await this.#ended
  }

  /** Sends its process a signal that does not end it. */
  signal(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGTERM' | 'SIGINT'): void {
    this.#process?.kill(signal)
  }

  get isRunning(): boolean {
    return this.#process !== undefined && this.#process.exitCode === null && this.#process.signalCode === null
  }

  /** Resident memory of its process; 0 when it doesn't run. */
  rssBytes(): number {
    const pid = this.#process?.pid
    if (!this.isRunning || pid === undefined) return 0
    try {
      return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * 4096
    } catch {
      return 0 // It ended in between, or this is not Linux.
    }
  }

  /** A command of the CLI to this agent. */
  async cli(...args: string[]): Promise<CliResult> {
    return await this.startCli(...args).result
  }

  /** The same, while it runs. */
  startCli(...args: string[]): RunningCli {
    return watchCli(launch(this.#options.launcher ?? [], [...args, '--api', this.http]))
  }

  /** A request to its API; the JSON of the answer, whatever its status. */
  async api<T>(method: string, route: string, body?: unknown): Promise<T> {
    const response = await fetch(`http://${this.http}${route}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    })
    return (await response.json()) as T
  }

  async members(): Promise<MemberList['members']> {
    // The API of an agent on a host of the testbed is on that host's loopback.
    if (this.#options.launcher !== undefined) return (JSON.parse((await this.cli('members', '--json')).stdout) as MemberList).members
    return (await this.api<MemberList>('GET', '/v1/members')).members
  }

  async contents(): Promise<ContentList['contents']> {
    if (this.#options.launcher !== undefined)
      return (JSON.parse((await this.cli('content', 'ls', '--json')).stdout) as ContentList).contents
    return (await this.api<ContentList>('GET', '/v1/contents')).contents
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(`http://${this.http}/metrics`)).text()
    const line = text.split('\n').find((one) => one.startsWith(`${name} `))
    assert.ok(line !== undefined, `there is no metric ${name}`)
    return Number(line.split(' ')[1])
  }

  /** Orders a delivery and gives it as it ended. */
  async send(source: string, order: { selector: string; dest?: string; id?: string; timeoutMs?: number }): Promise<DeliveryInfo> {
    const answer = await this.api<DeliveryInfo | { delivery?: DeliveryInfo; error: ErrorBody }>('POST', '/v1/deliveries?reply=end', {
      source,
      ...order,
    })
    if (!('error' in answer) || 'members' in answer) return answer
    assert.ok(answer.delivery !== undefined, answer.error.message)
    return answer.delivery
  }

  /** Orders a delivery and gives it as it began. */
  async begin(source: string, order: { selector: string; dest?: string; id?: string; timeoutMs?: number }): Promise<DeliveryInfo> {
    return await this.api<DeliveryInfo>('POST', '/v1/deliveries?reply=start', { source, ...order })
  }

  async delivery(id: string): Promise<DeliveryInfo> {
    return await this.api<DeliveryInfo>('GET', `/v1/deliveries/${id}`)
  }

  /** Waits until a delivery ordered here has ended. */
  async ended(id: string): Promise<DeliveryInfo> {
    let info = await this.delivery(id)
    await until(`delivery ${id} ends`, async () => {
      info = await this.delivery(id)
      return info.state !== 'running'
    })
    return info
  }

  /** What a member has of a delivery that was ordered here. */
  async haveBytes(id: string, member: string): Promise<number> {
    return (await this.delivery(id)).members.find(({ name }) => name === member)?.haveBytes ?? 0
  }

  /** Fetches a URL or a content id into this agent's store, or into a file; gives the get as it ended. */
  async get(source: string, order: { output?: string; digest?: string } = {}): Promise<GetInfo> {
    const answer = await this.api<GetInfo | { get: GetInfo; error: ErrorBody }>('POST', '/v1/gets?reply=end', { source, ...order })
    return 'get' in answer ? answer.get : answer
  }

  /** Where deliveries to this agent are written. */
  received(dest: string): string {
    return path.join(this.dataDirectory, 'files', dest)
  }

  /** Log lines whose message or fields have this text. */
  logged(text: string): LogLine[] {
    return this.log.filter((line) => JSON.stringify(line).includes(text))
  }

  #logged(line: string): void {
    if (this.log.length >= MAX_LOG_LINES) return
    try {
      this.log.push(JSON.parse(line) as LogLine)
    } catch {
      // Not a line of the log: a crash's last words, which are shown when the agent ends before it is ready.
      this.#stderr += `${line}\n`
      this.log.push({ msg: line, level: 'stderr' })
    }
  }
}

/** The receipt of a member. */
export function receiptOf(delivery: DeliveryInfo, member: string): Receipt {
  const receipt = delivery.members.find(({ name }) => name === member)?.receipt
  assert.ok(receipt !== undefined, `${member} has no receipt: ${JSON.stringify(delivery)}`)
  return receipt
}

/** The events that a command with `--json` printed. */
export function eventsOf(result: CliResult): DeliveryEvent[] {
  return result.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as DeliveryEvent)
}

/** Addresses by process id, so that test processes that run side by side do not meet. */
let addresses = 0
export function nextAddress(): string {
  addresses++
  return `127.${64 + ((process.pid >> 8) & 127)}.${process.pid & 255}.${addresses}`
}

/** A UDP port that nobody has at this moment. */
export async function freePort(): Promise<number> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  const { port } = socket.address()
  await new Promise<void>((resolve) => socket.close(resolve))
  return port
}
