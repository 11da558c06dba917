/**
 * What the parts of the broadcast machine share: who it is, the members, the counters, and the way out.
 */
import type { Random } from '../../lib/random.ts'
import { encodeBroadcastMessage } from './broadcast-codec.ts'
import type { BroadcastMessage, BroadcastMessageType } from './broadcast-messages.ts'
import {
  DEFAULT_BROADCAST_SETTINGS,
  type BroadcastDrops,
  type BroadcastOptions,
  type BroadcastOutput,
  type BroadcastSettings,
} from './broadcast-types.ts'
import { MemberDirectory } from './member-directory.ts'

const QUOTA_WINDOW_MS = 1000
const MAX_QUOTA_MEMBERS = 1024

export class BroadcastState {
  readonly node: string
  readonly random: Random
  readonly settings: BroadcastSettings
  readonly members: MemberDirectory
  readonly dropped: BroadcastDrops = {
    malformed: 0,
    oversized: 0,
    strangers: 0,
    evictedMessages: 0,
    evictedOrigins: 0,
    gaps: 0,
    announcements: 0,
    grafts: 0,
    requests: 0,
    reports: 0,
  }
  readonly counts = {
    payloadsSent: 0,
    payloadsReceived: 0,
    shoutsSent: 0,
    shoutsReceived: 0,
    duplicates: 0,
    repairs: 0,
    graftsSent: 0,
    graftsReceived: 0,
    prunesSent: 0,
    prunesReceived: 0,
    ihavesSent: 0,
    ihavesReceived: 0,
  }
  /** Members that a shout of this node reaches, and how long it may be. */
  reached: { readonly nodes: ReadonlySet<string>; readonly maxBytes: number } = { nodes: new Set(), maxBytes: 0 }
  readonly bytesSent: Record<BroadcastMessageType, number> = noBytes()
  readonly bytesReceived: Record<BroadcastMessageType, number> = noBytes()
  #outputs: BroadcastOutput[] = []
  /** The smoothed round trip and its deviation (RFC 6298 §2), ms. */
  #roundTripMs: number
  #roundTripDeviationMs = 0
  #hasRoundTrip = false

  constructor({ node, random, settings }: BroadcastOptions) {
    this.node = node
    this.random = random
    this.settings = settings === undefined ? DEFAULT_BROADCAST_SETTINGS : { ...DEFAULT_BROADCAST_SETTINGS, ...settings }
    this.members = new MemberDirectory(node)
    this.#roundTripMs = this.settings.firstRoundTripMs
  }

  get hasRoundTrip(): boolean {
    return this.#hasRoundTrip
  }

  get roundTripMs(): number {
    return this.#roundTripMs
  }

  /** How long a question may go unanswered before it is asked again, ms. */
  get answerMs(): number {
    return Math.min(Math.max(2.5 * this.#roundTripMs, this.#roundTripMs + 4 * this.#roundTripDeviationMs, 8), 1000)
  }

  noticeRoundTrip(ms: number): void {
    if (this.#hasRoundTrip) {
      this.#roundTripDeviationMs += (Math.abs(ms - this.#roundTripMs) - this.#roundTripDeviationMs) / 4
      this.#roundTripMs += (ms - this.#roundTripMs) / 8
    } else {
      this.#hasRoundTrip = true
      this.#roundTripMs = ms
      this.#roundTripDeviationMs = ms / 4
    }
  }

  emit(output: BroadcastOutput): void {
    this.#outputs.push(output)
  }

  drain(): BroadcastOutput[] {
    const outputs = this.#outputs
    // An empty list is the caller's too: what is said while it is gone through must not turn up in it.
    this.#outputs = []
    return outputs
  }

  send(to: string, message: BroadcastMessage): void {
    this.sendBytes(to, message.type, encodeBroadcastMessage(message))
  }

  /** Sends a message that was encoded already, for one that goes to many. */
  sendBytes(to: string, type: BroadcastMessageType, bytes: Uint8Array): void {
    this.bytesSent[type] += bytes.length
    this.emit({ type: 'send', to, bytes })
  }
}

/** How much each member took within the current second; who is over its quota is refused until the next one begins. */
export class Quota {
  readonly #perSec: number
  readonly #taken: Map<string, number> = new Map()
  #windowEndsAt = -Infinity

  constructor(perSec: number) {
    this.#perSec = perSec
  }

  /** Whether one more is within the quota; members beyond the first thousand of a second are not. */
  take(member: string, now: number): boolean {
    if (now >= this.#windowEndsAt) {
      this.#taken.clear()
      this.#windowEndsAt = now + QUOTA_WINDOW_MS
    }
    const taken = this.#taken.get(member) ?? 0
    if (taken >= this.#perSec || (taken === 0 && this.#taken.size >= MAX_QUOTA_MEMBERS)) return false
    this.#taken.set(member, taken + 1)
    return true
  }
}

function noBytes(): Record<BroadcastMessageType, number> {
  return {
    neighbour: 0,
    accept: 0,
    refuse: 0,
    disconnect: 0,
    pulse: 0,
    gossip: 0,
    ihave: 0,
    graft: 0,
    prune: 0,
    summary: 0,
    digest: 0,
    receipts: 0,
    'receipts-ack': 0,
    ask: 0,
  }
}
