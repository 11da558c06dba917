/**
 * Runs a machine of gossip or discovery in real time: gives it what happened, one thing after the other, carries out what it puts out, and wakes it when
 * it wants to be woken. What an output means, its owner knows.
 */
import { timerDelayMs } from '../clock.ts'
import type { GossipClock } from './gossip-clock.ts'

/** A machine as core has them. */
export interface DrivenMachine<Input, Output> {
  handle(input: Input, now: number): void
  handleTimeout(now: number): void
  nextDeadline(): number
  drain(): Output[]
}

export class MachineDriver<Input, Output, Machine extends DrivenMachine<Input, Output>> {
  readonly machine: Machine
  readonly #clock: Pick<GossipClock, 'now'>
  readonly #carryOut: (output: Output) => void
  readonly #inputs: Input[] = []
  #isHandling = false
  #isStopped = false
  #timer: NodeJS.Timeout | undefined

  constructor(machine: Machine, clock: Pick<GossipClock, 'now'>, carryOut: (output: Output) => void) {
    this.machine = machine
    this.#clock = clock
    this.#carryOut = carryOut
  }

  /** Carries out what the machine has wanted since it was made, and sets its timer. */
  start(): void {
    this.#settle()
  }

  /** Inputs that come while another one is handled wait for their turn; after the stop nothing is handled. */
  handle(input: Input): void {
    if (this.#isStopped) return
    this.#inputs.push(input)
    if (this.#isHandling) return
    this.#isHandling = true
    try {
      for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
        this.machine.handle(next, this.#clock.now())
        for (const output of this.machine.drain()) this.#carryOut(output)
      }
    } finally {
      this.#isHandling = false
    }
    this.#settle()
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  #settle(): void {
    for (const output of this.machine.drain()) this.#carryOut(output)
    clearTimeout(this.#timer)
    if (this.#isStopped) return
    this.#timer = setTimeout(
      () => {
        this.machine.handleTimeout(this.#clock.now())
        this.#settle()
      },
      timerDelayMs(this.machine.nextDeadline() - this.#clock.now()),
    )
  }
}
