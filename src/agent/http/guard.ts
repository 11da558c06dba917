/**
 * Who may talk to the API: this machine's own programs, and no web page.
 *
 * A browser can be made to send requests here from a page of any site: with that site's Origin, or, after DNS rebinding,
 * with that site's name as the Host. So the Host must be a loopback address or `localhost`, and an Origin, where there is
 * one, must be the very host that was asked.
 */
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { fail } from '../errors.ts'

/** Refuses what isn't for the API. Errors: request-refused. */
export function checkCaller(request: IncomingMessage): void {
  const { host, origin } = request.headers
  if (host === undefined) throw fail('request-refused', { reason: 'it has no Host header' })
  if (!isLoopbackHost(host)) throw fail('request-refused', { reason: 'its Host header is not a loopback address of this machine' })
  if (origin !== undefined && origin !== `http://${host}`)
    throw fail('request-refused', { reason: 'it comes from a page of another origin' })
  const site = request.headers['sec-fetch-site']
  if (site === 'cross-site' || site === 'same-site') throw fail('request-refused', { reason: 'it comes from a page of another site' })
}

/** Whether a Host header, with or without a port, means this machine's loopback. */
export function isLoopbackHost(host: string): boolean {
  const match = /^(?:\[(?<v6>[0-9a-f:.]+)\]|(?<name>[^:[\]]+))(?::\d{1,5})?$/i.exec(host)
  if (match === null) return false
  const v6 = match.groups?.['v6']
  if (v6 !== undefined) return isIP(v6) === 6 && /^(?:0*:)*:?0*1$/.test(v6)
  const name = match.groups?.['name']?.toLowerCase() ?? ''
  return name === 'localhost' || (isIP(name) === 4 && name.startsWith('127.'))
}
