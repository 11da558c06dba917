/** The command line as processes of its own, for the tests of this folder. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import type { TestApi } from '../agent/http/test-api.ts'

const MAIN = join(import.meta.dirname, 'main.js')

/** How a command ended. */
export interface Result {
  code: number | null
  stdout: string
  stderr: string
}

/** A command that runs. */
export interface Running {
  readonly child: ChildProcess
  readonly result: Promise<Result>
  /** What standard error has so far. */
  stderr(): string
  /** What standard output has so far. */
  stdout(): string
}

/** Starts a command against an API. */
export function start(api: Pick<TestApi, 'port'>, args: readonly string[], environment: NodeJS.ProcessEnv = {}): Running {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { ...process.env, POLYCAST_API: `http://127.0.0.1:${api.port}`, ...environment },
  })
  const out: Buffer[] = []
  const err: Buffer[] = []
  child.stdout.on('data', (piece: Buffer) => out.push(piece))
  child.stderr.on('data', (piece: Buffer) => err.push(piece))
  const text = (pieces: Buffer[]): string => Buffer.concat(pieces).toString()
  const result = new Promise<Result>((resolve) => {
    child.on('close', (code) => {
      resolve({ code, stdout: text(out), stderr: text(err) })
    })
  })
  return { child, result, stderr: () => text(err), stdout: () => text(out) }
}

/** Runs a command to its end. */
export function run(api: Pick<TestApi, 'port'>, ...args: string[]): Promise<Result> {
  return start(api, args).result
}

/** The JSON lines that a command wrote. */
export function jsonLines(text: string): { event: string; [key: string]: unknown }[] {
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { event: string })
}
