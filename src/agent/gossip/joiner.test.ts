import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../manual-clock.ts'
import { Joiner } from './joiner.ts'

interface Attempt {
  readonly at: number
  readonly address: string
  readonly onlyMissing: boolean
}

function joinerWith(answers: (address: string, attempt: number) => string | undefined): {
  joiner: Joiner
  clock: ManualClock
  attempts: Attempt[]
} {
  const clock = new ManualClock()
  const start = clock.now()
  const attempts: Attempt[] = []
  const joiner = new Joiner({
    clock,
    random: () => 0.5,
    retryMinMs: 1000,
    retryMaxMs: 8000,
    recheckMs: 30_000,
    attempt: (address, onlyMissing) => {
      attempts.push({ at: clock.now() - start, address, onlyMissing })
      return Promise.resolve({ address, error: answers(address, attempts.length), isSelf: false })
    },
    onFailure: () => undefined,
  })
  return { joiner, clock, attempts }
}

const settle = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await Promise.resolve()
}

test('what does not answer is tried again in growing pauses, and what answered is looked at again', async () => {
  const { joiner, clock, attempts } = joinerWith((_address, attempt) => (attempt < 6 ? 'no answer' : undefined))
  const [outcome] = await joiner.join(['a'])
  assert.equal(outcome!.error, 'no answer')
  for (let step = 0; step < 80; step++) {
    clock.advance(1000)
    await settle()
  }
  assert.deepEqual(
    attempts.map(({ at }) => at),
    [0, 1000, 3000, 7000, 15_000, 23_000, 53_000],
  )
  assert.deepEqual(
    attempts.map(({ onlyMissing }) => onlyMissing),
    [false, true, true, true, true, true, true],
  )
})

test('after the stop nothing is tried any more', async () => {
  const { joiner, clock, attempts } = joinerWith(() => 'no answer')
  await joiner.join(['a', 'b'])
  joiner.stop()
  clock.advance(100_000)
  await settle()
  assert.equal(attempts.length, 2)
})
