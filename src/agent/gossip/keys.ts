/** Changing the keys of gossip on all members: Serf's queries for it, and what their answers add up to. */
import { decodeSerfMessage, encodeSerfMessage } from '../../core/gossip/serf-codec.ts'
import { isKey } from '../../core/gossip/keyring.ts'
import { isWireError } from '../../core/wire/wire-error.ts'
import { fail } from '../errors.ts'
import type { GossipMember, KeyReport, QueryReply } from './gossip.ts'

const QUERIES = { install: '_serf_install-key', use: '_serf_use-key', remove: '_serf_remove-key', list: '_serf_list-keys' } as const

/**
 * Asks all members and counts what they answer.
 *
 * @param members those that have not left; those that have failed are not waited for
 * @param ask sends a query and resolves when its time is over, or `signal` ends it, as it does when all have answered
 */
export async function changeKeys(
  operation: keyof typeof QUERIES,
  key: Uint8Array | undefined,
  members: readonly Pick<GossipMember, 'name' | 'status'>[],
  ask: (name: string, payload: Uint8Array, onReply: (reply: QueryReply) => void, signal: AbortSignal) => Promise<unknown>,
): Promise<KeyReport> {
  if (operation !== 'list' && (key === undefined || !isKey(key))) {
    throw fail('bad-request', { reason: 'a key is 16, 24 or 32 bytes, in base64; polycast keygen makes one' })
  }
  const messages: Record<string, string> = {}
  const keys: Record<string, number> = {}
  const primaryKeys: Record<string, number> = {}
  const names = (isFailed: boolean): string[] => members.filter(({ status }) => (status === 'failed') === isFailed).map(({ name }) => name)
  const awaited = new Set(names(false))
  const absent = new Set(names(true))
  let responses = 0
  let errors = 0
  const payload = key === undefined ? new Uint8Array(0) : encodeSerfMessage({ type: 'key-request', key })
  const all = new AbortController()
  const onReply = (reply: QueryReply): void => {
    if (reply.type !== 'response') return
    responses++
    absent.delete(reply.from)
    awaited.delete(reply.from)
    if (awaited.size === 0) all.abort()
    const answer = decodeSerfMessage(reply.payload)
    if (isWireError(answer) || answer.type !== 'key-response') {
      errors++
      messages[reply.from] = 'its answer is not understood'
      return
    }
    if (!answer.isOk) errors++
    if (answer.message !== '') messages[reply.from] = answer.message
    for (const one of answer.keys) keys[one] = (keys[one] ?? 0) + 1
    if (answer.primaryKey !== '') primaryKeys[answer.primaryKey] = (primaryKeys[answer.primaryKey] ?? 0) + 1
  }
  await ask(QUERIES[operation], payload, onReply, all.signal)
  return { members: awaited.size + responses, responses, errors, absent: [...absent], messages, keys, primaryKeys }
}
