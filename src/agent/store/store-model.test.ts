import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { Random } from '../../core/lib/random.ts'
import { isPolycastError } from '../errors.ts'
import { copyDataDirectory, fastDirectory, hash, makeSample, partsOf, randomBytes, verifySignature, type Sample } from './store-fixture.ts'
import { openStore, type Store, type StoredContent, type StoreEvent } from './store.ts'

const SEEDS = 20
const STEPS = 200
const QUOTA_BYTES = 40_000

/** What the store must say of a content, whatever happened. */
interface Expected {
  readonly sample: Sample
  /** Chunks whose write was acknowledged. */
  readonly written: Set<number>
  isFinished: boolean
  isPinned: boolean
}

/** A store under random orders, and what is expected of it. */
class Run {
  readonly #context: TestContext
  readonly #random: Random
  readonly #samples: Sample[]
  readonly #expected: Map<string, Expected> = new Map()
  #directory: string
  #store: Store | undefined
  #now = 0

  constructor(context: TestContext, seed: string) {
    this.#context = context
    this.#random = new Random(seed)
    this.#directory = fastDirectory(context)
    const shared = randomBytes(seed, 6000)
    this.#samples = Array.from({ length: 8 }, (_, i) => {
      const own = randomBytes(`${seed} ${i}`, 500 + this.#random.below(9000))
      return makeSample(Buffer.concat([shared.subarray(0, this.#random.below(6000)), own]), 512)
    })
  }

  async run(): Promise<void> {
    await this.#open()
    for (let step = 0; step < STEPS; step++) {
      await this.#step()
      this.#check()
    }
    await this.#readAll()
    await this.#store?.close()
  }

  async #open(): Promise<void> {
    const onEvent = (event: StoreEvent): void => {
      assert.ok(event.type === 'evicted' || event.type === 'recovered', JSON.stringify(event))
      if (event.type !== 'evicted') return
      const expected = this.#expected.get(event.id)
      assert.ok(expected?.isFinished === true && !expected.isPinned, 'only what is complete and not pinned is evicted')
      this.#expected.delete(event.id)
    }
    const options = { hash, verify: verifySignature, quotaBytes: QUOTA_BYTES, now: () => ++this.#now, onEvent }
    this.#store = await openStore({ ...options, directory: this.#directory })
    await this.#store.settled()
  }

  async #step(): Promise<void> {
    const store = this.#store as Store
    const sample = this.#random.pick(this.#samples)
    const id = Buffer.from(sample.manifest.swarmId).toString('hex')
    const expected = this.#expected.get(id)
    switch (this.#random.below(10)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return this.#write(store, id, sample)
      case 4:
        return this.#reuse(store, id)
      case 5:
        if (expected === undefined) return
        expected.isPinned = !expected.isPinned
        return expected.isPinned ? store.pin(id) : store.unpin(id)
      case 6:
        if (expected === undefined || this.#random.below(2) === 0) return
        this.#expected.delete(id)
        return store.remove(id, { force: true })
      case 7:
        if (expected !== undefined) assert.deepEqual((await store.verify(id)).bad, [])
        return
      case 8:
        await store.close()
        await this.#open()
        return this.#afterStart()
      default:
        return this.#crash(store)
    }
  }

  /** Creates a content if it isn't there, writes some chunks at once, finishes it perhaps. */
  async #write(store: Store, id: string, sample: Sample): Promise<void> {
    let content: StoredContent
    try {
      content = await store.create(sample.manifest, { name: id })
    } catch (error) {
      if (!isPolycastError(error, 'quota-exceeded')) throw error
      return
    }
    const expected = this.#expected.get(id) ?? { sample, written: new Set(), isFinished: false, isPinned: false }
    this.#expected.set(id, expected)
    const chunks = sample.manifest.knownChunks
    const writes = Array.from({ length: 1 + this.#random.below(6) }, async () => {
      const first = this.#random.below(chunks)
      const count = 1 + this.#random.below(chunks - first)
      await content.write(first, count, partsOf(sample, first, count))
      for (let chunk = first; chunk < first + count; chunk++) expected.written.add(chunk)
    })
    await Promise.all(writes)
    await this.#finish(content, expected)
  }

  async #reuse(store: Store, id: string): Promise<void> {
    const content = store.find(id)
    const expected = this.#expected.get(id)
    if (content === undefined || expected === undefined) return
    const before = content.have.count
    assert.equal((await content.reuse(0)).chunks, content.have.count - before)
    for (let chunk = content.have.nextSet(0); chunk < content.have.length; chunk = content.have.nextSet(chunk + 1))
      expected.written.add(chunk)
    await this.#finish(content, expected)
  }

  async #finish(content: StoredContent, expected: Expected): Promise<void> {
    assert.equal(content.isComplete, expected.written.size === content.have.length)
    if (!content.isComplete) return assert.rejects(content.finish(), (error) => isPolycastError(error, 'content-incomplete'))
    if (this.#random.below(4) === 0) return
    await content.finish()
    expected.isFinished = true
  }

  /** Goes on from a copy as a crash would leave it: acknowledged chunks may be lost to the last batch, finished contents not. */
  async #crash(store: Store): Promise<void> {
    const copy = join(fastDirectory(this.#context), 'copy')
    fs.mkdirSync(copy)
    for (const info of store.contents()) fs.utimesSync(info.path, 1000, 1000) // as if the copy kept every time of change
    copyDataDirectory(this.#directory, copy)
    await store.close()
    this.#directory = copy
    await this.#open()
    for (const [id, expected] of this.#expected) {
      const content = this.#store?.find(id)
      assert.ok(content !== undefined)
      for (const chunk of expected.written) if (!content.have.has(chunk)) expected.written.delete(chunk)
    }
    this.#afterStart()
  }

  /** What was finished is there, and what has all its chunks was finished by the start. */
  #afterStart(): void {
    for (const [id, expected] of this.#expected) {
      const isComplete = this.#store?.contents().find((info) => info.id === id)?.state === 'complete'
      assert.ok(isComplete || !expected.isFinished)
      expected.isFinished = isComplete
    }
  }

  #check(): void {
    const infos = this.#store?.contents() ?? []
    assert.deepEqual(infos.map((info) => info.id).toSorted(), [...this.#expected.keys()].toSorted())
    let usedBytes = 0
    for (const info of infos) {
      const expected = this.#expected.get(info.id) as Expected
      usedBytes += expected.sample.bytes.length
      let haveBytes = 0
      for (const chunk of expected.written) haveBytes += expected.sample.manifest.chunkBytes(chunk)
      assert.equal(info.haveBytes, haveBytes)
      assert.equal(info.pinned, expected.isPinned)
      if (expected.isFinished) assert.equal(info.state, 'complete')
    }
    assert.equal(this.#store?.usedBytes(), usedBytes)
    assert.ok(usedBytes <= QUOTA_BYTES)
  }

  async #readAll(): Promise<void> {
    for (const [id, { sample, written }] of this.#expected) {
      const content = this.#store?.find(id) as StoredContent
      for (const chunk of written) assert.ok(Buffer.from(await content.read(chunk, 1)).equals(partsOf(sample, chunk, 1)[0] as Uint8Array))
    }
  }
}

for (let seed = 0; seed < SEEDS; seed++) {
  test(`whatever is ordered in whatever order, the store says what it was told (seed ${seed})`, async (context) => {
    await new Run(context, `model ${seed}`).run()
  })
}
