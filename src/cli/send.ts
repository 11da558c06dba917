/** `polycast send`: a delivery with a receipt from each member. */
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { DeliveryEvent, DeliveryInfo } from '../agent/deliveries/delivery-info.ts'
import type { SendOrder } from '../agent/deliveries/deliveries.ts'
import { Context } from './context.ts'
import type { CommonOptions } from './context.ts'
import { DeliveryView } from './delivery-view.ts'
import { milliseconds } from './duration.ts'
import { failure, INTERRUPTED } from './failure.ts'
import { readHeaders } from './headers.ts'

/** The flags of `polycast send`. */
export interface SendOptions extends CommonOptions {
  readonly to: string
  readonly dest?: string
  readonly timeout?: string
  readonly name?: string
  readonly mkdir?: boolean
  readonly header?: readonly string[]
  readonly id?: string
  readonly detach?: boolean
}

/** Runs the command; gives its exit code. */
export async function send(source: string, options: SendOptions): Promise<number> {
  const context = await Context.open(options)
  try {
    const body = await order(source, options)
    if (options.detach === true) return await detach(context, body)
    return await follow(context, context.api.lines<DeliveryEvent>('POST', '/v1/deliveries', { body }), true)
  } finally {
    context.close()
  }
}

/** Shows a delivery to its end; gives the exit code. With `cancels` the first Ctrl-C cancels the delivery, else it only ends the watching. */
export async function follow(context: Context, events: AsyncIterable<DeliveryEvent>, cancels: boolean): Promise<number> {
  const view = new DeliveryView(context)
  let knowId: (id: string) => void = () => undefined
  const known = new Promise<string>((settle) => {
    knowId = settle
  })
  const stop = async (): Promise<void> => {
    if (!cancels) return
    // An order that the agent is still opening can't be cancelled yet: that takes as long as its source takes to answer.
    const id = await known
    context.note(`polycast: interrupted; cancelling the delivery ${id} (again: leave it running)\n`)
    await context.api.json<DeliveryInfo>('DELETE', `/v1/deliveries/${encodeURIComponent(id)}`)
  }
  const stopped = new Promise<'stopped'>((settle, reject) => {
    const onInterrupt = (): void => {
      stop().then(() => {
        settle('stopped')
      }, reject)
    }
    if (context.interrupted.aborted) onInterrupt()
    else context.interrupted.addEventListener('abort', onInterrupt, { once: true })
  })
  const iterator = events[Symbol.asyncIterator]()
  for (;;) {
    const next = await Promise.race([iterator.next(), stopped])
    if (next === 'stopped') {
      context.live.clear()
      return INTERRUPTED
    }
    if (next.done === true)
      throw await failure('api-unreachable', {
        url: context.api.url,
        reason: 'it ended its answer before the delivery; the delivery goes on when it is back',
      })
    const event = next.value
    if (event.event === 'started') knowId(event.delivery.id)
    view.show(event)
    if (event.event === 'done') return 0
    if (event.event === 'error') return context.interrupted.aborted ? INTERRUPTED : (event.error.exitCode ?? 1)
  }
}

async function detach(context: Context, body: SendOrder): Promise<number> {
  const delivery = await context.api.json<DeliveryInfo>('POST', '/v1/deliveries?reply=start', { body })
  if (context.isJson) context.printJson(delivery)
  else context.print(`${delivery.id}\n`)
  return 0
}

async function order(source: string, options: SendOptions): Promise<SendOrder> {
  const headers = await readHeaders(options.header)
  return {
    source: await sourceOf(source),
    selector: options.to,
    ...(options.dest === undefined ? {} : { dest: options.dest }),
    ...(options.timeout === undefined ? {} : { timeoutMs: await milliseconds('--timeout', options.timeout) }),
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(options.mkdir === true ? { createDirectories: true } : {}),
    ...(headers === undefined ? {} : { headers }),
    ...(options.id === undefined ? {} : { id: options.id }),
  }
}

/** A path that is there comes first: a file may be called like a content id. */
async function sourceOf(text: string): Promise<string> {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return text
  const path = resolve(text)
  const isThere = await stat(path).then(
    () => true,
    () => false,
  )
  return !isThere && /^[0-9a-f]{8,64}$/i.test(text) ? text : path
}
