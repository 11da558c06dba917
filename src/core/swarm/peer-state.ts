/**
 * What the parts of a peer machine share: the content, the neighbours, the plan, the timers, and the list of outputs.
 *
 * It decides nothing. `peer.ts` takes the inputs; each part has one matter: announcements, downloads, the manifest, the order in which an
 * origin hands out.
 */
import type { Bitfield } from '../lib/bitfield.ts'
import type { Random } from '../lib/random.ts'
import { Availability } from './availability.ts'
import type { ContentView } from './content-view.ts'
import type { SwarmMessage } from './frames.ts'
import type { Ranges } from './ranges.ts'
import type { Neighbour } from './neighbour.ts'
import { Pace } from './pace.ts'
import { DEFAULT_PEER_LIMITS, type PeerLimits, type PeerOptions, type PeerOutput } from './peer-types.ts'
import { Timers } from './timers.ts'

export type TimerName = 'tick' | 'have' | 'fastHave' | 'announce' | 'pick' | 'peers'

export class PeerState {
  readonly options: PeerOptions
  readonly limits: PeerLimits
  readonly content: ContentView
  readonly random: Random
  /** Chunks that are here. */
  readonly have: Bitfield
  readonly neighbours: Map<string, Neighbour> = new Map()
  readonly timers: Timers<TimerName> = new Timers()
  readonly pace: Pace = new Pace()
  /** Chunks of one relay unit. */
  runChunks: number
  availability: Availability
  stripes = 1
  /** Per stripe the planned parent's id; empty before there is a plan. */
  parents: (string | undefined)[] = []
  isTrackerUp = true
  /** Parents may send chunks below this. */
  clearedTo = 0
  /** Another way brings what is missing from this chunk on: nothing of it is asked for, and parents are told to send nothing of it. */
  heldFrom: number = Infinity
  /** The manifest is complete and every chunk is here. */
  isDone = false
  /** All runs below this are here. */
  #firstMissing = 0
  #outputs: PeerOutput[] = []

  constructor(options: PeerOptions, have: Bitfield) {
    this.options = options
    this.limits = { ...DEFAULT_PEER_LIMITS, ...options.limits }
    this.content = options.content
    this.random = options.random
    this.have = have
    this.runChunks = options.content.runChunks
    this.availability = new Availability(this.runChunks)
  }

  emit(output: PeerOutput): void {
    this.#outputs.push(output)
  }

  send(to: string, message: Exclude<SwarmMessage, { type: 'data' }>): void {
    this.#outputs.push({ type: 'send', to, message })
  }

  /** There is something to send to a neighbour. */
  offer(neighbour: Neighbour): void {
    if (neighbour.isOffered) return
    neighbour.isOffered = true
    this.#outputs.push({ type: 'uploadable', to: neighbour.id })
  }

  drain(): PeerOutput[] {
    if (this.#outputs.length === 0) return NOTHING
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }

  stripeOf(run: number): number {
    return run % this.stripes
  }

  /** The neighbour that is to bring a stripe, if it is there. */
  parentOf(stripe: number): Neighbour | undefined {
    const id = this.parents[stripe]
    return id === undefined ? undefined : this.neighbours.get(id)
  }

  /** Chunks of one run, as far as they are known. */
  runLength(run: number): number {
    return Math.min(this.runChunks, this.content.knownChunks - run * this.runChunks)
  }

  /** The chunks of runs, as ranges in order. */
  rangesOf(runs: readonly number[]): Ranges {
    return runs.toSorted((a, b) => a - b).flatMap((run) => [run * this.runChunks, this.runLength(run)])
  }

  runBytes(run: number): number {
    return this.content.rangeBytes(run * this.runChunks, this.runLength(run))
  }

  hasRun(run: number): boolean {
    return this.have.hasRange(run * this.runChunks, this.runLength(run))
  }

  hasAnnounced(neighbour: Neighbour, run: number): boolean {
    return neighbour.announced.hasRange(run * this.runChunks, this.runLength(run))
  }

  /** Visits the first `most` runs that are not here, wholly known, and not left to another way, in order. */
  eachMissing(most: number, visit: (run: number) => void): void {
    const { have, content, runChunks } = this
    const known = content.knownChunks
    let chunk = have.nextClear(this.#firstMissing * runChunks)
    this.#firstMissing = Math.floor(chunk / runChunks)
    for (let count = 0; count < most && chunk < known; count++) {
      const run = Math.floor(chunk / runChunks)
      if ((run + 1) * runChunks > this.heldFrom) break
      if (content.isComplete || (run + 1) * runChunks <= known) visit(run)
      if ((run + 1) * runChunks >= known) break
      chunk = have.nextClear((run + 1) * runChunks)
    }
  }

  /** Runs are cut in another way, or chunks that were here are gone: what is missing is looked for from the start. */
  searchAnew(): void {
    this.#firstMissing = 0
  }

  /** Where the last run ends; Infinity as long as that is not known. */
  contentEnd(): number {
    return this.content.isComplete ? this.content.knownChunks : Infinity
  }
}

const NOTHING: PeerOutput[] = []
