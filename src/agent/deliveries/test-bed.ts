/** A cluster of delivery services for the tests of this folder, on the fake data plane of fake-cluster.ts and a clock moved by hand. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../clock.ts'
import { isPolycastError } from '../errors.ts'
import { ManualClock } from '../manual-clock.ts'
import type { ServiceLog } from './calls.ts'
import { Deliveries } from './deliveries.ts'
import type { SendOrder } from './deliveries.ts'
import type { DeliveryInfo, Receipt } from './delivery-info.ts'
import { FakeCluster } from './fake-cluster.ts'
import type { FakeNode } from './fake-node.ts'

export const KIB = 1024
/** A URL that a test may give a source to. */
export const URL_A = 'http://127.0.0.1:9/files/a.bin'

/** A cluster with a delivery service on each node, cleaned up at the end of the test. */
export class Bed {
  readonly cluster: FakeCluster
  readonly clock: ManualClock = new ManualClock(1_700_000_000_000)
  readonly services: Map<string, Deliveries> = new Map()
  readonly nodes: Map<string, FakeNode> = new Map()
  readonly logged: string[] = []
  readonly directory: string
  /** Whom multicast reaches from every node. */
  readonly reached: Set<string> = new Set()
  readonly #crashed: Deliveries[] = []

  constructor(directory: string) {
    this.directory = directory
    this.cluster = new FakeCluster(directory)
  }

  static async open(t: { after: (clean: () => Promise<void>) => void }, names: string[]): Promise<Bed> {
    const bed = new Bed(await mkdtemp(join(tmpdir(), 'polycast-deliveries-')))
    t.after(async () => {
      bed.cluster.end()
      for (const service of [...bed.services.values(), ...bed.#crashed]) await service.close()
      await rm(bed.directory, { recursive: true, force: true })
    })
    for (const name of names) await bed.start(name, name.startsWith('seed') ? { role: 'seed' } : { role: 'web' })
    return bed
  }

  async start(name: string, tags: Record<string, string> = {}): Promise<Deliveries> {
    const node = await this.cluster.start(name, tags)
    const keep = (fields: object, message: string): void => {
      this.logged.push(`${name}: ${message} ${JSON.stringify(fields)}`)
    }
    const log: ServiceLog = { debug: keep, info: keep, warn: keep, error: keep }
    const clock: Clock = {
      now: () => this.clock.now(),
      schedule: (delayMs, callback) =>
        this.clock.schedule(delayMs, () => {
          if (node.isAlive) callback()
        }),
    }
    const service = await Deliveries.open({
      dataDirectory: node.disk.directory,
      dataPlane: node,
      membership: node.membership,
      log,
      clock,
      multicast: { minReceivers: 2, isReached: (member) => this.reached.has(member), wanted: () => undefined },
    })
    this.services.set(name, service)
    this.nodes.set(name, node)
    await service.start()
    this.cluster.announce(node)
    return service
  }

  /** kill -9; what it had written stays. */
  crash(name: string): void {
    this.cluster.crash(this.node(name))
    this.#crashed.push(this.of(name))
    this.services.delete(name)
  }

  of(name: string): Deliveries {
    const service = this.services.get(name)
    assert.ok(service, `no service ${name}`)
    return service
  }

  node(name: string): FakeNode {
    const node = this.nodes.get(name)
    assert.ok(node, `no node ${name}`)
    return node
  }

  async file(name: string, bytes: Buffer): Promise<string> {
    const path = join(this.directory, name)
    await writeFile(path, bytes)
    return path
  }

  /** Orders a delivery and waits for its end. */
  async send(from: string, order: SendOrder): Promise<DeliveryInfo> {
    const delivery = await this.of(from).send(order)
    await delivery.ended
    return delivery.info()
  }

  delivered(name: string, dest: string): Promise<Buffer> {
    return readFile(join(this.directory, name, 'files', dest))
  }
}

/** The receipt of a member, which must be there. */
export function receiptOf(info: DeliveryInfo, member: string): Receipt {
  const receipt = info.members.find(({ name }) => name === member)?.receipt
  assert.ok(receipt, `no receipt of ${member}`)
  return receipt
}

/** Rejects as `fail(code)` does. */
export function failsWith(code: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isPolycastError(error), String(error))
    assert.equal(error.code, code)
    return true
  }
}
