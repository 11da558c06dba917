/**
 * A command that a shell runs, within bounds: its output is kept up to a length, it has a time, and it ends with all that it started.
 *
 * The shell leads a process group of its own, so that what it started can be ended with it. A run is over when its output is closed: a
 * process that it leaves behind with that output open belongs to it, and is ended with it when the time is over.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'

/** What is kept of the output, bytes: the last ones, as Serf does. */
export const MAX_OUTPUT_BYTES: number = 8192
/** For ending after SIGTERM; then comes SIGKILL. */
const END_GRACE_MS = 1000

/** What is run. */
export interface ScriptRun {
  /** For `/bin/sh -c`. */
  readonly script: string
  /** The whole environment. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** For its standard input. */
  readonly input: Uint8Array
  /** 0 is no limit. */
  readonly timeoutMs: number
  /** Ends it early. */
  readonly signal: AbortSignal
}

/** How it ended. */
export interface ScriptEnd {
  readonly result: 'done' | 'failed' | 'timed-out' | 'stopped'
  /** Standard output and standard error, as they came. */
  readonly output: Uint8Array
  /** Whether there was more. */
  readonly isCut: boolean
  /** How it failed, in words. */
  readonly reason: string
}

/** Runs a command to its end. Never rejects. */
export function runScript({ script, environment, input, timeoutMs, signal }: ScriptRun): Promise<ScriptEnd> {
  return new Promise((resolve) => {
    const tail = new Tail()
    let ended: 'timed-out' | 'stopped' | undefined
    let failure: string | undefined
    let child: ChildProcess
    try {
      child = spawn('/bin/sh', ['-c', script], { env: environment, detached: true, stdio: 'pipe' })
    } catch (error) {
      resolve({ result: 'failed', output: tail.bytes(), isCut: false, reason: String(error) })
      return
    }
    const timers: NodeJS.Timeout[] = []
    const end = (why: 'timed-out' | 'stopped'): void => {
      if (ended !== undefined) return
      ended = why
      endGroup(child, 'SIGTERM')
      timers.push(
        setTimeout(() => {
          endGroup(child, 'SIGKILL')
        }, END_GRACE_MS),
      )
    }
    const stop = (): void => {
      end('stopped')
    }
    if (timeoutMs > 0) {
      timers.push(
        setTimeout(() => {
          end('timed-out')
        }, timeoutMs),
      )
    }
    signal.addEventListener('abort', stop, { once: true })
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (piece: Buffer) => tail.add(piece))
    // One that reads nothing of its input is no failure.
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(input)
    child.on('error', (error) => {
      failure = error.message
    })
    child.on('close', (code, killedBy) => {
      timers.forEach(clearTimeout)
      signal.removeEventListener('abort', stop)
      failure ??= killedBy !== null ? `it was ended by ${killedBy}` : code === 0 ? undefined : `its exit code is ${code}`
      const result = ended ?? (failure === undefined ? 'done' : 'failed')
      resolve({ result, output: tail.bytes(), isCut: tail.isCut, reason: ended === undefined ? (failure ?? '') : REASONS[ended] })
    })
    if (signal.aborted) stop()
  })
}

const REASONS = { 'timed-out': 'its time was over', stopped: 'the agent stops' }

function endGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch {
    // The group is gone already: there is nothing left to end.
  }
}

/** The last bytes of a stream. */
class Tail {
  #bytes = Buffer.alloc(0)
  isCut = false

  add(piece: Buffer): void {
    const all = Buffer.concat([this.#bytes, piece])
    if (all.length > MAX_OUTPUT_BYTES) this.isCut = true
    this.#bytes = all.subarray(-MAX_OUTPUT_BYTES)
  }

  bytes(): Buffer {
    return this.#bytes
  }
}
