/** A member as Serf's RPC tells it. */
import type { GossipMember } from '../gossip/gossip.ts'
import { ipBytes } from '../gossip/ip-bytes.ts'
import type { MemberRecord } from './messages.ts'

export function memberRecord(member: GossipMember): MemberRecord {
  const [protocolMin = 0, protocolMax = 0, protocolCur = 0, delegateMin = 0, delegateMax = 0, delegateCur = 0] = member.versions
  return {
    Name: member.name,
    Addr: ipBytes(member.address) ?? new Uint8Array(0),
    Port: member.port,
    Tags: new Map(Object.entries(member.tags)),
    Status: member.status,
    ProtocolMin: protocolMin,
    ProtocolMax: protocolMax,
    ProtocolCur: protocolCur,
    DelegateMin: delegateMin,
    DelegateMax: delegateMax,
    DelegateCur: delegateCur,
  }
}
