/** What `polycast doctor` tells of multicast: who hears whom on each interface, and what is wrong. */
import type { MatrixEntry, PathState } from '../../../core/multicast/reach/reach-types.ts'
import type { Finding } from '../../gossip/diagnosis.ts'
import type { DoctorReport } from '../../gossip/gossip.ts'
import { diagnoseMulticast, type MulticastObservation } from './diagnosis.ts'

/** One family on one interface. */
export interface MulticastLinkReport {
  readonly interface: string
  readonly family: number
  readonly address: string
  readonly group: string
  /** Of the multicast that comes to this node. */
  readonly state: PathState
  readonly sinceMs: number
  /** False for an interface that is only listened at. */
  readonly isSending: boolean
  /** Payload of the largest datagram that is tried. */
  readonly maxBytes: number
  /** Who hears whom; on links of many nodes, what this node hears and who hears it alone. */
  readonly matrix: readonly MatrixEntry[]
}

export interface MulticastReport {
  readonly port: number
  readonly links: readonly MulticastLinkReport[]
  readonly findings: readonly Finding[]
}

/** A report with what was observed of multicast, where that is on and was asked for. */
export function withMulticast(report: DoctorReport, observation: MulticastObservation | undefined): DoctorReport {
  return observation === undefined ? report : { ...report, multicast: reportOf(report.node, observation) }
}

function reportOf(node: string, observation: MulticastObservation): MulticastReport {
  return {
    port: observation.port,
    findings: diagnoseMulticast(observation),
    links: observation.links.map(({ link, interface: via, group, state, sinceMs, matrix, peers }) => ({
      interface: link.interface,
      family: link.family,
      address: via.address,
      group,
      state,
      sinceMs,
      isSending: link.isSending,
      maxBytes: link.maxBytes,
      matrix:
        matrix.length > 0
          ? matrix
          : peers.flatMap(({ member, heardBytes, isBroadcastHeard, lossShare, hearsBytes, hearsBroadcast, hearsLossShare }) => {
              if (member === undefined) return []
              const here: MatrixEntry = { by: node, of: member, multicastBytes: heardBytes, broadcast: isBroadcastHeard, lossShare }
              if (hearsBytes === undefined) return [here]
              return [here, { by: member, of: node, multicastBytes: hearsBytes, broadcast: hearsBroadcast, lossShare: hearsLossShare }]
            }),
    })),
  }
}
