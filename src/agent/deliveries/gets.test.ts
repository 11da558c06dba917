import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { fail } from '../errors.ts'
import { idOf } from './fake-content.ts'
import { Bed, failsWith, KIB, URL_A } from './test-bed.ts'
import { passUntil, until } from './test-time.ts'

test('a get of a URL by many nodes at once is one fetch from the source', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'seed2', 'seed3', 'n1', 'n2', 'n3', 'n4'])
  const source = bed.cluster.source(URL_A, randomBytes(10 * KIB))
  const results = await Promise.all([...bed.services.values()].map((service) => service.get({ source: URL_A }).done))
  assert.equal(source.fetches, 1)
  for (const result of results) assert.equal(result.contentId, idOf(source.bytes))
  assert.deepEqual(results.map((result) => result.from).toSorted(), [
    'cluster',
    'cluster',
    'cluster',
    'cluster',
    'cluster',
    'cluster',
    'source',
  ])
})

test('a get of what is here already makes no call', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'n1', 'n2'])
  const source = bed.cluster.source(URL_A, randomBytes(3 * KIB))
  const first = await bed.of('n1').get({ source: URL_A }).done
  bed.cluster.calls.length = 0
  const output = join(bed.directory, 'out.bin')
  for (const name of [URL_A, first.contentId, first.contentId.slice(0, 12)]) {
    const result = await bed.of('n1').get({ source: name, output }).done
    assert.equal(result.from, 'store')
    assert.equal(result.path, output)
  }
  assert.deepEqual(bed.cluster.calls, [])
  assert.deepEqual(await readFile(output), source.bytes)
  assert.equal(source.fetches, 1)
})

test('a get by id finds who holds it; nobody is an error', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2', 'n3'])
  bed.cluster.source(URL_A, randomBytes(KIB))
  const { contentId } = await bed.of('n3').get({ source: URL_A }).done
  const result = await bed.of('n1').get({ source: contentId.slice(0, 16) }).done
  assert.equal(result.contentId, contentId)
  assert.equal(result.from, 'cluster')
  await assert.rejects(bed.of('n1').get({ source: 'f'.repeat(64) }).done, failsWith('content-not-found'))
})

test('the owner of a URL that cannot be reached is passed over', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'seed2', 'seed3', 'n1'])
  const source = bed.cluster.source(URL_A, randomBytes(KIB))
  for (const name of ['seed1', 'seed2', 'seed3']) bed.cluster.cuts.add(`${bed.node('n1').address} ${bed.node(name).address}`)
  const result = await bed.of('n1').get({ source: URL_A }).done
  assert.equal(result.from, 'source')
  assert.equal(source.fetches, 1)
})

test('an owner that dies during the transfer is replaced by the next', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'seed2', 'n1'])
  const source = bed.cluster.source(URL_A, randomBytes(10 * KIB), new Promise(() => undefined))
  const get = bed.of('n1').get({ source: URL_A })
  await until(() => get.info().haveBytes === 4 * KIB)
  const owner = bed.cluster.calls[0]?.slice('n1>'.length).split(' ')[0] ?? ''
  bed.cluster.source(URL_A, source.bytes)
  bed.crash(owner)
  bed.cluster.setStatus(owner, 'dead')
  await passUntil(bed.clock, () => get.info().state !== 'running')
  const result = await get.done
  assert.equal(result.contentId, idOf(source.bytes))
  assert.equal(result.from, 'cluster')
  assert.equal(result.reusedBytes, 4 * KIB)
})

test('headers reach the fetching seed and nothing else', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'n1', 'n2'])
  const source = bed.cluster.source(URL_A, randomBytes(KIB))
  await bed.of('n1').get({ source: URL_A.replace('//', '//ann:s3cret-word@'), headers: { 'X-Token': 'another-s3cret' } }).done
  assert.deepEqual(source.headers, {
    'x-token': 'another-s3cret',
    authorization: `Basic ${Buffer.from('ann:s3cret-word').toString('base64')}`,
  })
  await bed.of('n2').get({ source: URL_A }).done
  assert.equal(source.fetches, 2, 'who has no credentials does not get what they opened')
  const written = await Promise.all(['seed1', 'n1', 'n2'].map((name) => readFile(join(bed.directory, name, 'catalog'), 'utf8')))
  for (const text of [...bed.logged, ...written]) assert.doesNotMatch(text, /s3cret|YW5uOnMzY3JldC13b3Jk/)
})

test('the digest of the bytes is checked; a new version at the source is fetched for it', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'n1', 'n2'])
  const sha = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  const source = bed.cluster.source(URL_A, randomBytes(2 * KIB))
  const old = source.bytes
  await bed.of('n1').get({ source: URL_A, digest: sha(old) }).done
  source.bytes = randomBytes(2 * KIB)
  const result = await bed.of('n1').get({ source: URL_A, digest: sha(source.bytes).toUpperCase().replace('SHA256', 'sha256') }).done
  assert.equal(result.contentId, idOf(source.bytes))
  assert.equal(source.fetches, 2)
  const output = join(bed.directory, 'never')
  await assert.rejects(bed.of('n2').get({ source: URL_A, digest: sha(Buffer.from('x')), output }).done, failsWith('digest-mismatch'))
  await assert.rejects(readFile(output))
  assert.equal((await bed.of('n1').get({ source: 'http://other/', digest: sha(old) }).done).from, 'store', 'found by its digest alone')
  assert.throws(() => bed.of('n1').get({ source: URL_A, digest: 'md5:00' }), failsWith('usage'))
})

test('fresh asks the source again', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'n1'])
  const source = bed.cluster.source(URL_A, randomBytes(KIB))
  await bed.of('n1').get({ source: URL_A }).done
  source.bytes = randomBytes(KIB)
  assert.notEqual((await bed.of('n1').get({ source: URL_A }).done).contentId, idOf(source.bytes))
  assert.equal((await bed.of('n1').get({ source: URL_A, fresh: true }).done).contentId, idOf(source.bytes))
  assert.equal((await bed.of('n1').get({ source: URL_A }).done).contentId, idOf(source.bytes))
})

test('a source that fails at the owner is the error of the get', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'n1'])
  await assert.rejects(bed.of('n1').get({ source: URL_A }).done, failsWith('source-not-found'))
  let failIt = (_error: Error): void => undefined
  bed.cluster.source(
    URL_A,
    randomBytes(8 * KIB),
    new Promise((_resolve, reject) => {
      failIt = reject
    }),
  )
  const get = bed.of('n1').get({ source: URL_A })
  await until(() => bed.cluster.calls.some((call) => call.endsWith('content.sealed')))
  failIt(fail('source-changed', { url: URL_A, reason: 'its ETag changed' }))
  await assert.rejects(get.done, failsWith('source-changed'))
})

test('a get that is cancelled lets the transfer go; others that want the same keep it', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'n1'])
  let release = (): void => undefined
  bed.cluster.source(
    URL_A,
    randomBytes(8 * KIB),
    new Promise((resolve) => {
      release = resolve
    }),
  )
  const [first, second] = [bed.of('n1').get({ source: URL_A }), bed.of('n1').get({ source: URL_A })]
  await until(() => first.info().haveBytes > 0 && second.info().haveBytes > 0)
  first.cancel('the test')
  await assert.rejects(first.done, failsWith('cancelled'))
  assert.equal(first.info().state, 'cancelled')
  assert.equal(bed.node('n1').transfers.size, 1)
  release()
  assert.equal((await second.done).totalBytes, 8 * KIB)
})

test('another node cannot have a seed read its files', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'n1'])
  const call = bed.node('n1').call(bed.node('seed1').address, 'content.open', { url: 'file:///etc/hostname' }, { timeoutMs: 1000 })
  await assert.rejects(call, failsWith('source-unsupported'))
})
