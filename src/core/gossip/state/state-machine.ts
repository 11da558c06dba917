/**
 * What each node says about itself, known to all nodes: a map of keys to values with versions, as in Cassandra's gossip, at any size
 * (docs/specs/05-state.md).
 *
 * Changes are passed on at once as news (`rumors.ts`). Besides, each node compares the hash of all that it knows with that of one other
 * node from time to time; where they differ, the two find out where (`reconciler.ts`), and each fetches what it lacks (`exchanges.ts`).
 * This file takes inputs and hands them to the parts that they concern. Not here: who is alive (`../swim.ts`), packets and streams.
 */
import { assert } from '../../lib/assert.ts'
import { equalBytes } from '../../lib/bytes.ts'
import type { Random } from '../../lib/random.ts'
import { isWireError } from '../../wire/wire-error.ts'
import { Exchanges } from './exchanges.ts'
import { Reconciler } from './reconciler.ts'
import { Rumors } from './rumors.ts'
import { decodeStateMessage, encodeStateMessage, sectionBytes } from './state-codec.ts'
import type { DeltaSection, NodeDigest, StateMessage, StateMessageType } from './state-messages.ts'
import { isTtl, StateStore, type TakeResult } from './state-store.ts'
import {
  DEFAULT_STATE_SETTINGS,
  type SentCount,
  type StateInput,
  type StateOptions,
  type StateOutput,
  type StateSettings,
  type StateStats,
  type StateValue,
} from './state-types.ts'

export class StateMachine {
  readonly #settings: StateSettings
  readonly #random: Random
  readonly #store: StateStore
  readonly #reconciler: Reconciler
  readonly #rumors: Rumors
  readonly #exchanges: Exchanges
  /** Nodes that can be reached. */
  readonly #live: Set<string> = new Set()
  readonly #sent: Record<StateMessageType, SentCount> = noneSent()
  #outputs: StateOutput[] = []
  #refusedMessages = 0
  #roundAt: number
  #pushedAt = -Infinity

  constructor(options: StateOptions, now: number) {
    const settings = { ...DEFAULT_STATE_SETTINGS, ...options.settings }
    this.#settings = settings
    this.#random = options.random
    this.#store = new StateStore(options, settings, (output) => this.#outputs.push(output), now)
    this.#reconciler = new Reconciler(this.#store, settings)
    this.#rumors = new Rumors(settings.maxRumors)
    this.#exchanges = new Exchanges({
      settings,
      send: (to, message) => this.#send(to, message),
      known: (node) => this.#store.get(node)?.digest ?? { node, generation: 0, version: 0, collectedTo: 0 },
      isBehind: (told, at) => this.#store.isBehind(told, at),
      // There may be more that did not fit into one answer.
      finished: (peer) => this.#send(peer, this.#reconciler.root()),
    })
    this.#roundAt = now + this.#random.float() * settings.roundIntervalMs
  }

  /** What a node says under a key; undefined when nothing is known. Not to be changed. */
  get(node: string, key: string): Uint8Array | undefined {
    return this.#store.get(node)?.get(key)?.value
  }

  /** All that a node says, in no order. */
  entries(node: string): StateValue[] {
    return [...(this.#store.get(node)?.values() ?? [])].map(({ key, value, version }) => ({ key, value, version }))
  }

  /** The nodes that something is known of, this one with them, and how far. */
  nodes(): NodeDigest[] {
    return this.#store.all().map(({ digest }) => digest)
  }

  /** What this node's keys and values take, as `maxNodeBytes` counts. */
  ownBytes(): number {
    return this.#store.own.valueBytes
  }

  /** Why this node may not say that; undefined when it may. */
  check(key: string, value: Uint8Array): string | undefined {
    return this.#store.check(key, value)
  }

  stats(): StateStats {
    const maps = this.#store.all()
    return {
      nodes: maps.length,
      keys: maps.reduce((keys, map) => keys + map.keys, 0),
      tombstones: maps.reduce((tombstones, map) => tombstones + map.tombstones, 0),
      bytesHeld: this.#store.bytesHeld,
      sent: copyOf(this.#sent),
      refusedMessages: this.#refusedMessages,
      overflowedNodes: this.#store.overflowedNodes,
      overflowedDeltas: this.#store.overflowedDeltas,
      droppedRumors: this.#rumors.droppedCount,
      droppedFetches: this.#exchanges.droppedCount,
      droppedQuarantines: this.#store.droppedQuarantines,
      unansweredFetches: this.#exchanges.unansweredCount,
      refutations: this.#store.refutations,
    }
  }

  /** Takes what is to be done; the caller owns the list. */
  drain(): StateOutput[] {
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }

  /** When to call `handleTimeout`, ms; always a time, as rounds never end. */
  nextDeadline(): number {
    return Math.min(this.#roundAt, this.#pushAt(), this.#exchanges.nextDeadline(), this.#store.expiryAt, this.#store.collectAt)
  }

  handle(input: StateInput, now: number): void {
    this.#noticeOwnNews(() => this.#input(input, now))
    this.#push(now)
  }

  handleTimeout(now: number): void {
    this.#noticeOwnNews(() => {
      this.#store.expire(now)
      this.#store.collect(now)
    })
    this.#exchanges.handleTimeout(now)
    this.#push(now)
    if (now < this.#roundAt) return
    this.#roundAt = now + this.#settings.roundIntervalMs
    if (this.#live.size > 0) this.#send(this.#random.pick([...this.#live]), this.#reconciler.root())
  }

  #input(input: StateInput, now: number): void {
    switch (input.type) {
      case 'message':
        return this.#message(input.from, input.bytes, now)
      case 'member-up':
        if (input.node === this.#store.own.node) return
        this.#live.add(input.node)
        return this.#store.welcome(input.node)
      case 'member-down':
        this.#live.delete(input.node)
        return this.#exchanges.drop(input.node)
      case 'member-forgotten':
        this.#live.delete(input.node)
        this.#exchanges.drop(input.node)
        this.#exchanges.forget(input.node)
        this.#rumors.forget(input.node)
        return this.#store.forget(input.node, now)
      case 'set': {
        const refusal = this.#store.check(input.key, input.value)
        assert(refusal === undefined, refusal ?? '')
        assert(isTtl(input.ttlMs), 'a time to live in whole milliseconds')
        const before = this.get(this.#store.own.node, input.key)
        // To say the same again is a change only where it makes a key last longer.
        const isSame = before !== undefined && equalBytes(before, input.value)
        if (isSame && input.ttlMs === undefined && !this.#store.own.hasExpiry(input.key)) return
        return this.#store.put(input.key, input.value, input.ttlMs, now)
      }
      case 'remove':
        if (this.get(this.#store.own.node, input.key) === undefined) return
        return this.#store.put(input.key, undefined, undefined, now)
    }
  }

  // ---- messages ----

  #message(from: string, bytes: Uint8Array, now: number): void {
    const message = decodeStateMessage(bytes)
    if (isWireError(message)) return this.#refuse(from, message.message)
    switch (message.type) {
      case 'root':
        return this.#sendAll(from, this.#reconciler.answerRoot(message.hash))
      case 'ranges':
        return this.#sendAll(from, this.#reconciler.answerRanges(message.ranges))
      case 'digests': {
        for (const { digests } of message.intervals) if (!this.#isCredible(from, digests, now)) return
        const { behind, answer } = this.#reconciler.compare(message.intervals, message.isAnswer, now)
        this.#sendAll(from, answer)
        return this.#exchanges.fetch(from, behind, false, now)
      }
      case 'want':
        return this.#want(from, message.sequence, message.digests, now)
      case 'delta': {
        const progressed = new Set<string>()
        for (const section of message.sections) if (this.#take(from, section, now) === 'applied') progressed.add(section.node)
        for (const node of this.#exchanges.answered(from, message.sequence, progressed, now)) this.#rumor(node, undefined)
        return
      }
      case 'news':
        return this.#news(from, message.digests, message.sections, now)
    }
  }

  #want(from: string, sequence: number, digests: readonly NodeDigest[], now: number): void {
    const sections: DeltaSection[] = []
    let room = this.#settings.maxMessageBytes - 8
    for (const digest of digests) {
      const section = this.#store.get(digest.node)?.section(digest, room, sections.length === 0, now)
      if (section === undefined) continue
      sections.push(section)
      room -= sectionBytes(section)
    }
    this.#send(from, { type: 'delta', sequence, sections })
  }

  #news(from: string, digests: readonly NodeDigest[], sections: readonly DeltaSection[], now: number): void {
    if (!this.#isCredible(from, digests, now)) return
    const behind = digests.filter((digest) => this.#store.isBehind(digest, now))
    for (const section of sections) {
      const result = this.#take(from, section, now)
      if (result === 'applied') this.#rumor(section.node, section.from)
      if (result === 'stale') this.#rumors.heard(section.node)
      if (result !== 'gap') continue
      const told = { node: section.node, generation: section.generation, version: section.to, collectedTo: section.collectedTo }
      if (this.#store.isBehind(told, now)) behind.push(told)
    }
    this.#exchanges.fetch(from, behind, true, now)
  }

  #take(from: string, section: DeltaSection, now: number): TakeResult {
    const result = this.#store.take(section, now)
    if (typeof result === 'object') this.#refuse(from, result.refused)
    return result
  }

  #isCredible(from: string, digests: readonly NodeDigest[], now: number): boolean {
    for (const digest of digests) {
      const doubt = this.#store.doubt(digest, now)
      if (doubt === undefined) continue
      this.#refuse(from, doubt)
      return false
    }
    return true
  }

  #refuse(from: string, reason: string): void {
    this.#refusedMessages++
    this.#outputs.push({ type: 'refused', from, reason })
  }

  // ---- news ----

  /** What this node has said newly is news, whatever made it say it. */
  #noticeOwnNews(run: () => void): void {
    const before = this.#store.own.version
    run()
    if (this.#store.own.version > before) this.#rumor(this.#store.own.node, before)
  }

  #rumor(node: string, from: number | undefined): void {
    const { fanout } = this.#settings
    // After ln(n) + 4 pushes from each, a node is missed with probability e^-4 / n.
    const rounds = Math.ceil((Math.log(this.#live.size + 1) + 4) / fanout)
    this.#rumors.add(node, from, rounds)
  }

  #pushAt(): number {
    return this.#rumors.size === 0 || this.#live.size === 0 ? Infinity : this.#pushedAt + this.#settings.pushIntervalMs
  }

  #push(now: number): void {
    if (now < this.#pushAt()) return
    this.#pushedAt = now
    const { fanout, maxMessageBytes, maxBurstMessages } = this.#settings
    const messages = this.#rumors.push((node) => this.#store.get(node), maxMessageBytes, maxBurstMessages, now)
    const targets = this.#random.shuffle([...this.#live]).slice(0, fanout)
    for (const message of messages) {
      const bytes = encodeStateMessage(message)
      for (const to of targets) this.#sendBytes(to, message.type, bytes)
    }
  }

  // ---- sending ----

  #sendAll(to: string, messages: readonly StateMessage[]): void {
    for (const message of messages) this.#send(to, message)
  }

  #send(to: string, message: StateMessage): void {
    this.#sendBytes(to, message.type, encodeStateMessage(message))
  }

  #sendBytes(to: string, type: StateMessageType, bytes: Uint8Array): void {
    const count = this.#sent[type]
    count.messages++
    count.bytes += bytes.length
    this.#outputs.push({ type: 'send', to, bytes })
  }
}

function noneSent(): Record<StateMessageType, SentCount> {
  const none = (): SentCount => ({ messages: 0, bytes: 0 })
  return { root: none(), ranges: none(), digests: none(), want: none(), delta: none(), news: none() }
}

function copyOf(sent: Record<StateMessageType, SentCount>): Record<StateMessageType, SentCount> {
  const { root, ranges, digests, want, delta, news } = sent
  return { root: { ...root }, ranges: { ...ranges }, digests: { ...digests }, want: { ...want }, delta: { ...delta }, news: { ...news } }
}
