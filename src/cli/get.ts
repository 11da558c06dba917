/** `polycast get`: brings a URL or a content id to this machine. */
import { resolve } from 'node:path'
import type { GetEvent, GetResult } from '../agent/deliveries/delivery-info.ts'
import type { GetOrder } from '../agent/deliveries/gets.ts'
import { Context } from './context.ts'
import type { CommonOptions } from './context.ts'
import { Failure, INTERRUPTED } from './failure.ts'
import { formatBytes, formatDuration, formatRate, printable } from './format.ts'
import { readHeaders } from './headers.ts'
import { bar, percent } from './live-lines.ts'

/** The flags of `polycast get`. */
export interface GetOptions extends CommonOptions {
  readonly output?: string
  readonly digest?: string
  readonly header?: readonly string[]
  readonly fresh?: boolean
  readonly overwrite?: boolean
}

/** Runs the command; gives its exit code. */
export async function get(source: string, options: GetOptions): Promise<number> {
  const context = await Context.open(options)
  try {
    return await run(context, source, options)
  } finally {
    context.close()
  }
}

async function run(context: Context, source: string, options: GetOptions): Promise<number> {
  const headers = await readHeaders(options.header)
  const isToStdout = options.output === '-'
  const body: GetOrder = {
    source,
    ...(options.output === undefined || isToStdout ? {} : { output: resolve(options.output) }),
    ...(options.overwrite === undefined ? {} : { overwrite: options.overwrite }),
    ...(options.digest === undefined ? {} : { digest: options.digest }),
    ...(headers === undefined ? {} : { headers }),
    ...(options.fresh === true ? { fresh: true } : {}),
  }
  const startedAt = performance.now()
  // Closing the connection is what cancels a get: the agent keeps what arrived and no file is left half-written.
  for await (const event of context.api.lines<GetEvent>('POST', '/v1/gets', { body, signal: context.interrupted })) {
    if (context.isJson && !isToStdout) context.printJson(event)
    if (event.event === 'progress') showProgress(context, event, performance.now() - startedAt)
    if (event.event === 'error') {
      context.live.clear()
      if (context.isJson) return event.error.exitCode ?? 1
      throw new Failure(event.error)
    }
    if (event.event !== 'done') continue
    context.live.clear()
    if (isToStdout)
      await context.copyOut(await context.api.bytes(`/v1/contents/${event.result.contentId}/data`, { signal: context.interrupted }))
    else if (!context.isJson) context.print(resultText(event.result))
    return 0
  }
  context.note(`polycast: interrupted; what arrived is kept, and the same command goes on from there\n`)
  return INTERRUPTED
}

function showProgress(
  { live }: Context,
  { haveBytes, totalBytes, receivedBytes, peers }: Extract<GetEvent, { event: 'progress' }>,
  ms: number,
): void {
  live.draw(() => {
    const total = totalBytes === undefined ? '' : ` of ${formatBytes(totalBytes)}`
    const from = peers === 0 ? '' : `, ${peers} ${peers === 1 ? 'peer' : 'peers'}`
    return [
      `${bar(haveBytes, totalBytes)} ${percent(haveBytes, totalBytes)}  ${formatBytes(haveBytes)}${total}  ${formatRate(receivedBytes, ms)}${from}`,
    ]
  })
}

const FROM: Readonly<Record<GetResult['from'], string>> = {
  store: 'it was here already',
  source: 'read from the source',
  cluster: 'from the cluster',
}

function resultText(result: GetResult): string {
  const { contentId, totalBytes, receivedBytes, reusedBytes, durationMs } = result
  const rate = receivedBytes > 0 ? `, ${formatRate(receivedBytes, durationMs)}` : ''
  const moved = result.from === 'store' ? '' : ` (${formatBytes(receivedBytes)} received, ${formatBytes(reusedBytes)} reused${rate})`
  const what = result.path ?? printable(result.name)
  const hint =
    result.path === undefined ? `kept in the store; write it to a file with: polycast get ${contentId.slice(0, 16)} -o FILE\n` : ''
  return `${what}: ${formatBytes(totalBytes)} in ${formatDuration(durationMs)}, ${FROM[result.from]}${moved}\ncontent ${contentId}\n${hint}`
}
