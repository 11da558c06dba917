import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Random } from '../../lib/random.ts'
import { isWireError } from '../../wire/wire-error.ts'
import { VirtualStateCluster } from '../testing/virtual-state-cluster.ts'
import { decodeStateMessage, encodeStateMessage, MAX_VALUE_BYTES } from './state-codec.ts'
import { StateMachine } from './state-machine.ts'
import type { StateMessage } from './state-messages.ts'
import { DEFAULT_STATE_SETTINGS } from './state-types.ts'
import type { StateOptions, StateOutput, StateSettings } from './state-types.ts'

const YEAR_MS = 366 * 24 * 3_600_000

function machineOf(node: string, settings: Partial<StateSettings> = {}, options: Partial<StateOptions> = {}): StateMachine {
  return new StateMachine({ node, generation: 1, random: new Random(node), settings, ...options }, 0)
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (c) => c.charCodeAt(0))
}

function set(machine: StateMachine, key: string, value: Uint8Array | string, ttlMs?: number, now = 0): void {
  machine.handle({ type: 'set', key, value: typeof value === 'string' ? bytesOf(value) : value, ttlMs }, now)
}

function receive(machine: StateMachine, message: StateMessage, from = 'peer', now = 0): StateOutput[] {
  machine.handle({ type: 'message', from, bytes: encodeStateMessage(message) }, now)
  return machine.drain()
}

function sentBy(outputs: readonly StateOutput[]): StateMessage[] {
  return outputs.flatMap((output) => {
    if (output.type !== 'send') return []
    const message = decodeStateMessage(output.bytes)
    assert.ok(!isWireError(message))
    return [message]
  })
}

/** News that a node says `keys` keys with values of so many bytes. */
function newsOf(node: string, keys: number, valueBytes: number, generation = 1): StateMessage {
  const entries = Array.from({ length: keys }, (_, i) => ({
    key: `k${i}`,
    version: i + 1,
    value: new Uint8Array(valueBytes),
    ttlMs: undefined,
  }))
  return { type: 'news', digests: [], sections: [{ node, generation, from: 0, to: keys, collectedTo: 0, isLast: true, entries }] }
}

test('a node sees at once what it says itself, and to say the same again is no change', () => {
  const machine = machineOf('a')
  set(machine, 'k', 'v')
  set(machine, 'k', 'v')
  machine.handle({ type: 'remove', key: 'unknown' }, 0)
  assert.deepEqual(machine.drain(), [{ type: 'changed', node: 'a', key: 'k', value: bytesOf('v'), version: 1, generation: 1 }])
  assert.deepEqual(machine.entries('a'), [{ key: 'k', value: bytesOf('v'), version: 1 }])
  machine.handle({ type: 'remove', key: 'k' }, 0)
  assert.deepEqual(machine.drain(), [{ type: 'changed', node: 'a', key: 'k', value: undefined, version: 2, generation: 1 }])
  assert.equal(machine.get('a', 'k'), undefined)
  assert.equal(machine.ownBytes(), 0)
  assert.equal(machine.stats().tombstones, 1)
})

test('the same value with a time to live lasts longer, and without one for good', () => {
  const machine = machineOf('a')
  set(machine, 'k', 'v', 1000)
  set(machine, 'k', 'v', 1000, 900)
  machine.handleTimeout(1500)
  assert.ok(machine.get('a', 'k'))
  set(machine, 'k', 'v', undefined, 1600)
  machine.handleTimeout(5000)
  assert.ok(machine.get('a', 'k'))
})

test('what a node may say is checked, and saying more is a bug', () => {
  const machine = machineOf('a', { maxNodeBytes: 1000 })
  assert.match(machine.check('', bytesOf(''))!, /1 to 256 bytes/)
  assert.match(machine.check('é'.repeat(129), bytesOf(''))!, /1 to 256 bytes/)
  assert.match(machine.check('\ud800', bytesOf(''))!, /UTF-8/)
  assert.match(machine.check('k', new Uint8Array(MAX_VALUE_BYTES + 1))!, /65537/)
  assert.equal(machine.check('k', new Uint8Array(967)), undefined)
  assert.match(machine.check('k', new Uint8Array(968))!, /at most 1000 bytes, not 1001/)
  set(machine, 'k', new Uint8Array(967))
  assert.equal(machine.ownBytes(), 1000)
  assert.match(machine.check('l', bytesOf(''))!, /at most 1000/)
  // In the place of what was there.
  assert.equal(machine.check('k', new Uint8Array(900)), undefined)
  assert.throws(() => set(machine, 'l', 'x'), /at most 1000/)
  assert.throws(() => set(machine, 'k', 'x', 0), /time to live/)
})

test('tombstones go before their time where values need the room', () => {
  const machine = machineOf('a', { maxNodeBytes: 1000 })
  for (let i = 0; i < 200; i++) {
    set(machine, `key ${i}`, new Uint8Array(100))
    machine.handle({ type: 'remove', key: `key ${i}` }, 0)
    assert.ok(machine.stats().bytesHeld <= 1000)
  }
  assert.ok(machine.stats().tombstones > 0)
  assert.ok(machine.nodes()[0]!.collectedTo > 0)
})

test('what no honest node sends is refused and said', () => {
  const machine = machineOf('a', {}, { wallClockMs: 1000 })
  const refused = (message: StateMessage): string => {
    const [output] = receive(machine, message)
    assert.ok(output?.type === 'refused')
    return output.reason
  }
  machine.handle({ type: 'message', from: 'b', bytes: Uint8Array.of(0xff, 1) }, 0)
  assert.deepEqual(machine.drain(), [{ type: 'refused', from: 'b', reason: 'node state of version 15' }])
  assert.match(refused(newsOf('b', 1, 1, YEAR_MS + 1001)), /too far ahead of the clock/)
  assert.match(
    refused({ type: 'news', digests: [{ node: 'b', generation: YEAR_MS * 2, version: 1, collectedTo: 0 }], sections: [] }),
    /too far/,
  )
  assert.match(refused(newsOf('a', 1, 1, 2)), /ahead of its own/)
  assert.match(
    refused({ type: 'news', digests: [{ node: 'a', generation: 1, version: 2 ** 47, collectedTo: 0 }], sections: [] }),
    /nobody reaches/,
  )
  assert.equal(machine.stats().refusedMessages, 5)
  assert.equal(receive(machine, newsOf('b', 1, 1, YEAR_MS + 999))[0]?.type, 'changed')
  assert.equal(receive(machine, newsOf('c', 40, 60_000))[0]?.type, 'refused')
})

test('what others say that this node has said is refuted, and never taken', () => {
  const machine = machineOf('a')
  set(machine, 'k', 'v')
  receive(machine, newsOf('a', 5, 1), 'peer', 0)
  assert.deepEqual(
    machine.entries('a').map(({ key, value }) => [key, value]),
    [['k', bytesOf('v')]],
  )
  assert.deepEqual(machine.nodes(), [{ node: 'a', generation: 1, version: 7, collectedTo: 6 }])
  assert.equal(machine.stats().refutations, 1)
})

test('the number of nodes and the bytes of all are limited, and what is left out is counted', () => {
  const machine = machineOf('a', { maxNodes: 3, maxTotalBytes: 10_000 })
  receive(machine, newsOf('b', 1, 4000))
  receive(machine, newsOf('c', 1, 7000))
  assert.equal(machine.stats().overflowedDeltas, 1)
  receive(machine, newsOf('c', 1, 4000))
  receive(machine, newsOf('d', 1, 1))
  const { nodes, overflowedNodes, bytesHeld } = machine.stats()
  assert.deepEqual([nodes, overflowedNodes], [3, 1])
  assert.ok(bytesHeld <= 10_000 && bytesHeld > 8000)
  machine.handle({ type: 'member-forgotten', node: 'b' }, 0)
  assert.ok(machine.stats().bytesHeld < 5000)
  receive(machine, newsOf('d', 1, 1))
  assert.equal(machine.stats().nodes, 3)
})

test('a round is nine bytes, and who knows the same says nothing', () => {
  const machines = [machineOf('a'), machineOf('b')]
  for (const machine of machines) {
    receive(machine, newsOf('c', 3, 10))
    receive(machine, newsOf('a', 0, 0))
    receive(machine, newsOf('b', 0, 0))
  }
  machines[0]!.handle({ type: 'member-up', node: 'b' }, 0)
  // Rumors and then silence.
  for (let now = 0; now < 5000; now += 100) machines[0]!.handleTimeout(now)
  machines[0]!.drain()
  machines[0]!.handleTimeout(6500)
  const [round, ...others] = machines[0]!.drain()
  assert.ok(round?.type === 'send' && others.length === 0)
  assert.equal(round.bytes.length, 9)
  machines[1]!.handle({ type: 'message', from: 'a', bytes: round.bytes }, 6500)
  assert.deepEqual(machines[1]!.drain(), [])
})

test('an answer that does not come is asked for again, some times, and then no more', () => {
  const machine = machineOf('a', { maxRetries: 2, answerTimeoutMs: 400, roundIntervalMs: 1e9 })
  const told = { node: 'b', generation: 1, version: 9, collectedTo: 0 }
  const outputs = receive(machine, { type: 'news', digests: [told], sections: [] })
  for (let i = 0; i < 5; i++) {
    machine.handleTimeout(machine.nextDeadline())
    outputs.push(...machine.drain())
  }
  const wants = sentBy(outputs)
  assert.deepEqual(
    wants.map(({ type }) => type),
    ['want', 'want', 'want'],
  )
  assert.equal(machine.stats().unansweredFetches, 1)
})

test('the same state is fetched from one node at a time, the next piece when the last one has come', () => {
  const machine = machineOf('a')
  const told = { node: 'b', generation: 1, version: 9, collectedTo: 0 }
  const [want] = sentBy(receive(machine, { type: 'digests', isAnswer: true, intervals: [{ first: 0, last: 1, digests: [told] }] }, 'p'))
  assert.deepEqual(want, { type: 'want', sequence: 0, digests: [{ node: 'b', generation: 0, version: 0, collectedTo: 0 }] })
  assert.deepEqual(receive(machine, { type: 'news', digests: [told], sections: [] }, 'q'), [])
  const piece = newsOf('b', 3, 1)
  assert.ok(piece.type === 'news')
  const section = { ...piece.sections[0]!, isLast: false }
  const answers = sentBy(receive(machine, { type: 'delta', sequence: 0, sections: [section] }, 'p'))
  assert.deepEqual(answers, [{ type: 'want', sequence: 1, digests: [{ node: 'b', generation: 1, version: 3, collectedTo: 0 }] }])
  // The same answer again sets nothing off.
  assert.deepEqual(receive(machine, { type: 'delta', sequence: 0, sections: [section] }, 'p'), [])
  // Nothing more to be had: left alone.
  const end = sentBy(receive(machine, { type: 'delta', sequence: 1, sections: [] }, 'p'))
  assert.deepEqual(end, [])
})

test('a value of 64 KiB goes over in one message', () => {
  const cluster = new VirtualStateCluster(1)
  cluster.addMany(5)
  cluster.run(10_000)
  let largest = 0
  cluster.onOutput = (_, output) => {
    if (output.type === 'send') largest = Math.max(largest, output.bytes.length)
  }
  cluster.set('n0', 'large', new Uint8Array(MAX_VALUE_BYTES).fill(1))
  cluster.set('n0', 'small', 'x')
  assert.ok(cluster.runUntil(() => cluster.isEqual(), 1000) !== undefined)
  assert.ok(largest > MAX_VALUE_BYTES && largest < MAX_VALUE_BYTES + 100)
  assert.deepEqual(cluster.faults, [])
})

test('among a thousand nodes a round costs as much as among few, and one change is found with less than 1 kB', () => {
  const cluster = new VirtualStateCluster(2, { maxRumors: 2000 })
  cluster.add('n0')
  for (let i = 0; i < 1000; i++) cluster.tell('n0', { type: 'message', from: 'x', bytes: encodeStateMessage(newsOf(`node ${i}`, 1, 20)) })
  cluster.run(20_000)
  cluster.takeBytesPerNode()
  cluster.add('n1')
  const tookMs = cluster.runUntil(() => cluster.isEqual(), 20_000)
  assert.ok(tookMs !== undefined && cluster.machine('n1').nodes().length === 1002)
  cluster.run(5000)
  cluster.takeBytesPerNode()
  cluster.run(10_000)
  assert.equal(cluster.takeBytesPerNode(), (9 * 10_000) / DEFAULT_STATE_SETTINGS.roundIntervalMs)
  // Only reconciliation tells of what comes while the two are apart.
  cluster.isOpen = () => false
  cluster.tell('n0', { type: 'message', from: 'x', bytes: encodeStateMessage(newsOf('node 7', 2, 20, 2)) })
  cluster.run(5000)
  cluster.isOpen = () => true
  cluster.takeBytesPerNode()
  assert.ok(cluster.runUntil(() => cluster.isEqual(), 3000) !== undefined)
  const bytes = 2 * cluster.takeBytesPerNode()
  assert.ok(bytes < 1000, `${bytes} bytes`)
})

test('messages that are changed, cut or made up never throw, and what is held stays within the limits', () => {
  const recorded: Uint8Array[] = []
  const cluster = new VirtualStateCluster(3, { graceMs: 500, maxMessageBytes: 300 })
  cluster.lossShare = 0.2
  cluster.onOutput = (_, output) => {
    if (output.type === 'send') recorded.push(output.bytes)
  }
  cluster.addMany(12)
  for (let i = 0; i < 60; i++) {
    if (i % 4 === 3) cluster.remove(`n${i % 12}`, `k${(i - 12) % 5}`)
    else cluster.set(`n${i % 12}`, `k${i % 5}`, `value ${i}`, i % 7 === 0 ? 1000 : undefined)
    cluster.run(50)
  }
  cluster.run(3000)
  const types = new Set(recorded.map((bytes) => bytes[0]! & 15))
  assert.deepEqual(
    [...types].sort((a, b) => a - b),
    [1, 2, 3, 4, 5, 6],
  )
  const step = fc.tuple(fc.nat(recorded.length - 1), fc.nat(), fc.nat(255), fc.integer({ min: 0, max: 3 }), fc.nat(500))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const machine = machineOf('n3', { maxNodes: 10, maxTotalBytes: 2000, maxNodeBytes: 500 })
      set(machine, 'own', 'x')
      machine.handle({ type: 'member-up', node: 'n4' }, 0)
      let now = 0
      for (const [which, at, byte, kind, ms] of steps) {
        const bytes = new Uint8Array(recorded[which]!)
        if (kind > 0) bytes[at % bytes.length] = byte
        now += ms
        machine.handle({ type: 'message', from: `n${at % 6}`, bytes: kind === 1 ? bytes.subarray(0, at % bytes.length) : bytes }, now)
        machine.handleTimeout(now)
        assert.ok(Number.isFinite(machine.nextDeadline()))
        assert.ok(machine.drain().length < 100)
        assert.ok(machine.stats().bytesHeld <= 2000 && machine.stats().nodes <= 10)
      }
      assert.deepEqual(machine.get('n3', 'own'), bytesOf('x'))
    }),
    { numRuns: 100 },
  )
})
