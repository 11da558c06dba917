/**
 * What is wrong with a member, or with the way to it: from what was observed to findings with a cause and a remedy, as a pure function.
 * Not here: how it is observed (`doctor.ts`).
 *
 * The idea: the same member is tried by several ways that fail for different reasons. Pings of several sizes by UDP tell whether packets
 * get there and back, and of which size; a ping by TCP has another protocol and sees refusals; pings by way of other members tell the
 * member's own fault from that of the path; an answer that the member is asked over TCP to send by UDP tells the way back alone; and
 * what the member itself says that it has heard, by way of others, tells the way there.
 */
import type { UnreadableCause } from '../../core/gossip/unreadable.ts'

export type FindingCode =
  | 'another-node'
  | 'clock-jumped'
  | 'encrypted-there'
  | 'host-gone'
  | 'large-packets-lost'
  | 'member-held-up'
  | 'multicast-filtered'
  | 'multicast-lossy'
  | 'multicast-mtu-mismatch'
  | 'multicast-no-querier'
  | 'multicast-no-route'
  | 'multicast-peers-deaf'
  | 'multicast-small-buffer'
  | 'multicast-stopped'
  | 'multicast-unheard'
  | 'multicast-unusable'
  | 'multicast-wrong-interface'
  | 'name-unknown'
  | 'no-gossip'
  | 'node-held-up'
  | 'node-slow'
  | 'packets-lost'
  | 'path-blocked'
  | 'plain-there'
  | 'process-gone'
  | 'process-stalled'
  | 'tcp-blocked'
  | 'udp-blocked'
  | 'udp-blocked-from'
  | 'udp-blocked-to'
  | 'unreadable-senders'
  | 'wrong-key'
  | 'wrong-label'

/** One thing that is wrong. */
export interface Finding {
  readonly code: FindingCode
  /** A problem keeps the member from being reached, or from being seen as it is; a warning may. */
  readonly severity: 'problem' | 'warning'
  /** What is so, and the cause. */
  readonly sentence: string
  /** What was observed. */
  readonly evidence: readonly string[]
  /** What to do. */
  readonly advice: string
}

/** Pings by UDP of one size. */
export interface PingCount {
  /** Of a packet's payload. */
  readonly bytes: number
  readonly sent: number
  readonly answered: number
}

/**
 * A ping by TCP. `silent`: no connection came about; `accepted`: one did, and nothing else came; `closed`: it was closed without an answer;
 * `unreadable`: an answer came that cannot be read, or says that this node's bytes could not be.
 */
export interface StreamObservation {
  readonly result: 'answered' | 'refused' | 'unreachable' | 'silent' | 'accepted' | 'closed' | 'unreadable'
  readonly reason: string
  readonly cause: UnreadableCause | undefined
}

/** What a member says of itself when it is asked. */
export interface PeerReport {
  /** How long ago it heard this node by UDP, ms; undefined for never. */
  readonly heardAgoMs: number | undefined
  /** How long ago the examination began when that came, ms: what was heard since was part of it. */
  readonly windowMs: number
  readonly heldUps: readonly HeldUp[]
  readonly healthScore: number
}

/** That a node did not get to run. */
export interface HeldUp {
  readonly agoMs: number
  readonly forMs: number
}

/** What was observed of one member or address. */
export interface TargetObservation {
  readonly name: string
  /** `host:port`. */
  readonly address: string
  readonly pings: readonly PingCount[]
  readonly stream: StreamObservation
  /** Whether another node answers at this address; where it was looked at. */
  readonly hasAnotherName: boolean
  /** Others that were asked to ping it. */
  readonly relays: readonly { readonly via: string; readonly outcome: 'ack' | 'nack' | 'silent' }[]
  /** Whether an answer that it was asked for over TCP came by UDP; undefined where it could not be asked. */
  readonly echoed: boolean | undefined
  /** How long ago anything of it was heard by UDP, ms; undefined for never. */
  readonly heardAgoMs: number | undefined
  /** What came from its address and could not be read. */
  readonly unreadable:
    | { readonly cause: UnreadableCause; readonly reason: string; readonly agoMs: number; readonly count: number }
    | undefined
  /** What it said by way of others. */
  readonly told: PeerReport | undefined
}

/** What was observed of this node itself. */
export interface SelfObservation {
  readonly name: string
  readonly healthScore: number
  readonly heldUps: readonly HeldUp[]
  readonly clockJumps: readonly { readonly agoMs: number; readonly byMs: number }[]
  /** How late timers were during the examination, at the worst, ms. */
  readonly timerLagMs: number
  /** Addresses whose bytes cannot be read, and which belong to no member. */
  readonly strangers: readonly {
    readonly address: string
    readonly cause: UnreadableCause
    readonly reason: string
    readonly count: number
  }[]
}

/** Of packets that were sent in both directions, the share lost from which it is told. */
const MIN_LOSS_SHARE = 0.1
/** Above this share of small packets lost, nothing is said about large ones. */
const MAX_SMALL_LOSS_SHARE = 0.34
/** The smallest packets that a path of Ethernet may lose for their size: below, every path of IPv4 passes them. */
const SMALL_BYTES = 576
/** Timers that are later than this are told, ms. */
const MAX_TIMER_LAG_MS = 300
/** How long ago something must have been to be of no interest, ms. */
export const INTEREST_MS: number = 10 * 60_000

/** What is wrong with a member or an address, the cause first; nothing where it is well. */
export function diagnoseTarget(seen: TargetObservation): Finding[] {
  const findings = [...pathFindings(seen), ...ownFindings(seen)]
  return findings.map((finding) => ({ ...finding, evidence: [...evidenceOf(seen), ...finding.evidence] }))
}

/** What is wrong with this node itself. */
export function diagnoseSelf({ name, healthScore, heldUps, clockJumps, timerLagMs, strangers }: SelfObservation): Finding[] {
  const findings: Finding[] = []
  const jumps = clockJumps.filter(({ agoMs }) => agoMs < INTEREST_MS)
  if (jumps.length > 0) {
    findings.push({
      code: 'clock-jumped',
      severity: 'warning',
      sentence: `The clock of ${name} jumped: it was set, or the machine was suspended.`,
      evidence: jumps.map(
        ({ agoMs, byMs }) => `${ago(agoMs)} the clock went ${seconds(Math.abs(byMs))} ${byMs < 0 ? 'back' : 'ahead'} at a stroke`,
      ),
      advice: 'Keep the clock with NTP in small steps, and virtual machines from being suspended; see the log of the host for that time.',
    })
  }
  const held = heldUps.filter(({ agoMs }) => agoMs < INTEREST_MS)
  if (held.length > 0) findings.push(heldUp('node-held-up', name, held, healthScore))
  if (timerLagMs > MAX_TIMER_LAG_MS) {
    findings.push({
      code: 'node-slow',
      severity: 'warning',
      sentence: `The process on ${name} gets too little time: its timers are late.`,
      evidence: [`timers came up to ${seconds(timerLagMs)} late during the examination`, `its health score is ${healthScore} (0 is well)`],
      advice: 'Look for a busy CPU, a CPU limit of its container, or swapping on this host (top, pressure in /proc/pressure).',
    })
  }
  if (strangers.length > 0) {
    findings.push({
      code: 'unreadable-senders',
      severity: 'warning',
      sentence: `${name} gets packets or connections that it cannot read from addresses of no member.`,
      evidence: strangers.map(({ address, cause, reason, count }) => `${address}: ${CAUSE_TEXTS[cause]} (${reason}; ${times(count)})`),
      advice:
        'If these are to be members, give them the key (gossip-key-file) and the label (gossip-label) of this cluster; if not, another cluster has this one’s addresses to join.',
    })
  }
  return findings
}

/** Whom the name of a target stands for could not be told. */
export function nameUnknown(target: string, reason: string): Finding {
  return {
    code: 'name-unknown',
    severity: 'problem',
    sentence: `${target} is no member, and no address that can be reached: ${reason}.`,
    evidence: [reason],
    advice:
      'polycast members lists the names; an address is HOST or HOST:PORT. If the name is right, look at DNS or /etc/hosts on this node.',
  }
}

// ---- the member, and the way to it ----

function pathFindings(seen: TargetObservation): Finding[] {
  const cause = cipherCause(seen)
  if (cause !== undefined) return [cipherFinding(seen, cause)]
  return seen.pings.some(({ answered }) => answered > 0) ? packetsAnswered(seen) : packetsSilent(seen)
}

/** Bytes that cannot be read explain all the rest. */
function cipherCause({ stream, unreadable, pings }: TargetObservation): Exclude<UnreadableCause, 'damaged'> | undefined {
  const isSilent = pings.every(({ answered }) => answered === 0)
  const cause = stream.cause ?? (isSilent && stream.result !== 'answered' ? unreadable?.cause : undefined)
  return cause === 'damaged' ? undefined : cause
}

const CIPHER_CODES = { label: 'wrong-label', key: 'wrong-key', plain: 'plain-there', sealed: 'encrypted-there' } as const

function cipherFinding({ name, stream, unreadable }: TargetObservation, cause: keyof typeof CIPHER_CODES): Finding {
  const texts = {
    label: {
      sentence: `${name} has another label: it belongs to another cluster.`,
      advice: 'If it is to belong to this one, set the option gossip-label on it as it is here, and start it again.',
    },
    key: {
      sentence: `${name} has another key: neither can read the other.`,
      advice: 'Compare polycast keys list on both sides. Put the key of this cluster into its gossip-key-file and start it again.',
    },
    plain: {
      sentence: `${name} does not encrypt its gossip, and this node does.`,
      advice: 'Give it the key of this cluster (gossip-key-file) and start it again.',
    },
    sealed: {
      sentence: `${name} encrypts its gossip, and this node does not.`,
      advice: 'Give this node the key of its cluster (gossip-key-file) and start it again.',
    },
  }
  const evidence =
    unreadable === undefined ? [] : [`${times(unreadable.count)} bytes came from it that cannot be read: ${unreadable.reason}`]
  return {
    code: CIPHER_CODES[cause],
    severity: 'problem',
    ...texts[cause],
    evidence: stream.reason === '' ? evidence : [stream.reason, ...evidence],
  }
}

/** Packets go there and come back, some at least. */
function packetsAnswered(seen: TargetObservation): Finding[] {
  const { name, pings, stream } = seen
  const findings: Finding[] = []
  const small = sum(pings.filter(({ bytes }) => bytes <= SMALL_BYTES))
  const lost = pings.filter(({ answered, bytes }) => answered === 0 && bytes > SMALL_BYTES)
  const largest = Math.max(...pings.filter(({ answered }) => answered > 0).map(({ bytes }) => bytes))
  const isBySize = lost.length > 0 && lossOf(small) <= MAX_SMALL_LOSS_SHARE && lost.every(({ bytes }) => bytes > largest)
  if (isBySize) {
    findings.push({
      code: 'large-packets-lost',
      severity: 'problem',
      sentence: `Large packets to ${name} are lost and small ones arrive: the MTU of something between is too small.`,
      evidence: [`${largest} bytes get through, ${Math.min(...lost.map(({ bytes }) => bytes))} bytes do not`],
      advice: `Find the hop with ping -M do -s ${Math.min(...lost.map(({ bytes }) => bytes))} and set the same MTU on all of the path (tunnels and VPNs take some), or let its ICMP "fragmentation needed" through.`,
    })
  } else {
    const all = sum(pings)
    if (lossOf(all) > MIN_LOSS_SHARE) {
      findings.push({
        code: 'packets-lost',
        severity: 'warning',
        sentence: `Packets between this node and ${name} are lost: ${all.sent - all.answered} of ${all.sent} round trips.`,
        evidence: [],
        advice:
          'Look for errors and drops on the interfaces (ip -s link, ethtool -S) of both and of the switches between, and for a link that is full.',
      })
    }
  }
  if (stream.result !== 'answered') findings.push(tcpFinding(seen))
  return findings
}

function tcpFinding({ name, address, stream, hasAnotherName }: TargetObservation): Finding {
  if (hasAnotherName) return anotherNode(name, address)
  return {
    code: 'tcp-blocked',
    severity: 'problem',
    sentence: `${name} answers by UDP and not by TCP: TCP to ${address} is blocked.`,
    evidence: stream.reason === '' ? [] : [stream.reason],
    advice: `Allow TCP to ${address} in the firewalls of both hosts and between them: joining and the exchange of whole lists need it.`,
  }
}

/** Nothing came back by UDP. */
function packetsSilent(seen: TargetObservation): Finding[] {
  const { name, address, stream, hasAnotherName, relays } = seen
  const reaching = relays.filter(({ outcome }) => outcome === 'ack').map(({ via }) => via)
  if (stream.result === 'answered') return [udpFinding(seen)]
  if (hasAnotherName) return [anotherNode(name, address)]
  if (reaching.length > 0) {
    return [
      {
        code: 'path-blocked',
        severity: 'problem',
        sentence: `${name} is well, but this node cannot reach it, neither by UDP nor by TCP: the path between the two is blocked.`,
        evidence: [`${reaching.join(', ')} can reach it`],
        advice: `Look at the firewalls, routes and switches between this node and ${address}; UDP and TCP of that port must pass, both ways.`,
      },
    ]
  }
  switch (stream.result) {
    case 'refused':
      return [
        {
          code: 'process-gone',
          severity: 'problem',
          sentence: `No agent runs at ${address}: the host of ${name} is there, and refuses the connection.`,
          evidence: [],
          advice:
            'Look at the log of the agent on that host for why it ended, and start it again; or see whether it listens on another port.',
        },
      ]
    case 'accepted':
      return [
        {
          code: 'process-stalled',
          severity: 'problem',
          sentence: `The host of ${name} accepts connections, and its agent answers nothing: the process is stopped, or does not get to run.`,
          evidence: [],
          advice: 'Look at the process on that host (its state in ps, CPU, swapping, a debugger, SIGSTOP, a frozen container).',
        },
      ]
    case 'closed':
    case 'unreadable':
      return [
        {
          code: 'no-gossip',
          severity: 'problem',
          sentence: `What listens at ${address} closes the connection without an answer: it is no agent, or one of another cluster.`,
          evidence: stream.reason === '' ? [] : [stream.reason],
          advice: 'Check the port, and on the other side the log of what listens there.',
        },
      ]
    case 'unreachable':
    case 'silent':
      return [
        {
          code: 'host-gone',
          severity: 'problem',
          sentence: `The host of ${name} is gone: nothing answers at ${address}${relays.length > 0 ? ', and no other member reaches it' : ''}.`,
          evidence: relays.length > 0 ? [] : ['no other member could be asked: the path from here may be blocked as well'],
          advice:
            'See whether the host is powered on and on the network. If it does not come back, polycast forget makes it a member that left.',
        },
      ]
  }
}

/** TCP works, UDP does not: in which direction. */
function udpFinding({ name, address, echoed, told }: TargetObservation): Finding {
  const hearsUs = told === undefined ? undefined : told.heardAgoMs !== undefined && told.heardAgoMs < told.windowMs
  const advice = `Allow UDP of the gossip port between this node and ${address} in the firewalls and security groups of both, in both directions.`
  if (echoed === true) {
    return {
      code: 'udp-blocked-to',
      severity: 'problem',
      sentence: `UDP to ${name} is blocked, one way: its packets arrive here, ours do not arrive there.`,
      evidence: ['asked by TCP, it sent a packet by UDP, which came'],
      advice,
    }
  }
  if (hearsUs === true) {
    return {
      code: 'udp-blocked-from',
      severity: 'problem',
      sentence: `${name} hears this node, and is not heard by it: UDP from it is blocked, one way, or takes another route back.`,
      evidence: [`it says that it heard this node ${ago(told?.heardAgoMs ?? 0)}`],
      advice: `${advice} Where a host has several addresses, see by which one its answers go out (ip route get), and whether a stateful firewall sees one direction only.`,
    }
  }
  const evidence =
    hearsUs === false
      ? ['it says that it does not hear this node either']
      : ['whether it hears this node could not be asked: run polycast doctor there as well']
  return {
    code: 'udp-blocked',
    severity: 'problem',
    sentence: `UDP between this node and ${name} is blocked${hearsUs === false ? ', both ways' : ''}; TCP works.`,
    evidence,
    advice,
  }
}

function anotherNode(name: string, address: string): Finding {
  return {
    code: 'another-node',
    severity: 'problem',
    sentence: `Another node than ${name} answers at ${address}.`,
    evidence: ['a ping for any name is answered there, one for this name is not'],
    advice: 'The address was given to another host. If the member is gone for good, polycast forget; else see which address it has now.',
  }
}

/** What the member says of itself. */
function ownFindings({ name, told }: TargetObservation): Finding[] {
  const held = told?.heldUps.filter(({ agoMs }) => agoMs < INTEREST_MS) ?? []
  return told === undefined || held.length === 0 ? [] : [heldUp('member-held-up', name, held, told.healthScore)]
}

function heldUp(code: 'node-held-up' | 'member-held-up', name: string, held: readonly HeldUp[], healthScore: number): Finding {
  return {
    code,
    severity: 'problem',
    sentence: `${name} did not get to run for ${seconds(Math.max(...held.map(({ forMs }) => forMs)))}: meanwhile it answered nobody.`,
    evidence: [
      ...held.map(({ agoMs, forMs }) => `${ago(agoMs)} it was held up for ${seconds(forMs)}`),
      `its health score is ${healthScore} (0 is well)`,
    ],
    advice:
      'Look for what stopped it at that time: SIGSTOP, a debugger, a snapshot or move of the virtual machine, a CPU limit, swapping, a full disk.',
  }
}

function evidenceOf({ pings, stream, relays, heardAgoMs }: TargetObservation): string[] {
  return [
    `UDP: ${pings.map(({ bytes, sent, answered }) => `${answered} of ${sent} pings of ${bytes} bytes answered`).join(', ')}`,
    `TCP: ${STREAM_TEXTS[stream.result]}`,
    ...relays.map(({ via, outcome }) => `by way of ${via}: ${RELAY_TEXTS[outcome]}`),
    heardAgoMs === undefined ? 'nothing of it was heard by UDP since this node started' : `it was heard by UDP ${ago(heardAgoMs)}`,
  ]
}

const STREAM_TEXTS: Readonly<Record<StreamObservation['result'], string>> = {
  answered: 'the ping is answered',
  refused: 'the connection is refused',
  unreachable: 'there is no route to it',
  silent: 'no connection comes about',
  accepted: 'the connection is accepted, and nothing is answered',
  closed: 'the connection is closed without an answer',
  unreadable: 'what it answers cannot be read',
}

const RELAY_TEXTS = { ack: 'it answers', nack: 'it does not answer', silent: 'that one says nothing' } as const

const CAUSE_TEXTS: Readonly<Record<UnreadableCause, string>> = {
  label: 'another label',
  key: 'another key, or no encryption',
  plain: 'no encryption',
  sealed: 'encryption, and none is configured here',
  damaged: 'nothing that gossip sends',
}

function sum(counts: readonly PingCount[]): { sent: number; answered: number } {
  return { sent: counts.reduce((all, one) => all + one.sent, 0), answered: counts.reduce((all, one) => all + one.answered, 0) }
}

function lossOf({ sent, answered }: { sent: number; answered: number }): number {
  return sent === 0 ? 0 : 1 - answered / sent
}

function ago(ms: number): string {
  return `${seconds(ms)} ago`
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`
}
