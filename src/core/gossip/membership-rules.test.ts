/** The rules of alive, suspect and dead, one by one, on one machine. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { Alive, Dead, Suspect } from './messages.ts'
import { aliveOf, endpointOf, ScriptedMachine, SELF } from './testing/scripted-machine.ts'

const META = Uint8Array.of(1, 2, 3)

function suspectOf(node: string, from: string, incarnation = 1): Suspect {
  return { type: 'suspect', incarnation, node, from }
}

function deadOf(node: string, from: string, incarnation = 1): Dead {
  return { type: 'dead', incarnation, node, from }
}

/** A machine among members that answer its pings. */
function among(...nodes: string[]): ScriptedMachine {
  const script = new ScriptedMachine().meet(...nodes)
  for (const node of nodes) script.answering.add(node)
  return script
}

/** Whose word about a member the machine passes on within a second; not what it tells a suspected one with its pings. */
function spread(script: ScriptedMachine, node: string): Set<string> {
  script.advance(1000)
  const messages = script.takeOutputs('send').flatMap((output) => output.messages)
  const accusations = messages.filter((message) => message.type === 'suspect' && message.node === node && message.from !== SELF)
  return new Set(accusations.map((message) => ('from' in message ? message.from : '')))
}

// ---- alive ----

test('an unknown member that is alive joins, and is passed on', () => {
  const script = new ScriptedMachine().meet('a')
  script.hear(aliveOf('b', { meta: META }))
  assert.deepEqual(
    script.takeOutputs('joined').map(({ member }) => [member.node, member.state, member.meta]),
    [['b', 'alive', META]],
  )
  assert.equal(script.awaitSent('alive').message.node, 'b')
})

test('of what a member says of itself only the newer counts', () => {
  const script = new ScriptedMachine().meet('a', aliveOf('b', { incarnation: 3 }))
  script.hear(aliveOf('b', { incarnation: 3, meta: META }))
  script.hear(aliveOf('b', { incarnation: 2, meta: META }))
  assert.deepEqual(script.machine.member('b')?.meta, new Uint8Array(0))
  script.hear(aliveOf('b', { incarnation: 4, meta: META }))
  assert.deepEqual(
    script.takeOutputs('updated').map(({ member }) => [member.incarnation, member.meta]),
    [[4, META]],
  )
  assert.equal(script.takeOutputs('joined').length, 0)
})

test('what no member says of itself is refused: incarnation 0, impossible versions, no address, more than fits', () => {
  const script = new ScriptedMachine({ limits: { maxNameLength: 4, maxMetaBytes: 2 } })
  const bad: Partial<Alive>[] = [
    { incarnation: 0 },
    { versions: [0, 5, 2, 2, 5, 5] },
    { versions: [1, 0, 2, 2, 5, 5] },
    { versions: [3, 2, 2, 2, 5, 5] },
    { address: Uint8Array.of(1, 2, 3) },
    { port: 0 },
    { meta: META },
    { node: 'abcde' },
    { node: '' },
  ]
  for (const changes of bad) script.hear(aliveOf('b', changes))
  assert.equal(script.machine.members().length, 1)
  assert.equal(script.machine.status().refusedMessages, bad.length)
})

test('a member that says no versions is taken as it is', () => {
  const script = new ScriptedMachine()
  script.hear(aliveOf('b', { versions: undefined }))
  assert.equal(script.stateOf('b'), 'alive')
})

test('no more members than the limit says are taken in', () => {
  const script = new ScriptedMachine({ limits: { maxMembers: 3 } }).meet('a', 'b', 'c')
  assert.equal(script.machine.members().length, 3)
  assert.equal(script.stateOf('c'), undefined)
})

test('a name with another address is a conflict, while it is alive and when it has failed', () => {
  const script = among('a', 'b')
  const moved = aliveOf('b', { ...endpointOf('other'), incarnation: 9 })
  script.hear(moved)
  script.hear(deadOf('b', 'a'))
  script.hear(moved)
  assert.equal(script.takeOutputs('conflict').length, 2)
  assert.deepEqual(script.machine.member('b')?.address, endpointOf('b').address)
})

test('a member that left may come back from another address, whatever its incarnation', () => {
  const script = among('a').meet(aliveOf('b', { incarnation: 5 }))
  script.hear(deadOf('b', 'b', 5))
  script.hear(aliveOf('b', { ...endpointOf('other'), incarnation: 1 }))
  assert.deepEqual(
    script.takeOutputs('joined').map(({ member }) => member.address),
    [endpointOf('other').address],
  )
})

test('an address is the same in four bytes and mapped into sixteen', () => {
  const script = new ScriptedMachine().meet('b')
  const mapped = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...endpointOf('b').address)
  script.hear(aliveOf('b', { address: mapped, incarnation: 2 }))
  assert.equal(script.takeOutputs('conflict').length, 0)
  assert.equal(script.machine.member('b')?.incarnation, 2)
})

// ---- alive, about this member ----

test('what this member said itself comes back without consequence', () => {
  const script = among('a')
  script.hear(aliveOf(SELF))
  assert.equal(script.machine.status().incarnation, 1)
})

test('a newer or different word about this member is contradicted: it had run before, with something else to say', () => {
  for (const told of [aliveOf(SELF, { incarnation: 7 }), aliveOf(SELF, { meta: META }), aliveOf(SELF, { versions: [1, 4, 2, 2, 5, 5] })]) {
    const script = among('a')
    script.hear(told)
    assert.equal(script.machine.status().incarnation, told.incarnation + 1)
    assert.deepEqual(script.awaitSent('alive').message, aliveOf(SELF, { incarnation: told.incarnation + 1 }))
  }
})

test('another that goes by the name of this member is a conflict', () => {
  const script = among('a')
  script.hear(aliveOf(SELF, { ...endpointOf('other'), incarnation: 9 }))
  assert.deepEqual(
    script.takeOutputs('conflict').map(({ member, other }) => [member.node, member.address, other.address]),
    [[SELF, endpointOf(SELF).address, endpointOf('other').address]],
  )
  assert.equal(script.machine.status().incarnation, 1)
})

// ---- suspect ----

test('a suspicion of the known incarnation or a higher one counts, of a lower one not, nor of the unknown', () => {
  const script = among('a').meet(aliveOf('b', { incarnation: 3 }))
  script.hear([suspectOf('b', 'a', 2), suspectOf('nobody', 'a')])
  assert.equal(script.stateOf('b'), 'alive')
  script.hear(suspectOf('b', 'a', 3))
  assert.equal(script.stateOf('b'), 'suspect')
  const [suspected] = script.takeOutputs('suspected')
  assert.equal(suspected?.verdict.source, 'packet')
  assert.deepEqual(suspected?.verdict.accusers, [{ by: 'a', at: 0 }])
  assert.equal(script.stateOf('nobody'), undefined)
})

test('each new accuser is passed on as long as confirmations count', () => {
  const script = among('a', 'b', 'c', 'd', 'e')
  script.hear(suspectOf('b', 'a'))
  assert.deepEqual(spread(script, 'b'), new Set(['a']))
  script.hear([suspectOf('b', 'a'), suspectOf('b', 'c'), suspectOf('b', 'c')])
  assert.deepEqual(spread(script, 'b'), new Set(['c']))
  script.hear([suspectOf('b', 'd'), suspectOf('b', 'e')])
  assert.deepEqual(
    script.machine.verdict('b')?.accusers.map(({ by }) => by),
    ['a', 'c', 'd'],
  )
  assert.deepEqual(spread(script, 'b'), new Set(['d']))
})

test('a suspected member is dead when its time is over: the most without confirmations, the least with them', () => {
  for (const [confirmers, ms] of [
    [[], 24_000],
    [['c', 'd'], 4000],
  ] as const) {
    const script = among('a', 'b', 'c', 'd')
    script.hear(suspectOf('b', 'a'))
    for (const from of confirmers) script.hear(suspectOf('b', from))
    const { verdict } = script.awaitOutput('failed')
    assert.equal(script.now, ms)
    assert.equal(verdict.timeoutMs, ms)
    assert.equal(verdict.source, 'time-out')
    assert.equal(verdict.from, SELF)
    assert.deepEqual(
      verdict.accusers.map(({ by }) => by),
      ['a', ...confirmers],
    )
    assert.equal(script.awaitSent('dead').message.from, SELF)
  }
})

test('a suspected member is cleared by its next incarnation, not by the one that was accused', () => {
  const script = among('a', 'b')
  script.hear(suspectOf('b', 'a'))
  script.hear(aliveOf('b'))
  assert.equal(script.stateOf('b'), 'suspect')
  script.hear(aliveOf('b', { incarnation: 2 }))
  assert.equal(script.takeOutputs('cleared').length, 1)
  assert.equal(script.machine.verdict('b'), undefined)
  script.advance(60_000)
  assert.equal(script.takeOutputs('failed').length, 0)
})

test('this member contradicts its suspicion by an incarnation above both, and takes it as a sign that it is slow', () => {
  for (const [accused, answer] of [
    [1, 2],
    [5, 6],
  ] as const) {
    const script = among('a')
    script.hear(suspectOf(SELF, 'a', accused))
    assert.deepEqual(script.takeOutputs('refuted'), [{ type: 'refuted', accusation: 'suspect', by: 'a', incarnation: answer }])
    assert.equal(script.machine.status().healthScore, 1)
    assert.deepEqual(script.awaitSent('alive').message, aliveOf(SELF, { incarnation: answer }))
  }
})

test('an accusation that was contradicted already changes nothing', () => {
  const script = among('a')
  script.hear([suspectOf(SELF, 'a'), suspectOf(SELF, 'b'), deadOf(SELF, 'c')])
  assert.equal(script.machine.status().incarnation, 2)
  assert.equal(script.machine.status().healthScore, 1)
})

test('an accusation that could never be contradicted is ignored', () => {
  const script = among('a', 'b')
  script.hear([suspectOf('b', 'a', 0xffffffff), deadOf('b', 'a', 0xffffffff), suspectOf(SELF, 'a', 0xffffffff)])
  assert.equal(script.stateOf('b'), 'alive')
  assert.equal(script.machine.status().incarnation, 1)
  script.hear(suspectOf(SELF, 'a', 0xfffffffe))
  assert.equal(script.machine.status().incarnation, 0xffffffff)
  script.hear(suspectOf(SELF, 'a', 0xffffffff))
  assert.equal(script.machine.status().incarnation, 0xffffffff)
})

// ---- dead ----

test('a death of the known incarnation counts, of a lower one not; it is passed on, and says from whom it came', () => {
  const script = among('a').meet(aliveOf('b', { incarnation: 3 }))
  script.hear(deadOf('b', 'a', 2))
  assert.equal(script.stateOf('b'), 'alive')
  script.hear(deadOf('b', 'a', 3))
  const [failed] = script.takeOutputs('failed')
  assert.deepEqual([failed?.verdict.from, failed?.verdict.source, failed?.verdict.timeoutMs], ['a', 'packet', undefined])
  assert.deepEqual(script.awaitSent('dead').message, deadOf('b', 'a', 3))
  script.hear([deadOf('b', 'c', 4), suspectOf('b', 'c', 4)])
  assert.equal(script.takeOutputs('failed').length, 0)
  assert.equal(script.stateOf('b'), 'dead')
})

test('a death that the member tells itself is a leave', () => {
  const script = among('a', 'b')
  script.hear(deadOf('b', 'b'))
  assert.equal(script.takeOutputs('left').length, 1)
  assert.equal(script.stateOf('b'), 'left')
})

test('a member that was dead joins again by its next incarnation', () => {
  const script = among('a', 'b')
  script.hear(deadOf('b', 'a'))
  script.hear(aliveOf('b'))
  assert.equal(script.stateOf('b'), 'dead')
  script.hear(aliveOf('b', { incarnation: 2 }))
  assert.equal(script.takeOutputs('joined').length, 1)
})

test('this member contradicts its death', () => {
  const script = among('a')
  script.hear(deadOf(SELF, 'a', 3))
  assert.deepEqual(script.takeOutputs('refuted'), [{ type: 'refuted', accusation: 'dead', by: 'a', incarnation: 4 }])
  assert.equal(script.stateOf(SELF), 'alive')
})

test('a member that leaves says so, and contradicts nothing any more', () => {
  const script = among('a')
  script.input({ type: 'leave' })
  script.hear([deadOf(SELF, 'a', 3), suspectOf(SELF, 'a', 3), aliveOf(SELF, { incarnation: 9 })])
  assert.equal(script.takeOutputs('refuted').length, 0)
  assert.deepEqual(script.awaitSent('dead').message, deadOf(SELF, SELF))
  assert.equal(script.stateOf(SELF), 'left')
})

test('what a member says of itself changes by its next incarnation', () => {
  const script = among('a')
  script.input({ type: 'meta', meta: META })
  assert.deepEqual(script.awaitSent('alive').message, aliveOf(SELF, { incarnation: 2, meta: META }))
})

// ---- whatever comes ----

const node = fc.constantFrom('a', 'b', 'c', SELF)
const incarnation = fc.oneof(fc.nat(5), fc.constantFrom(0xfffffffe, 0xffffffff))
const message = fc.oneof(
  fc.record({ node, incarnation, meta: fc.constantFrom(new Uint8Array(0), META) }).map(({ node, ...rest }) => aliveOf(node, rest)),
  fc.record({ type: fc.constant('suspect' as const), node, incarnation, from: node }),
  fc.record({ type: fc.constant('dead' as const), node, incarnation, from: node }),
)

test('whatever is heard, no incarnation decreases, this member lives, and each suspected one has a time that ends', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ message, passMs: fc.nat(3000) }), { maxLength: 40 }), (steps) => {
      const script = new ScriptedMachine()
      const known = new Map<string, number>()
      for (const { message, passMs } of steps) {
        script.hear(message)
        script.advance(passMs)
        for (const { node, incarnation, state } of script.machine.members()) {
          // Who has been forgotten begins anew.
          assert.ok(incarnation >= (known.get(node) ?? 0), `${node} from ${known.get(node)} to ${incarnation}`)
          known.set(node, incarnation)
          const verdict = script.machine.verdict(node)
          assert.equal(verdict?.state, state === 'alive' ? undefined : state)
          if (state === 'suspect') assert.ok(Number.isFinite(verdict?.timeoutMs))
        }
        assert.equal(script.stateOf(SELF), 'alive')
        for (const name of known.keys()) if (script.stateOf(name) === undefined) known.delete(name)
      }
      script.advance(120_000)
      assert.equal(script.machine.status().suspect, 0)
    }),
    { numRuns: 60 },
  )
})
