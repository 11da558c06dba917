import assert from 'node:assert/strict'
import test from 'node:test'
import { formatTime } from './format.ts'
import { verdictText } from './verdict-view.ts'

const AT = 1_700_000_000_000

test('a failed member: who probed, by which ways, what came, who else accused', () => {
  const text = verdictText(
    {
      name: 'n2',
      status: 'failed',
      isSuspect: false,
      changedAt: AT + 9000,
      verdict: {
        about: 'n2',
        state: 'dead',
        incarnation: 4,
        from: 'n1',
        source: 'time-out',
        at: AT + 9000,
        accusers: [
          { by: 'n1', at: AT + 1000 },
          { by: 'n4', at: AT + 1250 },
        ],
        grounds: 'silent',
        timeoutMs: 8000,
        probe: {
          by: 'n1',
          about: 'n2',
          startedAt: AT,
          endedAt: AT + 1000,
          healthScore: 1,
          lastRttMs: 0.4,
          paths: [
            { kind: 'direct', via: 'n2', sentAt: AT, outcome: 'silent', afterMs: undefined, reason: undefined },
            { kind: 'indirect', via: 'n3', sentAt: AT + 500, outcome: 'nack', afterMs: 403, reason: undefined },
            { kind: 'indirect', via: 'n\u001b5', sentAt: AT + 500, outcome: 'silent', afterMs: undefined, reason: undefined },
            { kind: 'stream', via: 'n2', sentAt: AT + 500, outcome: 'failed', afterMs: 1.5, reason: 'connection refused' },
          ],
        },
      },
    },
    AT + 9000 + 125_000,
  )
  assert.deepEqual(text.split('\n'), [
    `n2: failed since ${formatTime(AT + 9000)} (2 min 5 s)`,
    `  dead by the word of n1 at ${formatTime(AT + 9000)}: the time that it had to show that it lives was over (incarnation 4)`,
    `  suspected by n1 at ${formatTime(AT + 1000)}, n4 250 ms later`,
    '  it had 8.0 s to show that it lives, and did not',
    `  last failed probe by n1: ${formatTime(AT)}, for 1.0 s; it doubted itself (health score 1) and waited longer for that; the last good round trip took 0.40 ms`,
    '    directly       after 0 ms: nothing came',
    '    by way of n3   after 500 ms: n3 answered after 403.0 ms, and got no answer from it',
    '    by way of n?5  after 500 ms: n?5 did not answer either',
    '    by a stream    after 500 ms: failed after 1.50 ms (connection refused)',
    '',
  ])
})

test('what is not known is not made up', () => {
  const member = { name: 'n2', status: 'failed', isSuspect: false, changedAt: AT } as const
  assert.match(verdictText(member, AT), /knows nothing of why/)
  assert.equal(verdictText({ ...member, status: 'alive' }, AT), `n2: alive since ${formatTime(AT)} (0 ms)\n`)
  const told = { about: 'n2', incarnation: 1, at: AT, accusers: [], grounds: undefined, timeoutMs: undefined, probe: undefined } as const
  assert.match(
    verdictText({ ...member, verdict: { ...told, state: 'dead', from: 'n3', source: 'packet' } }, AT),
    /by the word of n3 .*\n {2}no failed probe of this node itself/,
  )
  const left = verdictText({ ...member, status: 'left', verdict: { ...told, state: 'left', from: 'n2', source: 'packet' } }, AT)
  assert.match(left, /left by the word of the member itself/)
  assert.doesNotMatch(left, /probe/)
})
