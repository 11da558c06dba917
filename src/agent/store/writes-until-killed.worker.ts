/**
 * A node's store at full work, told to the parent line by line, until it is killed (kill.test.ts). Contents come from
 * seeds, so that the parent knows every byte.
 */
import { Manifest } from '../../core/content/manifest.ts'
import { Random } from '../../core/lib/random.ts'
import { chunksOf, hash, makeAuthor, makeSample, partsOf, randomBytes, verifySignature } from './store-fixture.ts'
import { openStore, type Store } from './store.ts'

const [directory = '', seed = '', bytesText = ''] = process.argv.slice(2)
const random = new Random(seed)

function tell(...words: (string | number)[]): void {
  process.stdout.write(`${words.join(' ')}\n`)
}

/** A content that is known whole, its chunks in any order, many at a time. */
async function writeSealed(store: Store, name: string): Promise<string> {
  const sample = makeSample(randomBytes(name, Number(bytesText)), 32 * 1024)
  const content = await store.create(sample.manifest, { name })
  tell('created', content.id, name)
  const chunks = random.shuffle(Array.from({ length: sample.manifest.knownChunks }, (_, chunk) => chunk))
  let next = 0
  const work = async (): Promise<void> => {
    while (next < chunks.length) {
      const chunk = chunks[next++] as number
      await content.write(chunk, 1, partsOf(sample, chunk, 1))
      if (chunk % 8 === 0) tell('wrote', content.id)
    }
  }
  await Promise.all(Array.from({ length: 16 }, work))
  tell('finishing', content.id)
  await content.finish()
  return content.id
}

/** A content that grows as it is written. */
async function writeGrowing(store: Store, name: string): Promise<string> {
  const bytes = randomBytes(name, Number(bytesText))
  const author = makeAuthor(32 * 1024)
  const manifest = Manifest.growing(author.headerBytes, hash, verifySignature) as Manifest
  const content = await store.create(manifest, { name })
  tell('created', content.id, name)
  const { lengths } = chunksOf(bytes, 32 * 1024)
  let at = 0
  for (const [chunk, length] of lengths.entries()) {
    const part = bytes.subarray(at, (at += length))
    author.append(length, hash(part))
    manifest.addSegment(author.flush() as Uint8Array)
    void content.manifestGrew()
    await content.write(chunk, 1, [part])
    if (chunk % 8 === 0) tell('wrote', content.id)
  }
  manifest.seal(author.finish().sealBytes)
  await content.manifestGrew()
  tell('finishing', content.id)
  await content.finish()
  return content.id
}

const store = await openStore({ directory, hash, verify: verifySignature })
tell('opened')
const finished: string[] = []
for (let i = 0; ; i++) {
  const name = `${seed}-${i}`
  const id = i % 2 === 0 ? await writeSealed(store, name) : await writeGrowing(store, name)
  tell('finished', id)
  finished.push(id)
  if (random.below(3) > 0) continue
  const gone = finished.splice(random.below(finished.length), 1)[0] as string
  tell('removing', gone)
  await store.remove(gone)
  tell('removed', gone)
}
