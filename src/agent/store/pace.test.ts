import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { closeFile, openFile, readFully, writeFully } from './files.ts'
import { Pace } from './pace.ts'
import { temporaryDirectory } from './store-fixture.ts'

/** A pace whose clock and turns the test moves. */
function makePace(): { pace: Pace; clock: { now: number }; turn: () => void } {
  const clock = { now: 0 }
  let waiting: (() => void)[] = []
  const pace = new Pace(
    () => clock.now,
    (work) => waiting.push(work),
  )
  const turn = (): void => {
    for (const work of waiting) work()
    waiting = []
  }
  return { pace, clock, turn }
}

test('calls block until one was slow, and again some seconds later', () => {
  const { pace, clock, turn } = makePace()
  assert.equal(pace.isQuick(), true)
  assert.equal(
    pace.call(() => 7),
    7,
  )
  assert.equal(pace.isQuick(), true)
  pace.call(() => (clock.now += 50))
  turn()
  assert.equal(pace.isQuick(), false)
  clock.now += 4999
  assert.equal(pace.isQuick(), false)
  clock.now += 1
  assert.equal(pace.isQuick(), true)
})

test('a slow call that fails counts as slow', () => {
  const { pace, clock, turn } = makePace()
  assert.throws(() =>
    pace.call(() => {
      clock.now += 50
      throw new Error('EIO')
    }),
  )
  turn()
  assert.equal(pace.isQuick(), false)
})

test('what blocks in one turn of the event loop is bounded', () => {
  const { pace, clock, turn } = makePace()
  for (let i = 0; i < 4; i++) {
    assert.equal(pace.isQuick(), true)
    pace.call(() => (clock.now += 0.5))
  }
  assert.equal(pace.isQuick(), false)
  turn()
  assert.equal(pace.isQuick(), true)
})

test('a loop that awaits nothing but reads and writes lets others have their turn', async (context) => {
  const fd = await openFile(join(temporaryDirectory(context), 'file'), 'w+')
  let turns = 0
  const count = (): void => {
    turns++
    counting = setImmediate(count)
  }
  let counting = setImmediate(count)
  const buffer = Buffer.alloc(1024 * 1024, 1)
  for (let i = 0; i < 64; i++) {
    await writeFully(fd, [buffer], 0)
    assert.equal(await readFully(fd, buffer, 0), buffer.length)
  }
  clearImmediate(counting)
  await closeFile(fd)
  assert.ok(turns > 0, 'copying 128 MiB takes more than one turn may')
})
