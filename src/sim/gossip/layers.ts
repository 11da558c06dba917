/** What each layer of a whole node sends: membership, Serf's events and queries, the state of nodes, the trees that carry events. */
import type { PacketMessage, StreamMessage, User } from '../../core/gossip/messages.ts'
import { partBytes } from './message-bytes.ts'

export type Layer = 'membership' | 'serf' | 'state' | 'trees'
export type LayerBytes = Record<Layer, number>

/** Begins what the layer above Serf's says to itself, see `core/gossip/gossip-machine.ts`. */
const EXTENSION = 0x50
const PART_STATE = 1

export function noLayerBytes(): LayerBytes {
  return { membership: 0, serf: 0, state: 0, trees: 0 }
}

/** Adds a datagram of so many bytes; what is around messages counts to membership, or to the layer that has the datagram for itself. */
export function addPacket(sums: LayerBytes, messages: readonly PacketMessage[], bytes: number): void {
  let rest = bytes
  let around: Layer | undefined
  for (const message of messages) {
    const layer = message.type === 'user' ? layerOf(message) : 'membership'
    around = around === undefined || around === layer ? layer : 'membership'
    if (message.type !== 'user' && message.type !== 'ack') continue
    // The payload of an ack is a coordinate.
    const own = message.type === 'user' ? partBytes(message) : (message.payload?.length ?? 0)
    sums[message.type === 'user' ? layer : 'serf'] += own
    rest -= own
  }
  sums[around ?? 'membership'] += rest
}

/** Adds what one side of a stream sent. */
export function addStream(sums: LayerBytes, message: StreamMessage, bytes: number): void {
  if (message.type === 'user') sums[layerOf(message)] += bytes
  else {
    const above = message.type === 'push-pull' ? message.userState.length : 0
    sums.serf += above
    sums.membership += bytes - above
  }
}

function layerOf({ bytes }: User): Layer {
  if (bytes[0] !== EXTENSION) return 'serf'
  const at = 2 + (bytes[1] ?? 0)
  return bytes[at] !== EXTENSION ? 'serf' : bytes[at + 1] === PART_STATE ? 'state' : 'trees'
}
