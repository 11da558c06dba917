/** `polycast join`, `leave`, `forget`, `tags`, `rtt`: this node in its cluster. */
import type { Done } from '../agent/http/api.ts'
import type { ForgetOrder, JoinOrder, JoinResult, RttEstimate, TagsChange, TagSet } from '../agent/http/gossip-api.ts'
import { withContext } from './context.ts'
import type { CommonOptions } from './context.ts'
import { failure } from './failure.ts'
import { formatRtt, printable } from './format.ts'

/** Runs `join`. */
export async function join(addresses: string[], options: CommonOptions): Promise<number> {
  return withContext(options, async (context) => {
    const body: JoinOrder = { addresses }
    const result = await context.api.json<JoinResult>('POST', '/v1/join', { body })
    if (context.isJson) context.printJson(result)
    else context.print(`${result.joined} of ${addresses.length} answered\n`)
    return 0
  })
}

/** Runs `leave`. */
export async function leave(options: CommonOptions): Promise<number> {
  return withContext(options, async (context) => {
    const result = await context.api.json<Done>('POST', '/v1/leave')
    if (context.isJson) context.printJson(result)
    else context.print('the node leaves the cluster, and its agent stops\n')
    return 0
  })
}

/** Runs `forget`. */
export async function forget(name: string, options: CommonOptions & { readonly prune?: boolean }): Promise<number> {
  return withContext(options, async (context) => {
    const body: ForgetOrder = options.prune === true ? { prune: true } : {}
    const result = await context.api.json<Done>('POST', `/v1/members/${encodeURIComponent(name)}/forget`, { body })
    if (context.isJson) context.printJson(result)
    else context.print(`${printable(name)} ${options.prune === true ? 'is forgotten' : 'counts as one that left'}\n`)
    return 0
  })
}

/** The flags of `polycast tags`. */
export interface TagsOptions extends CommonOptions {
  readonly set?: readonly string[]
  readonly delete?: readonly string[]
}

/** Runs `tags`: prints them all, after the change if there is one. */
export async function tags(options: TagsOptions): Promise<number> {
  return withContext(options, async (context) => {
    const body = await changeOf(options)
    const result =
      body === undefined ? await context.api.json<TagSet>('GET', '/v1/tags') : await context.api.json<TagSet>('PUT', '/v1/tags', { body })
    if (context.isJson) context.printJson(result)
    else
      context.print(
        Object.entries(result.tags)
          .map(([key, value]) => `${printable(`${key}=${value}`)}\n`)
          .join(''),
      )
    return 0
  })
}

async function changeOf(options: TagsOptions): Promise<TagsChange | undefined> {
  if (options.set === undefined && options.delete === undefined) return undefined
  const set: Record<string, string> = {}
  for (const given of options.set ?? []) {
    const equals = given.indexOf('=')
    if (equals <= 0) throw await failure('usage', { reason: `--set ${given} is not of the form KEY=VALUE.` })
    set[given.slice(0, equals)] = given.slice(equals + 1)
  }
  return { set, remove: [...(options.delete ?? [])] }
}

/** Runs `rtt`. */
export async function rtt(member: string, other: string | undefined, options: CommonOptions): Promise<number> {
  return withContext(options, async (context) => {
    const query = new URLSearchParams(other === undefined ? { to: member } : { from: member, to: other })
    const result = await context.api.json<RttEstimate>('GET', `/v1/rtt?${query.toString()}`)
    if (context.isJson) context.printJson(result)
    else context.print(`${printable(result.from)} to ${printable(result.to)}: about ${formatRtt(result.rttMs)}\n`)
    return 0
  })
}
