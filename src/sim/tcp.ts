/**
 * What loss does to a TCP connection, as far as the simulator needs it: how fast it can be, and how long what was lost takes to
 * come. Every lost packet is sent again, so that nothing is lost for good.
 *
 * Rate: Mathis, Semke, Mahdavi, Ott, "The macroscopic behavior of the TCP congestion avoidance algorithm" (1997). Delay: one round
 * trip by fast retransmit; where the packet that was sent again is lost as well, a time-out that doubles (RFC 6298).
 */
import type { Random } from '../core/lib/random.ts'

const PACKET_BYTES = 1460
const MIN_TIMEOUT_MS = 200

/** What a connection carries at the most, bytes/ms; Infinity without loss. `loss` is the share of packets lost. */
export function lossyRate(loss: number, roundTripMs: number): number {
  return loss === 0 || roundTripMs === 0 ? Infinity : (PACKET_BYTES / roundTripMs) * Math.sqrt(1.5 / loss)
}

/** What is sent again of a frame, and by how much its last byte comes later for it. */
export function retransmission(random: Random, bytes: number, loss: number, roundTripMs: number): { bytes: number; delayMs: number } {
  let again = 0
  let delayMs = 0
  for (let packet = Math.ceil(bytes / PACKET_BYTES); packet > 0; packet--) {
    if (random.float() >= loss) continue
    again++
    let packetDelayMs = roundTripMs
    for (let timeoutMs = Math.max(MIN_TIMEOUT_MS, 2 * roundTripMs); random.float() < loss; timeoutMs *= 2) {
      again++
      packetDelayMs += timeoutMs
    }
    delayMs = Math.max(delayMs, packetDelayMs)
  }
  return { bytes: again * PACKET_BYTES, delayMs }
}
