/** What every command works with: the API, where its output goes, and how it is interrupted. */
import type { Readable } from 'node:stream'
import { ApiClient, DEFAULT_API } from './api-client.ts'
import { failure } from './failure.ts'
import { LiveLines } from './live-lines.ts'

/** The options that every command has. */
export interface CommonOptions {
  readonly api?: string
  readonly json?: boolean
}

/** A command's surroundings. */
export class Context {
  readonly api: ApiClient
  readonly isJson: boolean
  /** Progress and errors; standard output has the result alone. */
  readonly live: LiveLines
  /** Aborts at the first Ctrl-C or SIGTERM. */
  readonly interrupted: AbortSignal
  readonly #endSignals: () => void

  private constructor(api: ApiClient, isJson: boolean) {
    this.api = api
    this.isJson = isJson
    this.live = new LiveLines(process.stderr)
    const abort = new AbortController()
    this.interrupted = abort.signal
    const interrupt = (): void => {
      // The second time there is no waiting.
      if (abort.signal.aborted) process.exit(130)
      abort.abort()
    }
    process.on('SIGINT', interrupt)
    process.on('SIGTERM', interrupt)
    this.#endSignals = () => {
      process.off('SIGINT', interrupt)
      process.off('SIGTERM', interrupt)
    }
  }

  /** Errors: usage. */
  static async open(options: CommonOptions): Promise<Context> {
    const api = await ApiClient.at(options.api ?? process.env['POLYCAST_API'] ?? DEFAULT_API)
    return new Context(api, options.json === true)
  }

  /** Gives signals back to Node. */
  close(): void {
    this.#endSignals()
  }

  /** One JSON document on standard output. */
  printJson(document: unknown): void {
    process.stdout.write(`${JSON.stringify(document)}\n`)
  }

  /** Text on standard output, with the redrawn lines out of its way. */
  print(text: string): void {
    this.live.clear()
    process.stdout.write(text)
  }

  /** Text on standard error, above the redrawn lines. */
  note(text: string): void {
    this.live.print(text)
  }

  /** Copies bytes to standard output, at the speed of who reads it. */
  async copyOut(bytes: Readable): Promise<void> {
    for await (const piece of bytes as AsyncIterable<Buffer>) {
      if (!process.stdout.write(piece)) await new Promise((resolve) => process.stdout.once('drain', resolve))
    }
  }
}

/** Runs a command that Ctrl-C simply ends; gives its exit code. */
export async function withContext(options: CommonOptions, run: (context: Context) => Promise<number>): Promise<number> {
  const context = await Context.open(options)
  try {
    return await Promise.race([run(context), interruption(context)])
  } finally {
    context.close()
  }
}

function interruption(context: Context): Promise<never> {
  return new Promise((_resolve, reject) => {
    context.interrupted.addEventListener(
      'abort',
      () => {
        failure('cancelled', { reason: 'Ctrl-C' }).then(reject, reject)
      },
      { once: true },
    )
  })
}
