/**
 * A program of this folder that runs on a host of a LAN and does what a test tells it: orders are lines of JSON on its standard input, and each
 * is answered with one on its standard output. Both ends of that; what is ordered is the program's matter.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { Lan } from './lan.ts'

/** The test's end. The program ends with its LAN. */
export class HostProgram<Order, Answer> {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>
  readonly #answers: AsyncIterator<string>

  /** `program` is the name of its file, without an ending. */
  constructor(lan: Lan, host: number, program: string) {
    const [launch = '', ...launchArgs] = lan.launcher(host)
    const args = [...launchArgs, process.execPath, path.join(import.meta.dirname, `${program}.js`)]
    this.#process = spawn(launch, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#answers = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]()
  }

  async do(order: Order): Promise<Answer> {
    this.#process.stdin.write(`${JSON.stringify(order)}\n`)
    return JSON.parse(String((await this.#answers.next()).value)) as Answer
  }
}

/** The program's end: carries out one order after the other, and ends the process when there will be no more. */
export async function takeOrders<Order, Answer>(carryOut: (order: Order) => Promise<Answer>): Promise<never> {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await carryOut(JSON.parse(line) as Order))}\n`)
  }
  process.exit(0)
}
