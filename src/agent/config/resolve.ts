/**
 * From the four sources to the effective configuration: defaults < file < POLYCAST_* environment < flags. The highest source
 * that names an option gives the whole of it; lists and tags are never merged across sources.
 *
 * Pure: files, variables and facts of the machine are handed in (`load.ts` gathers them).
 */

import { dirname, join } from 'node:path'
import { fail } from '../errors.ts'
import { isHandlerVariable } from '../gossip/handler-call.ts'
import { tagsProblem } from '../membership/member.ts'
import { isLoopback, isUnspecified } from '../addresses.ts'
import { readConfigText } from './file.ts'
import { formatValue, schemaOf } from './kinds.ts'
import { nearest } from './nearest.ts'
import { OPTION_NAMES, RESERVED_ENVIRONMENT, environmentName, flagName, optionRow } from './options.ts'
import type { PolycastError } from '../errors.ts'
import type { RawValue } from './kinds.ts'
import type { AgentConfig, OptionName } from './options.ts'

/** What defaults depend on. */
export interface HostFacts {
  readonly hostName: string
  readonly isRoot: boolean
  /** `$XDG_STATE_HOME`, or `.local/state` in the home directory. */
  readonly stateDirectory: string
  readonly currentDirectory: string
  /** Addresses of the network interfaces, loopback excluded. */
  readonly interfaceAddresses: readonly string[]
}

/** Everything that a configuration is made from. */
export interface ConfigSources {
  readonly file?: { readonly path: string; readonly text: string }
  readonly environment: Readonly<Record<string, string | undefined>>
  /** By flag name without dashes, as `readFlags` gives them. */
  readonly flags: Readonly<Record<string, RawValue>>
  readonly host: HostFacts
}

/** Which source a value came from, and the place in it: `default`, `/etc/polycast.yaml:3`, `POLYCAST_NAME`, `--name`. */
export interface Origin {
  readonly source: 'default' | 'file' | 'environment' | 'flag'
  readonly where: string
}

/** The effective configuration and where each of its values comes from. */
export interface ResolvedConfig {
  readonly config: AgentConfig
  readonly origins: Readonly<Record<OptionName, Origin>>
}

interface Given {
  readonly raw: RawValue
  readonly origin: Origin
  readonly baseDirectory: string
}

/** The effective configuration; throws `config-unknown`, `config-invalid`, `config-unreadable` or `not-loopback`. */
export function resolveConfig(sources: ConfigSources): ResolvedConfig {
  const given = gather(sources)
  const values = new Map<OptionName, unknown>()
  const origins = new Map<OptionName, Origin>()
  for (const name of OPTION_NAMES) {
    const one = given.get(name)
    values.set(name, one === undefined ? fixedDefault(name) : check(name, one))
    origins.set(name, one?.origin ?? { source: 'default', where: 'default' })
  }
  const where = (name: OptionName): string => origins.get(name)?.where ?? 'default'
  computeDefaults(values, sources.host)
  const config = withSeedTag(Object.fromEntries(values) as unknown as AgentConfig, where)
  checkTogether(config, where)
  return { config, origins: Object.fromEntries(origins) as Record<OptionName, Origin> }
}

function gather(sources: ConfigSources): Map<OptionName, Given> {
  const given = new Map<OptionName, Given>()
  if (sources.file !== undefined) {
    const { path, text } = sources.file
    const byKey = new Map(OPTION_NAMES.map((name) => [optionRow(name).key, name]))
    for (const { key, value, line } of readConfigText(path, text)) {
      const name = byKey.get(key)
      const where = `${path}:${line}`
      if (name === undefined) throw unknown(key, where, byKey.keys())
      given.set(name, { raw: value, origin: { source: 'file', where }, baseDirectory: dirname(path) })
    }
  }
  const baseDirectory = sources.host.currentDirectory
  const byVariable = new Map(OPTION_NAMES.map((name) => [environmentName(optionRow(name)), name]))
  for (const [variable, value] of Object.entries(sources.environment)) {
    if (!variable.startsWith('POLYCAST_') || value === undefined || Object.hasOwn(RESERVED_ENVIRONMENT, variable)) continue
    const name = byVariable.get(variable)
    // An agent that an event handler starts, and a service link, are given variables that are not meant for it.
    if (name === undefined && (isServiceLink(variable, value) || isHandlerVariable(variable))) continue
    if (name === undefined) throw unknown(variable, 'environment', [...byVariable.keys(), ...Object.keys(RESERVED_ENVIRONMENT)])
    given.set(name, { raw: value, origin: { source: 'environment', where: variable }, baseDirectory })
  }
  const byFlag = new Map(OPTION_NAMES.map((name) => [flagName(optionRow(name)), name]))
  for (const [flag, raw] of Object.entries(sources.flags)) {
    const name = byFlag.get(flag)
    if (name === undefined)
      throw unknown(
        `--${flag}`,
        'command line',
        [...byFlag.keys()].map((known) => `--${known}`),
      )
    given.set(name, { raw, origin: { source: 'flag', where: `--${flag}` }, baseDirectory })
  }
  return given
}

/** Kubernetes puts variables for each service of a namespace into every container; those of a service named polycast-… are not meant for us. */
function isServiceLink(variable: string, value: string): boolean {
  if (variable.endsWith('_PORT') && !variable.endsWith('_SERVICE_PORT')) return /^(tcp|udp|sctp):\/\//.test(value)
  return /_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(variable)
}

function unknown(key: string, where: string, known: Iterable<string>): PolycastError {
  const near = nearest(key, known)
  return fail('config-unknown', {
    key,
    where,
    hint: near === undefined ? 'docs/reference/configuration.md lists the options.' : `Did you mean ${near}?`,
  })
}

function invalid(name: OptionName, value: RawValue, where: string, reason: string): PolycastError {
  const shown =
    typeof value === 'string'
      ? value
      : Array.isArray(value)
        ? value.join(',')
        : Object.entries(value)
            .map(([key, one]) => `${key}=${one}`)
            .join(',')
  return fail('config-invalid', { key: optionRow(name).key, value: `"${shown.slice(0, 200)}"`, where, reason })
}

function check(name: OptionName, { raw, origin, baseDirectory }: Given): unknown {
  const result = schemaOf(optionRow(name), baseDirectory).safeParse(raw)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw invalid(name, raw, origin.where, issue?.message ?? 'it is not understood')
}

function fixedDefault(name: OptionName): unknown {
  const value = optionRow(name).default
  return typeof value === 'object' && 'computed' in value ? undefined : value
}

function computeDefaults(values: Map<OptionName, unknown>, host: HostFacts): void {
  const setDefault = (name: OptionName, make: () => unknown): void => {
    if (values.get(name) === undefined) values.set(name, make())
  }
  setDefault('name', () => host.hostName.replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 128) || 'node')
  setDefault('dataDirectory', () => (host.isRoot ? '/var/lib/polycast' : join(host.stateDirectory, 'polycast')))
  setDefault('destRoots', () => [join(values.get('dataDirectory') as string, 'files')])
  const bind = values.get('bind') as string
  const family = (address: string): boolean => address.includes(':') === bind.includes(':')
  setDefault('advertise', () =>
    isUnspecified(bind) ? (host.interfaceAddresses.find(family) ?? host.interfaceAddresses[0] ?? '127.0.0.1') : bind,
  )
  setDefault('multicast', () => !isLoopback(bind))
  setDefault('httpBind', () => (isLoopback(bind) ? bind : '127.0.0.1'))
}

/** The option seed and the tag role=seed are one thing: whichever was given, both say so. */
function withSeedTag(config: AgentConfig, where: (name: OptionName) => string): AgentConfig {
  const role = config.tags['role']
  if (!config.isSeed) return role === 'seed' ? { ...config, isSeed: true } : config
  if (role !== undefined && role !== 'seed')
    throw invalid('tags', `role=${role}`, where('tags'), 'a node with the option seed has the tag role=seed')
  const tags = { ...config.tags, role: 'seed' }
  const wrong = tagsProblem(tags)
  if (wrong !== undefined) throw invalid('tags', tags, where('tags'), wrong)
  return { ...config, tags }
}

function checkTogether(config: AgentConfig, where: (name: OptionName) => string): void {
  const refuse = (name: OptionName, reason: string): PolycastError =>
    invalid(name, formatValue(optionRow(name), config[name]), where(name), reason)
  if (!config.isInsecure) {
    if (!isLoopback(config.bind)) throw fail('not-loopback', { address: config.bind, option: optionText('bind', where) })
    if (!isLoopback(config.advertise)) throw fail('not-loopback', { address: config.advertise, option: optionText('advertise', where) })
  }
  if (!isLoopback(config.httpBind))
    throw refuse('httpBind', 'the HTTP API stays on loopback addresses; forward its port with ssh -L to reach it from elsewhere')
  if (isUnspecified(config.advertise)) throw refuse('advertise', 'the other members need one address to connect to')
  if (config.gossipPort !== 0 && config.gossipPort === config.swarmPort) throw refuse('swarmPort', 'it is the gossip-port already')
  if (
    config.httpBind === config.bind &&
    config.httpPort !== 0 &&
    (config.httpPort === config.gossipPort || config.httpPort === config.swarmPort)
  ) {
    throw refuse('httpPort', 'it is the gossip-port or the swarm-port already')
  }
}

function optionText(name: OptionName, where: (name: OptionName) => string): string {
  return `option ${optionRow(name).key}, ${where(name)}`
}
