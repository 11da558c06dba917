/** When a receiver leaves the network to multicast, and when it goes on by the swarm. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BlockBuilder } from '../../core/multicast/block-builder.ts'
import { encodeInvitation, type Invitation } from '../../core/multicast/invitation.ts'
import { keyIdOf } from '../multicast/session/cipher.ts'
import { ManualClock } from '../manual-clock.ts'
import { FakeSessions, type FakeReceiver } from './testing/fake-sessions.ts'
import { MulticastIntake } from './multicast-intake.ts'

const CHUNK_BYTES = 1000
const KEY = new Uint8Array(32).fill(7)

interface Bed {
  readonly intake: MulticastIntake
  readonly sessions: FakeSessions
  readonly time: ManualClock
  /** What the machine and the store were told, in order. */
  readonly told: string[]
  readonly content: { knownChunks: number; readonly have: Set<number>; isDone: boolean }
  /** The session that was joined last. */
  readonly receiver: () => FakeReceiver
}

function bed(keys: readonly Uint8Array[] = [KEY]): Bed {
  const sessions = new FakeSessions()
  const time = new ManualClock(0)
  const told: string[] = []
  const content = { knownChunks: 4, have: new Set<number>(), isDone: false }
  const intake = new MulticastIntake({
    name: 'h1',
    sessions,
    ttl: 1,
    figures: { bytes: 0, sessions: 0, blocks: 0, givenUpBlocks: 0 },
    keys: () => keys,
    get knownChunks() {
      return content.knownChunks
    },
    chunkBytes: () => CHUNK_BYTES,
    isMissing: (chunk) => !content.have.has(chunk),
    isDone: () => content.isDone,
    isLacking: () => content.have.size < content.knownChunks,
    needs: () => Promise.resolve(Uint8Array.of(0, 0)),
    hold: (fromChunk) => told.push(fromChunk === Infinity ? 'go on' : fromChunk === 0 ? 'hold' : `hold from ${fromChunk}`),
    acceptManifest: ({ kind }) => told.push(`manifest ${kind}`),
    bring: (firstChunk, count, payload) => {
      told.push(`chunks ${firstChunk}+${count} ${payload[0]}`)
      for (let chunk = firstChunk; chunk < firstChunk + count; chunk++) content.have.add(chunk)
    },
    decline: () => told.push('decline'),
    log: () => undefined,
    now: () => time.now(),
    after: (ms, what) => time.schedule(ms, what),
  })
  return { intake, sessions, time, told, content, receiver: () => sessions.receivers.at(-1)! }
}

function invitation(what: Partial<Invitation> = {}): Uint8Array {
  return encodeInvitation({
    sessionId: '0102030405060708',
    datagramBytes: 1472,
    blockSymbols: 200,
    group: '232.1.2.3',
    groupPort: 7422,
    sender: '10.0.0.1',
    controlPort: 5000,
    invited: 2,
    salt: new Uint8Array(16),
    keyId: keyIdOf(KEY),
    app: new Uint8Array(0),
    ...what,
  })
}

/** A block with whole chunks; each byte of a chunk is its number. */
function blockOf(...chunks: number[]): Uint8Array {
  const builder = new BlockBuilder(100_000)
  for (const chunk of chunks) builder.addChunks(chunk, [CHUNK_BYTES], new Uint8Array(CHUNK_BYTES).fill(chunk))
  return builder.take(true)!
}

/** Lets what was promised be done. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

void test('an invitation that does not come keeps nobody waiting for longer than the ticket says', () => {
  const { intake, time, told, sessions } = bed()
  intake.expect(300)
  assert.equal(sessions.prepared, 1)
  time.advance(299)
  assert.deepEqual(told, ['hold'])
  time.advance(1)
  assert.deepEqual(told, ['hold', 'go on'])
  assert.ok(!intake.isActive)
})

void test('with the invitation the wait is as long as the session lasts', async () => {
  const { intake, time, told, receiver, sessions } = bed()
  intake.expect(300)
  time.advance(100)
  intake.invited(invitation())
  await settle()
  assert.equal(sessions.receivers.length, 1)
  assert.deepEqual(receiver().settings.key, KEY)
  assert.equal(receiver().settings.sender, '10.0.0.1')
  assert.equal(receiver().settings.controlPort, 5000)
  time.advance(1000)
  receiver().say({ type: 'heard' })
  receiver().say({ type: 'received', block: 0, payload: blockOf(0, 1) })
  time.advance(1000)
  receiver().say({ type: 'received', block: 1, payload: blockOf(2, 3) })
  assert.deepEqual(told, ['hold', 'chunks 0+1 0', 'chunks 1+1 1', 'chunks 2+1 2', 'chunks 3+1 3'])
  receiver().say({ type: 'complete' })
  assert.deepEqual(told.at(-1), 'go on')
})

for (const reason of ['silent', 'unreached', 'expelled', 'refused', 'stopped'] as const) {
  void test(`the swarm goes on where the session ends as ${reason}`, async () => {
    const { intake, told, receiver } = bed()
    intake.invited(invitation())
    await settle()
    receiver().say({ type: 'ended', reason, status: {} as never })
    assert.deepEqual(told, ['hold', 'decline', 'go on'])
    assert.ok(!intake.isActive)
    // What comes of it later is nobody's any more.
    receiver().say({ type: 'received', block: 0, payload: blockOf(0) })
    assert.deepEqual(told, ['hold', 'decline', 'go on'])
  })
}

void test('a session that cannot be opened is left to the swarm', async () => {
  const { intake, told, receiver } = bed()
  intake.invited(invitation())
  await settle()
  receiver().listener.failed({ message: 'no socket', code: 'multicast-unusable' } as never)
  assert.deepEqual(told, ['hold', 'decline', 'go on'])
})

void test('a session that brings nothing that is missing holds nothing up, until it brings something', async () => {
  const { intake, time, told, receiver, content } = bed()
  intake.invited(invitation())
  await settle()
  time.advance(2000)
  assert.deepEqual(told, ['hold'])
  time.advance(1500)
  assert.deepEqual(told, ['hold', 'go on'])
  receiver().say({ type: 'received', block: 0, payload: blockOf(0) })
  assert.deepEqual(told, ['hold', 'go on', 'hold', 'chunks 0+1 0'])
  // All that is known is here, and the source is slow: nobody is to blame.
  content.knownChunks = 1
  time.advance(60_000)
  assert.deepEqual(told, ['hold', 'go on', 'hold', 'chunks 0+1 0'])
})

void test('who comes late leaves to the swarm what was sent before, and nothing else', async () => {
  const { intake, told, receiver, time } = bed()
  intake.invited(invitation())
  await settle()
  receiver().say({ type: 'welcomed', firstBlock: 5 })
  receiver().say({ type: 'received', block: 6, payload: blockOf(3) })
  receiver().say({ type: 'received', block: 5, payload: blockOf(2) })
  assert.deepEqual(told, ['hold', 'chunks 3+1 3', 'hold from 2', 'chunks 2+1 2'])
  time.advance(3000)
  assert.deepEqual(told.at(-1), 'go on')
})

void test('chunks wait for the manifest, and those that are here are passed over', async () => {
  const { intake, told, receiver, content } = bed()
  content.knownChunks = 0
  intake.invited(invitation())
  await settle()
  receiver().say({ type: 'received', block: 0, payload: blockOf(0, 1) })
  assert.deepEqual(told, ['hold'])
  content.knownChunks = 2
  content.have.add(0)
  intake.grew()
  assert.deepEqual(told, ['hold', 'chunks 1+1 1'])
})

void test('what is not the protocol in a block is left out', async () => {
  const { intake, told, receiver } = bed()
  intake.invited(invitation())
  await settle()
  receiver().say({ type: 'received', block: 0, payload: Uint8Array.of(9, 9, 9) })
  assert.deepEqual(told, ['hold'])
})

for (const [what, bytes, keys] of [
  ['under a key that is not in the ring', invitation({ keyId: Uint8Array.of(1, 2, 3, 4) }), [KEY]],
  ['without a key, where there are keys', invitation({ keyId: new Uint8Array(0) }), [KEY]],
  ['under a key, where there is none', invitation(), []],
  ['to a group of others', invitation({ group: '239.255.255.250' }), [KEY]],
  ['that is none', Uint8Array.of(1, 2, 3), [KEY]],
] as const) {
  void test(`an invitation ${what} is not followed`, async () => {
    const { intake, sessions, time, told } = bed(keys)
    intake.expect(300)
    intake.invited(bytes)
    await settle()
    time.advance(300)
    assert.equal(sessions.receivers.length, 0)
    assert.deepEqual(
      told.filter((what) => what !== 'decline'),
      ['hold', 'go on'],
    )
  })
}

void test('the same invitation again changes nothing; another one takes its place', async () => {
  const { intake, sessions } = bed()
  intake.invited(invitation())
  await settle()
  intake.invited(invitation())
  await settle()
  assert.equal(sessions.receivers.length, 1)
  intake.invited(invitation({ sessionId: 'ffffffffffffffff' }))
  await settle()
  assert.equal(sessions.receivers.length, 2)
  assert.ok(sessions.receivers[0]!.hasLeft && !sessions.receivers[1]!.hasLeft)
})

void test('who has everything, or has ended, follows no invitation', async () => {
  const { intake, sessions, content } = bed()
  content.isDone = true
  intake.invited(invitation())
  intake.expect(300)
  content.isDone = false
  intake.end()
  intake.invited(invitation())
  await settle()
  assert.equal(sessions.receivers.length, 0)
})
