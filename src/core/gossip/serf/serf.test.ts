/** The machine as a whole: bytes of real agents, its inputs at their limits, leaving, reconnecting, snapshots. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { fromHex, utf8Encode } from '../../lib/bytes.ts'
import { MemberSnapshot } from '../member-snapshot.ts'
import type { MemberRecord, MemberState } from '../messages.ts'
import { GOSSIP_PROFILES } from '../profile.ts'
import { encodeCoordinate, encodeSerfMessage, encodeTags } from '../serf-codec.ts'
import { aliveOf, endpointOf, SELF } from '../testing/scripted-machine.ts'
import { ScriptedSerf } from '../testing/scripted-serf.ts'
import { CLASSIC_SERF_TIMES } from './serf-profile.ts'
import { formatEndpoint } from './snapshot.ts'

const NOTHING = new Uint8Array(0)

test('an event of a real agent comes once, is noted, and passed on as it is', () => {
  const bytes = fromHex('0384a24343c2a54c54696d6501a44e616d65a66465706c6f79a75061796c6f6164b368656c6c6f20776f726c64207061796c6f6164')!
  const script = new ScriptedSerf().meet('a')
  script.hear(bytes, bytes)
  const [given, ...more] = script.take('event')
  assert.equal(more.length, 0)
  assert.deepEqual(given?.event, {
    type: 'user-event',
    time: 1,
    name: 'deploy',
    payload: utf8Encode('hello world payload'),
    canCoalesce: false,
  })
  assert.deepEqual(
    script.take('snapshot').map(({ line }) => line),
    ['event-clock: 1'],
  )
  script.advance(2000)
  const spread = script.take('send').flatMap(({ messages }) => messages.flatMap((one) => (one.type === 'user' ? [one.bytes] : [])))
  assert.equal(spread.length, 4)
  assert.ok(spread.every((sent) => Buffer.compare(sent, bytes) === 0))
})

test('a query of a real agent is for those whom it names', () => {
  const bytes = fromHex(
    '048ba441646472a47f000047a746696c7465727392aa0092a4706f6c79a27331b50182a445787072a474652e2aa3546167a4726f6c65a5466c61677301a24944ce03453cd1a54c54696d6501a44e616d65a46c6f6164a75061796c6f6164a4626f6479a4506f7274cd461aab52656c6179466163746f7200aa536f757263654e6f6465a27331a754696d656f7574ce77359400',
  )!
  const poly = new ScriptedSerf({ node: 'poly', tags: new Map([['role', 'test']]) }).meet('a')
  poly.hear(bytes)
  assert.deepEqual([poly.take('query').length, poly.takeSent('query-response').length], [1, 1])
  const other = new ScriptedSerf({ node: 'poly', tags: new Map([['role', 'toast']]) }).meet('a')
  other.hear(bytes)
  assert.deepEqual([other.take('query').length, other.takeSent('query-response').length], [0, 0])
})

test('an event that is too large for what the members understand is rejected, and one for gossip goes on it', () => {
  const script = new ScriptedSerf({ isPolycast: ({ name }) => name !== 'old' }).meet('new')
  const event = (bytes: number): void => script.input({ type: 'event', name: 'e', payload: new Uint8Array(bytes), canCoalesce: true })
  event(65_534)
  event(65_535)
  assert.deepEqual([script.take('event').length, script.take('rejected').length], [1, 1])
  script.advance(1000)
  assert.equal(script.takeSent('user-event').length, 0)
  script.meet('old')
  event(511)
  event(512)
  assert.deepEqual([script.take('event').length, script.take('rejected').length, script.take('spread').length], [1, 1, 1])
  script.advance(1000)
  assert.ok(script.takeSent('user-event').length > 0)
})

test('what another way brings is spread by gossip only once, and only for those who need it', () => {
  const bytes = encodeSerfMessage({ type: 'user-event', time: 4, name: 'e', payload: NOTHING, canCoalesce: false })
  const among = new ScriptedSerf({ isPolycast: () => true }).meet('a')
  among.input({ type: 'spread', bytes })
  assert.equal(among.machine.stats().eventQueue, 0)
  assert.equal(among.take('spread').length, 0)
  const mixed = new ScriptedSerf().meet('a')
  mixed.input({ type: 'spread', bytes })
  mixed.input({ type: 'spread', bytes })
  assert.equal(mixed.machine.stats().eventQueue, 1)
  assert.equal(mixed.take('event').length, 1)
  mixed.input({ type: 'spread', bytes: encodeSerfMessage({ type: 'join', time: 1, node: 'a' }) })
  mixed.input({ type: 'spread', bytes: NOTHING })
  assert.equal(mixed.take('rejected').length, 2)
})

test('tags are taken as far as they fit, and told', () => {
  const script = new ScriptedSerf().meet('a')
  script.input({ type: 'tags', tags: new Map([['big', 'x'.repeat(505)]]) })
  assert.equal(script.take('rejected').length, 1)
  const tags = new Map([['role', 'db']])
  script.input({ type: 'tags', tags })
  assert.deepEqual([script.machine.self().tags, script.machine.self().incarnation], [tags, 2])
  script.advance(1000)
  const told = script.take('send').flatMap(({ messages }) => messages.filter((one) => one.type === 'alive'))
  assert.deepEqual(told.findLast(({ node }) => node === SELF)?.meta, encodeTags(tags))
})

test('tags of another that cannot be read are none; a meta of old is a role', () => {
  const script = new ScriptedSerf().meet(aliveOf('a', { meta: Uint8Array.of(0xff, 0xc1) }), aliveOf('b', { meta: utf8Encode('web') }))
  assert.equal(script.machine.member('a')?.tags.size, 0)
  assert.equal(script.machine.member('b')?.tags.get('role'), 'web')
})

test('a leave goes out as an intent first, then to membership, then waits; alone it is over at once', () => {
  const script = new ScriptedSerf().meet('a')
  script.input({ type: 'leave' })
  script.input({ type: 'leave' })
  assert.deepEqual(script.takeChanges(), [`${SELF} leaving`])
  const order: string[] = []
  for (let i = 0; i < 40; i++) {
    script.advance(100)
    const messages = script.take('send').flatMap((output) => output.messages)
    if (messages.some((one) => one.type === 'user' && one.bytes[0] === 0)) order.push('intent')
    if (messages.some((one) => one.type === 'dead')) order.push('dead')
  }
  assert.deepEqual([...new Set(order)], ['intent', 'dead'])
  assert.equal(order.lastIndexOf('intent') < order.indexOf('dead'), true)
  assert.deepEqual(script.take('departed'), [{ type: 'departed', isTold: true }])
  assert.equal(script.machine.self().status, 'left')
  const alone = new ScriptedSerf()
  alone.input({ type: 'leave' })
  assert.equal(alone.take('departed').length, 1)
})

test('where the intent cannot be told, the leave goes on after its time', () => {
  const script = new ScriptedSerf({ profile: { ...GOSSIP_PROFILES.serf, gossipIntervalMs: 60_000, probeIntervalMs: 60_000 } }).meet('a')
  script.input({ type: 'leave' })
  script.advance(5000 + 5000 + 999)
  assert.equal(script.take('departed').length, 0)
  script.advance(1)
  assert.deepEqual(script.take('departed'), [{ type: 'departed', isTold: false }])
})

test('a failed member is tried again every two seconds, or thirty, but no more at a time than the limit', () => {
  for (const [times, least, most] of [
    [{}, 7, 8],
    [CLASSIC_SERF_TIMES, 1, 2],
  ] as const) {
    const script = new ScriptedSerf({ times }).meet('a')
    script.packet([{ type: 'dead', node: 'a', from: 'teller', incarnation: 1 }])
    let tries = 0
    for (let i = 0; i < 32; i++) {
      script.advance(500)
      for (const { stream, to, message } of script.take('open-stream')) {
        assert.deepEqual([to, message.type === 'push-pull' && message.isJoin], [endpointOf('a'), true])
        script.input({ type: 'stream-failed', stream, reason: 'nobody is there' })
        tries++
      }
    }
    script.advance(16_000)
    tries += script.take('open-stream').length
    assert.ok(tries >= least && tries <= 2 * most + 1, `${tries}`)
    assert.equal(script.take('exchanged').length, 0, "such attempts are nobody else's matter")
    assert.ok(script.machine.stats().failedReconnects >= least - 1)
  }
  const stuck = new ScriptedSerf({ serfLimits: { maxReconnects: 1 } }).meet('a')
  stuck.packet([{ type: 'dead', node: 'a', from: 'teller', incarnation: 1 }])
  stuck.advance(9000)
  assert.equal(stuck.take('open-stream').length, 1)
})

test('a snapshot gives back clocks and where to look, and what was seen before does not come again', () => {
  const first = new ScriptedSerf().meet('a', 'b')
  first.hear({ type: 'user-event', time: 9, name: 'old', payload: NOTHING, canCoalesce: false })
  first.advance(1000)
  const second = new ScriptedSerf({ snapshot: [...first.machine.snapshotLines(), 'not-alive: b', `alive: ${SELF} 10.0.0.1:1`] })
  assert.deepEqual(second.machine.rejoinEndpoints(), [endpointOf('a')])
  assert.equal(second.machine.stats().eventTime, 10)
  second.meet('a')
  second.hear({ type: 'user-event', time: 9, name: 'old', payload: NOTHING, canCoalesce: false })
  second.hear({ type: 'user-event', time: 10, name: 'new', payload: NOTHING, canCoalesce: false })
  assert.deepEqual(
    second.take('event').map(({ event }) => event.name),
    ['new'],
  )
})

test('lines for the snapshot say who is there, and clocks not more often than twice a second', () => {
  const script = new ScriptedSerf()
  script.packet([aliveOf('a'), aliveOf('b')])
  script.packet([{ type: 'dead', node: 'b', from: 'a', incarnation: 1 }])
  for (let time = 1; time <= 20; time++) {
    script.hear({ type: 'join', time, node: 'a' })
    script.advance(50)
  }
  const lines = script.take('snapshot').map(({ line }) => line)
  assert.ok(lines[0]?.startsWith('alive: a 10.97.0.0:7946'))
  assert.ok(lines.includes('not-alive: b'))
  assert.deepEqual(lines.filter((line) => line.startsWith('clock:')).length, 2)
})

test('a name with a line break writes no lines of its own', () => {
  const script = new ScriptedSerf()
  script.packet([aliveOf('evil\nleave'), aliveOf('b')])
  const lines = [...script.take('snapshot').map(({ line }) => line), ...script.machine.snapshotLines()]
  assert.ok(lines.every((line) => !line.includes('\n')))
  assert.equal(lines.filter((line) => line.startsWith('alive: ')).length, 2)
})

test('an ack carries a coordinate, and one that comes is taken where it is one', () => {
  const script = new ScriptedSerf().meet('a')
  const coordinate = { vector: [0, 0, 0, 0, 0, 0, 0, 0.001], height: 0.001, error: 0.5, adjustment: 0 }
  const answer = (payload: Uint8Array | undefined): void => {
    for (let i = 0; i < 30; i++) {
      const ping = script.take('send').flatMap(({ messages }) => messages.filter((one) => one.type === 'ping'))[0]
      if (ping !== undefined) return script.packet([{ type: 'ack', sequence: ping.sequence, payload }], endpointOf('a'))
      script.advance(100)
    }
    throw new Error('no ping')
  }
  answer(utf8Encode('nonsense'))
  assert.deepEqual([script.machine.coordinate('a'), script.machine.stats().refusedMessages], [undefined, 1])
  answer(encodeCoordinate(coordinate))
  assert.deepEqual(script.machine.coordinate('a'), coordinate)
  script.packet([{ type: 'ping', sequence: 5, node: SELF }])
  const ack = script.take('send').flatMap(({ messages }) => messages.filter((one) => one.type === 'ack'))[0]
  assert.deepEqual(ack?.payload, encodeCoordinate(script.machine.coordinate()!))
})

test('whatever bytes come as a message of this layer, the machine goes on', () => {
  const valid = fc.constantFrom(
    encodeSerfMessage({ type: 'leave', time: 2 ** 52, node: 'a', isPrune: true }),
    encodeSerfMessage({ type: 'user-event', time: 2 ** 53 - 1, name: '', payload: NOTHING, canCoalesce: true }),
    encodeSerfMessage({ type: 'query-response', time: 0, id: 0, from: '', flags: 255, payload: NOTHING }),
    encodeSerfMessage({ type: 'relay', address: NOTHING, port: 0, zone: '', node: '', message: Uint8Array.of(5) }),
    encodeSerfMessage({ type: 'conflict-response', member: undefined }),
    Uint8Array.of(0x50),
    Uint8Array.of(0x50, 200, 1),
  )
  const script = new ScriptedSerf().meet('a', 'b')
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), valid), fc.integer({ min: 0, max: 9 }), (bytes, type) => {
      script.hear(bytes, Uint8Array.of(type, ...bytes.subarray(1)))
      script.advance(10)
      script.pushPull({ statusTimes: new Map([['a', 2 ** 53 - 1]]), time: 2 ** 53 - 1, leftMembers: ['', 'b'] })
      script.outputs = []
    }),
    { numRuns: 500 },
  )
  assert.ok(script.machine.stats().refusedMessages > 0)
})

test('members that are known from the start have their status and tags', () => {
  const meta = encodeTags(new Map([['role', 'web']]))
  const known = (node: string, state: MemberState): MemberRecord => ({
    node,
    ...endpointOf('a'),
    meta,
    incarnation: 4,
    state,
    versions: undefined,
  })
  const members = new MemberSnapshot([known('a', 'alive'), known('b', 'dead'), known('c', 'left'), known(SELF, 'alive')])
  const { machine } = new ScriptedSerf({ members })
  assert.deepEqual(
    ['a', 'b', 'c'].map((name) => machine.member(name)?.status),
    ['alive', 'failed', 'left'],
  )
  assert.equal(machine.member('a')?.tags.get('role'), 'web')
  assert.equal(machine.self().incarnation, machine.status().incarnation)
  assert.ok(machine.self().incarnation > 4)
  assert.equal(machine.members().length, 4)
})

test('who meets its own name in the first record of an exchange asks those of the others', () => {
  const script = new ScriptedSerf()
  const records = [{ ...aliveOf(SELF), ...endpointOf('other') }, aliveOf('a')].map((one) => ({ ...one, state: 'alive' as const }))
  script.pushPull({ queryTime: 600 }, records)
  assert.equal(script.take('conflict').length, 1)
  script.advance(1000)
  const asked = script.takeSent('query').map(({ to, message }) => [formatEndpoint(to), message.name, message.time])
  assert.ok(asked.length > 0)
  // Not by the time from before the exchange either, which the others would take for long past.
  for (const one of asked) assert.deepEqual(one, [formatEndpoint(endpointOf('a')), '_serf_conflict', 600])
})

test('events are not spent on the dead', () => {
  const script = new ScriptedSerf()
  script.meet('a', 'b', 'c')
  script.packet(['b', 'c'].map((node) => ({ type: 'dead', incarnation: 1, node, from: 'a' })))
  script.input({ type: 'event', name: 'deploy', payload: new Uint8Array(0), canCoalesce: false })
  script.advance(2000)
  const receivers = script.takeSent('user-event').map(({ to }) => formatEndpoint(to))
  assert.ok(receivers.length > 1)
  for (const receiver of receivers) assert.equal(receiver, formatEndpoint(endpointOf('a')))
})
