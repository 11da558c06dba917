/**
 * News that is passed on at once, so that a change is everywhere long before the rounds would have found it
 * (docs/specs/05-state.md §5.3).
 *
 * Rumor mongering (Demers et al., PODC 1987; Karp et al., FOCS 2000): who hears news passes it on to `fanout` nodes, first the change
 * itself, once more when few others have told it meanwhile, and then some times only that there is one, so that who missed it asks. The
 * rounds grow with the logarithm of the number of nodes. What is still missed is found by reconciliation; so a rumor may be dropped at any time.
 */
import { digestBytes, sectionBytes } from './state-codec.ts'
import type { DeltaSection, NodeDigest, StateMessage } from './state-messages.ts'
import type { NodeMap } from './node-map.ts'

interface Rumor {
  readonly node: string
  /** From which version on the change is to be told itself; undefined when it is only to be told that there is one. */
  from: number | undefined
  roundsLeft: number
  /** How often the change itself was pushed from here, and how often it came from others again. */
  pushes: number
  heard: number
}

/** How often the change itself is pushed at most, and after how many times that others tell it again only once. */
const MAX_PUSHES = 2
const ENOUGH_HEARD = 2

export class Rumors {
  droppedCount = 0
  readonly #rumors: Map<string, Rumor> = new Map()
  readonly #maxRumors: number

  constructor(maxRumors: number) {
    this.#maxRumors = maxRumors
  }

  get size(): number {
    return this.#rumors.size
  }

  /** News of a node, to be told anew. The oldest rumor makes room for one more than the limit. */
  add(node: string, from: number | undefined, rounds: number): void {
    const before = this.#rumors.get(node)
    // What was pushed once is not held back for more: who has missed it sees that something is missing before the next change.
    const waiting = before?.pushes === 0 ? before.from : undefined
    const first = from === undefined || waiting === undefined ? (from ?? waiting) : Math.min(from, waiting)
    this.#rumors.delete(node)
    this.#rumors.set(node, { node, from: first, roundsLeft: rounds, pushes: 0, heard: 0 })
    if (this.#rumors.size <= this.#maxRumors) return
    const [oldest] = this.#rumors.keys()
    this.#rumors.delete(oldest as string)
    this.droppedCount++
  }

  /** Another node has told what is told here. */
  heard(node: string): void {
    const rumor = this.#rumors.get(node)
    if (rumor !== undefined) rumor.heard++
  }

  forget(node: string): void {
    this.#rumors.delete(node)
  }

  /** The messages of one push, newest news first; what does not fit waits for the next. */
  push(mapOf: (node: string) => NodeMap | undefined, maxMessageBytes: number, maxMessages: number, now: number): StateMessage[] {
    const messages: StateMessage[] = []
    let digests: NodeDigest[] = []
    let sections: DeltaSection[] = []
    let room = maxMessageBytes - HEAD_BYTES
    const end = (): void => {
      messages.push({ type: 'news', digests, sections })
      digests = []
      sections = []
      room = maxMessageBytes - HEAD_BYTES
    }
    for (const rumor of [...this.#rumors.values()].reverse()) {
      const map = mapOf(rumor.node)
      if (map === undefined) {
        this.#rumors.delete(rumor.node)
        continue
      }
      if (rumor.pushes === MAX_PUSHES || (rumor.pushes > 0 && rumor.heard >= ENOUGH_HEARD)) rumor.from = undefined
      const item = itemOf(rumor, map, maxMessageBytes - HEAD_BYTES, now)
      if (item.bytes > room && digests.length + sections.length > 0) {
        end()
        if (messages.length === maxMessages) break
      }
      room -= item.bytes
      if ('section' in item) sections.push(item.section)
      else digests.push(item.digest)
      rumor.pushes++
      rumor.roundsLeft--
      if (rumor.roundsLeft <= 0) this.#rumors.delete(rumor.node)
    }
    if (digests.length + sections.length > 0) end()
    return messages
  }
}

/** Type and count. */
const HEAD_BYTES = 4

type Item = { readonly section: DeltaSection; readonly bytes: number } | { readonly digest: NodeDigest; readonly bytes: number }

/** The change itself where it fits into a message, else that there is one. */
function itemOf({ from }: Rumor, map: NodeMap, roomBytes: number, now: number): Item {
  const { digest } = map
  if (from !== undefined && map.isWhole) {
    const section = map.section({ ...digest, version: from }, roomBytes, false, now)
    if (section?.isLast === true) return { section, bytes: sectionBytes(section) }
  }
  return { digest, bytes: digestBytes(digest) }
}
