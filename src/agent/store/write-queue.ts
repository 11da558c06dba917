/**
 * The writes of one content: one system call at a time, and what queues up behind it goes out merged. Not a cache: a write
 * is done when the kernel has it, and nothing waits for more to come.
 *
 * Each turn takes all that is queued, in order of position; neighbours become one vectored write of at most
 * `MAX_MERGED_BYTES`. So runs that arrive faster than the file system takes them cost fewer calls, not a longer queue of
 * calls. How many bytes may be queued is the caller's limit: it knows from the promises what is under way.
 */
import { MAX_WRITE_BUFFERS } from './files.ts'

const MAX_MERGED_BYTES = 4 * 1024 * 1024

interface Write {
  readonly position: number
  readonly bytes: number
  readonly parts: readonly Uint8Array[]
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** What a queue writes with: all bytes of the buffers at that position, or a rejection. */
export type WriteAt = (buffers: readonly Uint8Array[], position: number) => Promise<void>

/** A queue of writes to one file. */
export class WriteQueue {
  readonly #writeAt: WriteAt
  #queue: Write[] = []
  #pumping: Promise<void> | undefined

  constructor(writeAt: WriteAt) {
    this.#writeAt = writeAt
  }

  /** Writes `parts`, `bytes` long together, to `position`; rejects with what `writeAt` rejected with. */
  write(position: number, bytes: number, parts: readonly Uint8Array[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ position, bytes, parts, resolve, reject })
      this.#pumping ??= this.#pump()
    })
  }

  /** Resolves once nothing is queued or being written. */
  async idle(): Promise<void> {
    while (this.#pumping !== undefined) await this.#pumping
  }

  async #pump(): Promise<void> {
    await Promise.resolve() // what is queued by the same caller without a pause belongs together
    while (this.#queue.length > 0) {
      const writes = this.#queue
      this.#queue = []
      writes.sort((a, b) => a.position - b.position)
      for (let at = 0; at < writes.length;) at = await this.#writeGroup(writes, at)
    }
    this.#pumping = undefined
  }

  /** Writes the neighbours from index `first` on; returns the index after them. */
  async #writeGroup(writes: readonly Write[], first: number): Promise<number> {
    const head = writes[first] as Write
    const buffers = [...head.parts]
    let bytes = head.bytes
    let end = first + 1
    for (; end < writes.length; end++) {
      const next = writes[end] as Write
      if (
        next.position !== head.position + bytes ||
        bytes + next.bytes > MAX_MERGED_BYTES ||
        buffers.length + next.parts.length > MAX_WRITE_BUFFERS
      )
        break
      for (const part of next.parts) buffers.push(part)
      bytes += next.bytes
    }
    try {
      await this.#writeAt(buffers, head.position)
      for (let i = first; i < end; i++) (writes[i] as Write).resolve()
    } catch (error) {
      for (let i = first; i < end; i++) (writes[i] as Write).reject(error)
    }
    return end
  }
}
