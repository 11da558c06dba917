/**
 * Keeps the index of chunks in step with the contents of a store. After the start it reads the manifests of what is complete,
 * one at a time between other work; whoever wants to look something up waits for that.
 */
import { ChunkIndex } from './chunk-index.ts'
import { reuseChunks } from './reuse.ts'
import type { Content } from './stored-content.ts'

/** Chunk hash → places, over the contents of a store. */
export class ContentIndex {
  readonly #index: ChunkIndex<Content> = new ChunkIndex()
  #building: Promise<void> = Promise.resolve()

  /** Resolves once `build` is through. */
  get built(): Promise<void> {
    return this.#building
  }

  /** Adds what was found at the start, what was used last taking precedence; `read` loads a content, or says that it can't. */
  build(contents: readonly Content[], read: (content: Content) => boolean, shouldStop: () => boolean): void {
    const oldestFirst = contents.toSorted((a, b) => a.usedAt - b.usedAt)
    this.#building = (async (): Promise<void> => {
      for (const content of oldestFirst) {
        await new Promise((next) => setImmediate(next))
        if (shouldStop()) return
        if (content.stamp !== undefined && content.indexedChunks === 0 && !content.isRemoved && read(content)) this.update(content)
      }
    })()
  }

  /** Makes the chunks that a content holds known, unless they are. */
  update(content: Content): void {
    const { have, manifest } = content
    if (content.isRemoved || have.count === content.indexedChunks) return
    this.#index.remove(content)
    this.#index.add(content, 0, have.length, (chunk) => (have.has(chunk) ? manifest.chunkHash(chunk) : undefined))
    content.indexedChunks = have.count
  }

  /** Forgets a content. */
  remove(content: Content): void {
    this.#index.remove(content)
  }

  /** Fills what it can of `content` from all others; `partial` are those whose chunks have to be made known first. */
  async reuse(
    content: Content,
    fromChunk: number,
    partial: Iterable<Content>,
    shouldStop: () => boolean,
  ): Promise<{ chunks: number; bytes: number }> {
    await this.#building
    for (const other of partial) this.update(other)
    return reuseChunks(content, fromChunk, this.#index, shouldStop)
  }
}
