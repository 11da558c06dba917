/**
 * Real agents of Serf (Debian's package) beside those of Polycast, and one view of both: who is there, what each was told. Every agent has
 * an address of its own, so that all of them can have Serf's own ports.
 *
 * Where `serf` is not installed, tests that need it are skipped by `serfMissing`; `npm test` installs it on Debian as root.
 */
import assert from 'node:assert/strict'
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'
import type { TestContext } from 'node:test'
import type { ClusterEvent } from '#src/agent/http/gossip-api.js'
import { RpcClient, type Value } from '#src/agent/serf-rpc/testing/rpc-client.js'
import { Cluster, nextAddress, until, type Agent, type AgentStart } from './cluster.ts'

const isInstalled = (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(path.join(folder, 'serf')))
/** Why these tests do not run, or false. */
export const serfMissing: string | false = isInstalled
  ? false
  : 'NOT RUN: the command serf is missing (Debian package serf; npm test installs it as root in containers)'

const GOSSIP_PORT = 7946
const RPC_PORT = 7373
const COMMAND_LIMIT_MS = 30_000
const MAX_LOG_LINES = 20_000

/** How an agent of Serf is started; further flags are those of `serf agent`. */
export interface SerfStart {
  readonly join?: readonly { readonly gossip: string }[]
  readonly flags?: readonly string[]
  readonly address?: string
  /** Gossip at another port than Serf's own. */
  readonly port?: number
  /** What its process and its commands are started with: `nsenter --net=…` on a host of the testbed. */
  readonly launcher?: readonly string[]
}

/** Something that an agent told those who follow it: of a member, an event or a query. */
export interface Heard {
  /** `member-join`, `member-failed` …, `user`, `query`. */
  readonly kind: string
  /** Of the member, the event or the query. */
  readonly name: string
  /** Payload. */
  readonly text: string
}

export interface SerfRun {
  readonly code: number
  /** Both outputs. */
  readonly text: string
}

/** An agent of either kind, as what these tests ask of both. */
export interface AnyAgent {
  readonly name: string
  readonly gossip: string
  /** By name, in the words of Serf: alive, leaving, left, failed. */
  statuses(): Promise<Record<string, string>>
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Agents of both kinds, which end with their test. */
export class MixedCluster {
  readonly polycast: Cluster
  readonly serfs: SerfAgent[] = []

  private constructor(polycast: Cluster) {
    this.polycast = polycast
  }

  static async open(t: TestContext): Promise<MixedCluster> {
    const mixed = new MixedCluster(await Cluster.open(t))
    t.after(() => Promise.all(mixed.serfs.map((serf) => serf.end('SIGKILL'))))
    return mixed
  }

  get directory(): string {
    return this.polycast.directory
  }

  /** Starts an agent of Serf and waits until it answers. */
  async startSerf(name: string, options: SerfStart = {}): Promise<SerfAgent> {
    const serf = new SerfAgent(name, this.directory, options)
    this.serfs.push(serf)
    await serf.start()
    return serf
  }

  /** Starts an agent of Polycast, joined to agents of either kind. */
  async startPolycast(name: string, { flags = [], ...options }: Omit<AgentStart, 'join'> & MixedJoin = {}): Promise<PolycastAgent> {
    const { join = [], ...rest } = options
    const joins = join.flatMap((other) => ['--join', other.gossip])
    const agent = await this.polycast.start(name, { ...rest, flags: [...joins, ...flags] })
    return new PolycastAgent(agent)
  }
}

interface MixedJoin {
  readonly join?: readonly { readonly gossip: string }[]
}

/** One agent of Serf, over all its starts. */
export class SerfAgent implements AnyAgent {
  readonly name: string
  readonly address: string
  readonly gossip: string
  readonly directory: string
  readonly log: string[] = []
  readonly #options: SerfStart
  #child: ChildProcess | undefined
  #ended: Promise<unknown> = Promise.resolve()

  constructor(name: string, directory: string, options: SerfStart) {
    this.name = name
    this.address = options.address ?? nextAddress()
    const host = this.address.includes(':') ? `[${this.address}]` : this.address
    this.gossip = `${host}:${options.port ?? GOSSIP_PORT}`
    this.directory = path.join(directory, `serf-${name}`)
    this.#options = options
  }

  get #rpcHost(): string {
    return this.address.includes(':') || this.#options.launcher !== undefined ? '127.0.0.1' : this.address
  }

  get snapshot(): string {
    return path.join(this.directory, 'snapshot')
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Starts it, again after it ended; `isJoining` false leaves out the addresses to join. */
  async start(isJoining: boolean = true): Promise<void> {
    const { join = [], flags = [], launcher = [] } = this.#options
    await mkdir(this.directory, { recursive: true })
    const args = [
      ...['agent', `-node=${this.name}`, `-bind=${this.gossip}`, `-rpc-addr=${this.#rpcHost}:${RPC_PORT}`, '-log-level=debug'],
      ...(isJoining ? join.map((other) => `-join=${other.gossip}`) : []),
      ...flags,
    ]
    const [command = '', ...rest] = [...launcher, 'serf', ...args]
    const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'], cwd: this.directory })
    this.#child = child
    running.add(child)
    this.#ended = once(child, 'close').finally(() => running.delete(child))
    for (const output of [child.stdout, child.stderr]) {
      createInterface({ input: output }).on('line', (line) => {
        if (this.log.length < MAX_LOG_LINES) this.log.push(line)
      })
    }
    await until(`serf agent ${this.name} answers`, async () => {
      assert.ok(this.isRunning, `serf agent ${this.name} ended:\n${this.log.slice(-20).join('\n')}`)
      return (await this.run('info')).code === 0
    })
  }

  /** Ends its process by a signal and waits until it is gone. */
  async end(signal: NodeJS.Signals): Promise<void> {
    this.#child?.kill(signal)
    await this.#ended
  }

  /** Resolves when its process has ended by itself. */
  async ended(): Promise<void> {
    await this.#ended
  }

  /** Stops it where it is, or lets it go on. */
  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  /** `serf COMMAND -rpc-addr=… ARGUMENTS`, to this agent. */
  run(command: string, ...args: readonly string[]): Promise<SerfRun> {
    return runSerf(`${this.#rpcHost}:${RPC_PORT}`, command, args, this.#options.launcher)
  }

  /** What the command said, where it ended well. */
  async output(command: string, ...args: readonly string[]): Promise<string> {
    const { code, text } = await this.run(command, ...args)
    assert.equal(code, 0, `serf ${command} at ${this.name}: ${text}`)
    return text
  }

  async statuses(): Promise<Record<string, string>> {
    return Object.fromEntries((await this.members()).map(({ name, status }) => [name, status]))
  }

  async members(): Promise<{ name: string; addr: string; status: string; tags: Record<string, string> }[]> {
    return (JSON.parse(await this.output('members', '-format=json')) as { members: never[] }).members
  }

  /** Everything that it tells its clients from now on. */
  async follow(): Promise<Heard[]> {
    const heard: Heard[] = []
    const client = await RpcClient.open(RPC_PORT, true, this.#rpcHost)
    assert.equal(await client.ask('stream', { Type: '*' }), '')
    void (async () => {
      while ((await client.next()) !== 'closed') heard.push(...heardOf(await client.next()))
    })()
    return heard
  }

  logged(text: string): string[] {
    return this.log.filter((line) => line.includes(text))
  }
}

/** A command of Serf to whoever answers at an address. */
export function runSerf(rpc: string, command: string, args: readonly string[], launcher: readonly string[] = []): Promise<SerfRun> {
  const [program = '', ...rest] = [...launcher, 'serf', command, `-rpc-addr=${rpc}`, ...args]
  return new Promise((resolve) => {
    execFile(program, rest, { timeout: COMMAND_LIMIT_MS }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, text: stdout + stderr })
    })
  })
}

function heardOf(record: Value): Heard[] {
  if (typeof record !== 'object' || record === null) return []
  const { Event: kind, Name: name, Payload: text, Members: members } = record as Record<string, string> & { Members?: { Name: string }[] }
  if (Array.isArray(members)) return members.map((member: { Name: string }) => ({ kind: String(kind), name: member.Name, text: '' }))
  return [{ kind: String(kind), name: String(name), text: text ?? '' }]
}

/** An agent of Polycast, seen as those of Serf are. */
export class PolycastAgent implements AnyAgent {
  readonly agent: Agent

  constructor(agent: Agent) {
    this.agent = agent
  }

  get name(): string {
    return this.agent.name
  }

  get gossip(): string {
    return this.agent.gossip
  }

  async statuses(): Promise<Record<string, string>> {
    const members = await this.agent.members()
    return Object.fromEntries(members.map(({ name, status }) => [name, status === 'dead' ? 'failed' : status]))
  }

  /** What the command said, where it ended well. */
  async output(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.agent.cli(...args)
    assert.equal(code, 0, `polycast ${args.join(' ')} at ${this.name}: ${stdout}${stderr}`)
    return stdout
  }

  /** Everything that it tells its clients from now on, until it ends. */
  async follow(): Promise<Heard[]> {
    const heard: Heard[] = []
    const response = await fetch(`http://${this.agent.http}/v1/events`)
    const lines = createInterface({ input: Readable.fromWeb(response.body as ReadableStream) })
    lines.on('error', () => undefined)
    const started = once(lines, 'line')
    lines.on('line', (line) => {
      const event = JSON.parse(line) as ClusterEvent
      if (event.event === 'member') heard.push({ kind: event.kind, name: event.member.name, text: '' })
      else if (event.event !== 'started') heard.push({ kind: event.event, name: event.name, text: 'text' in event ? event.text : '' })
    })
    await started
    return heard
  }
}

/** Waits until each of these sees exactly these statuses, beside others that are not asked about. */
export async function untilStatus(at: readonly AnyAgent[], wanted: Readonly<Record<string, string | undefined>>): Promise<void> {
  for (const agent of at) {
    let seen: Record<string, string> = {}
    await until(`${agent.name} sees ${JSON.stringify(wanted)}`, async () => {
      seen = await agent.statuses()
      return Object.entries(wanted).every(([name, status]) => seen[name] === status)
    }).catch((error: Error) => {
      throw new Error(`${error.message}; it sees ${JSON.stringify(seen)}`, { cause: error })
    })
  }
}

/** Waits until all of these see each other alive. */
export async function untilAcquainted(agents: readonly AnyAgent[]): Promise<void> {
  await untilStatus(agents, Object.fromEntries(agents.map(({ name }) => [name, 'alive'])))
}
