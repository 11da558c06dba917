/** `polycast state`: what each node keeps for all to see. */
import type { AgentInfo, Done } from '../agent/http/api.ts'
import type { NodeState, StateEvent, StateOrder } from '../agent/http/gossip-api.ts'
import { withContext } from './context.ts'
import type { CommonOptions } from './context.ts'
import { milliseconds } from './duration.ts'
import { failure } from './failure.ts'
import { formatTable, printable } from './format.ts'
import { givenBytes } from './input.ts'
import { followLines, valueText } from './messages.ts'

/** `state get`: all keys of a node, or the bytes of one as they are. */
export async function getState(node: string | undefined, key: string | undefined, options: CommonOptions): Promise<number> {
  return withContext(options, async (context) => {
    const name = node ?? (await context.api.json<AgentInfo>('GET', '/v1/agent')).name
    const state = await context.api.json<NodeState>('GET', `/v1/state/${encodeURIComponent(name)}`)
    if (key === undefined) {
      if (context.isJson) context.printJson(state)
      else
        context.print(
          formatTable(
            ['KEY', 'VALUE'],
            state.entries.map((entry) => [entry.key, valueText(entry)]),
          ),
        )
      return 0
    }
    const entry = state.entries.find((one) => one.key === key)
    if (entry === undefined) throw await failure('state-key-not-found', { node: name, key })
    if (context.isJson) context.printJson(entry)
    else process.stdout.write(Buffer.from(entry.payload, 'base64'))
    return 0
  })
}

/** `state set`. */
export async function setState(key: string, value: string, options: CommonOptions & { readonly ttl?: string }): Promise<number> {
  return withContext(options, async (context) => {
    const body: StateOrder = {
      ...(await givenBytes(value)),
      ...(options.ttl === undefined ? {} : { ttlMs: await milliseconds('--ttl', options.ttl) }),
    }
    const result = await context.api.json<Done>('PUT', `/v1/state/${encodeURIComponent(key)}`, { body })
    if (context.isJson) context.printJson(result)
    else context.print(`${printable(key)} is set\n`)
    return 0
  })
}

/** `state rm`. */
export async function removeState(key: string, options: CommonOptions): Promise<number> {
  return withContext(options, async (context) => {
    const result = await context.api.json<Done>('DELETE', `/v1/state/${encodeURIComponent(key)}`)
    if (context.isJson) context.printJson(result)
    else context.print(`${printable(key)} is removed\n`)
    return 0
  })
}

/** `state watch`. */
export async function watchState(prefix: string | undefined, options: CommonOptions & { readonly count?: string }): Promise<number> {
  const query = new URLSearchParams({ watch: 'true', ...(prefix === undefined ? {} : { prefix }) })
  return followLines<StateEvent>(`/v1/state?${query.toString()}`, options, (line) => {
    if (line.event === 'started') return ''
    const place = `${printable(line.node)} ${printable(line.key)}`
    return line.event === 'removed' ? `${place} is removed\n` : `${place} = ${valueText(line).replaceAll('\n', String.raw`\n`)}\n`
  })
}
