/** What the answers to a change of keys add up to. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeSerfMessage } from '../../core/gossip/serf-codec.ts'
import type { QueryReply } from './gossip.ts'
import { changeKeys } from './keys.ts'

const KEY = new Uint8Array(16).fill(7)
const MEMBERS = [
  { name: 'n1', status: 'alive' },
  { name: 'n2', status: 'alive' },
  { name: 'n3', status: 'failed' },
] as const

function answerOf(from: string): QueryReply {
  const payload = encodeSerfMessage({ type: 'key-response', isOk: true, message: '', keys: [], primaryKey: '' })
  return { type: 'response', from, payload }
}

for (const { answers, told } of [
  { answers: ['n1', 'n2'], told: { members: 2, responses: 2, absent: ['n3'], isEnded: true } },
  { answers: ['n1'], told: { members: 2, responses: 1, absent: ['n3'], isEnded: false } },
  // One that is taken for failed, and is not any more, counts as soon as it answers.
  { answers: ['n3', 'n1', 'n2'], told: { members: 3, responses: 3, absent: [], isEnded: true } },
]) {
  test(`of n1 and n2 (alive) and n3 (failed), ${answers.join(', ')} answer`, async () => {
    let isEnded = false
    const report = await changeKeys('remove', KEY, MEMBERS, (_name, _payload, onReply, signal) => {
      for (const name of answers) onReply(answerOf(name))
      isEnded = signal.aborted
      return Promise.resolve()
    })
    const { members, responses, absent } = report
    assert.deepEqual({ members, responses, absent, isEnded }, told)
  })
}
