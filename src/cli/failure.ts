/** How the command line fails: with the same errors as the API, in words on standard error or as JSON, and an exit code. */
import type { ErrorCode, ErrorParams, ErrorBody } from '../agent/errors.ts'

/** A failure that is reported as it stands. */
export class Failure extends Error {
  readonly body: ErrorBody

  constructor(body: ErrorBody) {
    super(body.message)
    this.body = body
  }

  get exitCode(): number {
    return this.body.exitCode ?? 1
  }
}

/** A failure of the command line itself, from the table that the agent uses too; the table is loaded only now. */
export async function failure<Code extends ErrorCode>(code: Code, params: ErrorParams<Code>): Promise<Failure> {
  const { fail, serialiseError } = await import('../agent/errors.ts')
  return new Failure(serialiseError(fail(code, params)))
}

/** What was thrown, as a failure. */
export async function asFailure(error: unknown): Promise<Failure> {
  if (error instanceof Failure) return error
  const { serialiseError } = await import('../agent/errors.ts')
  return new Failure(serialiseError(error))
}

/** An error in lines for people: what failed and why, then what to do. */
export function explain(body: ErrorBody): string {
  return `polycast: ${body.message}\n${body.advice === '' ? '' : `  ${body.advice}\n`}`
}

/** The exit code of an interrupted command, as shells have it: 128 and SIGINT. */
export const INTERRUPTED = 130
