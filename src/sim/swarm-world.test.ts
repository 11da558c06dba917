import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RIGHT_BYTES, WRONG_BYTES } from './bytes-only-content.ts'
import { SwarmWorld, type SwarmWorldOptions } from './swarm-world.ts'

const RATE = 12_500_000
const LINK = { upBytesPerSec: RATE, downBytesPerSec: RATE }
const MIB = 1024 * 1024

function world(options: Partial<SwarmWorldOptions> = {}): SwarmWorld {
  return new SwarmWorld({
    seed: 1,
    latencyMs: 0.2,
    contentBytes: 4 * MIB,
    chunkBytes: 16 * 1024,
    origin: LINK,
    peers: Array.from({ length: 12 }, () => LINK),
    ...options,
  })
}

test('a swarm runs to its end, and runs the same way from the same seed', () => {
  const traceOf = (seed: number): number => {
    const swarm = world({ seed })
    swarm.run(5000)
    assert.deepEqual(swarm.checks.violations, [])
    assert.equal(swarm.times().length, 12)
    return swarm.network.traceHash
  }
  assert.equal(traceOf(1), traceOf(1))
  assert.notEqual(traceOf(1), traceOf(2))
})

test('who does not get what others hold is named, with what it lacks', () => {
  const swarm = world()
  swarm.run(50)
  assert.match(swarm.checks.violations.join('\n'), /at 50 ms: n12 never got \d+ of 256 chunks: \d+, .*…, which others hold/)
})

test('peers that cannot get everything get all there is, and are still', () => {
  const swarm = world({ contentBytes: 32 * MIB })
  swarm.network.at(1000, () => swarm.crash(0))
  swarm.run(20_000)
  assert.deepEqual(swarm.checks.violations, [])
  assert.equal(swarm.times().length, 0)
  const counts = new Set(swarm.hosts.slice(1).map((host) => host.disk.count))
  assert.equal(counts.size, 1)
  assert.ok(Math.max(...counts) > 256)
})

test('a peer that starts again goes on with what it had', () => {
  const swarm = world({ contentBytes: 16 * MIB })
  let held = 0
  swarm.network.at(800, () => {
    held = swarm.hosts[3]!.disk.count
    swarm.outage(3, true, 700)
  })
  swarm.network.at(1500, () => assert.ok(swarm.hosts[3]!.peer.have.count >= held))
  swarm.run(10_000)
  assert.ok(held > 0)
  assert.deepEqual(swarm.checks.violations, [])
  assert.ok(swarm.hosts[3]!.doneAt < Infinity)
})

test('receivers of a growing content have it soon after its source has ended', () => {
  const swarm = world({ sourceBytesPerSec: RATE / 4 })
  const sourceMs = ((4 * MIB) / (RATE / 4)) * 1000
  swarm.run(2 * sourceMs)
  assert.deepEqual(swarm.checks.violations, [])
  const last = Math.max(...swarm.hosts.map(({ doneAt }) => doneAt))
  assert.ok(last >= sourceMs && last < 1.2 * sourceMs, `the last one had it at ${last} of ${sourceMs} ms`)
})

test('what a machine must not do is noticed', () => {
  const swarm = world()
  const host = swarm.hosts[1]!
  const noticed = (step: () => void): string => {
    const before = swarm.checks.violations.length
    step()
    return swarm.checks.violations.slice(before).join('\n')
  }
  const write = (firstChunk: number, payload: Uint8Array) => ({ type: 'write' as const, from: 'n0', firstChunk, count: 2, payload })
  assert.equal(
    noticed(() => swarm.checks.wrote(host, write(4, RIGHT_BYTES))),
    '',
  )
  assert.match(
    noticed(() => swarm.checks.wrote(host, write(4, WRONG_BYTES.subarray(0)))),
    /n1 wrote chunk 4, which fails its hash/,
  )
  assert.match(
    noticed(() => swarm.checks.wrote(host, write(255, RIGHT_BYTES))),
    /n1 wrote chunk 256 of 256/,
  )
  assert.match(
    noticed(() => swarm.checks.completed(host)),
    /n1 is complete and lacks 256 of 256 chunks/,
  )
  assert.match(
    noticed(() => swarm.checks.uploaded(host, 2, { firstChunk: 9, count: 1 })),
    /n1 sent chunks from 9 on, which it lacks/,
  )
  host.disk.set(5)
  assert.match(
    noticed(() => swarm.checks.wrote(host, write(4, RIGHT_BYTES))),
    /n1 wrote chunk 5 twice/,
  )
  host.joinedAt = 0
  assert.match(
    noticed(() => swarm.checks.sample()),
    /n1 counts 0 chunks and has 1/,
  )
  swarm.network.lostBytes++
  assert.match(
    noticed(() => swarm.checks.sample()),
    /bytes sent/,
  )
})
