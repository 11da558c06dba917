/**
 * The newest long-term Node, beside the one that runs the checks: taken from the npm registry (which has Node's own binaries as
 * packages) and kept in .work/.
 */
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { runChild } from './child.ts'
import type { Context } from './part.ts'

/** Pinned, so that a run today and a run next month are the same. */
const VERSION = '24.9.0'

const INSTALL_LIMIT_MS = 3 * 60_000

/** @returns the binary's path, or why there is none. */
export async function newerNode(context: Context): Promise<{ readonly binary: string } | { readonly reason: string }> {
  if (Number(process.versions.node.split('.')[0]) >= Number(VERSION.split('.')[0])) {
    return { reason: `this run is on Node ${process.versions.node} itself` }
  }
  const folder = path.join(context.root, '.work', `node-${VERSION}`)
  const name = `node-${process.platform}-${process.arch}`
  const binary = path.join(folder, 'node_modules', name, 'bin/node')
  if (!existsSync(binary)) {
    await mkdir(folder, { recursive: true })
    const args = ['install', '--prefix', folder, '--no-save', '--no-package-lock', '--ignore-scripts', '--no-audit', '--no-fund']
    const child = await runChild('npm', [...args, `${name}@${VERSION}`], { cwd: folder, limitMs: INSTALL_LIMIT_MS })
    if (child.status !== 0) return { reason: `npm could not install ${name}@${VERSION}: ${child.output.trim().split('\n').at(-1) ?? ''}` }
  }
  const works = await runChild(binary, ['--version'], { cwd: context.root, limitMs: 10_000 })
  if (works.status !== 0) return { reason: `${binary} does not run here: ${works.output.trim()}` }
  return { binary }
}
