/** Times on the command line. */
import { failure } from './failure.ts'

/** Milliseconds from `90s`, `5m`, `1h`; a bare number is seconds. Errors: usage, with the name of the flag. */
export async function milliseconds(flag: string, text: string): Promise<number> {
  const { parseDuration } = await import('../agent/config/units.ts')
  const ms = parseDuration(/^\d+(\.\d+)?$/.test(text) ? `${text}s` : text)
  if (typeof ms === 'number') return ms
  throw await failure('usage', { reason: `${flag} ${text}: ${ms}.` })
}
