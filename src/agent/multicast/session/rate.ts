/** The rate control of a session, as the options and the interface ask for it. */
import { SessionRate } from '../../../core/multicast/rate-control.ts'
import type { RateControl, RateMode } from '../../../core/multicast/session-types.ts'
import { linkAttribute } from '../sockets/interfaces.ts'

/** The rate of mode `fixed` where none is given, and the rate that the others begin with, bytes per second. */
const FIXED_BYTES_PER_SEC = 12_500_000
const FIRST_BYTES_PER_SEC = 10_000_000

/** @param rateBytesPerSec of mode `fixed` the rate, of the others the greatest one; 0 for none */
export function rateOf(mode: RateMode, rateBytesPerSec: number, interfaceName: string, now: number): RateControl {
  if (mode === 'fixed') {
    const rate = rateBytesPerSec > 0 ? rateBytesPerSec : FIXED_BYTES_PER_SEC
    return new SessionRate({ mode, initialBytesPerSec: rate, mostBytesPerSec: rate }, now)
  }
  const most = Math.min(rateBytesPerSec > 0 ? rateBytesPerSec : Infinity, linkBytesPerSec(interfaceName) ?? Infinity)
  const isKnown = most < Infinity
  return new SessionRate(
    { mode, initialBytesPerSec: Math.min(most, FIRST_BYTES_PER_SEC), ...(isKnown ? { mostBytesPerSec: most } : {}) },
    now,
  )
}

/** What the interface itself carries; undefined where the system does not tell. */
function linkBytesPerSec(interfaceName: string): number | undefined {
  const megabits = Number(linkAttribute(interfaceName, 'speed'))
  return megabits > 0 ? megabits * 125_000 : undefined
}
