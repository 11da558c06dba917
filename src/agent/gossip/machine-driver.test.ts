import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GossipClock } from './gossip-clock.ts'
import { MachineDriver, type DrivenMachine } from './machine-driver.ts'

/** Puts out what it is given, and counts how deep it was called. */
class Echo implements DrivenMachine<string, string> {
  readonly times: number[] = []
  depth = 0
  deepest = 0
  #outputs: string[] = ['made']

  handle(input: string, now: number): void {
    this.depth++
    this.deepest = Math.max(this.deepest, this.depth)
    this.times.push(now)
    this.#outputs.push(input)
    this.depth--
  }

  handleTimeout(): void {
    this.#outputs.push('timeout')
  }

  nextDeadline(): number {
    return Infinity
  }

  drain(): string[] {
    return this.#outputs.splice(0)
  }
}

test('an input that an output leads to waits until the others are carried out; after the stop nothing is handled', () => {
  const seen: string[] = []
  const machine = new Echo()
  const driver = new MachineDriver<string, string, Echo>(machine, new GossipClock(), (output) => {
    seen.push(output)
    if (output === 'first') for (const next of ['second', 'third']) driver.handle(next)
    seen.push(`${output} is done`)
  })
  driver.start()
  driver.handle('first')
  assert.deepEqual(seen, ['made', 'made is done', 'first', 'first is done', 'second', 'second is done', 'third', 'third is done'])
  assert.equal(machine.deepest, 1)
  driver.stop()
  driver.handle('fourth')
  assert.equal(machine.times.length, 3)
})

test('an output that cannot be carried out leaves the driver able to go on', () => {
  let isBroken = true
  const seen: string[] = []
  const driver = new MachineDriver<string, string, Echo>(new Echo(), new GossipClock(), (output) => {
    if (output === 'bad' && isBroken) throw new Error('broken')
    seen.push(output)
  })
  assert.throws(() => driver.handle('bad'))
  isBroken = false
  driver.handle('good')
  assert.deepEqual(seen, ['made', 'good'])
  driver.stop()
})
