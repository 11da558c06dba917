/** `polycast content`: what a node holds. */
import type { ContentInfo } from '../agent/data-plane/data-plane.ts'
import type { ContentList, GcResult, VerifyResult } from '../agent/http/api.ts'
import { withContext } from './context.ts'
import type { CommonOptions } from './context.ts'
import { count, formatBytes, formatTable, formatTime, printable, shortId } from './format.ts'

/** `content ls`. */
export async function listContents(options: CommonOptions): Promise<number> {
  return withContext(options, async (context) => {
    const { contents } = await context.api.json<ContentList>('GET', '/v1/contents')
    if (context.isJson) context.printJson({ contents })
    else {
      const rows = contents
        .toSorted((a, b) => b.usedAt - a.usedAt)
        .map((content) => [
          shortId(content.id),
          stateText(content),
          formatBytes(content.totalBytes ?? content.haveBytes),
          content.pinned ? 'pinned' : '',
          formatTime(content.usedAt),
          content.name,
        ])
      context.print(formatTable(['CONTENT', 'STATE', '>SIZE', 'PIN', 'USED', 'NAME'], rows))
    }
    return 0
  })
}

/** `content show`. */
export async function showContent(id: string, options: CommonOptions): Promise<number> {
  return withContext(options, async (context) => {
    const content = await context.api.json<ContentInfo>('GET', pathOf(id))
    if (context.isJson) context.printJson(content)
    else {
      const rows = [
        ['content', content.id],
        ['name', content.name],
        ['state', stateText(content)],
        ['size', content.totalBytes === undefined ? 'not known yet' : `${formatBytes(content.totalBytes)} (${content.totalBytes} bytes)`],
        ['chunks', String(content.chunkCount)],
        ['media type', content.mediaType],
        ['pinned', content.pinned ? 'yes' : 'no'],
        ['created', formatTime(content.createdAt)],
        ['used', formatTime(content.usedAt)],
        ['bytes at', content.path],
      ]
      const width = Math.max(...rows.map(([key = '']) => key.length))
      context.print(rows.map(([key = '', value = '']) => `${key.padEnd(width)}  ${printable(value)}\n`).join(''))
    }
    return 0
  })
}

/** `content pin` and `content unpin`. */
export async function pinContents(ids: readonly string[], isPinned: boolean, options: CommonOptions): Promise<number> {
  return withContext(options, async (context) => {
    for (const id of ids) {
      const content = await context.api.json<ContentInfo>(isPinned ? 'PUT' : 'DELETE', `${pathOf(id)}/pin`)
      if (context.isJson) context.printJson(content)
      else context.print(`${content.id} ${isPinned ? 'pinned' : 'not pinned'}\n`)
    }
    return 0
  })
}

/** `content rm`. */
export async function removeContents(ids: readonly string[], options: CommonOptions & { readonly force?: boolean }): Promise<number> {
  return withContext(options, async (context) => {
    for (const id of ids) {
      const content = await context.api.json<ContentInfo>('GET', pathOf(id))
      await context.api.json('DELETE', `${pathOf(content.id)}${options.force === true ? '?force=true' : ''}`)
      if (context.isJson) context.printJson({ id: content.id, isRemoved: true })
      else context.print(`${content.id} removed\n`)
    }
    return 0
  })
}

/** `content gc`. */
export async function collectGarbage(options: CommonOptions): Promise<number> {
  return withContext(options, async (context) => {
    const result = await context.api.json<GcResult>('POST', '/v1/gc')
    if (context.isJson) context.printJson(result)
    else context.print(`${count(result.removed, 'content')} removed, ${formatBytes(result.bytes)} freed\n`)
    return 0
  })
}

/** `content verify`: exit code 1 if a chunk is bad. */
export async function verifyContents(ids: readonly string[], options: CommonOptions): Promise<number> {
  return withContext(options, async (context) => {
    const all = ids.length > 0 ? ids : (await context.api.json<ContentList>('GET', '/v1/contents')).contents.map(({ id }) => id)
    let damaged = 0
    for (const id of all) {
      const { chunks, bad } = await context.api.json<VerifyResult>('POST', `${pathOf(id)}/verify`)
      if (bad.length > 0) damaged++
      if (context.isJson) context.printJson({ id, chunks, bad })
      else
        context.print(
          bad.length === 0
            ? `${id} good, ${count(chunks, 'chunk')}\n`
            : `${id} DAMAGED: ${bad.length} of ${count(chunks, 'chunk')} were bad and are dropped; get them again with: polycast get ${shortId(id)}\n`,
        )
    }
    return damaged > 0 ? 1 : 0
  })
}

function pathOf(id: string): string {
  return `/v1/contents/${encodeURIComponent(id)}`
}

function stateText({ state, haveBytes, totalBytes }: ContentInfo): string {
  if (state === 'complete') return 'complete'
  return totalBytes === undefined || totalBytes === 0 ? 'partial' : `${Math.floor((haveBytes / totalBytes) * 100)} %`
}
