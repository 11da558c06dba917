/**
 * The one table of the agent's options: types, validation, flags, environment names, `--print-config` and
 * docs/reference/configuration.md all come from it.
 */

import { DISCOVERY_OPTIONS } from './options-discovery.ts'
import { GOSSIP_OPTIONS } from './options-gossip.ts'
import { MULTICAST_SESSION_OPTIONS } from './options-multicast-sessions.ts'
import { MULTICAST_OPTIONS } from './options-multicast.ts'
import { NODE_OPTIONS } from './options-node.ts'
import { TRANSFER_OPTIONS } from './options-transfer.ts'
import type { OptionRow, ValueOf } from './option.ts'

/** Every option of the agent, by the name that it has in `AgentConfig`. */
export const OPTIONS: typeof NODE_OPTIONS &
  typeof DISCOVERY_OPTIONS &
  typeof GOSSIP_OPTIONS &
  typeof TRANSFER_OPTIONS &
  typeof MULTICAST_OPTIONS &
  typeof MULTICAST_SESSION_OPTIONS = {
  ...NODE_OPTIONS,
  ...DISCOVERY_OPTIONS,
  ...GOSSIP_OPTIONS,
  ...TRANSFER_OPTIONS,
  ...MULTICAST_OPTIONS,
  ...MULTICAST_SESSION_OPTIONS,
}

/** A property of `AgentConfig`. */
export type OptionName = keyof typeof OPTIONS

/** The agent's whole configuration: durations in milliseconds, sizes in bytes, rates in bytes per second, paths absolute; 0 is none where the table says so. */
export type AgentConfig = { readonly [Name in OptionName]: ValueOf<(typeof OPTIONS)[Name]> }

/** The names of all options, in the order of the table. */
export const OPTION_NAMES: readonly OptionName[] = Object.keys(OPTIONS) as OptionName[]

/** The row of one option. */
export function optionRow(name: OptionName): OptionRow {
  return OPTIONS[name]
}

/** The flag of a row without its dashes: `tag` for the option tags. */
export function flagName(row: OptionRow): string {
  return row.flag ?? row.key
}

/** The environment variable of a row: `POLYCAST_GOSSIP_PORT`. */
export function environmentName(row: OptionRow): string {
  return `POLYCAST_${row.key.toUpperCase().replaceAll('-', '_')}`
}

/** Variables that begin like an option and are none: what they are for. */
export const RESERVED_ENVIRONMENT: Readonly<Record<string, string>> = {
  POLYCAST_CONFIG: 'path of the configuration file, where --config is not given',
  POLYCAST_UDP_IMPAIRMENT:
    'faults of the network for tests, in the sockets of multicast: loss=0.02,burst=50,burst-loss=0.01,duplicate=0.01,delay=5,jitter=3,rate=1e6,queue=65536,seed=7',
  POLYCAST_PLAIN_UDP:
    'set to anything, sessions of multicast send and read datagram by datagram, as where the system calls for many are missing',
  POLYCAST_API: 'URL of the agent that the CLI talks to, where --api is not given',
}
