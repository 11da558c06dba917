import assert from 'node:assert/strict'
import test from 'node:test'
import { SupplyLine } from './supply-line.ts'
import type { Supply } from './supply.ts'

type Listener = (progress: { sentBytes: number; peers: [] }) => void

function open(): { line: SupplyLine; use: (swarmId: string) => Listener } {
  const watched: { swarmId: string; listener: Listener; isOn: boolean }[] = []
  const dataPlane = {
    watchSwarm(swarmId: string, listener: Listener) {
      const watch = { swarmId, listener, isOn: true }
      watched.push(watch)
      return () => void (watch.isOn = false)
    },
  }
  const parts = { dataPlane } as unknown as ConstructorParameters<typeof SupplyLine>[0]
  const delivery = { signal: new AbortController().signal, progress: () => undefined } as unknown as ConstructorParameters<
    typeof SupplyLine
  >[1]
  const line = new SupplyLine(parts, delivery)
  return {
    line,
    use(swarmId) {
      line.use({ ticket: { swarmId, trackers: [], name: 'f' }, isTracker: true, sealed: new Promise(() => undefined) } as unknown as Supply)
      assert.deepEqual(
        watched.filter(({ isOn }) => isOn).map((watch) => watch.swarmId),
        [swarmId],
        'one swarm is watched at a time',
      )
      return watched.at(-1)!.listener
    },
  }
}

test('what was sent is counted once, whoever renews the supply, and however often the session begins anew', () => {
  const { line, use } = open()
  const first = use('aa')
  first({ sentBytes: 400, peers: [] })
  first({ sentBytes: 1000, peers: [] })
  assert.equal(line.sentBytes, 1000)
  const renewed = use('aa')
  assert.equal(line.sentBytes, 1000)
  renewed({ sentBytes: 1000, peers: [] })
  assert.equal(line.sentBytes, 1000, 'the session is the one that was there before')
  renewed({ sentBytes: 100, peers: [] })
  assert.equal(line.sentBytes, 1100, 'it has begun anew')
  const other = use('bb')
  other({ sentBytes: 50, peers: [] })
  assert.equal(line.sentBytes, 1150, 'the content is another one')
  other({ sentBytes: 70, peers: [] })
  assert.equal(line.sentBytes, 1170)
})
