/**
 * The broadcast machine: brings an event to all members in about one copy each, within the time of some links. docs/specs/06-broadcast.md.
 *
 * Membership says who is there; each node keeps a few of them as neighbours (`neighbourhood.ts`, after HyParView), a tree is laid over
 * these links before it is needed (`tree.ts`), events go along it and ids along the rest (`dissemination.ts`, Plumtree), neighbours compare
 * from time to time what they have (`anti-entropy.ts`), and receipts come back the way the event went (`receipts.ts`). This file takes
 * inputs and hands them to the parts that they concern. Not here: who is a member, sockets, ciphers, and what events mean.
 */
import { utf8Encode } from '../../lib/bytes.ts'
import { isWireError } from '../../wire/wire-error.ts'
import { AntiEntropy } from './anti-entropy.ts'
import { decodeBroadcastMessage, MAX_EVENT_BYTES, MAX_NODE_BYTES } from './broadcast-codec.ts'
import type { BroadcastMessage } from './broadcast-messages.ts'
import { BroadcastState } from './broadcast-state.ts'
import type { BroadcastInput, BroadcastOptions, BroadcastOutput, BroadcastStats } from './broadcast-types.ts'
import { Dissemination } from './dissemination.ts'
import { MessageLog } from './message-log.ts'
import { Neighbourhood } from './neighbourhood.ts'
import { ReceiptCollector } from './receipts.ts'
import { SeenEvents } from './seen-events.ts'
import { Tree } from './tree.ts'
import { assert } from '../../lib/assert.ts'

export class BroadcastMachine {
  readonly #state: BroadcastState
  readonly #neighbourhood: Neighbourhood
  readonly #tree: Tree
  readonly #seen: SeenEvents
  readonly #log: MessageLog
  readonly #dissemination: Dissemination
  readonly #antiEntropy: AntiEntropy
  readonly #receipts: ReceiptCollector
  /** The number of this life, in the ids of its events. */
  readonly #origin: string
  #sequence = 0

  constructor(options: BroadcastOptions) {
    const state = new BroadcastState(options)
    assert(isName(options.node), 'a name that fits into a message')
    assert(state.settings.maxPayloadBytes <= MAX_EVENT_BYTES, 'no larger payloads than are decoded')
    this.#state = state
    const nonce = options.random.fork('origin')
    const high = nonce.uint32()
    const low = nonce.uint32()
    this.#origin = String.fromCharCode(high >>> 16, high & 0xffff, low >>> 16, low & 0xffff)
    this.#neighbourhood = new Neighbourhood(state, {
      linked: (neighbour, now) => {
        this.#dissemination.linked(neighbour)
        this.#tree.linked(neighbour)
        this.#antiEntropy.linked(neighbour, now)
      },
      unlinked: (neighbour, now) => this.#tree.unlinked(neighbour, now),
    })
    this.#tree = new Tree(state, this.#neighbourhood)
    this.#seen = new SeenEvents(state)
    this.#log = new MessageLog(state)
    this.#receipts = new ReceiptCollector(state)
    this.#dissemination = new Dissemination(state, this.#neighbourhood, this.#tree, this.#seen, this.#log, {
      received: (event, receivers, now) => this.#receipts.received(event, receivers, now),
      passedOn: (event, to) => this.#receipts.passedOn(event, to),
      duplicate: (id, from, wantsReport, now) => this.#receipts.handleDuplicate(id, from, wantsReport, now),
    })
    this.#antiEntropy = new AntiEntropy(state, this.#neighbourhood, this.#seen, this.#log, this.#dissemination)
  }

  /** Takes what is to be done; the caller owns the list. */
  drain(): BroadcastOutput[] {
    return this.#state.drain()
  }

  /** When to call `handleTimeout`, ms; Infinity while there is nothing to wait for. */
  nextDeadline(): number {
    return Math.min(
      this.#neighbourhood.nextDeadline(),
      this.#tree.nextDeadline(),
      this.#dissemination.nextDeadline(),
      this.#antiEntropy.nextDeadline(),
      this.#receipts.nextDeadline(),
    )
  }

  handleTimeout(now: number): void {
    this.#neighbourhood.handleTimeout(now)
    this.#tree.handleTimeout(now)
    this.#dissemination.handleTimeout(now)
    this.#antiEntropy.handleTimeout(now)
    this.#receipts.handleTimeout(now)
  }

  handle(input: BroadcastInput, now: number): void {
    switch (input.type) {
      case 'message':
        return this.#bytes(input.from, input.bytes, now)
      case 'member-up':
        if (!isName(input.node)) return this.#state.emit({ type: 'refused', from: input.node, reason: 'a name that fits into no message' })
        if (!this.#state.members.add(input.node)) return
        this.#neighbourhood.memberUp(input.node, now)
        return this.#tree.noticeChange(now)
      case 'member-down':
        if (!this.#state.members.delete(input.node)) return
        this.#tree.memberDown(input.node)
        this.#neighbourhood.memberDown(input.node, now)
        this.#dissemination.memberDown(input.node)
        this.#receipts.memberDown(input.node, now)
        return this.#tree.noticeChange(now)
      case 'reached':
        this.#state.reached = { nodes: input.nodes, maxBytes: input.maxBytes }
        return
      case 'shouted':
        return this.#shouted(input.bytes, now)
      case 'broadcast':
        return this.#broadcast(input.broadcast, input.payload, input.wantsReport, now)
    }
  }

  /** Those that events are exchanged with, and whether payloads go there unasked. */
  neighbours(): { node: string; isEager: boolean }[] {
    return [...this.#neighbourhood.values()].map(({ node, isEager }) => ({ node, isEager }))
  }

  stats(): BroadcastStats {
    const { counts, bytesSent, bytesReceived, dropped, members } = this.#state
    let eagerNeighbours = 0
    for (const { isEager } of this.#neighbourhood.values()) if (isEager) eagerNeighbours++
    return {
      ...counts,
      bytesSent: { ...bytesSent },
      bytesReceived: { ...bytesReceived },
      roundTripMs: this.#state.roundTripMs,
      members: members.size,
      neighbours: this.#neighbourhood.size,
      eagerNeighbours,
      cachedMessages: this.#log.size,
      cachedBytes: this.#log.bytes,
      origins: this.#seen.originCount,
      missing: this.#dissemination.missingCount,
      dropped: { ...dropped },
    }
  }

  #broadcast(broadcast: number, payload: Uint8Array, wantsReport: boolean, now: number): void {
    const { maxPayloadBytes } = this.#state.settings
    if (payload.length > maxPayloadBytes) {
      this.#state.dropped.oversized++
      const reason = `an event of ${payload.length} bytes, more than ${maxPayloadBytes}`
      return this.#state.emit({ type: 'refused', from: this.#state.node, reason })
    }
    const id = { origin: this.#origin, sequence: ++this.#sequence }
    let reportAt: number | undefined
    if (wantsReport) {
      reportAt = this.#receipts.begin(id, broadcast, now)
      if (reportAt === undefined) {
        const reason = `no report of broadcast ${broadcast}: too many are under way`
        this.#state.emit({ type: 'refused', from: this.#state.node, reason })
      }
    }
    this.#dissemination.publish(id, payload, reportAt, now)
  }

  #bytes(from: string, bytes: Uint8Array, now: number): void {
    const message = decodeBroadcastMessage(bytes)
    if (isWireError(message)) {
      this.#state.dropped.malformed++
      return this.#state.emit({ type: 'refused', from, reason: message.message })
    }
    this.#state.bytesReceived[message.type] += bytes.length
    if (this.#state.members.has(from)) return this.#message(from, message, now)
    // Its coming may be known here a little later than there: it asks again.
    this.#state.dropped.strangers++
    if (message.type === 'neighbour') this.#state.send(from, { type: 'refuse' })
  }

  #shouted(bytes: Uint8Array, now: number): void {
    const message = decodeBroadcastMessage(bytes)
    if (isWireError(message) || message.type !== 'gossip') {
      this.#state.dropped.malformed++
      return this.#state.emit({
        type: 'refused',
        from: '',
        reason: isWireError(message) ? message.message : `a shout of type ${message.type}`,
      })
    }
    // What this node sends to all comes back to it.
    if (message.originNode === this.#state.node) return
    this.#state.bytesReceived.gossip += bytes.length
    if (this.#state.members.has(message.originNode)) this.#dissemination.handleShout(message, now)
    else this.#state.dropped.strangers++
  }

  #message(from: string, message: BroadcastMessage, now: number): void {
    switch (message.type) {
      case 'neighbour':
        return this.#neighbourhood.handleRequest(from, message.wish, now)
      case 'accept':
        return this.#neighbourhood.handleAccept(from, now)
      case 'refuse':
        return this.#neighbourhood.handleRefuse(from, now)
      case 'disconnect':
        return this.#neighbourhood.handleDisconnect(from, now)
      case 'pulse': {
        const neighbour = this.#neighbourhood.neighbourOf(from, now)
        if (neighbour !== undefined) this.#tree.handlePulse(neighbour, message, now)
        return
      }
      case 'gossip': {
        const neighbour = message.isRepair ? this.#neighbourhood.get(from) : this.#neighbourhood.neighbourOf(from, now)
        return this.#dissemination.handleGossip(from, neighbour, message, now)
      }
      case 'ihave':
        return this.#dissemination.handleIhave(from, this.#neighbourhood.neighbourOf(from, now), message, now)
      case 'graft':
        return this.#dissemination.handleGraft(from, this.#neighbourhood.get(from), message, now)
      case 'prune': {
        const neighbour = this.#neighbourhood.get(from)
        if (neighbour !== undefined) this.#dissemination.handlePrune(neighbour)
        return
      }
      case 'summary': {
        const neighbour = this.#neighbourhood.neighbourOf(from, now)
        if (neighbour === undefined) return
        this.#neighbourhood.noticeSummary(neighbour, now)
        return this.#antiEntropy.handleSummary(from, message, now)
      }
      case 'digest':
        return this.#antiEntropy.handleDigest(from, message, now)
      case 'receipts':
        return this.#receipts.handleReceipts(from, message, now)
      case 'receipts-ack':
        return this.#receipts.handleAcknowledgement(from, message, message.part, now)
      case 'ask':
        if (this.#seen.has(message)) return this.#receipts.handleAsk(from, message)
        return this.#dissemination.wanted([message], from, true, now)
    }
  }
}

/** A UTF-16 unit takes three bytes at most, so that most names need no encoding to be judged. */
function isName(node: string): boolean {
  return 3 * node.length <= MAX_NODE_BYTES || utf8Encode(node).length <= MAX_NODE_BYTES
}
