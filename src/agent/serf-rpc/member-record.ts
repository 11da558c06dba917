/** A member as Serf's RPC tells it. */
import { isIP } from 'node:net'
import type { GossipMember } from '../gossip/gossip.ts'
import type { MemberRecord } from './messages.ts'

export function memberRecord(member: GossipMember): MemberRecord {
  const [protocolMin = 0, protocolMax = 0, protocolCur = 0, delegateMin = 0, delegateMax = 0, delegateCur = 0] = member.versions
  return {
    Name: member.name,
    Addr: addressBytes(member.address),
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

/** 4 bytes of an IPv4 address, 16 of an IPv6 one, none of what is neither. */
export function addressBytes(address: string): Uint8Array {
  const family = isIP(address)
  if (family === 4) return Uint8Array.from(address.split('.'), Number)
  if (family === 0) return new Uint8Array(0)
  const [withoutZone = ''] = address.split('%')
  // The last two groups may be written as an IPv4 address.
  const text = withoutZone.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) => `${hexPair(a, b)}:${hexPair(c, d)}`)
  const [head = '', tail] = text.split('::')
  const before = groups(head)
  const after = groups(tail ?? '')
  const all = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after]
  return Uint8Array.from(all.flatMap((group) => [group >>> 8, group & 0xff]))
}

function groups(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
}

function hexPair(high: string, low: string): string {
  return ((Number(high) << 8) | Number(low)).toString(16)
}
