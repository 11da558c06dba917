/** Each cause by what is observed of it. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { diagnoseSelf, diagnoseTarget, nameUnknown, type FindingCode } from './diagnosis.ts'
import type { SelfObservation, TargetObservation } from './observations.ts'

function pings(...answered: readonly number[]): TargetObservation['pings'] {
  return [64, 576, 1200, 1400].map((bytes, at) => ({ bytes, sent: 5, answered: answered[at] ?? answered.at(-1) ?? 0 }))
}

const ANSWERED = { result: 'answered', reason: '', cause: undefined } as const
const WELL: TargetObservation = {
  name: 'b',
  address: '10.0.0.2:7946',
  pings: pings(5),
  stream: ANSWERED,
  hasAnotherName: false,
  relays: [{ via: 'c', outcome: 'ack' }],
  echoed: undefined,
  heardAgoMs: 100,
  unreadable: undefined,
  told: { heardAgoMs: 50, windowMs: 1000, heldUps: [], healthScore: 0 },
}
const SILENT = { ...WELL, pings: pings(0), heardAgoMs: undefined, told: undefined }
const stream = (
  result: TargetObservation['stream']['result'],
  cause?: 'key' | 'label' | 'plain' | 'sealed',
): TargetObservation['stream'] => ({
  result,
  reason: '',
  cause,
})
const NACK = [{ via: 'c', outcome: 'nack' }] as const
const UNREADABLE = { cause: 'key', reason: 'a packet that no key of the ring decrypts', agoMs: 10, count: 3 } as const

const CASES: readonly (readonly [string, TargetObservation, readonly FindingCode[]])[] = [
  ['all is well', WELL, []],
  ['one packet of many is lost', { ...WELL, pings: pings(5, 5, 5, 4) }, []],
  ['some of all sizes are lost', { ...WELL, pings: pings(4, 3, 4, 3) }, ['packets-lost']],
  ['all of the largest are lost', { ...WELL, pings: pings(5, 5, 5, 0) }, ['large-packets-lost']],
  ['all large ones are lost', { ...WELL, pings: pings(5, 4, 0, 0) }, ['large-packets-lost']],
  ['so much is lost that size says nothing', { ...WELL, pings: pings(1, 2, 1, 0) }, ['packets-lost']],
  ['a smaller one is lost and a larger one not', { ...WELL, pings: pings(5, 5, 0, 5) }, ['packets-lost']],
  ['no TCP', { ...WELL, stream: stream('silent') }, ['tcp-blocked']],
  ['TCP is refused', { ...WELL, stream: stream('refused') }, ['tcp-blocked']],
  ['it sends, and does not hear', { ...SILENT, stream: ANSWERED, echoed: true }, ['udp-blocked-to']],
  ['it hears, and is not heard', { ...SILENT, stream: ANSWERED, echoed: false, told: WELL.told }, ['udp-blocked-from']],
  [
    'it heard this node, but before',
    { ...SILENT, stream: ANSWERED, echoed: false, told: { ...WELL.told!, heardAgoMs: 1001 } },
    ['udp-blocked'],
  ],
  [
    'it never heard this node',
    { ...SILENT, stream: ANSWERED, echoed: false, told: { ...WELL.told!, heardAgoMs: undefined } },
    ['udp-blocked'],
  ],
  ['it cannot be asked', { ...SILENT, stream: ANSWERED, echoed: false }, ['udp-blocked']],
  ['another key', { ...SILENT, stream: stream('unreadable', 'key'), relays: [] }, ['wrong-key']],
  ['another key, with TCP blocked', { ...SILENT, stream: stream('silent'), unreadable: UNREADABLE }, ['wrong-key']],
  ['what could not be read is over', { ...WELL, unreadable: UNREADABLE }, []],
  ['another label', { ...SILENT, stream: stream('unreadable', 'label') }, ['wrong-label']],
  ['no encryption there', { ...SILENT, stream: stream('unreadable', 'plain') }, ['plain-there']],
  ['no encryption here', { ...SILENT, stream: stream('unreadable', 'sealed') }, ['encrypted-there']],
  ['others reach it', { ...SILENT, stream: stream('silent') }, ['path-blocked']],
  ['others reach it, a firewall refuses', { ...SILENT, stream: stream('refused') }, ['path-blocked']],
  ['the process is gone', { ...SILENT, stream: stream('refused'), relays: NACK }, ['process-gone']],
  ['the process is stopped', { ...SILENT, stream: stream('accepted'), relays: NACK }, ['process-stalled']],
  ['the host is gone', { ...SILENT, stream: stream('silent'), relays: NACK }, ['host-gone']],
  ['the host is gone from its network', { ...SILENT, stream: stream('unreachable'), relays: [] }, ['host-gone']],
  ['something else listens', { ...SILENT, stream: stream('closed'), relays: NACK }, ['no-gossip']],
  ['another node has the address', { ...SILENT, stream: stream('closed'), hasAnotherName: true, relays: NACK }, ['another-node']],
  ['it was held up', { ...WELL, told: { ...WELL.told!, heldUps: [{ agoMs: 9000, forMs: 8000 }] } }, ['member-held-up']],
  ['it was held up long ago', { ...WELL, told: { ...WELL.told!, heldUps: [{ agoMs: 3_600_000, forMs: 8000 }] } }, []],
]

for (const [title, seen, codes] of CASES) {
  test(title, () => {
    const findings = diagnoseTarget(seen)
    assert.deepEqual(
      findings.map(({ code }) => code),
      codes,
    )
    for (const { sentence, advice, evidence } of findings) {
      assert.ok(
        /\bb\b|10\.0\.0\.2/.test(sentence) && sentence.endsWith('.') && advice.endsWith('.') && evidence.length >= 3,
        `${sentence} ${advice}`,
      )
    }
  })
}

test('how much blocks UDP is said only where it is known', () => {
  const [asked] = diagnoseTarget({ ...SILENT, stream: ANSWERED, echoed: false, told: { ...WELL.told!, heardAgoMs: undefined } })
  const [unasked] = diagnoseTarget({ ...SILENT, stream: ANSWERED, echoed: false })
  assert.match(asked?.sentence ?? '', /both ways/)
  assert.doesNotMatch(unasked?.sentence ?? '', /both ways/)
})

const SELF: SelfObservation = { name: 'a', healthScore: 0, heldUps: [], clockJumps: [], timerLagMs: 3, strangers: [] }
const STRANGER = { address: '10.0.0.9:7946', cause: 'label', reason: 'another label', count: 2 } as const
const SELF_CASES: readonly (readonly [string, SelfObservation, readonly FindingCode[]])[] = [
  ['a node that is well', SELF, []],
  ['its clock was set back', { ...SELF, clockJumps: [{ agoMs: 5, byMs: -90_000 }] }, ['clock-jumped']],
  [
    'the machine slept',
    { ...SELF, clockJumps: [{ agoMs: 5, byMs: 90_000 }], heldUps: [{ agoMs: 5, forMs: 90_000 }] },
    ['clock-jumped', 'node-held-up'],
  ],
  ['that was long ago', { ...SELF, clockJumps: [{ agoMs: 3_600_000, byMs: 90_000 }] }, []],
  ['it was stopped', { ...SELF, heldUps: [{ agoMs: 2000, forMs: 8000 }] }, ['node-held-up']],
  ['its timers are late', { ...SELF, timerLagMs: 900 }, ['node-slow']],
  ['strangers send to it', { ...SELF, strangers: [STRANGER] }, ['unreadable-senders']],
]

for (const [title, seen, codes] of SELF_CASES) {
  test(title, () =>
    assert.deepEqual(
      diagnoseSelf(seen).map(({ code }) => code),
      codes,
    ),
  )
}

test('a name that stands for nothing is said to do so', () => {
  assert.match(nameUnknown('n9', 'the name n9 cannot be resolved (ENOTFOUND)').sentence, /^n9 is no member, .* \(ENOTFOUND\)\.$/)
})
