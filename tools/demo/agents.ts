/**
 * The agents of the demonstration: processes of their own on loopback addresses, each with a data directory below one folder.
 *
 * They get any free ports and say in their `ready` line which. They are ended by their process ids: asked first, killed when
 * that takes too long.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import path from 'node:path'

/** The command line as it was built. */
export const POLYCAST: string = path.resolve(import.meta.dirname, '../../cli/main.js')

/** An agent that takes orders. */
export interface Agent {
  readonly name: string
  readonly gossip: string
  /** URL of its API. */
  readonly http: string
  readonly pid: number
}

export interface AgentsOptions {
  /** Data directories are made below it. */
  readonly folder: string
  /** For every agent, beside what the demonstration gives. */
  readonly flags: readonly string[]
  /** An agent ended that was not told to. */
  readonly onDeath: (error: Error) => void
}

/** What an agent's heap may take, MiB: a leak ends the agent, not the machine. */
const HEAP_MIB = 160
const READY_LIMIT_MS = 20_000
const STOP_LIMIT_MS = 5000
const STDERR_KEPT = 4000

export class Agents {
  readonly #options: AgentsOptions
  readonly #children: Set<ChildProcess> = new Set()
  #isStopping = false

  constructor(options: AgentsOptions) {
    this.#options = options
  }

  /** Starts an agent and waits until it is ready; rejects with what it said when it does not get there. */
  start(name: string, host: string, flags: readonly string[]): Promise<Agent> {
    const ports = ['--gossip-port', '0', '--swarm-port', '0', '--http-port', '0']
    const data = path.join(this.#options.folder, name)
    const args = [`--max-old-space-size=${HEAP_MIB}`, POLYCAST, 'agent', '--name', name, '--bind', host, '--data', data, ...ports]
    const child = spawn(process.execPath, [...args, '--log-level', 'warn', '--log-format', 'text', ...this.#options.flags, ...flags], {
      env: withoutPolycast(process.env),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#children.add(child)
    let said = ''
    child.stderr.setEncoding('utf8')
    child.stderr.on('data', (text: string) => {
      said = (said + text).slice(-STDERR_KEPT)
    })
    return new Promise<Agent>((resolve, reject) => {
      let isReady = false
      const limit = setTimeout(
        () => reject(new Error(`agent ${name} was not ready within ${READY_LIMIT_MS / 1000} s. It said:\n${said}`)),
        READY_LIMIT_MS,
      )
      child.on('error', (error) => reject(new Error(`agent ${name} could not be started: ${error.message}`)))
      child.on('close', (code, signal) => {
        clearTimeout(limit)
        this.#children.delete(child)
        const error = new Error(`agent ${name} ended by itself (${signal ?? `exit code ${code}`}). It said:\n${said}`)
        if (!isReady) reject(error)
        else if (!this.#isStopping) this.#options.onDeath(error)
      })
      let line = ''
      child.stdout.setEncoding('utf8')
      child.stdout.on('data', (text: string) => {
        line += text
        const found = /^ready name=\S+ gossip=(?<gossip>\S+) swarm=\S+ http=(?<http>\S+)$/m.exec(line)?.groups
        if (found === undefined || isReady) return
        isReady = true
        clearTimeout(limit)
        resolve({ name, gossip: found['gossip'] ?? '', http: found['http'] ?? '', pid: child.pid ?? 0 })
      })
    })
  }

  /** Ends all agents; resolves when none is left. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await Promise.all([...this.#children].map((child) => stopChild(child)))
  }
}

/** Asks a process to end and kills it when that takes too long; resolves when it is gone. */
export async function stopChild(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
  })
  child.kill('SIGTERM')
  const limit = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS)
  await gone
  clearTimeout(limit)
}

/** The environment without what would configure the agents. */
export function withoutPolycast(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith('POLYCAST_') && name !== 'NODE_OPTIONS'))
}
