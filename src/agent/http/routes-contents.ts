/** Routes of the contents that this node holds. */
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { z } from 'zod'
import type { ContentInfo } from '../data-plane/data-plane.ts'
import { fail, fromErrno, serialiseError } from '../errors.ts'
import { parseRange } from './ranges.ts'
import { json, route } from './route.ts'
import type { ApiParts, Route, RouteReply, RouteRequest } from './route.ts'
import { contentInfo, contentList, done, gcResult, verifyResult } from './schemas.ts'

const ID_PARAM = { id: 'a content id, or at least 8 digits of one' }

const forceQuery: z.ZodObject<{ force: z.ZodDefault<z.ZodEnum<{ true: 'true'; false: 'false' }>> }> = z.strictObject({
  force: z.enum(['true', 'false']).default('false').describe('remove it even if it is pinned'),
})

/** The rows for `/v1/contents` and the garbage collection. */
export const CONTENT_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/contents',
    operationId: 'listContents',
    tag: 'contents',
    summary: 'What this node holds',
    responses: { 200: json('Complete and partial contents.', contentList) },
    errors: [],
    handle: async ({ parts }) => ({ status: 200, json: { contents: await parts.dataPlane.contents() } }),
  }),
  route({
    method: 'GET',
    path: '/v1/contents/{id}',
    operationId: 'showContent',
    tag: 'contents',
    summary: 'One content',
    pathParams: ID_PARAM,
    responses: { 200: json('The content.', contentInfo) },
    errors: ['content-not-found', 'content-ambiguous'],
    handle: async ({ parts, path }) => ({ status: 200, json: await contentOf(parts, path['id']) }),
  }),
  route({
    method: 'DELETE',
    path: '/v1/contents/{id}',
    operationId: 'removeContent',
    tag: 'contents',
    summary: 'Remove a content from this node',
    pathParams: ID_PARAM,
    query: forceQuery,
    responses: { 200: json('It is removed.', done) },
    errors: ['content-not-found', 'content-ambiguous', 'content-pinned', 'content-in-use'],
    async handle({ parts, path, query }: RouteRequest<{ force: string }, undefined>) {
      const { id } = await contentOf(parts, path['id'])
      await parts.dataPlane.remove(id, { force: query.force === 'true' })
      return DONE
    },
  }),
  route({
    method: 'GET',
    path: '/v1/contents/{id}/data',
    operationId: 'readContent',
    tag: 'contents',
    summary: "A complete content's bytes",
    description: 'The bytes as they are in the store: those of a directory begin with its encoded tree. The ETag is the content id.',
    pathParams: ID_PARAM,
    headers: { Range: 'one range of bytes', 'If-Range': 'an ETag: the range counts only if it is still that' },
    responses: {
      200: { description: 'All bytes.', contentType: 'application/octet-stream' },
      206: { description: 'The range.', contentType: 'application/octet-stream' },
      416: { description: 'No byte of the range is there.', contentType: 'application/json' },
    },
    errors: ['content-not-found', 'content-ambiguous', 'content-incomplete'],
    handle: readContent,
  }),
  route({
    method: 'PUT',
    path: '/v1/contents/{id}/pin',
    operationId: 'pinContent',
    tag: 'contents',
    summary: 'Keep a content from being evicted',
    pathParams: ID_PARAM,
    responses: { 200: json('It is pinned.', contentInfo) },
    errors: ['content-not-found', 'content-ambiguous'],
    async handle({ parts, path }) {
      const { id } = await contentOf(parts, path['id'])
      await parts.dataPlane.pin(id)
      return { status: 200, json: await contentOf(parts, id) }
    },
  }),
  route({
    method: 'DELETE',
    path: '/v1/contents/{id}/pin',
    operationId: 'unpinContent',
    tag: 'contents',
    summary: 'Let a content be evicted again',
    pathParams: ID_PARAM,
    responses: { 200: json('It is not pinned.', contentInfo) },
    errors: ['content-not-found', 'content-ambiguous'],
    async handle({ parts, path }) {
      const { id } = await contentOf(parts, path['id'])
      await parts.dataPlane.unpin(id)
      return { status: 200, json: await contentOf(parts, id) }
    },
  }),
  route({
    method: 'POST',
    path: '/v1/contents/{id}/verify',
    operationId: 'verifyContent',
    tag: 'contents',
    summary: "Read a content's bytes and check them against its manifest",
    description: 'Bad chunks are dropped, so that a get or a delivery fetches them again.',
    pathParams: ID_PARAM,
    responses: { 200: json('What was found.', verifyResult) },
    errors: ['content-not-found', 'content-ambiguous'],
    async handle({ parts, path }) {
      const { id } = await contentOf(parts, path['id'])
      return { status: 200, json: await parts.dataPlane.verify(id) }
    },
  }),
  route({
    method: 'POST',
    path: '/v1/gc',
    operationId: 'collectGarbage',
    tag: 'contents',
    summary: 'Remove what is neither pinned nor in use',
    responses: { 200: json('What was removed.', gcResult) },
    errors: [],
    handle: async ({ parts }) => ({ status: 200, json: await parts.dataPlane.gc() }),
  }),
]

const DONE: RouteReply = { status: 200, json: { isDone: true } }

async function contentOf(parts: ApiParts, id = ''): Promise<ContentInfo> {
  const info = /^[0-9a-f]{8,64}$/i.test(id) ? await parts.dataPlane.content(id.toLowerCase()) : undefined
  if (info === undefined) throw fail('content-not-found', { id, where: 'here' })
  return info
}

async function readContent({ parts, path, raw, response, closed }: RouteRequest<undefined, undefined>): Promise<RouteReply> {
  const info = await contentOf(parts, path['id'])
  const { id, state, haveBytes, mediaType } = info
  const totalBytes = info.totalBytes ?? haveBytes
  if (state !== 'complete') throw fail('content-incomplete', { id, have: haveBytes, total: info.totalBytes ?? 'unknown' })
  const etag = `"${id}"`
  const ifRange = raw.headers['if-range']
  const range = parseRange(ifRange === undefined || ifRange === etag ? raw.headers.range : undefined, totalBytes)
  if (range.kind === 'unsatisfiable') {
    response.setHeader('content-range', `bytes */${totalBytes}`)
    const error = serialiseError(fail('bad-request', { reason: `the content has ${totalBytes} bytes, and none in the range asked for` }))
    return { status: 416, json: { error } }
  }
  const [first, last] = range.kind === 'part' ? [range.first, range.last] : [0, totalBytes - 1]
  response.writeHead(range.kind === 'part' ? 206 : 200, {
    'content-type': /^[\w.+-]+\/[\w.+-]+$/.test(mediaType) ? mediaType : 'application/octet-stream',
    'content-length': last - first + 1,
    'accept-ranges': 'bytes',
    etag,
    // Never shown as a page of the agent's own origin, whatever it holds.
    'content-disposition': `attachment; filename*=UTF-8''${encodeURIComponent(info.name).replaceAll("'", '%27')}`,
    'content-security-policy': 'sandbox',
    ...(range.kind === 'part' ? { 'content-range': `bytes ${first}-${last}/${totalBytes}` } : {}),
  })
  if (totalBytes === 0) {
    response.end()
    return undefined
  }
  try {
    await pipeline(createReadStream(info.path, { start: first, end: last, highWaterMark: 256 * 1024 }), response, { signal: closed })
  } catch (error) {
    if (closed.aborted) return undefined
    // The head is out: the client sees a body that ends early.
    response.destroy()
    throw fromErrno(error, { doing: 'data-dir', path: info.path })
  }
  return undefined
}
