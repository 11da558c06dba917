/**
 * Makes room: for the quota, which counts what every content will need when it is complete, and for the disk. What has to
 * go is decided in quota.ts and removed by the store.
 */
import * as fs from 'node:fs'
import { fail, fromErrno } from '../errors.ts'
import { chooseVictims, evictableBytes } from './quota.ts'
import type { Content } from './stored-content.ts'

/** What room is made with. */
export interface RoomOptions {
  /** Where the contents lie. */
  readonly directory: string
  readonly quotaBytes: number
  /** All contents in the store's table. */
  contents(): Iterable<Content>
  /** Partial contents last used before that may go. */
  expiredBefore(): number
  /** Removes a content; it leaves the table at once. */
  evict(content: Content): Promise<void>
}

/** Counts the bytes of a store's contents and keeps them within its limits. */
export class Room {
  readonly #options: RoomOptions
  #usedBytes = 0

  constructor(options: RoomOptions) {
    this.#options = options
  }

  /** Bytes that count against the quota. */
  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Counts a content that was found, by what is known of it now; a second time when more is known. Nothing is evicted. */
  recount(content: Content): void {
    if (content.isRemoved) return
    this.#usedBytes += content.wantedBytes() - content.reservedBytes
    content.reservedBytes = content.wantedBytes()
  }

  /** Counts a content no more. */
  release(content: Content): void {
    this.#usedBytes -= content.reservedBytes
    content.reservedBytes = 0
  }

  /** Counts all that a content will need, by what is known now; rejects with `quota-exceeded`. */
  async reserve(content: Content): Promise<void> {
    const wanted = content.wantedBytes()
    const more = wanted - content.reservedBytes
    if (more <= 0) return
    const { quotaBytes } = this.#options
    const victims = this.#victims(content, this.#usedBytes + more - quotaBytes)
    if (victims === undefined) {
      const free = quotaBytes - this.#usedBytes + evictableBytes(this.#others(content), this.#options.expiredBefore())
      throw fail('quota-exceeded', { needed: more, quota: quotaBytes, free: Math.max(0, free) })
    }
    content.reservedBytes = wanted
    this.#usedBytes += more
    await this.#evict(victims)
  }

  /** Sees to it that the disk can hold a new content beside those on their way; rejects with `no-space`. */
  async checkDisk(content: Content): Promise<void> {
    const { directory } = this.#options
    const disk = await fs.promises.statfs(directory).catch((error: unknown) => {
      throw fromErrno(error, { doing: 'data-dir', path: directory })
    })
    if (disk.blocks === 0) return // a file system that doesn't tell
    let promised = content.reservedBytes
    for (const other of this.#others(content))
      if (other.stamp === undefined && other.isHeld) promised += other.reservedBytes - other.haveBytes
    const victims = this.#victims(content, promised - disk.bavail * disk.bsize)
    if (victims === undefined) throw fail('no-space', { path: directory })
    await this.#evict(victims)
  }

  /** Evicts what is over the quota, if that is possible: after a start with a smaller one. */
  async shrink(): Promise<void> {
    await this.#evict(this.#victims(undefined, this.#usedBytes - this.#options.quotaBytes) ?? [])
  }

  #victims(content: Content | undefined, neededBytes: number): Content[] | undefined {
    return chooseVictims(this.#others(content), neededBytes, this.#options.expiredBefore())
  }

  *#others(content: Content | undefined): Generator<Content> {
    for (const other of this.#options.contents()) if (other !== content) yield other
  }

  async #evict(victims: readonly Content[]): Promise<void> {
    await Promise.all(victims.map((victim) => this.#options.evict(victim)))
  }
}
