/** What comes to a host, in bytes of IP: one TCP flow by its port, multicast, and all but the flow. Counted by its packet filter. */

/** Prefixed in the filter's language, where some of these are words of its own. */
const COUNTERS = ['flow', 'multicast', 'others']

export class Meter {
  #lan
  #host

  constructor(lan, host, flowPort) {
    this.#lan = lan
    this.#host = host
    lan.onHost(host, 'nft', 'add table inet counts')
    for (const name of COUNTERS) lan.onHost(host, 'nft', `add counter inet counts of-${name}`)
    lan.onHost(host, 'nft', 'add chain inet counts in { type filter hook prerouting priority -400 ; }')
    lan.onHost(host, 'nft', `add rule inet counts in iifname eth0 tcp dport ${flowPort} counter name of-flow accept`)
    lan.onHost(host, 'nft', 'add rule inet counts in iifname eth0 ip daddr 224.0.0.0/4 counter name of-multicast')
    lan.onHost(host, 'nft', 'add rule inet counts in iifname eth0 counter name of-others')
  }

  /** Bytes so far: `flow`, `multicast`, `others` (multicast among them). */
  read() {
    const { nftables } = JSON.parse(this.#lan.onHost(this.#host, 'nft', '-j', 'list', 'counters', 'table', 'inet', 'counts'))
    const counters = nftables.flatMap(({ counter }) => (counter === undefined ? [] : [[counter.name.slice('of-'.length), counter.bytes]]))
    return Object.fromEntries(counters)
  }
}
