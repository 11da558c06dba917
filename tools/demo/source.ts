/** What the demonstration delivers: a path, a URL, or a file made for it; and the room that it takes. */
import { createHash, randomFillSync } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, readdir, stat, statfs } from 'node:fs/promises'
import path from 'node:path'

export interface DemoSource {
  /** What `polycast send` is given. */
  readonly location: string
  /** What the members call it. */
  readonly name: string
  /** A regular file on this machine, which the copies can be compared with. */
  readonly isFile: boolean
  /** Its size where that is known before it is read. */
  readonly bytes: number | undefined
  /** For people. */
  readonly text: string
}

const GENERATED_BYTES = 256 * 1024 * 1024
const PIECE_BYTES = 4 * 1024 * 1024
const MIB = 1024 * 1024

/** Takes what the user named, or makes a file in `folder`; rejects where there is no such path, or no room for the copies. */
export async function prepareSource(given: string | undefined, folder: string, nodes: number): Promise<DemoSource> {
  if (given === undefined) {
    await requireRoom(folder, GENERATED_BYTES * (nodes + 1))
    const file = path.join(folder, 'demo.bin')
    await generate(file, GENERATED_BYTES)
    return {
      location: file,
      name: 'demo.bin',
      isFile: true,
      bytes: GENERATED_BYTES,
      text: `a file of ${GENERATED_BYTES / MIB} MiB, random bytes`,
    }
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(given)) {
    return { location: given, name: path.posix.basename(new URL(given).pathname) || 'demo', isFile: false, bytes: undefined, text: given }
  }
  // npm changes to the project's folder; INIT_CWD is where it was called.
  const file = path.resolve(process.env['INIT_CWD'] ?? process.cwd(), given)
  const stats = await stat(file).catch((error: NodeJS.ErrnoException) => {
    throw new Error(`${file} cannot be delivered: ${error.code === 'ENOENT' ? 'there is no such file or directory' : error.message}.`)
  })
  const bytes = stats.isDirectory() ? await treeBytes(file) : stats.size
  await requireRoom(folder, bytes * nodes)
  return { location: file, name: path.basename(file), isFile: stats.isFile(), bytes, text: file }
}

/** The SHA-256 of a file, in hex. */
export async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(file, { highWaterMark: MIB })) hash.update(piece as Buffer)
  return hash.digest('hex')
}

async function generate(file: string, bytes: number): Promise<void> {
  const piece = Buffer.alloc(PIECE_BYTES)
  const handle = await open(file, 'wx')
  try {
    for (let written = 0; written < bytes; written += piece.length) await handle.writeFile(randomFillSync(piece))
  } finally {
    await handle.close()
  }
}

async function requireRoom(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  if (bavail * bsize > bytes) return
  throw new Error(
    `the copies take ${Math.ceil(bytes / MIB)} MiB below ${path.dirname(folder)}, and ${Math.floor((bavail * bsize) / MIB)} MiB are free there. Name a smaller file after --, or a folder with more room in TMPDIR.`,
  )
}

async function treeBytes(folder: string): Promise<number> {
  let bytes = 0
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) bytes += (await stat(path.join(entry.parentPath, entry.name))).size
  }
  return bytes
}
