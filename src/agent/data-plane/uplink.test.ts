/** The bound on what all links of a node have under way, with links that are simulated here. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { Uplink, type UplinkUser } from './uplink.ts'

const FRAME_BYTES = 16 * 1024

/** A clock, an uplink that carries so many bytes per ms, and links that always have something to send. */
class World {
  now = 1000
  rate: number
  readonly uplink: Uplink<Sender>
  readonly senders: Sender[]
  /** What is on the wire, in order. */
  readonly queue: { readonly sender: Sender; readonly bytes: number }[] = []
  mostUnderWay = 0
  #credit = 0

  constructor(rate: number, count: number) {
    this.rate = rate
    this.uplink = new Uplink(
      (sender) => sender.pump(),
      () => this.now,
    )
    this.senders = Array.from({ length: count }, () => new Sender(this))
  }

  /** Lets all links send, and time pass, ms. */
  start(ms: number): void {
    for (const sender of this.senders) sender.pump()
    this.run(ms)
    this.mostUnderWay = 0
  }

  run(ms: number): void {
    for (const end = this.now + ms; this.now < end;) {
      this.now += 10
      this.#credit = this.queue.length === 0 ? 0 : this.#credit + this.rate * 10
      while (this.queue.length > 0 && this.#credit >= this.queue[0]!.bytes) {
        const { sender, bytes } = this.queue.shift()!
        this.#credit -= bytes
        sender.arrived(bytes)
      }
      if (this.now % 1000 === 0) this.uplink.release()
      this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay())
    }
  }

  underWay(): number {
    return this.senders.reduce((sum, { underWayBytes }) => sum + underWayBytes, 0)
  }
}

class Sender implements UplinkUser {
  underWayBytes = 0
  movedAt = 0
  ackedBytes = 0
  windowBytes = 128 * 1024
  leftBytes = Infinity
  /** Takes what comes and acknowledges none of it. */
  isStuck = false
  readonly #world: World

  constructor(world: World) {
    this.#world = world
  }

  pump(): void {
    const { uplink, queue } = this.#world
    while (this.leftBytes > 0 && this.underWayBytes < this.windowBytes && uplink.admits(this)) {
      if (this.underWayBytes === 0) this.movedAt = this.#world.now
      this.leftBytes -= FRAME_BYTES
      this.underWayBytes += FRAME_BYTES
      uplink.add(this, FRAME_BYTES)
      queue.push({ sender: this, bytes: FRAME_BYTES })
    }
  }

  arrived(bytes: number): void {
    if (this.isStuck) return
    this.underWayBytes -= bytes
    this.ackedBytes += bytes
    this.movedAt = this.#world.now
    this.#world.uplink.acknowledged(this, bytes)
    this.pump()
  }
}

test('thirty links over a slow uplink have no more under way than it carries in seconds, never run dry, and share it', () => {
  const world = new World(20, 30)
  world.start(60_000)
  const before = world.senders.map(({ ackedBytes }) => ackedBytes)
  world.run(300_000)
  const carried = world.senders.map(({ ackedBytes }, index) => ackedBytes - before[index]!)
  assert.ok(world.mostUnderWay <= 6 * 1000 * 20, `${world.mostUnderWay} bytes were under way`)
  const all = carried.reduce((sum, bytes) => sum + bytes, 0)
  assert.ok(all > 0.99 * 300_000 * 20, `${all} bytes were carried`)
  assert.ok(Math.min(...carried) > 0.5 * Math.max(...carried), `${Math.min(...carried)} to ${Math.max(...carried)} bytes per link`)
})

test('over a quick uplink the windows of the links are what holds them', () => {
  const world = new World(20_000, 30)
  world.start(1000)
  world.run(2000)
  assert.equal(world.mostUnderWay, 30 * 128 * 1024)
})

test('links that acknowledge nothing hold up the others for no more than ten seconds', () => {
  const world = new World(20, 4)
  for (const stuck of world.senders.slice(0, 3)) stuck.isStuck = true
  world.start(40_000)
  const before = world.senders[3]!.ackedBytes
  world.run(60_000)
  assert.ok(world.senders[3]!.ackedBytes - before > 0.9 * 60_000 * 20, `${world.senders[3]!.ackedBytes - before} bytes`)
})

test('an uplink that becomes quicker or slower is followed', () => {
  const world = new World(20, 30)
  world.start(60_000)
  world.rate = 2000
  world.run(20_000)
  assert.ok(world.uplink.limitBytes > 1000 * 2000, `${world.uplink.limitBytes} after it became quicker`)
  world.rate = 20
  world.run(300_000)
  assert.ok(world.uplink.limitBytes < 6 * 1000 * 20, `${world.uplink.limitBytes} after it became slower`)
})

test('what a link had under way when it ended makes room for others, and its turn does not come', () => {
  const world = new World(0, 2)
  const [first, second] = world.senders
  first!.windowBytes = Infinity
  first!.pump()
  second!.pump()
  assert.equal(second!.underWayBytes, 0)
  const lost = first!.underWayBytes
  first!.leftBytes = 0
  first!.underWayBytes = 0
  world.uplink.add(first!, -lost)
  world.uplink.forget(first!)
  assert.equal(first!.underWayBytes, 0)
  assert.equal(second!.underWayBytes, 128 * 1024)
})
