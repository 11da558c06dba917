/**
 * What is to be spread to all: each message is sent a limited number of times, on the packets that go out anyway and with gossip.
 *
 * What was sent least goes first, of those the larger (the smaller fit into what is left), of those the newer. A message about
 * something (a member, say) takes the place of an older one about the same. When the queue is full, what was sent most often gives
 * way, as others have most likely passed it on.
 */

/** As many messages as one packet can count, less those that it carries anyway. */
const MAX_TAKEN = 250

interface Queued<Message> {
  readonly about: string | undefined
  readonly message: Message
  readonly bytes: number
  readonly id: number
  sentCount: number
}

export class BroadcastQueue<Message> {
  readonly #sizeOf: (message: Message) => number
  readonly #maxQueued: number
  /** In the order of sending. */
  #items: Queued<Message>[] = []
  readonly #byAbout: Map<string, Queued<Message>> = new Map()
  /** No message that was ever queued is smaller: a packet with less room than that is full. */
  #leastBytes = Infinity
  #nextId = 0
  #droppedCount = 0

  /** `sizeOf` says how many bytes of a packet a message takes. */
  constructor(sizeOf: (message: Message) => number, maxQueued: number) {
    this.#sizeOf = sizeOf
    this.#maxQueued = maxQueued
  }

  get length(): number {
    return this.#items.length
  }

  /** Messages that gave way because the queue was full. */
  get droppedCount(): number {
    return this.#droppedCount
  }

  has(about: string): boolean {
    return this.#byAbout.has(about)
  }

  /** Queues a message; `about` undefined for one that replaces none. */
  add(about: string | undefined, message: Message): void {
    if (about !== undefined) this.delete(about)
    const item: Queued<Message> = { about, message, bytes: this.#sizeOf(message), id: this.#nextId++, sentCount: 0 }
    if (about !== undefined) this.#byAbout.set(about, item)
    this.#leastBytes = Math.min(this.#leastBytes, item.bytes)
    this.#insert(item)
    if (this.#items.length > this.#maxQueued) this.#dropLast()
  }

  delete(about: string): void {
    const item = this.#byAbout.get(about)
    if (item === undefined) return
    this.#byAbout.delete(about)
    this.#items.splice(this.#items.indexOf(item), 1)
  }

  /** Takes messages of at most `freeBytes` in sum; each is gone after it was taken `sendLimit` times. */
  take(freeBytes: number, sendLimit: number): Message[] {
    if (this.#items.length === 0) return []
    const taken: Queued<Message>[] = []
    const left: Queued<Message>[] = []
    let free = freeBytes
    let looked = 0
    for (; looked < this.#items.length && free >= this.#leastBytes && taken.length < MAX_TAKEN; looked++) {
      const item = this.#items[looked]!
      if (item.bytes > free) {
        left.push(item)
        continue
      }
      free -= item.bytes
      taken.push(item)
    }
    if (taken.length === 0) return []
    this.#items = left.concat(this.#items.slice(looked))
    for (const item of taken) {
      item.sentCount++
      if (item.sentCount < sendLimit) this.#insert(item)
      else if (item.about !== undefined) this.#byAbout.delete(item.about)
    }
    return taken.map((item) => item.message)
  }

  #insert(item: Queued<Message>): void {
    let low = 0
    let high = this.#items.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (isBefore(this.#items[middle]!, item)) low = middle + 1
      else high = middle
    }
    this.#items.splice(low, 0, item)
  }

  #dropLast(): void {
    const dropped = this.#items.pop()
    if (dropped?.about !== undefined) this.#byAbout.delete(dropped.about)
    this.#droppedCount++
  }
}

function isBefore(a: Queued<unknown>, b: Queued<unknown>): boolean {
  if (a.sentCount !== b.sentCount) return a.sentCount < b.sentCount
  return a.bytes === b.bytes ? a.id > b.id : a.bytes > b.bytes
}
