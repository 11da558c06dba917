/** Ids of deliveries and gets: sortable by time, short enough to be typed, unique among the nodes by chance of 48 bits. */
import { randomBytes } from 'node:crypto'

/** `send-20260131T235959-1a2b3c4d5e6f`. */
export function newId(kind: 'send' | 'get', now: number): string {
  const time = new Date(now).toISOString().replaceAll(/[-:]/g, '').slice(0, 15)
  return `${kind}-${time}-${randomBytes(6).toString('hex')}`
}
