/** Gathers what the configuration is made from: the file, the environment and facts of this machine. */

import { readFile } from 'node:fs/promises'
import { homedir, hostname, networkInterfaces } from 'node:os'
import { resolve } from 'node:path'
import { explainError, fail } from '../errors.ts'
import { resolveConfig } from './resolve.ts'
import type { RawValue } from './kinds.ts'
import type { HostFacts, ResolvedConfig } from './resolve.ts'

/** The largest configuration file that is read. */
const MAX_FILE_BYTES = 1_048_576

/** The configuration of this process; `file` is what --config says, else POLYCAST_CONFIG is looked at. Throws as `resolveConfig` does. */
export async function loadConfig(given: {
  readonly file?: string
  readonly flags: Readonly<Record<string, RawValue>>
  readonly environment: Readonly<Record<string, string | undefined>>
}): Promise<ResolvedConfig> {
  const host = hostFacts(given.environment)
  const path = given.file ?? given.environment['POLYCAST_CONFIG']
  const common = { environment: given.environment, flags: given.flags, host }
  if (path === undefined || path === '') return resolveConfig(common)
  const absolute = resolve(host.currentDirectory, path)
  return resolveConfig({ ...common, file: { path: absolute, text: await readText(absolute) } })
}

/** What defaults depend on, of this machine. */
export function hostFacts(environment: Readonly<Record<string, string | undefined>>): HostFacts {
  return {
    hostName: hostname(),
    isRoot: process.getuid?.() === 0,
    stateDirectory:
      environment['XDG_STATE_HOME']?.startsWith('/') === true ? environment['XDG_STATE_HOME'] : resolve(homedir(), '.local/state'),
    currentDirectory: process.cwd(),
    interfaceAddresses: Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .filter((address) => !address.internal && !address.address.startsWith('fe80:'))
      .map((address) => address.address),
  }
}

async function readText(path: string): Promise<string> {
  let bytes: Buffer
  try {
    bytes = await readFile(path)
  } catch (error) {
    throw fail('config-unreadable', { path, reason: explainError(error) }, error)
  }
  if (bytes.length > MAX_FILE_BYTES) throw fail('config-unreadable', { path, reason: `it has more than ${MAX_FILE_BYTES} bytes` })
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw fail('config-unreadable', { path, reason: 'it is not UTF-8' }, error)
  }
}
