/**
 * Serf's RPC, served by an agent of Polycast: what `serf members` and its like talk to (docs/serf-rpc.md).
 *
 * Off unless it is asked for. Whoever reaches the port can send events, change tags and make the node leave, so it is for loopback alone
 * where nothing else was said, and may ask for a key.
 */
import { lookup } from 'node:dns/promises'
import { createServer, isIP, type AddressInfo } from 'node:net'
import { formatAddress, isLoopback } from '../addresses.ts'
import { fail, fromErrno, type PolycastError } from '../errors.ts'
import type { Gossip } from '../gossip/gossip.ts'
import { Connection } from './connection.ts'
import type { LogRing } from './log-tap.ts'
import { newCounters, type RpcCounters, type RpcLog } from './parts.ts'

/** Clients at a time; more are closed at once. */
export const MAX_CLIENTS = 64

export interface SerfRpcOptions {
  /** IP address to listen at, or a name such as localhost. */
  readonly host: string
  /** 0 takes any free one. */
  readonly port: number
  /** Allows addresses that other machines can reach. */
  readonly isInsecure?: boolean
  readonly gossip: Gossip
  readonly log: RpcLog
  /** Where `serf monitor` has its lines from. */
  readonly logTap?: LogRing
  /** What clients have to know; whoever reaches the port may give commands where it isn't given. */
  readonly authKey?: string
  /** Whether gossip is encrypted. */
  readonly isEncrypted?: boolean
  /** Called when a client made the node leave: gossip has left, and the agent should end. */
  readonly onLeft?: () => void
}

export interface SerfRpcServer {
  readonly port: number
  readonly counters: Readonly<RpcCounters>
  /** Closes the port and all connections. */
  close(): Promise<void>
}

/** Listens. Errors: not-loopback, address-in-use, address-unusable. */
export async function startSerfRpc(options: SerfRpcOptions): Promise<SerfRpcServer> {
  const { gossip, log, logTap, authKey, isEncrypted = false, onLeft = () => undefined } = options
  const unusable = (error: unknown): PolycastError =>
    fromErrno(error, { doing: 'listen', address: formatAddress(options.host, options.port), purpose: 'the Serf RPC' })
  const host = await addressOf(options.host).catch((error: unknown) => {
    throw unusable(error)
  })
  if (!isLoopback(host) && options.isInsecure !== true) throw fail('not-loopback', { address: host, option: 'serf-rpc' })
  const counters = newCounters()
  const parts = { gossip, log, logTap, authKey, isEncrypted, onLeft, counters }
  const connections = new Set<Connection>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    counters.accepted++
    const connection = new Connection(socket, parts, () => {
      connections.delete(connection)
    })
    connections.add(connection)
  })
  server.maxConnections = MAX_CLIENTS
  server.on('drop', () => {
    counters.refused++
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(unusable(error)))
    server.listen(options.port, host, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    counters,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const connection of connections) connection.close()
      await closed
    },
  }
}

/** What is checked must be what is listened at, so a name is looked up once. */
async function addressOf(host: string): Promise<string> {
  return isIP(host) === 0 ? (await lookup(host)).address : host
}
