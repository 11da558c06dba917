/** The three ways to answer an order that goes on: a stream of what happens, its end alone, or just that it was begun. */
import { z } from 'zod'
import { deserialiseError, fail } from '../errors.ts'
import type { ReplyMode } from './api.ts'
import { EventStream } from './event-stream.ts'
import type { RouteReply, RouteRequest } from './route.ts'

/** The query of routes that order something. */
export const replyQuery: z.ZodObject<{ reply: z.ZodDefault<z.ZodEnum<{ stream: 'stream'; end: 'end'; start: 'start' }>> }> = z.strictObject(
  {
    reply: z
      .enum(['stream', 'end', 'start'])
      .default('stream')
      .describe(
        'stream: JSON lines of what happens, to the end; end: one JSON document when it has ended; start: one JSON document at once',
      ),
  },
)

/** The query of such a route, checked. */
export interface ReplyQuery {
  reply: ReplyMode
}

/** An order that goes on, whatever it is. */
export interface Following<Event extends { event: string }, Info> {
  info(): Info
  follow(listener: (event: Event) => void): () => void
}

/** Answers with the order as the client wants it; `onClose` is called when the client went away before the end. */
export async function replyWith<Event extends { event: string }, Info>(
  request: RouteRequest<ReplyQuery, unknown>,
  order: Following<Event, Info>,
  onClose: () => void,
): Promise<RouteReply> {
  const { reply } = request.query
  if (reply === 'start') return { status: 202, json: order.info() }
  if (reply === 'end') return replyAtEnd(request, order, onClose)
  const stream = new EventStream(request.response, request.closed)
  let hasEnded = false
  const unfollow = order.follow((event) => {
    stream.write(event)
    if (!isLast(event)) return
    hasEnded = true
    stream.end()
  })
  await stream.closed
  unfollow()
  if (!hasEnded) onClose()
  return undefined
}

async function replyAtEnd<Event extends { event: string }, Info>(
  request: RouteRequest<ReplyQuery, unknown>,
  order: Following<Event, Info>,
  onClose: () => void,
): Promise<RouteReply> {
  let unfollow = (): void => undefined
  const last = await new Promise<Event | undefined>((resolve) => {
    const leave = (): void => {
      resolve(undefined)
    }
    if (request.closed.aborted) leave()
    request.closed.addEventListener('abort', leave)
    unfollow = order.follow((event) => {
      if (isLast(event)) resolve(event)
    })
  })
  unfollow()
  if (last === undefined) {
    onClose()
    throw fail('cancelled', { reason: 'the client closed the connection' })
  }
  if (!('error' in last)) return { status: 200, json: order.info() }
  const { event: _event, ...rest } = last
  // Rebuilt, so that its status is that of this version's table.
  return { status: deserialiseError(last.error).status, json: rest }
}

function isLast(event: { event: string }): boolean {
  return event.event === 'done' || event.event === 'error'
}
