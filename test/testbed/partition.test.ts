/** A network that falls apart in the middle of a delivery and comes together again. */
import { test } from 'node:test'
import { Cluster, MIB, until } from '../cluster.ts'
import { agentsOn } from './host-agents.ts'
import { Lan } from './lan.ts'
import { Sending } from './sending.ts'

const PARTITION_MS = 10_000

test('half of the nodes cut off for ten seconds get the file all the same', async (t) => {
  const lan = Lan.up({ prefix: 'partition', hosts: 7, rate: '20mbit' })
  t.after(() => lan.down())
  const cluster = await Cluster.open(t)
  const [sender, ...receivers] = await agentsOn(cluster, lan, [0, 1, 2, 3, 4, 5, 6])
  const sending = await Sending.begin(cluster, sender!, 'app.bin', 32 * MIB)
  await until('a part is on its way', async () => ((await receivers.at(-1)!.contents())[0]?.haveBytes ?? 0) > MIB)
  lan.testbed('partition', 'h0,h1,h2,h3', 'h4,h5,h6')
  await new Promise((resolve) => setTimeout(resolve, PARTITION_MS))
  lan.testbed('heal')
  await sending.receipts(receivers)
})
