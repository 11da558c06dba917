/**
 * Who is reached by multicast and broadcast from this node, on which of its links, up to which size and with how much loss: known by
 * beacons, watched for ever, and told as a table. docs/specs/10-reach.md.
 *
 * Not here: sockets and interfaces (`agent/multicast/reach`), what a session makes of the table, and why something does not arrive
 * (`agent/multicast/reach/diagnosis.ts`). The machine puts the links together; `link-machine.ts` has the protocol.
 */
import type { Random } from '../../lib/random.ts'
import { isWireError } from '../../wire/wire-error.ts'
import { hashUnits } from '../../lib/text-hash.ts'
import { decodeBeacon } from './beacon.ts'
import { clusterHash } from './group-datagram.ts'
import type { HeardPeer } from './heard-peer.ts'
import { LinkMachine, type LinkContext } from './link-machine.ts'
import {
  REACH_LIMITS,
  REACH_TIMES,
  type LinkReport,
  type MatrixEntry,
  type ReachEntry,
  type ReachInput,
  type ReachLimits,
  type ReachLink,
  type ReachOptions,
  type ReachOutput,
} from './reach-types.ts'

/** A node in beacons: 48 bits of its name. */
export function nodeOf(name: string): number {
  return (hashUnits(`${name} node`) & 0xffff) * 0x1_0000_0000 + hashUnits(name)
}

export class ReachMachine {
  readonly #options: ReachOptions
  readonly #limits: ReachLimits
  readonly #random: Random
  readonly #cluster: number
  readonly #node: number
  readonly #links: Map<string, LinkMachine> = new Map()
  /** Other members, by node. */
  #names: ReadonlyMap<number, string> = new Map()
  #outputs: ReachOutput[] = []
  #isChangeTold = false
  /** Beacons for links that are not there. */
  #strayed = 0

  constructor(options: ReachOptions, random: Random) {
    this.#options = options
    this.#limits = { ...REACH_LIMITS, ...options.limits }
    this.#random = random
    this.#cluster = clusterHash(options.cluster)
    this.#node = nodeOf(options.name)
  }

  handle(input: ReachInput, now: number): void {
    switch (input.type) {
      case 'links':
        return this.#setLinks(input.links, now)
      case 'members':
        return this.#setMembers(input.names)
      case 'packet': {
        const link = this.#links.get(input.link)
        if (link === undefined) {
          this.#strayed++
          return
        }
        const beacon = decodeBeacon(input.bytes, this.#cluster, this.#options.cipher)
        if (isWireError(beacon)) {
          link.counters.unreadable++
          return
        }
        if (beacon.node === this.#node) return
        return link.handleBeacon(beacon, input.path, input.from, input.bytes.length, now)
      }
      case 'wanted':
        for (const link of this.#links.values()) link.wanted(now)
    }
  }

  handleTimeout(now: number): void {
    for (const link of this.#links.values()) if (link.nextDeadline() <= now) link.handleTimeout(now)
  }

  nextDeadline(): number {
    let earliest = Infinity
    for (const link of this.#links.values()) earliest = Math.min(earliest, link.nextDeadline())
    return earliest
  }

  drain(): ReachOutput[] {
    const outputs = this.#outputs
    this.#outputs = []
    this.#isChangeTold = false
    return outputs
  }

  /** How each member is reached, one entry per link on which it tells. Members that tell nothing are in none. */
  table(now: number): ReachEntry[] {
    const entries: ReachEntry[] = []
    for (const machine of this.#links.values()) {
      const { id: link, interface: name, family } = machine.link
      for (const peer of machine.peers.values()) {
        const member = this.#names.get(peer.node)
        const reach = member === undefined ? undefined : machine.reachOf(peer, now)
        if (member === undefined || reach === undefined) continue
        const { multicastBytes, isBroadcastHeard: broadcast, lossShare } = reach
        entries.push({ member, link, interface: name, family, multicastBytes, broadcast, lossShare })
      }
    }
    return entries
  }

  /** All that is known, for the doctor. */
  report(now: number): LinkReport[] {
    return [...this.#links.values()].map((machine) => this.#reportOf(machine, now))
  }

  /** Beacons that were not taken (nobody's, none that a key opens, repeated, for links that are gone), and nodes forgotten for others. */
  get counters(): { readonly refused: number; readonly forgotten: number } {
    const of = [...this.#links.values()].map(({ counters }) => counters)
    return {
      refused: of.reduce((sum, { unreadable, replayed }) => sum + unreadable + replayed, this.#strayed),
      forgotten: of.reduce((sum, { forgotten }) => sum + forgotten, 0),
    }
  }

  // ---- links and members ----

  #setLinks(links: readonly ReachLink[], now: number): void {
    const wanted = links.slice(0, this.#limits.maxLinks)
    const kept = new Set(wanted.map(({ id }) => id))
    for (const id of this.#links.keys()) {
      if (kept.has(id)) continue
      this.#links.delete(id)
      this.#emit({ type: 'changed' })
    }
    for (const link of wanted) {
      const known = this.#links.get(link.id)
      if (known !== undefined && sameLink(known.link, link)) continue
      this.#links.set(link.id, new LinkMachine(link, this.#context(link.id), now))
    }
  }

  #setMembers(names: readonly string[]): void {
    const members = new Map(names.map((name) => [nodeOf(name), name]))
    for (const node of this.#names.keys()) {
      if (members.has(node)) continue
      for (const link of this.#links.values()) link.forget(node)
    }
    this.#names = members
    this.#emit({ type: 'changed' })
  }

  #context(id: string): LinkContext {
    return {
      node: this.#node,
      run: this.#options.run,
      cluster: this.#cluster,
      cipher: this.#options.cipher,
      limits: this.#limits,
      times: REACH_TIMES,
      random: this.#random.fork(id),
      emit: (output) => this.#emit(output),
      isMember: (node) => this.#names.has(node),
      memberCount: () => this.#names.size,
    }
  }

  #emit(output: ReachOutput): void {
    if (output.type === 'changed') {
      if (this.#isChangeTold) return
      this.#isChangeTold = true
    }
    this.#outputs.push(output)
  }

  // ---- the doctor's view ----

  #reportOf(machine: LinkMachine, now: number): LinkReport {
    const { silenceMs } = REACH_TIMES
    const { link, state, stateAt, livedMs, revivals, isFast, counters } = machine
    const peers = [...machine.peers.values()]
    const heard = (peer: HeardPeer) => peer.reportOf(now, silenceMs, machine.isDeaf)
    const matrix: MatrixEntry[] = []
    if (peers.length <= this.#limits.maxMatrixPeers) {
      for (const peer of peers) {
        const { multicastBytes, isBroadcastHeard: broadcast, lossShare } = heard(peer)
        matrix.push({ by: this.#options.name, of: this.#nameOf(peer.node), multicastBytes, broadcast, lossShare })
        if (!peer.isFresh(now)) continue
        const theirs = peer.report === undefined ? peer.others : new Map([[this.#node, peer.report], ...peer.others])
        for (const [node, report] of theirs) {
          matrix.push({
            by: this.#nameOf(peer.node),
            of: node === this.#node ? this.#options.name : this.#nameOf(node),
            multicastBytes: peer.beacon.isDeaf ? 0 : report.multicastBytes,
            broadcast: report.isBroadcastHeard,
            lossShare: report.lossShare,
          })
        }
      }
    }
    return {
      link,
      state,
      sinceMs: Math.round(now - stateAt),
      livedMs: livedMs === undefined ? undefined : Math.round(livedMs),
      revivals,
      isFast,
      unreadable: counters.unreadable,
      replayed: counters.replayed,
      matrix,
      peers: peers.map((peer) => {
        const { multicastBytes, isBroadcastHeard, lossShare } = heard(peer)
        const reach = machine.reachOf(peer, now)
        return {
          member: this.#names.get(peer.node),
          from: peer.from,
          heardBytes: multicastBytes,
          sentBytes: peer.beacon.maxBytes,
          isBroadcastHeard,
          lossShare,
          isDeaf: peer.beacon.isDeaf,
          hearsBytes: reach?.multicastBytes,
          hearsBroadcast: reach?.isBroadcastHeard ?? false,
          hearsLossShare: reach?.lossShare ?? 0,
        }
      }),
    }
  }

  #nameOf(node: number): string {
    return this.#names.get(node) ?? `#${node.toString(16)}`
  }
}

function sameLink(a: ReachLink, b: ReachLink): boolean {
  return a.maxBytes === b.maxBytes && a.hasBroadcast === b.hasBroadcast && a.isSending === b.isSending && a.interface === b.interface
}
