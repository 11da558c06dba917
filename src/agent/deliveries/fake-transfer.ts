/** A transfer of the fake data plane: see fake-cluster.ts. */
import type { SwarmPeerProgress, Ticket, Transfer, TransferProgress } from '../data-plane/data-plane.ts'
import { fail } from '../errors.ts'
import { PIECE_BYTES, pieceAt, pieceCount } from './fake-content.ts'
import type { Content } from './fake-content.ts'
import type { FakeNode } from './fake-node.ts'
import { turn } from './fake-turns.ts'

/** A transfer: piece after piece from any live node that has it; stalls when none is left. */
export class FakeTransfer implements Transfer {
  readonly done: Transfer['done']
  readonly #node: FakeNode
  readonly #ticket: Ticket
  readonly #listeners = new Set<(progress: TransferProgress) => void>()
  #isCancelled = false

  constructor(node: FakeNode, ticket: Ticket) {
    this.#node = node
    this.#ticket = ticket
    node.transfers.add(this)
    this.done = this.#run()
    this.done.catch(() => undefined)
    void this.done.then(
      () => node.transfers.delete(this),
      () => node.transfers.delete(this),
    )
  }

  onProgress(listener: (progress: TransferProgress) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  cancel(): void {
    this.#isCancelled = true
  }

  async #run(): Promise<{ contentId: string; totalBytes: number; receivedBytes: number; multicastBytes: number; reusedBytes: number }> {
    const { swarmId, trackers, name } = this.#ticket
    let receivedBytes = 0
    let reusedBytes = 0
    for (;;) {
      await turn()
      if (!this.#node.isAlive) await this.#node.cluster.never()
      if (this.#node.cluster.isOver) throw fail('shutting-down', {})
      if (this.#isCancelled) throw fail('cancelled', { reason: 'the transfer was given up' })
      const holders = [...this.#node.cluster.nodes.values()]
        .filter((other) => other.isAlive && other !== this.#node && this.#node.cluster.reaches(this.#node.address, other.address))
        .flatMap((other) => {
          const content = other.find(swarmId)
          return content === undefined ? [] : [{ other, content }]
        })
      const mine = this.#node.find(swarmId)
      const template = mine?.bytes ?? holders[0]?.content.bytes
      if (mine !== undefined && mine.isSealed && mine.have.size === pieceCount(mine.bytes)) {
        return { contentId: mine.id, totalBytes: mine.bytes.length, receivedBytes, multicastBytes: 0, reusedBytes }
      }
      if (template === undefined) throw fail('transfer-stalled', { missing: 'unknown', id: swarmId })
      const content: Content = mine ?? { id: swarmId, aliases: [], name, bytes: template, have: new Set(), isSealed: false, pinned: false }
      this.#node.disk.contents.set(content.id, content)
      const isFull = content.have.size === pieceCount(content.bytes)
      if (isFull && (content.isSealed || holders.some((holder) => holder.content.isSealed))) {
        this.#node.seal(content)
        this.#report(content, receivedBytes, reusedBytes, trackers)
        return { contentId: content.id, totalBytes: content.bytes.length, receivedBytes, multicastBytes: 0, reusedBytes }
      }
      let giver: FakeNode | undefined
      let piece = -1
      for (let index = 0; index < pieceCount(content.bytes); index++) {
        if (content.have.has(index)) continue
        if (this.#isReusable(content, index)) {
          content.have.add(index)
          reusedBytes += pieceAt(content.bytes, index).length
          continue
        }
        const holder = piece < 0 ? holders.find((candidate) => candidate.content.have.has(index)) : undefined
        if (holder !== undefined) [giver, piece] = [holder.other, index]
      }
      if (giver === undefined) {
        if (content.have.size === pieceCount(content.bytes)) continue
        const isHopeful = holders.some((holder) => !holder.content.isSealed && trackers.includes(holder.other.address))
        if (!isHopeful && !isFull)
          throw fail('transfer-stalled', { missing: content.bytes.length - content.have.size * PIECE_BYTES, id: swarmId })
        continue
      }
      await this.#node.cluster.pieceGate?.(this.#node.name, piece)
      if (!giver.isAlive) continue
      content.have.add(piece)
      const bytes = pieceAt(content.bytes, piece).length
      receivedBytes += bytes
      giver.sent.set(swarmId, (giver.sent.get(swarmId) ?? 0) + bytes)
      this.#report(content, receivedBytes, reusedBytes, trackers)
    }
  }

  #isReusable(content: Content, index: number): boolean {
    const wanted = pieceAt(content.bytes, index)
    return [...this.#node.disk.contents.values()].some(
      (other) => other !== content && [...other.have].some((held) => pieceAt(other.bytes, held).equals(wanted)),
    )
  }

  #report(content: Content, receivedBytes: number, reusedBytes: number, trackers: string[]): void {
    const haveBytes = Math.min(content.have.size * PIECE_BYTES, content.bytes.length)
    for (const listener of this.#listeners)
      listener({ haveBytes, totalBytes: content.bytes.length, receivedBytes, multicastBytes: 0, reusedBytes, peers: 1 })
    const { swarmId } = this.#ticket
    for (const address of trackers) {
      const tracker = this.#node.cluster.nodes.get(address)
      if (tracker === undefined) continue
      const peers = tracker.peers.get(swarmId) ?? new Map<string, SwarmPeerProgress>()
      tracker.peers.set(swarmId, peers)
      peers.set(this.#node.name, { name: this.#node.name, address: this.#node.address, haveBytes, isComplete: content.isSealed })
      for (const listener of tracker.watchers.get(swarmId) ?? [])
        listener({ sentBytes: tracker.sent.get(swarmId) ?? 0, peers: [...peers.values()] })
    }
  }
}
