import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isPolycastError } from '../errors.ts'
import { lockDirectory } from './lock.ts'
import { temporaryDirectory } from './store-fixture.ts'

const LOCKED = (error: unknown): boolean => isPolycastError(error, 'data-dir-locked') && error.params['pid'] === process.pid
const noLoss = (): void => assert.fail('the lock is not lost')

/** The lock file of a process that is gone, made from the one that this process would write. */
async function leaveDeadLock(directory: string, changes: Record<string, unknown>): Promise<void> {
  const lock = await lockDirectory(directory, noLoss)
  const path = join(directory, 'lock')
  const holder = JSON.parse(fs.readFileSync(path, 'utf8')) as Record<string, unknown>
  lock.release()
  fs.writeFileSync(path, JSON.stringify({ ...holder, nonce: '0123456789abcdef', ...changes }))
}

function isUnlocked(directory: string): boolean {
  return fs.readdirSync(directory).every((name) => name === 'reserve')
}

async function isTakenOver(directory: string): Promise<boolean> {
  const lock = await lockDirectory(directory, noLoss)
  lock.release()
  return isUnlocked(directory)
}

test("the second opener is refused and told the first one's process id", async (context) => {
  const directory = temporaryDirectory(context)
  const lock = await lockDirectory(directory, noLoss)
  await assert.rejects(lockDirectory(directory, noLoss), LOCKED)
  lock.release()
  assert.ok(isUnlocked(directory))
  ;(await lockDirectory(directory, noLoss)).release()
})

test('a lock is dead when its process is gone, is another one by now, or ran before the last boot', async (context) => {
  const directory = temporaryDirectory(context)
  const child = spawn(process.execPath, ['-e', ''])
  await once(child, 'exit')
  for (const changes of [{ pid: child.pid }, { startTime: '1' }, { bootId: 'another boot' }]) {
    await leaveDeadLock(directory, changes)
    assert.ok(await isTakenOver(directory), JSON.stringify(changes))
  }
})

test('a lock that a power loss left empty or cut off is dead', async (context) => {
  const directory = temporaryDirectory(context)
  await leaveDeadLock(directory, {})
  const whole = fs.readFileSync(join(directory, 'lock'))
  for (let length = 0; length < whole.length; length += 7) {
    fs.writeFileSync(join(directory, 'lock'), whole.subarray(0, length))
    assert.ok(await isTakenOver(directory), `cut at ${length}`)
  }
})

test('a guard that a crash left is taken over as well', async (context) => {
  const directory = temporaryDirectory(context)
  await leaveDeadLock(directory, { startTime: '1' })
  const dead = fs.readFileSync(join(directory, 'lock'), 'utf8')
  fs.writeFileSync(join(directory, 'lock.takeover-0123456789abcdef'), dead.replace('0123456789abcdef', 'fedcba9876543210'))
  assert.ok(await isTakenOver(directory))
})

test('a live guard refuses: somebody else is taking the dead lock over', async (context) => {
  const directory = temporaryDirectory(context)
  const lock = await lockDirectory(directory, noLoss)
  fs.renameSync(join(directory, 'lock'), join(directory, 'lock.takeover-0123456789abcdef'))
  fs.writeFileSync(join(directory, 'lock'), '{"pid":1,"bootId":"x","startTime":"1","pidNamespace":"","nonce":"0123456789abcdef"}')
  await assert.rejects(lockDirectory(directory, noLoss), LOCKED)
  lock.release()
})

test('a holder in another container counts as alive as long as it touches its lock', async (context) => {
  const directory = temporaryDirectory(context)
  const path = join(directory, 'lock')
  await leaveDeadLock(directory, { pidNamespace: 'pid:[1]' })
  const touching = setInterval(() => fs.utimesSync(path, new Date(), new Date()), 5)
  await assert.rejects(lockDirectory(directory, noLoss, { heartbeatMs: 100, foreignMs: 5_000 }), LOCKED)
  clearInterval(touching)
  const lock = await lockDirectory(directory, noLoss, { heartbeatMs: 100, foreignMs: 200 })
  lock.release()
})

test('a holder whose lock was taken away is told', async (context) => {
  const directory = temporaryDirectory(context)
  let lock: Awaited<ReturnType<typeof lockDirectory>> | undefined
  const keepAlive = setInterval(() => undefined, 1000) // the heartbeat alone does not keep a process
  await new Promise<void>((resolve, reject) => {
    lockDirectory(directory, resolve, { heartbeatMs: 5, foreignMs: 5 }).then((taken) => {
      lock = taken
      fs.writeFileSync(join(directory, 'lock'), 'of somebody else')
    }, reject)
  })
  clearInterval(keepAlive)
  lock?.release()
  assert.equal(fs.readFileSync(join(directory, 'lock'), 'utf8'), 'of somebody else', 'not ours to remove')
})

test('of many processes that find a dead lock at once, one gets it', async (context) => {
  const directory = temporaryDirectory(context)
  const script = fileURLToPath(new URL('lock-race.worker.js', import.meta.url))
  for (let round = 0; round < 3; round++) {
    await leaveDeadLock(directory, { startTime: '1' })
    const children = Array.from({ length: 6 }, () => spawn(process.execPath, [script, directory], { stdio: ['pipe', 'pipe', 'inherit'] }))
    const lines = children.map((child) => createInterface(child.stdout)[Symbol.asyncIterator]())
    for (const line of lines) assert.equal((await line.next()).value, 'ready')
    for (const child of children) child.stdin.write('go\n')
    const answers: string[] = []
    for (const line of lines) answers.push(String((await line.next()).value))
    const exits = children.map((child) => once(child, 'exit'))
    for (const child of children) child.stdin.end()
    await Promise.all(exits)
    assert.deepEqual(answers.filter((answer) => answer === 'locked').length, 1, answers.join(' '))
    assert.deepEqual(answers.filter((answer) => answer === 'data-dir-locked').length, 5, answers.join(' '))
    assert.ok(isUnlocked(directory))
  }
})
