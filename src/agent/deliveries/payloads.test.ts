/** Bytes that go from node to node as contents: from who shared them, from others once that one is gone, and what is left behind. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { Bed, failsWith, KIB } from './test-bed.ts'
import { pass, passUntil, until } from './test-time.ts'

const never = new AbortController().signal

test('a payload is fetched from who shared it, once, and leaves no file of its own behind', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2'])
  const payload = randomBytes(10 * KIB)
  const reference = await bed.of('n1').payloads.share(payload)
  assert.deepEqual([reference.node, reference.bytes], ['n1', payload.length])
  assert.deepEqual(await readdir(join(bed.directory, 'n1', 'payloads')), [])
  assert.deepEqual(Buffer.from(await bed.of('n2').payloads.fetch(reference, never)), payload)
  assert.deepEqual(Buffer.from(await bed.of('n2').payloads.fetch(reference, never)), payload)
  assert.deepEqual(Buffer.from(await bed.of('n1').payloads.fetch(reference, never)), payload, 'its own')
  const [content] = await bed.node('n2').contents()
  assert.deepEqual([content?.id, content?.pinned], [reference.contentId, false])
})

test('once who shared it is gone, it comes from another one that has it', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2', 'n3', 'n4'])
  const payload = randomBytes(10 * KIB)
  const reference = await bed.of('n1').payloads.share(payload)
  await bed.of('n2').payloads.fetch(reference, never)
  // n3 has begun when it happens; n4 hears of the payload only later.
  let isHeld = true
  bed.cluster.pieceGate = async (node) => {
    while (isHeld && node === 'n3') await new Promise((resolve) => setImmediate(resolve))
  }
  const fetching = bed.of('n3').payloads.fetch(reference, never)
  await until(() => bed.node('n3').transfers.size === 1)
  bed.crash('n1')
  bed.cluster.setStatus('n1', 'dead')
  isHeld = false
  assert.deepEqual(Buffer.from(await fetching), payload)
  assert.deepEqual(Buffer.from(await bed.of('n4').payloads.fetch(reference, never)), payload)
})

test('what nobody has, and what is other than was said, is an error', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2'])
  const reference = await bed.of('n1').payloads.share(randomBytes(10 * KIB))
  const fetch = bed.of('n2').payloads.fetch({ ...reference, bytes: 9 * KIB }, never)
  await assert.rejects(fetch, failsWith('content-damaged'))
  const unknown = bed.of('n2').payloads.fetch({ ...reference, contentId: 'f'.repeat(64), node: 'n2' }, never)
  await assert.rejects(unknown, failsWith('content-not-found'))
  await assert.rejects(bed.of('n2').payloads.fetch(reference, AbortSignal.abort()), failsWith('cancelled'))
})

test('who shared it is told, again where the first word got lost', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2'])
  const receipts: unknown[] = []
  bed.of('n1').payloads.onReceipt((from, receipt) => receipts.push([from, receipt]))
  const cut = `${bed.node('n1').address} ${bed.node('n2').address}`
  bed.cluster.cuts.add(cut)
  const told = bed.of('n2').payloads.acknowledge('n1', { report: '1', isHere: true })
  await pass(bed.clock, 100)
  assert.deepEqual(receipts, [])
  bed.cluster.cuts.delete(cut)
  await passUntil(bed.clock, () => receipts.length === 1)
  await told
  assert.deepEqual(receipts, [['n2', { report: '1', isHere: true }]])
  // To who is gone nothing is told, and nobody waits.
  bed.crash('n1')
  bed.cluster.setStatus('n1', 'dead')
  await bed.of('n2').payloads.acknowledge('n1', { report: '2', isHere: true })
})

test('what a crash left in the directory is removed at the start', async (t) => {
  const bed = await Bed.open(t, [])
  const directory = join(bed.directory, 'n1', 'payloads')
  await mkdir(directory, { recursive: true })
  await writeFile(join(directory, 'left'), 'x')
  await bed.start('n1')
  await assert.rejects(readdir(directory), { code: 'ENOENT' })
})
