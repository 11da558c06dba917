/** `polycast agent`: a node as a process of its own, from its configuration to its exit code. */
import type { RawValue } from './config/kinds.ts'
import { loadConfig } from './config/load.ts'
import { printConfig } from './config/print.ts'
import type { PolycastError } from './errors.ts'
import { startAgent } from './agent.ts'
import { createLogger } from './log.ts'
import { LogRing } from './serf-rpc/log-tap.ts'

/** What the command line gives. */
export interface RunOptions {
  /** By flag name, as `readOptionFlags` gives them. */
  readonly flags: Readonly<Record<string, RawValue>>
  readonly configFile?: string
  /** Print the configuration and end. */
  readonly isPrintConfig: boolean
  /** The package's. */
  readonly version: string
}

/** Runs a node until SIGTERM, Ctrl-C or a failure; gives the exit code. Prints one line `ready` with its addresses once it takes orders. Errors: those of the configuration and of `startAgent`. */
export async function runAgent(options: RunOptions): Promise<number> {
  const resolved = await loadConfig({
    flags: options.flags,
    environment: process.env,
    ...(options.configFile === undefined ? {} : { file: options.configFile }),
  })
  if (options.isPrintConfig) {
    process.stdout.write(printConfig(resolved))
    return 0
  }
  const { config } = resolved
  const logRing = new LogRing()
  const log = createLogger({
    level: config.logLevel,
    format: config.logFormat,
    node: config.name,
    // Lines are kept for those who would listen to them alone.
    ...(config.serfRpc === '' ? {} : { onLine: (json: string) => logRing.onJson(json) }),
  })
  const ended = endOfProcess()
  const agent = await startAgent({ config, version: options.version, log, logRing, onFatal: ended.fail, onLeave: ended.leave })
  const { gossip, swarm, http } = agent.info.addresses
  process.stdout.write(`ready name=${config.name} gossip=${gossip} swarm=${swarm} http=http://${http}\n`)
  log.info({ ...agent.info.addresses, data: config.dataDirectory, version: options.version }, 'ready')
  const why = await ended.promise
  if (typeof why === 'string') log.info({ reason: why }, 'stopping')
  else log.fatal({ err: why }, 'stopping: the node cannot go on')
  await agent.stop()
  if (typeof why === 'string') return 0
  process.stderr.write(`polycast: ${why.message}\n  ${why.advice}\n`)
  return why.exitCode
}

/** What ends the process. */
interface End {
  readonly promise: Promise<NodeJS.Signals | 'leave' | PolycastError>
  readonly fail: (error: PolycastError) => void
  readonly leave: () => void
}

/** The signal, the order to leave or the failure that ends the process; the second signal ends it at once. */
function endOfProcess(): End {
  let end: (why: NodeJS.Signals | 'leave' | PolycastError) => void = () => undefined
  const promise = new Promise<NodeJS.Signals | 'leave' | PolycastError>((resolve) => {
    end = resolve
  })
  let isEnding = false
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (isEnding) process.exit(1)
      isEnding = true
      end(signal)
    })
  }
  const leave = (): void => {
    end('leave')
  }
  return { promise, fail: end, leave }
}
