/** Whether tests on hosts in network namespaces of their own can run on this machine. */
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { runChild } from './child.ts'
import type { Context } from './part.ts'

const COMMANDS = ['ip', 'tc', 'nft', 'nsenter', 'ping']

/** @returns why not, or undefined when they can. */
export async function whyNoTestbed(context: Context): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'network namespaces need Linux'
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  const isThere = await access(context.testbed, constants.X_OK).then(
    () => true,
    () => false,
  )
  if (!isThere) return `the testbed is not beside the project (${context.testbed})`
  for (const command of COMMANDS) {
    const found = await runChild('sh', ['-c', `command -v ${command}`], { cwd: context.root, limitMs: 5_000 })
    if (found.status !== 0) return `the command ${command} is missing and could not be installed`
  }
  const namespace = await runChild('unshare', ['--net', 'true'], { cwd: context.root, limitMs: 5_000 })
  if (namespace.status !== 0) return 'this machine does not allow network namespaces'
  return undefined
}
