/** What comes to a host of a LAN, in bytes of IP: one TCP flow by its port, multicast, and all but the flow. Counted by its packet filter. */
import type { Lan } from './lan.ts'

/** What has come so far; `multicast` is a part of `others`. */
export interface Reading {
  readonly flow: number
  readonly multicast: number
  readonly others: number
}

/** Counts from when it is made. */
export class Meter {
  readonly #lan: Lan
  readonly #host: number

  /** `flowPort` is where a TCP flow goes to that is counted apart. */
  constructor(lan: Lan, host: number, flowPort: number = 0) {
    this.#lan = lan
    this.#host = host
    const nft = (command: string): string => lan.onHost(host, 'nft', command)
    nft('add table inet counts')
    // Prefixed, since some of these are words of the filter's language.
    for (const name of ['flow', 'multicast', 'others']) nft(`add counter inet counts of-${name}`)
    nft('add chain inet counts in { type filter hook prerouting priority -400 ; }')
    nft(`add rule inet counts in iifname eth0 tcp dport ${flowPort} counter name of-flow accept`)
    nft('add rule inet counts in iifname eth0 ip daddr 224.0.0.0/4 counter name of-multicast')
    nft('add rule inet counts in iifname eth0 counter name of-others')
  }

  read(): Reading {
    const { nftables } = JSON.parse(this.#lan.onHost(this.#host, 'nft', '-j', 'list', 'counters', 'table', 'inet', 'counts')) as {
      nftables: { counter?: { name: string; bytes: number } }[]
    }
    const bytesOf = (name: keyof Reading): number => nftables.find(({ counter }) => counter?.name === `of-${name}`)?.counter?.bytes ?? 0
    return { flow: bytesOf('flow'), multicast: bytesOf('multicast'), others: bytesOf('others') }
  }
}
