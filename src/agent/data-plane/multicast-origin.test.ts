/** When an origin begins a session, whom it invites, and what it says of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeInvitation, type Invitation } from '../../core/multicast/invitation.ts'
import type { SenderStatus } from '../../core/multicast/session-machine-types.ts'
import { isWireError } from '../../core/wire/wire-error.ts'
import type { ReachedNode } from './data-plane.ts'
import { ManualClock } from '../manual-clock.ts'
import { FakeSessions, type FakeSender } from './testing/fake-sessions.ts'
import type { NextBlock } from './multicast-blocks.ts'
import { MulticastOrigin, type Candidate, type OriginFigures } from './multicast-origin.ts'

const MIB = 1024 * 1024

class Bed {
  readonly sessions: FakeSessions = new FakeSessions()
  readonly time: ManualClock = new ManualClock(0)
  readonly candidates: Map<string, Candidate> = new Map()
  readonly invitations: Map<string, Invitation> = new Map()
  readonly joined: string[] = []
  readonly blocks: NextBlock[] = []
  readonly figures: OriginFigures = {
    sessions: 0,
    sentBytes: 0,
    sourcePackets: 0,
    proactivePackets: 0,
    repairPackets: 0,
  }
  reached: ReachedNode[] = []
  covered: string[] = []
  sentBytes = 0
  /** Receivers without a connection. */
  readonly unconnected: Set<string> = new Set()
  readonly origin: MulticastOrigin

  constructor(totalBytes: number | undefined = 10 * MIB) {
    this.origin = new MulticastOrigin({
      settings: {
        isOn: true,
        isReceiving: true,
        minReceivers: 2,
        minBytes: MIB,
        mode: 'fair',
        rateBytesPerSec: 0,
        datagramBytes: 0,
        port: 7422,
        ttl: 1,
      },
      sessions: this.sessions,
      figures: this.figures,
      reached: () => this.reached,
      key: () => undefined,
      candidates: () => this.candidates.values(),
      totalBytes: () => totalBytes,
      blocks: () => ({
        joined: (name) => this.joined.push(name),
        left: (name) => this.joined.splice(this.joined.indexOf(name), 1),
        next: () => Promise.resolve(this.blocks.shift() ?? { payload: undefined, isEnd: false }),
      }),
      invite: (name, bytes) => {
        const invitation = decodeInvitation(bytes)
        assert.ok(!isWireError(invitation))
        if (this.unconnected.has(name)) return false
        this.invitations.set(name, invitation)
        return true
      },
      covered: (names) => (this.covered = [...names]),
      sent: (bytes) => (this.sentBytes += bytes),
      log: () => undefined,
      now: () => this.time.now(),
      after: (ms, what) => this.time.schedule(ms, what),
    })
  }

  /** These are reached, lack everything, and have said so. */
  arrive(...names: string[]): void {
    for (const name of names) {
      this.candidates.set(name, { id: name, haveBytes: 0, isComplete: false })
      this.reach(name)
    }
    this.look()
  }

  reach(name: string, what: Partial<ReachedNode> = {}): void {
    this.reached.push({ name, interface: 'eth0', family: 4, datagramBytes: 1472, ...what })
  }

  look(): void {
    this.origin.changed()
    this.time.advance(30)
  }

  /** The sockets of a session are there. */
  open(sender: FakeSender = this.sender): void {
    sender.say({ type: 'open', address: '10.0.0.1', controlPort: 4000, maxPayloadBytes: 1000 })
  }

  get sender(): FakeSender {
    return this.sessions.senders.at(-1)!
  }

  invited(): string[] {
    return [...this.invitations.keys()].toSorted()
  }
}

const statusOf = (what: Partial<SenderStatus> = {}): SenderStatus => ({ sourcePackets: 0, ...what }) as SenderStatus
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

void test('a session begins with the second receiver that is reached, and all of them are invited', () => {
  const bed = new Bed()
  bed.arrive('a')
  assert.equal(bed.sessions.senders.length, 0)
  bed.arrive('b')
  assert.equal(bed.sessions.senders.length, 1)
  bed.open()
  assert.deepEqual(bed.invited(), ['a', 'b'])
  assert.deepEqual(bed.sender.invitedNames, ['a', 'b'])
  const invitation = bed.invitations.get('a')!
  assert.equal(invitation.sender, '10.0.0.1')
  assert.equal(invitation.controlPort, 4000)
  assert.equal(invitation.group, bed.sender.settings.group)
})

void test('who comes later is invited to the session that runs', () => {
  const bed = new Bed()
  bed.arrive('a', 'b')
  bed.open()
  bed.arrive('c')
  assert.equal(bed.sessions.senders.length, 1)
  assert.deepEqual(bed.invited(), ['a', 'b', 'c'])
})

void test('neither who is not reached, nor who lacks little, nor who is complete is invited', () => {
  const bed = new Bed()
  bed.candidates.set('unreached', { id: 'unreached', haveBytes: 0, isComplete: false })
  bed.candidates.set('complete', { id: 'complete', haveBytes: 10 * MIB, isComplete: true })
  bed.reach('complete')
  bed.candidates.set('nearly', { id: 'nearly', haveBytes: 9.5 * MIB, isComplete: false })
  bed.reach('nearly')
  bed.reach('not here')
  bed.candidates.set('narrow', { id: 'narrow', haveBytes: 0, isComplete: false })
  bed.reach('narrow', { datagramBytes: 200 })
  bed.arrive('a', 'b')
  bed.open()
  assert.deepEqual(bed.invited(), ['a', 'b'])
})

void test('small contents are left to the swarm', () => {
  const bed = new Bed(MIB - 1)
  bed.arrive('a', 'b', 'c')
  assert.equal(bed.sessions.senders.length, 0)
})

void test('a content of unknown length may be large', () => {
  const bed = new Bed(undefined)
  bed.arrive('a', 'b')
  assert.equal(bed.sessions.senders.length, 1)
})

void test('datagrams are as long as gets through to all; to whom they are too long, the swarm brings it', () => {
  const bed = new Bed()
  bed.reach('jumbo', { datagramBytes: 8972 })
  bed.candidates.set('jumbo', { id: 'jumbo', haveBytes: 0, isComplete: false })
  bed.arrive('a')
  assert.equal(bed.sender.settings.parameters.datagramBytes, 1472)
  bed.open()
  bed.reach('tunnel', { datagramBytes: 1300 })
  bed.candidates.set('tunnel', { id: 'tunnel', haveBytes: 0, isComplete: false })
  bed.look()
  assert.deepEqual(bed.invited(), ['a', 'jumbo'])
})

void test('each interface and family has a session of its own, and a receiver is in one', () => {
  const bed = new Bed()
  for (const name of ['a', 'b', 'c']) bed.candidates.set(name, { id: name, haveBytes: 0, isComplete: false })
  for (const name of ['d', 'e']) bed.candidates.set(name, { id: name, haveBytes: 0, isComplete: false })
  for (const name of ['a', 'b', 'c']) bed.reach(name, { interface: 'eth0' })
  for (const name of ['a', 'd', 'e']) bed.reach(name, { interface: 'eth1', family: 6 })
  bed.look()
  assert.equal(bed.sessions.senders.length, 2)
  for (const sender of bed.sessions.senders) bed.open(sender)
  assert.deepEqual(bed.sessions.senders[0]!.invitedNames.toSorted(), ['a', 'b', 'c'])
  assert.deepEqual(bed.sessions.senders[1]!.invitedNames.toSorted(), ['d', 'e'])
  assert.equal(bed.sessions.senders[1]!.settings.interface, 'eth1')
})

void test('the session is given as many blocks as it wants, and its end', async () => {
  const bed = new Bed()
  bed.arrive('a', 'b')
  bed.open()
  bed.sender.say({ type: 'joined', name: 'a', app: new Uint8Array(0) })
  assert.deepEqual(bed.joined, ['a'])
  for (let i = 0; i < 3; i++) bed.blocks.push({ payload: Uint8Array.of(i), isEnd: false })
  bed.blocks.push({ payload: undefined, isEnd: true })
  bed.sender.say({ type: 'want-blocks', count: 2 })
  await settle()
  assert.deepEqual(bed.sender.blocks, [Uint8Array.of(0), Uint8Array.of(1)])
  bed.sender.say({ type: 'want-blocks', count: 5 })
  await settle()
  assert.equal(bed.sender.blocks.length, 3)
  assert.ok(bed.sender.hasEnded)
})

void test('a slow source is gone on with when there is more, and the little that it gave does not wait for long', async () => {
  const bed = new Bed()
  bed.arrive('a', 'b')
  bed.open()
  bed.blocks.push({ payload: undefined, isEnd: false, retryMs: 8 })
  bed.sender.say({ type: 'want-blocks', count: 9 })
  await settle()
  bed.blocks.push({ payload: Uint8Array.of(1), isEnd: false })
  bed.time.advance(8)
  await settle()
  assert.equal(bed.sender.blocks.length, 1)
  bed.blocks.push({ payload: Uint8Array.of(2), isEnd: false })
  bed.origin.grew()
  await settle()
  assert.equal(bed.sender.blocks.length, 2)
})

void test('who dropped out is left to the swarm for a while, each time for longer', () => {
  const bed = new Bed()
  bed.arrive('a', 'b', 'c')
  bed.open()
  const drop = (): void => {
    bed.sender.say({ type: 'gone', name: 'c', reason: 'silent' })
    bed.invitations.clear()
  }
  drop()
  bed.look()
  assert.deepEqual(bed.invited(), [])
  bed.time.advance(2100)
  assert.deepEqual(bed.invited(), ['c'])
  drop()
  bed.time.advance(2100)
  assert.deepEqual(bed.invited(), [])
  bed.time.advance(2100)
  assert.deepEqual(bed.invited(), ['c'])
})

void test('who came too late for the session of a lossy network gets one of its own; elsewhere it has the swarm', () => {
  for (const repairPackets of [3, 30]) {
    const bed = new Bed()
    bed.arrive('a', 'b')
    bed.open()
    const status = statusOf({ sourcePackets: 200, proactivePackets: 0, repairPackets })
    bed.sender.say({ type: 'finished', reason: 'complete', status, sentBytes: 1 })
    for (const name of ['a', 'b']) bed.candidates.set(name, { id: name, haveBytes: 0, isComplete: true })
    bed.arrive('c')
    assert.equal(bed.sessions.senders.length, repairPackets === 30 ? 2 : 1)
  }
})

void test('what was sent counts, and the peers that hear it are told to the tracker as long as it lasts', () => {
  const bed = new Bed()
  bed.arrive('a', 'b')
  bed.open()
  bed.sender.say({ type: 'reached', name: 'a' })
  assert.deepEqual(bed.covered, ['a'])
  bed.sender.say({ type: 'sent', status: statusOf({ sourcePackets: 7 }), sentBytes: 1000 })
  bed.sender.say({ type: 'sent', status: statusOf({ sourcePackets: 9 }), sentBytes: 1500 })
  assert.equal(bed.sentBytes, 1500)
  bed.sender.say({ type: 'gone', name: 'a', reason: 'complete' })
  bed.sender.say({ type: 'finished', reason: 'complete', status: statusOf({ sourcePackets: 9 }), sentBytes: 1600 })
  assert.equal(bed.sentBytes, 1600)
  // The tracker hears of thousands who end together once.
  assert.deepEqual(bed.covered, ['a'])
  bed.time.advance(30)
  assert.deepEqual(bed.covered, [])
  assert.equal(bed.figures.sentBytes, 1600)
  assert.equal(bed.figures.sourcePackets, 9)
  assert.ok(!bed.origin.isActive)
  // Both will have said in a moment that they have everything.
  bed.look()
  assert.equal(bed.sessions.senders.length, 1)
})

void test('one that says that it hears nothing counts as not reached, whatever the session still thinks', () => {
  const bed = new Bed()
  bed.arrive('a', 'b')
  bed.open()
  for (const name of ['a', 'b']) bed.sender.say({ type: 'reached', name })
  bed.origin.declined('b')
  assert.deepEqual(bed.covered, ['a'])
})

void test('a session that cannot be opened is tried again later, not at once', () => {
  const bed = new Bed()
  bed.arrive('a', 'b')
  bed.sender.listener.failed({ message: 'no route', code: 'multicast-no-route' } as never)
  bed.look()
  assert.equal(bed.sessions.senders.length, 1)
  bed.time.advance(2100)
  assert.equal(bed.sessions.senders.length, 2)
})

void test('a receiver whose connection is gone is not waited for', () => {
  const bed = new Bed()
  bed.unconnected.add('b')
  bed.arrive('a', 'b', 'c')
  bed.open()
  assert.deepEqual(bed.sender.invitedNames, ['a', 'c'])
})

void test('the end stops all sessions', () => {
  const bed = new Bed()
  bed.arrive('a', 'b')
  bed.open()
  bed.origin.end()
  assert.ok(bed.sender.isStopped)
  bed.arrive('c', 'd')
  assert.equal(bed.sessions.senders.length, 1)
})

test('a session keeps away from the groups of those that run', () => {
  const bed = new Bed()
  let asked = 0
  bed.sessions.groups = () => {
    asked++
    return []
  }
  bed.arrive('n1', 'n2')
  assert.deepEqual([asked, bed.sessions.senders.length], [1, 1])
})
