/** A delivery from one agent to all others, while it runs and as it ended. */
import assert from 'node:assert/strict'
import type { Receipt } from '#src/agent/deliveries/delivery-info.js'
import { eventsOf, hashOf, receiptOf, sampleBytes, sha256, type Agent, type CliResult, type Cluster } from '../cluster.ts'

export class Sending {
  readonly dest: string
  readonly bytes: Buffer
  readonly result: Promise<CliResult>

  private constructor(dest: string, bytes: Buffer, result: Promise<CliResult>) {
    this.dest = dest
    this.bytes = bytes
    this.result = result
  }

  /** Sends these bytes, or so many that nobody has yet. */
  static async begin(cluster: Cluster, sender: Agent, dest: string, what: Buffer | number): Promise<Sending> {
    const bytes = typeof what === 'number' ? sampleBytes(`${cluster.directory}${dest}`, what) : what
    const { result } = sender.startCli('send', await cluster.file(dest, bytes), '--to', 'all', '--dest', dest, '--json')
    return new Sending(dest, bytes, result)
  }

  /** The receipts of receivers by their names, once all have it; fails where one doesn't, or has something else. */
  async receipts(receivers: readonly Agent[]): Promise<Map<string, Receipt>> {
    const result = await this.result
    const last = eventsOf(result).at(-1)
    assert.ok(last?.event === 'done', `${result.stdout.trim().split('\n').at(-1)} ${result.stderr}`)
    const receipts = new Map<string, Receipt>()
    for (const receiver of receivers) {
      const receipt = receiptOf(last.delivery, receiver.name)
      assert.equal(receipt.status, 'done', receiver.name)
      assert.equal(await hashOf(receiver.received(this.dest)), sha256(this.bytes), receiver.name)
      receipts.set(receiver.name, receipt)
    }
    return receipts
  }

  /** What came to each receiver by multicast, once all have it; fails as `receipts` does. */
  async delivered(receivers: readonly Agent[]): Promise<number[]> {
    const receipts = await this.receipts(receivers)
    return receivers.map(({ name }) => receipts.get(name)!.multicastBytes ?? 0)
  }
}
