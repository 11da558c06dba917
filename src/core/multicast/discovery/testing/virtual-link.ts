/** A link with hosts that speak mDNS, in virtual time: what one sends to the group, all hear a moment later, itself too. */
import { Random } from '../../../lib/random.ts'
import { EventQueue } from '../../../lib/event-queue.ts'
import { isWireError } from '../../../wire/wire-error.ts'
import { decodeDnsMessage } from '../dns-codec.ts'
import { recordKey, type DnsMessage } from '../dns-message.ts'
import { MdnsLink, type Browse, type MdnsLinkOutput } from '../mdns-link.ts'
import { MDNS_PORT, type MdnsPeer } from '../mdns-responder.ts'
import type { Offer } from '../service-records.ts'

const LATENCY_MS = 0.2
export const TYPE: readonly string[] = ['_polycast', '_tcp']

/** A datagram as it went over the link. */
export interface Sent {
  readonly at: number
  readonly from: string
  /** `group`, or an address. */
  readonly to: string
  readonly message: DnsMessage
  readonly bytes: number
}

export class VirtualHost {
  readonly address: string
  readonly link: MdnsLink
  /** Found and not lost, by instance. */
  readonly found: Map<string, Extract<MdnsLinkOutput, { type: 'found' }>['service']> = new Map()
  readonly outputs: MdnsLinkOutput[] = []
  isConnected = true
  /** Of its link, as of the last time that anything happened to it. */
  deadline: number = Infinity

  constructor(address: string, link: MdnsLink) {
    this.address = address
    this.link = link
  }
}

export class VirtualLink {
  now = 0
  readonly hosts: VirtualHost[] = []
  readonly sent: Sent[] = []
  readonly #events: EventQueue<() => void> = new EventQueue()
  readonly #seed: string

  constructor(seed: string) {
    this.#seed = seed
  }

  /** A host with the address 10.0.0.N, that offers the service under a name and looks for others. */
  host(
    number: number,
    instance: string,
    options: { readonly offer?: Partial<Offer>; readonly isNeeded?: Browse['isNeeded'] } = {},
  ): VirtualHost {
    const address = `10.0.0.${number}`
    const bytes = Uint8Array.from(address.split('.'), Number)
    const offer = { host: `host-${number}`, addresses: [bytes], services: [offerOf(instance)], ...options.offer }
    const host: VirtualHost = new VirtualHost(
      address,
      new MdnsLink(
        {
          offer,
          browses: [{ type: TYPE, isLegacy: false, isNeeded: options.isNeeded ?? (() => true) }],
          random: new Random(`${this.#seed}/${number}/${this.hosts.length}`),
          isOurs: (record) => host.link.records.some((own) => recordKey(own) === recordKey(record)),
        },
        this.now,
      ),
    )
    this.hosts.push(host)
    this.#carryOut(host)
    return host
  }

  /** Virtual time goes on until `at`. */
  runTo(at: number): void {
    for (;;) {
      const deadline = Math.min(this.#events.peekTime(), ...this.hosts.map(({ deadline }) => deadline))
      if (deadline > at) break
      this.now = Math.max(this.now, deadline)
      if (this.#events.peekTime() <= this.now) this.#events.pop()!()
      for (const host of this.hosts) {
        if (host.deadline > this.now) continue
        host.link.handleTimeout(this.now)
        this.#carryOut(host)
      }
    }
    this.now = at
  }

  /** Something that no machine sent, to all. */
  inject(bytes: Uint8Array, from: MdnsPeer): void {
    for (const host of this.hosts) this.#deliver(host, bytes, from)
  }

  tell(host: VirtualHost, input: Parameters<MdnsLink['handle']>[0]): void {
    host.link.handle(input, this.now)
    this.#carryOut(host)
  }

  #carryOut(host: VirtualHost): void {
    host.deadline = host.link.nextDeadline()
    for (const output of host.link.drain()) {
      host.outputs.push(output)
      if (output.type === 'found') host.found.set(output.service.instance, output.service)
      if (output.type === 'lost') host.found.delete(output.instance)
      if (output.type === 'send') this.#send(host, output.bytes, output.to)
    }
  }

  #send(from: VirtualHost, bytes: Uint8Array, to: MdnsPeer | undefined): void {
    const message = decodeDnsMessage(bytes)
    if (isWireError(message)) throw new Error(`an encoder's message that cannot be read: ${message.message}`)
    this.sent.push({ at: this.now, from: from.address, to: to?.address ?? 'group', message, bytes: bytes.length })
    if (!from.isConnected) return
    for (const host of this.hosts) {
      if (to === undefined ? host.isConnected : host.address === to.address) {
        this.#events.push(this.now + LATENCY_MS, () => this.#deliver(host, bytes, { address: from.address, port: MDNS_PORT }))
      }
    }
  }

  #deliver(host: VirtualHost, bytes: Uint8Array, from: MdnsPeer): void {
    host.link.handle({ type: 'packet', bytes, from }, this.now)
    this.#carryOut(host)
  }
}

export function offerOf(instance: string): Offer['services'][number] {
  return { type: TYPE, instance, port: 7946, txt: ['txtvers=1', `node=${instance}`] }
}
