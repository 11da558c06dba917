/**
 * Child processes of the checks: each is the leader of a process group of its own, so that what a test left behind ends with it,
 * and a time limit ends the whole group. Output is kept, not printed: who asked decides whether it is worth reading.
 */
import { spawn } from 'node:child_process'

export interface ChildOptions {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
  readonly limitMs: number
}

export interface ChildResult {
  /** The exit code; 128 and more after a signal. */
  readonly status: number
  /** Standard output and error in the order they came. */
  readonly output: string
  readonly ms: number
  readonly isOverLimit: boolean
  /** True when processes of the group were still alive after the child had ended; they have been killed. */
  readonly leftProcesses: boolean
}

/** Characters of a child's output that are kept: the last ones. */
const OUTPUT_LIMIT = 400_000

const groups = new Set<number>()

/** Ends every child that still runs, with its group: for when the checks themselves are told to stop. */
export function killChildren(): void {
  for (const pid of groups) killGroup(pid)
}

/** Runs a command to its end or to its time limit; never rejects for what the command does, only when it cannot be started. */
export async function runChild(command: string, args: readonly string[], options: ChildOptions): Promise<ChildResult> {
  const startedAt = performance.now()
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const started = new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject))
  await started
  const pid = child.pid!
  groups.add(pid)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8')
    stream.on('data', (text: string) => {
      output = (output + text).slice(-OUTPUT_LIMIT)
    })
  }
  let isOverLimit = false
  const timer = setTimeout(() => {
    isOverLimit = true
    killGroup(pid)
  }, options.limitMs)
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const status = await new Promise<number>((resolve) => {
    child.once('exit', (code) => resolve(code ?? 128))
  })
  clearTimeout(timer)
  const leftProcesses = killGroup(pid)
  await closed
  groups.delete(pid)
  return { status, output, ms: performance.now() - startedAt, isOverLimit, leftProcesses: leftProcesses && !isOverLimit }
}

/** @returns whether the group had a process left. */
function killGroup(pid: number): boolean {
  try {
    process.kill(-pid, 'SIGKILL')
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}
