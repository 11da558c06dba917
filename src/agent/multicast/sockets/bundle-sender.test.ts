/** A sender of bundles and a kernel that takes what the test lets it, and shows what it was given. */
import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { test } from 'node:test'
import { BundleSender } from './bundle-sender.ts'
import { MESSAGE, type NativeMemory, type SystemCalls, VECTOR_BYTES } from './system-calls.ts'

const SIZE = 100
/** Where the memory is: beyond 32 bits, as addresses are. */
const ADDRESS = 0x7f12_3456_7000
const { EAGAIN, EINTR, EINVAL, ENETDOWN } = constants.errno

/** What one call does: takes so many messages, or fails. */
type Answer = { readonly takes: number } | { readonly errno: number }

class FakeKernel {
  /** Each message that was taken, as the first bytes of its datagrams. */
  readonly taken: number[][] = []
  readonly lost: [code: string, datagrams: number][] = []
  calls = 0
  readonly sender: BundleSender
  #memory: NativeMemory | undefined
  readonly #answers: Answer[] = []
  #errno = 0

  constructor() {
    const calls: SystemCalls = {
      sendmmsg: (_descriptor, messages, count) => this.#send(messages, count),
      recvmmsg: () => assert.fail('nothing is read'),
      setOption: () => true,
      errno: () => this.#errno,
      memory: (bytes) => {
        const buffer = new ArrayBuffer(bytes)
        return (this.#memory = { bytes: Buffer.from(buffer), view: new DataView(buffer), address: ADDRESS })
      },
    }
    const handle = { fd: 9, recvStart: () => undefined, recvStop: () => undefined }
    const onError = (error: Error, datagrams: number): void => void this.lost.push([(error as NodeJS.ErrnoException).code!, datagrams])
    this.sender = new BundleSender({ calls, handle, datagramBytes: SIZE, onError })
  }

  /** What the next calls do; all others take everything. */
  answer(...answers: Answer[]): void {
    this.#answers.push(...answers)
  }

  add(...datagrams: (readonly [first: number, bytes?: number])[]): void {
    for (const [first, bytes = SIZE] of datagrams) this.sender.add(new Uint8Array(bytes).fill(first))
  }

  #send(messages: number, count: number): number {
    this.calls++
    assert.equal(messages, ADDRESS)
    const answer = this.#answers.shift() ?? { takes: count }
    if ('errno' in answer) {
      this.#errno = answer.errno
      return -1
    }
    for (let index = 0; index < Math.min(answer.takes, count); index++) this.taken.push(this.#message(index))
    return Math.min(answer.takes, count)
  }

  #message(index: number): number[] {
    const { view, bytes } = this.#memory!
    const at = index * MESSAGE.bytes
    const pointer = (where: number): number => Number(view.getBigUint64(where, true)) - ADDRESS
    const vector = pointer(at + MESSAGE.vector)
    assert.equal(Number(view.getBigUint64(at + MESSAGE.vectorCount, true)), 1)
    const from = pointer(vector)
    const length = Number(view.getBigUint64(vector + VECTOR_BYTES / 2, true))
    const control = view.getUint32(at + MESSAGE.controlBytes, true)
    if (control === 0) return [bytes[from]!]
    const header = pointer(at + MESSAGE.control)
    assert.deepEqual(
      [view.getInt32(header + 8, true), view.getInt32(header + 12, true), view.getUint16(header + 16, true)],
      [17, 103, SIZE],
    )
    assert.equal(length % SIZE, 0)
    return Array.from({ length: length / SIZE }, (_, part) => bytes[from + part * SIZE]!)
  }
}

const whole = (from: number, count: number): [number][] => Array.from({ length: count }, (_, index) => [from + index])
const numbers = (from: number, count: number): number[] => whole(from, count).map(([first]) => first)

test('what is due goes in one call: up to 16 of the usual size in a message, others each in its own, in their order', () => {
  const kernel = new FakeKernel()
  kernel.add(...whole(0, 20), [20, 30], [21, 30], ...whole(22, 2), [24, 99])
  assert.deepEqual(kernel.taken, [])
  assert.equal(kernel.sender.flush(), true)
  assert.deepEqual(kernel.taken, [numbers(0, 16), numbers(16, 4), [20], [21], [22, 23], [24]])
  assert.equal(kernel.calls, 1)
  assert.equal(kernel.sender.flush(), true)
  assert.equal(kernel.calls, 1)
})

test('what the system has no place for stays and goes later, and until then nothing is lost or sent twice', () => {
  const kernel = new FakeKernel()
  kernel.add(...whole(0, 64))
  assert.equal(kernel.sender.hasRoom, false)
  kernel.answer({ takes: 1 }, { errno: EAGAIN })
  assert.equal(kernel.sender.flush(), false)
  kernel.answer({ errno: EAGAIN })
  assert.equal(kernel.sender.flush(), false)
  kernel.answer({ errno: EINTR }, { takes: 2 })
  assert.equal(kernel.sender.flush(), true)
  assert.deepEqual(kernel.taken.flat(), numbers(0, 64))
  assert.equal(kernel.sender.hasRoom, true)
  assert.deepEqual(kernel.lost, [])
})

test('where bundles are refused, datagrams go singly from then on', () => {
  const kernel = new FakeKernel()
  kernel.add(...whole(0, 3))
  kernel.answer({ errno: EINVAL })
  assert.equal(kernel.sender.flush(), true)
  kernel.add(...whole(3, 2))
  kernel.sender.flush()
  assert.deepEqual(
    kernel.taken,
    numbers(0, 5).map((one) => [one]),
  )
  assert.deepEqual(kernel.lost, [])
})

test('a message that cannot be sent is lost and counted, the next ones are sent', () => {
  const kernel = new FakeKernel()
  kernel.add(...whole(0, 18), [18, 10])
  kernel.answer({ errno: ENETDOWN })
  assert.equal(kernel.sender.flush(), true)
  assert.deepEqual(kernel.lost, [['ENETDOWN', 16]])
  assert.deepEqual(kernel.taken, [[16, 17], [18]])
})
