/** One of several processes that try to lock a directory at the same moment (lock.test.ts). Ends with its input. */
import { createInterface } from 'node:readline'
import { isPolycastError } from '../errors.ts'
import { lockDirectory, type DirectoryLock } from './lock.ts'

const directory = process.argv[2] ?? ''
let lock: DirectoryLock | undefined
process.stdout.write('ready\n')
for await (const line of createInterface(process.stdin)) {
  if (line !== 'go') continue
  try {
    lock = await lockDirectory(directory, () => process.exit(1))
    process.stdout.write('locked\n')
  } catch (error) {
    process.stdout.write(`${isPolycastError(error) ? error.code : String(error)}\n`)
  }
}
lock?.release()
