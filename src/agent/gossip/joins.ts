/** Joining by address: all endpoints that a name stands for are asked, and one that answers is enough. */
import { lookup } from 'node:dns/promises'
import { sameEndpoint } from '../../core/gossip/endpoint.ts'
import type { Endpoint } from '../../core/gossip/messages.ts'
import { formatAddress, parseAddress } from '../addresses.ts'
import { ipBytes, ipText } from './ip-bytes.ts'
import type { JoinOutcome } from './worker-protocol.ts'

/** The port of an address to join that has none. */
export const DEFAULT_GOSSIP_PORT = 7946

/** The joins of a node that are under way. */
export class Joins {
  readonly #exchange: (endpoint: Endpoint) => void
  /** By the endpoint as text. */
  readonly #waiting: Map<string, ((error: string | undefined) => void)[]> = new Map()

  /** `exchange` has the machine join an endpoint; `exchanged` is to be called with what became of it. */
  constructor(exchange: (endpoint: Endpoint) => void) {
    this.#exchange = exchange
  }

  /** Joins all endpoints of an address but this node's own and those that need not be joined; the outcome is the best of them. Never rejects. */
  async join(address: string, self: Endpoint, isWanted: (endpoint: Endpoint) => boolean = () => true): Promise<JoinOutcome> {
    const endpoints = await endpointsOf(address)
    if (typeof endpoints === 'string') return { address, error: endpoints, isSelf: false }
    const others = endpoints.filter((endpoint) => !sameEndpoint(endpoint, self))
    if (others.length === 0) return { address, error: undefined, isSelf: true }
    const wanted = others.filter(isWanted)
    if (wanted.length === 0) return { address, error: undefined, isSelf: false }
    const results = await Promise.all(wanted.map((endpoint) => this.joinEndpoint(endpoint)))
    const error = results.includes(undefined) ? undefined : results[0]
    return { address, error, isSelf: false }
  }

  /** Joins one endpoint; the outcome is why it could not be, or undefined. Never rejects. */
  joinEndpoint(endpoint: Endpoint): Promise<string | undefined> {
    return new Promise((resolve) => {
      const key = textOf(endpoint)
      const waiting = this.#waiting.get(key)
      if (waiting === undefined) this.#waiting.set(key, [resolve])
      else waiting.push(resolve)
      if (waiting === undefined) this.#exchange(endpoint)
    })
  }

  /** An exchange for a join has ended, by an error or well. */
  exchanged(endpoint: Endpoint, error: string | undefined): void {
    const key = textOf(endpoint)
    const waiting = this.#waiting.get(key) ?? []
    this.#waiting.delete(key)
    for (const joined of waiting) joined(error)
  }

  /** The node ends: no exchange that is under way will have an outcome. */
  close(): void {
    for (const waiting of this.#waiting.values()) for (const joined of waiting) joined('this node was closed')
    this.#waiting.clear()
  }
}

/** All endpoints that an address stands for, or why there are none. */
export async function endpointsOf(address: string): Promise<Endpoint[] | string> {
  const parsed = parseAddress(address, DEFAULT_GOSSIP_PORT)
  if (parsed === undefined) return `"${address}" is no address: it is to be HOST or HOST:PORT`
  try {
    const hosts = await lookup(parsed.host, { all: true })
    return hosts.flatMap((host) => {
      const bytes = ipBytes(host.address)
      return bytes === undefined ? [] : [{ address: bytes, port: parsed.port }]
    })
  } catch (error) {
    return `the name ${parsed.host} cannot be resolved (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`
  }
}

/** An endpoint as people write it. */
export function textOf({ address, port }: Endpoint): string {
  return formatAddress(ipText(address), port)
}
