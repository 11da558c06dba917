/** A machine of discovery with its timer: fed with inputs, woken at its deadlines, its outputs carried out. */
import type { GossipClock } from '../../gossip/gossip-clock.ts'

interface Machine<Input, Output> {
  handle(input: Input, now: number): void
  handleTimeout(now: number): void
  nextDeadline(): number
  drain(): Output[]
}

/** The longest delay that Node's timers take. */
const MAX_DELAY_MS = 2 ** 31 - 1

export class Driven<Input, Output> {
  readonly #machine: Machine<Input, Output>
  readonly #clock: Pick<GossipClock, 'now'>
  readonly #onOutput: (output: Output) => void
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(machine: Machine<Input, Output>, clock: Pick<GossipClock, 'now'>, onOutput: (output: Output) => void) {
    this.#machine = machine
    this.#clock = clock
    this.#onOutput = onOutput
    this.#settle()
  }

  feed(input: Input): void {
    if (this.#isClosed) return
    this.#machine.handle(input, this.#clock.now())
    this.#settle()
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  #settle(): void {
    clearTimeout(this.#timer)
    for (const output of this.#machine.drain()) this.#onOutput(output)
    // What was put out may have been answered, or have closed this, on the way.
    if (this.#isClosed) return
    clearTimeout(this.#timer)
    const delayMs = Math.max(0, Math.min(MAX_DELAY_MS, this.#machine.nextDeadline() - this.#clock.now()))
    this.#timer = setTimeout(() => {
      this.#machine.handleTimeout(this.#clock.now())
      this.#settle()
    }, delayMs)
  }
}
