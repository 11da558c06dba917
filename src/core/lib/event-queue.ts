/**
 * The agenda of whoever runs virtual time: a binary heap of events by time, those of one time in the order they were put in.
 */
export class EventQueue<T> {
  readonly #times: number[] = []
  readonly #orders: number[] = []
  readonly #events: T[] = []
  #next = 0

  get length(): number {
    return this.#events.length
  }

  /** What is to come, in no order; a view. */
  get pending(): readonly T[] {
    return this.#events
  }

  push(time: number, event: T): void {
    const times = this.#times
    let at = times.length
    const order = this.#next++
    times.push(time)
    this.#orders.push(order)
    this.#events.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (times[parent]! <= time) break
      this.#move(parent, at)
      at = parent
    }
    this.#set(at, time, order, event)
  }

  /** Time of the first event; Infinity for none. */
  peekTime(): number {
    return this.#times[0] ?? Infinity
  }

  /** Takes the first event. */
  pop(): T | undefined {
    const first = this.#events[0]
    const time = this.#times.pop()
    const order = this.#orders.pop()
    const event = this.#events.pop()
    if (time === undefined || order === undefined || event === undefined || this.#events.length === 0) return first
    this.#sink(time, order, event)
    return first
  }

  /** Puts an event where the first one was, and down to its place. */
  #sink(time: number, order: number, event: T): void {
    const times = this.#times
    const length = times.length
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= length) break
      if (child + 1 < length && this.#isBefore(child + 1, child)) child++
      const childTime = times[child]!
      if (time < childTime || (time === childTime && order < this.#orders[child]!)) break
      this.#move(child, at)
      at = child
    }
    this.#set(at, time, order, event)
  }

  #isBefore(a: number, b: number): boolean {
    const difference = this.#times[a]! - this.#times[b]!
    return difference < 0 || (difference === 0 && this.#orders[a]! < this.#orders[b]!)
  }

  #move(from: number, to: number): void {
    this.#set(to, this.#times[from]!, this.#orders[from]!, this.#events[from]!)
  }

  #set(at: number, time: number, order: number, event: T): void {
    this.#times[at] = time
    this.#orders[at] = order
    this.#events[at] = event
  }
}
