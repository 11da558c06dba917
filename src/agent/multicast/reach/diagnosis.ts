/**
 * What is wrong with multicast at this node: from what the beacons showed to findings with a cause and a remedy, as a pure function. Not here:
 * how it is observed (`reach-service.ts`).
 *
 * The idea: what goes to a group, to everybody and to one node takes different ways through the same switches. What arrives of each, up to which
 * size, on which interface, since when and until when, tells the switch that forgets from the port that filters, and both from this
 * machine's own settings. All of it are warnings: what multicast does not carry, the swarm does.
 */
import { MAX_BEACON_BYTES, type LinkReport, type PeerView } from '../../../core/multicast/reach/reach-types.ts'
import type { PolycastError } from '../../errors.ts'
import type { Finding } from '../../gossip/diagnosis.ts'
import { isInSubnet, type NetworkInterface } from '../sockets/interfaces.ts'

/** What is known of multicast at this node. */
export interface MulticastObservation {
  readonly port: number
  readonly links: readonly LinkObservation[]
  /** Links whose sockets could not be opened. */
  readonly problems: readonly { readonly interface: NetworkInterface; readonly error: PolycastError }[]
  /** Other members that are alive and speak the protocol. */
  readonly members: readonly { readonly name: string; readonly address: string }[]
  /** The largest receive buffer that a program gets, bytes; undefined where the system does not tell. */
  readonly maxReceiveBufferBytes: number | undefined
}

export interface LinkObservation extends LinkReport {
  readonly interface: NetworkInterface
  readonly group: string
  readonly sendError: PolycastError | undefined
  readonly sentPackets: number
}

/** What is enough for sessions, which ask for twice that: 40 ms of a gigabit, about as long as a process does not get to run now and then. */
export const WANTED_BUFFER_BYTES: number = 4 * 1024 * 1024
/** After how long a switch forgets who joined, where nobody asks (RFC 9776 §8.4), less and more some seconds. */
const MEMBERSHIP_MS: readonly [number, number] = [200_000, 290_000]
/** Before this, silence says nothing yet. */
const SETTLED_MS = 6000
/** Coming back once may be chance. */
const MIN_REVIVALS = 2
const LOSSY_SHARE = 0.05
const MAX_NAMED = 8

type Cause = Omit<Finding, 'severity'>

/** All that is wrong, the cause before what follows from it. */
export function diagnoseMulticast(observation: MulticastObservation): Finding[] {
  const { links, problems, maxReceiveBufferBytes } = observation
  const causes: (Cause | undefined)[] = [
    ...problems.map(unusable),
    ...links.flatMap((link) => {
      const deaf = unheard(link, observation)
      return [routeless(link), deaf, deaf === undefined ? forgotten(link) : undefined, voiceless(link), smaller(link), lossy(link)]
    }),
    smallBuffer(maxReceiveBufferBytes),
  ]
  return causes.flatMap((cause) => (cause === undefined ? [] : [{ severity: 'warning', ...cause }]))
}

function unusable({ interface: via, error }: MulticastObservation['problems'][number]): Cause {
  return {
    code: error.code === 'multicast-no-route' ? 'multicast-no-route' : 'multicast-unusable',
    sentence: `Multicast cannot be used on ${nameOf(via)}: ${error.message}`,
    evidence: [`opening its sockets failed with ${error.code}; it is tried again every 3 s`],
    advice: error.advice,
  }
}

function routeless({ interface: via, sendError, sentPackets }: LinkObservation): Cause | undefined {
  if (sendError === undefined) return undefined
  return {
    code: sendError.code === 'multicast-no-route' ? 'multicast-no-route' : 'multicast-unusable',
    sentence: `Beacons cannot be sent on ${nameOf(via)}: ${sendError.message}`,
    evidence: [`${sentPackets} were sent or tried since the start; the last failure was ${sendError.code}`],
    advice: sendError.advice,
  }
}

/** Nothing comes by multicast. */
function unheard(link: LinkObservation, observation: MulticastObservation): Cause | undefined {
  const { interface: via, state, sinceMs, livedMs, peers, family, group } = { ...link, family: link.link.family }
  const elsewhere = observation.links.find(
    (other) =>
      // Who is bound to all interfaces hears the others where they are.
      !other.link.isSending &&
      other.link.interface !== link.link.interface &&
      other.link.family === family &&
      other.peers.some(({ heardBytes }) => heardBytes > 0),
  )
  const neighbours = observation.members.filter(({ address }) => isInSubnet(address, via))
  if (!link.link.isSending) return undefined
  if (state === 'open' || (state === 'listening' && (sinceMs < SETTLED_MS || (neighbours.length === 0 && elsewhere === undefined))))
    return undefined
  const where = nameOf(via)
  if (livedMs === undefined && elsewhere !== undefined && peers.every(({ heardBytes }) => heardBytes === 0)) {
    const heard = elsewhere.peers.filter(({ heardBytes }) => heardBytes > 0)
    return {
      code: 'multicast-wrong-interface',
      sentence: `The cluster's multicast comes in on ${elsewhere.link.interface}, and this node uses ${where}, where nothing comes.`,
      evidence: [
        `on ${elsewhere.link.interface} (${elsewhere.interface.address}) beacons of ${named(heard)} are heard`,
        `on ${via.name} (${via.address}) none came in ${seconds(sinceMs)}`,
      ],
      advice: `Start the agent with --bind ${elsewhere.interface.address}, or connect ${via.name} to the network of the others.`,
    }
  }
  const broadcasts = peers.filter(({ isBroadcastHeard }) => isBroadcastHeard)
  const deafness = [
    ...(broadcasts.length > 0 ? [`broadcasts of ${named(broadcasts)} arrive on the same interface`] : []),
    ...(neighbours.length > 0 ? [`${neighbours.length} other members of its subnet are alive by gossip`] : []),
    `the group ${group} is joined there, and has been joined again and again`,
  ]
  if (livedMs !== undefined) {
    const isForgotten = isMembershipTime(livedMs)
    return {
      code: isForgotten || link.revivals >= MIN_REVIVALS ? 'multicast-no-querier' : 'multicast-stopped',
      sentence: isForgotten
        ? `Multicast to ${where} stopped ${seconds(livedMs)} after the group was joined: that is when a switch with IGMP or MLD snooping forgets who joined, if no querier asks.`
        : `Multicast to ${where} came for ${seconds(livedMs)} and then stopped, ${seconds(sinceMs)} ago; joining again does not bring it back.`,
      evidence: deafness,
      advice:
        'Turn on an IGMP and MLD querier in the switch or router of this network, or turn snooping off there; if it has one, look for a filter of multicast on the port of this machine. Deliveries to this node go by the swarm meanwhile.',
    }
  }
  return {
    code: 'multicast-filtered',
    sentence: `Multicast has never reached this node on ${where}${broadcasts.length > 0 ? ', though broadcast does' : ''}: a switch, an access point or a firewall drops it.`,
    evidence: deafness,
    advice: `Let UDP port ${observation.port} and the groups 224.0.0.0/4 (for IPv6 ff00::/8) in, in this machine's firewall and on its port of the switch; on Wi-Fi turn off client isolation. If the others run with --no-multicast, there is nothing to hear.`,
  }
}

/** It comes, because the group is joined again each time that it stops. */
function forgotten({ interface: via, revivals, livedMs }: LinkObservation): Cause | undefined {
  if (revivals < MIN_REVIVALS && !(revivals > 0 && isMembershipTime(livedMs))) return undefined
  return {
    code: 'multicast-no-querier',
    sentence: `Multicast to ${nameOf(via)} stops again and again and comes back when the group is joined anew: the switch forgets who joined, as no querier asks.`,
    evidence: [`it came back ${times(revivals)} that way; before it last stopped it had come for ${seconds(livedMs ?? 0)}`],
    advice: 'Turn on an IGMP and MLD querier in the switch or router of this network, or turn snooping off there.',
  }
}

/** Others do not hear this node, or hear nothing at all. */
function voiceless({ interface: via, peers, sinceMs, link, state, sendError }: LinkObservation): Cause | undefined {
  if (!link.isSending || sendError !== undefined || (state !== 'blocked' && sinceMs < SETTLED_MS)) return undefined
  const telling = peers.filter(({ hearsBytes }) => hearsBytes !== undefined)
  const deaf = telling.filter(({ isDeaf }) => isDeaf)
  const missing = telling.filter(({ isDeaf, hearsBytes }) => !isDeaf && hearsBytes === 0)
  if (missing.length > 0 && missing.length === telling.length) {
    return {
      code: 'multicast-unheard',
      sentence: `Nobody hears the multicast of this node on ${nameOf(via)}, though they hear others: its own port of the switch, or its own firewall, drops what it sends.`,
      evidence: [`${named(missing)} say that they hear none of it`],
      advice: 'Look for a filter or storm control of multicast on the port of this machine, and at the outgoing rules of its firewall.',
    }
  }
  const cut = [...deaf, ...missing]
  if (cut.length === 0) return undefined
  return {
    code: 'multicast-peers-deaf',
    sentence: `On ${nameOf(via)}, multicast does not reach ${named(cut)}; it reaches ${telling.length - cut.length} others.`,
    evidence: cut.slice(0, MAX_NAMED).map(({ member, isDeaf, hearsBroadcast }) => {
      const what = isDeaf ? 'hears no multicast of anybody' : 'hears no multicast of this node'
      return `${member ?? 'a node without name'} ${what}${hearsBroadcast ? ', and hears its broadcasts' : ''}`
    }),
    advice: 'Ask the doctor there: the cause is at their port or in what lies between; deliveries to them go by the swarm meanwhile.',
  }
}

/** Small datagrams arrive and large ones do not. */
function smaller({ interface: via, peers, link, state }: LinkObservation): Cause | undefined {
  const own = link.isSending && state === 'open' ? Math.min(link.maxBytes, MAX_BEACON_BYTES) : 0
  const lines: string[] = []
  const affected: PeerView[] = []
  for (const peer of peers) {
    const { member = 'a node without name', hearsBytes, heardBytes, sentBytes, isDeaf } = peer
    const isTheirs = !isDeaf && hearsBytes !== undefined && hearsBytes > 0 && hearsBytes < own
    const isOurs = heardBytes > 0 && heardBytes < sentBytes
    if (isTheirs) lines.push(`${member} gets ${hearsBytes} bytes of this node in one datagram, and not ${own}`)
    if (isOurs) lines.push(`this node gets ${heardBytes} bytes of ${member} in one datagram, and not ${sentBytes}`)
    if (isTheirs || isOurs) affected.push(peer)
  }
  if (affected.length === 0) return undefined
  return {
    code: 'multicast-mtu-mismatch',
    sentence: `Large datagrams are lost between ${nameOf(via)} (MTU ${via.mtu ?? 'unknown'}) and ${named(affected)}: some port or tunnel between has a smaller MTU, and drops them without a word.`,
    evidence: lines.slice(0, 2 * MAX_NAMED),
    advice: `Give all ports and machines of this network one MTU: compare ip link show ${via.name} here and there, and the ports of the switch. Sessions use what gets through meanwhile.`,
  }
}

function lossy({ interface: via, peers }: LinkObservation): Cause | undefined {
  const lines: string[] = []
  for (const { member = 'a node without name', lossShare, hearsLossShare, heardBytes, hearsBytes } of peers) {
    if (heardBytes > 0 && lossShare > LOSSY_SHARE) lines.push(`${percent(lossShare)} of the beacons of ${member} are lost on the way here`)
    if ((hearsBytes ?? 0) > 0 && hearsLossShare > LOSSY_SHARE)
      lines.push(`${percent(hearsLossShare)} of this node's are lost on the way to ${member}`)
  }
  if (lines.length === 0) return undefined
  return {
    code: 'multicast-lossy',
    sentence: `Multicast is lost on ${nameOf(via)} more than on a wired network that is well.`,
    evidence: lines.slice(0, MAX_NAMED),
    advice:
      'Wi-Fi, overloaded ports and small buffers of switches lose multicast first; it costs repairs, up to half of all being lost. Use a wired port, or --no-multicast on this node.',
  }
}

function smallBuffer(maxReceiveBufferBytes: number | undefined): Cause | undefined {
  if (maxReceiveBufferBytes === undefined || maxReceiveBufferBytes >= WANTED_BUFFER_BYTES) return undefined
  return {
    code: 'multicast-small-buffer',
    sentence: `This machine gives a socket a receive buffer of ${kib(maxReceiveBufferBytes)} KiB at the most: fast multicast overflows it whenever the process does not get to run for a millisecond or two.`,
    evidence: [`net.core.rmem_max is ${maxReceiveBufferBytes}; ${WANTED_BUFFER_BYTES} are enough for a gigabit`],
    advice: `sysctl -w net.core.rmem_max=${WANTED_BUFFER_BYTES} (and the same in /etc/sysctl.d/ to keep it)`,
  }
}

function isMembershipTime(ms: number | undefined): boolean {
  return ms !== undefined && ms >= MEMBERSHIP_MS[0] && ms <= MEMBERSHIP_MS[1]
}

function nameOf({ name, family }: NetworkInterface): string {
  return `${name} (IPv${family})`
}

function named(peers: readonly PeerView[]): string {
  const names = peers.map(({ member }) => member ?? 'a node without name')
  const shown = names.slice(0, MAX_NAMED).join(', ')
  return names.length > MAX_NAMED ? `${shown} and ${names.length - MAX_NAMED} others` : shown
}

function seconds(ms: number): string {
  return ms < 120_000 ? `${Math.round(ms / 1000)} s` : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`
}

function kib(bytes: number): number {
  return Math.floor(bytes / 1024)
}
