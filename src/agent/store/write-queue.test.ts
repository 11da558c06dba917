import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WriteQueue } from './write-queue.ts'

interface Call {
  readonly position: number
  readonly lengths: number[]
  readonly end: (error?: Error) => void
}

/** A queue whose system calls end when the test says so. */
function makeQueue(): { queue: WriteQueue; calls: Call[]; nextCall: () => Promise<Call> } {
  const calls: Call[] = []
  let seen = 0
  let onCall: (() => void) | undefined
  const queue = new WriteQueue(
    (buffers, position) =>
      new Promise((resolve, reject) => {
        const lengths = buffers.map((buffer) => buffer.length)
        calls.push({ position, lengths, end: (error) => (error === undefined ? resolve() : reject(error)) })
        onCall?.()
      }),
  )
  const nextCall = async (): Promise<Call> => {
    if (calls.length === seen) await new Promise<void>((resolve) => (onCall = resolve))
    return calls[seen++] as Call
  }
  return { queue, calls, nextCall }
}

function bytes(length: number): Uint8Array {
  return new Uint8Array(length)
}

test('what queues up behind a call goes out merged, in order of position', async () => {
  const { queue, calls, nextCall } = makeQueue()
  const first = queue.write(100, 10, [bytes(10)])
  const call = await nextCall()
  const rest = [queue.write(30, 10, [bytes(4), bytes(6)]), queue.write(60, 5, [bytes(5)]), queue.write(40, 10, [bytes(10)])]
  assert.equal(calls.length, 1, 'one call at a time')
  call.end()
  await first
  const merged = await nextCall()
  assert.equal(merged.position, 30)
  assert.deepEqual(merged.lengths, [4, 6, 10])
  merged.end()
  await Promise.all([rest[0], rest[2]])
  const last = await nextCall()
  assert.equal(last.position, 60)
  last.end()
  await rest[1]
  await queue.idle()
  assert.equal(calls.length, 3)
})

test('writes that are queued without a pause are one call', async () => {
  const { queue, nextCall } = makeQueue()
  const writes = [queue.write(0, 3, [bytes(3)]), queue.write(3, 4, [bytes(4)])]
  const call = await nextCall()
  assert.deepEqual(call.lengths, [3, 4])
  call.end()
  await Promise.all(writes)
})

test('a failure reaches those whose bytes were in that call, and the queue goes on', async () => {
  const { queue, nextCall } = makeQueue()
  const writes = [queue.write(0, 3, [bytes(3)]), queue.write(3, 4, [bytes(4)]), queue.write(100, 1, [bytes(1)])]
  const failed = Promise.allSettled(writes)
  ;(await nextCall()).end(new Error('full'))
  ;(await nextCall()).end()
  assert.deepEqual(
    (await failed).map((result) => result.status),
    ['rejected', 'rejected', 'fulfilled'],
  )
  const again = queue.write(0, 3, [bytes(3)])
  ;(await nextCall()).end()
  await again
})

test('a call takes at most 4 MiB and 1024 buffers', async () => {
  const { queue, calls, nextCall } = makeQueue()
  const million = 1024 * 1024
  const writes = Array.from({ length: 6 }, (_, i) => queue.write(i * million, million, [bytes(million)]))
  for (let i = 0; i < 2000; i++) writes.push(queue.write(6 * million + i, 1, [bytes(1)]))
  for (let left = 3; left > 0; left--) (await nextCall()).end()
  await Promise.all(writes)
  assert.deepEqual(
    calls.map((call) => [call.position, call.lengths.length]),
    [
      [0, 4],
      [4 * million, 1024],
      [6 * million + 1022, 978],
    ],
  )
})
