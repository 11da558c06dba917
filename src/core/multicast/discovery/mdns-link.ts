/**
 * mDNS on one link: a responder for what this host offers, a browser for each type that it looks for, and the bytes between them and the
 * socket. docs/specs/09-discovery.md §2.
 *
 * The socket hears what it sends itself, as other agents on the same host must. Such an echo is known by its bytes and left out: taken for
 * somebody else's, each question would count as asked twice.
 */
import { equalBytes } from '../../lib/bytes.ts'
import type { Random } from '../../lib/random.ts'
import { isWireError } from '../../wire/wire-error.ts'
import { decodeDnsMessage, encodeDnsMessage } from './dns-codec.ts'
import { nameText, type DnsMessage, type DnsName, type DnsRecord } from './dns-message.ts'
import { MdnsBrowser, type FoundService } from './mdns-browser.ts'
import { MDNS_PORT, MdnsResponder, type MdnsPeer } from './mdns-responder.ts'
import { PerSecondLimit } from './per-second-limit.ts'
import type { Offer } from './service-records.ts'

/** What a link looks for. */
export interface Browse {
  /** Such as `['_polycast', '_tcp']`. */
  readonly type: DnsName
  /** Asks from a port of its own; see `BrowserOptions`. */
  readonly isLegacy: boolean
  /** Whether anybody wants to reach this instance. */
  readonly isNeeded: (instance: string) => boolean
}

export interface MdnsLinkOptions {
  readonly offer: Offer
  readonly browses: readonly Browse[]
  readonly random: Random
  /** Whether this host says this, on whichever link. */
  readonly isOurs: (record: DnsRecord) => boolean
}

export type MdnsLinkInput =
  /** Came to the group. */
  | { readonly type: 'packet'; readonly bytes: Uint8Array; readonly from: MdnsPeer }
  /** Came to the port that `ask` was sent from. */
  | { readonly type: 'answer'; readonly bytes: Uint8Array }
  | { readonly type: 'offer'; readonly offer: Offer }
  | { readonly type: 'stop' }

export type MdnsLinkOutput =
  /** From mDNS's own port, to the group unless there is a peer. */
  | { readonly type: 'send'; readonly bytes: Uint8Array; readonly to: MdnsPeer | undefined }
  /** To the group, from a port of its own where the answer is heard. */
  | { readonly type: 'ask'; readonly bytes: Uint8Array }
  | { readonly type: 'found'; readonly serviceType: string; readonly service: FoundService }
  | { readonly type: 'lost'; readonly serviceType: string; readonly instance: string }
  | { readonly type: 'renamed'; readonly from: string; readonly to: string }

/** What is looked at per second; a thousand hosts that start at once send about as much. The rest is dropped and counted. */
const MAX_PACKETS_PER_SEC = 5000
const MAX_BYTES_PER_SEC = 4 * 1024 * 1024
/** Datagrams whose echo may still come. */
const MAX_ECHOES = 32

export class MdnsLink {
  #unreadable = 0
  #droppedPackets = 0
  readonly #packets: PerSecondLimit = new PerSecondLimit(MAX_PACKETS_PER_SEC)
  readonly #bytes: PerSecondLimit = new PerSecondLimit(MAX_BYTES_PER_SEC)
  readonly #responder: MdnsResponder
  readonly #browsers: readonly { readonly browser: MdnsBrowser; readonly type: string; readonly isLegacy: boolean }[]
  #echoes: Uint8Array[] = []
  #outputs: MdnsLinkOutput[] = []

  constructor({ offer, browses, random, isOurs }: MdnsLinkOptions, now: number) {
    this.#responder = new MdnsResponder({ offer, isOurs, random: random.fork('responder') }, now)
    this.#browsers = browses.map(({ type, isLegacy, isNeeded }) => ({
      browser: new MdnsBrowser({ type, isLegacy, isNeeded, isOurs, random: random.fork(`browser ${nameText(type)}`) }, now),
      type: nameText(type),
      isLegacy,
    }))
  }

  /** Everything that it says on this link. */
  get records(): readonly DnsRecord[] {
    return this.#responder.records
  }

  /** What it holds, and what it left out by its limits. */
  stats(): Record<string, number> {
    const stats = {
      records: 0,
      droppedRecords: 0,
      droppedAnswers: this.#responder.droppedAnswers,
      unreadable: this.#unreadable,
      droppedPackets: this.#droppedPackets,
    }
    for (const { browser } of this.#browsers) {
      stats.records += browser.counters.records
      stats.droppedRecords += browser.counters.dropped
    }
    return stats
  }

  handle(input: MdnsLinkInput, now: number): void {
    switch (input.type) {
      case 'packet': {
        const echo = this.#echoes.findIndex((bytes) => equalBytes(bytes, input.bytes))
        if (echo >= 0) {
          this.#echoes.splice(echo, 1)
          return
        }
        if (!this.#mayRead(input.bytes, now)) return
        const message = this.#decode(input.bytes)
        // RFC 6762 §6: responses come from mDNS's own port; anybody could send another one.
        if (message === undefined || (message.isResponse && input.from.port !== MDNS_PORT)) return
        this.#responder.handle({ type: 'message', message, from: input.from }, now)
        if (message.isResponse || input.from.port === MDNS_PORT) {
          for (const { browser } of this.#browsers) browser.handle({ type: 'message', message }, now)
        }
        return this.#gather()
      }
      case 'answer': {
        if (!this.#mayRead(input.bytes, now)) return
        const message = this.#decode(input.bytes)
        if (message?.isResponse !== true) return
        for (const { browser, isLegacy } of this.#browsers) if (isLegacy) browser.handle({ type: 'message', message }, now)
        return this.#gather()
      }
      case 'offer':
      case 'stop':
        this.#responder.handle(input, now)
        return this.#gather()
    }
  }

  handleTimeout(now: number): void {
    this.#responder.handleTimeout(now)
    for (const { browser } of this.#browsers) if (now >= browser.nextDeadline()) browser.handleTimeout(now)
    this.#gather()
  }

  nextDeadline(): number {
    return Math.min(this.#responder.nextDeadline(), ...this.#browsers.map(({ browser }) => browser.nextDeadline()))
  }

  drain(): MdnsLinkOutput[] {
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }

  #mayRead({ length }: Uint8Array, now: number): boolean {
    // Bytes first: where they don't fit, a smaller packet still may; once there are no packets left, bytes don't matter any more.
    if (this.#bytes.take(length, now) && this.#packets.take(1, now)) return true
    this.#droppedPackets++
    return false
  }

  #decode(bytes: Uint8Array): DnsMessage | undefined {
    const message = decodeDnsMessage(bytes)
    if (!isWireError(message)) return message
    this.#unreadable++
    return undefined
  }

  #gather(): void {
    for (const output of this.#responder.drain()) {
      if (output.type === 'send') this.#send(output.message, output.to)
      else this.#outputs.push(output)
    }
    for (const { browser, type: serviceType, isLegacy } of this.#browsers) {
      for (const output of browser.drain()) {
        if (output.type !== 'query') this.#outputs.push({ ...output, serviceType })
        else if (isLegacy) this.#outputs.push({ type: 'ask', bytes: encodeDnsMessage(output.message) })
        else this.#send(output.message, undefined)
      }
    }
  }

  #send(message: DnsMessage, to: MdnsPeer | undefined): void {
    const bytes = encodeDnsMessage(message)
    if (to === undefined) this.#echoes = [...this.#echoes, bytes].slice(-MAX_ECHOES)
    this.#outputs.push({ type: 'send', bytes, to })
  }
}
