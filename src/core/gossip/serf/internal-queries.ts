/**
 * The queries that members answer by themselves: whether they are there, whom they know by a name, and the changes of keys. Their names
 * begin with `_serf_`. docs/specs/04-gossip.md §7.4.
 */
import { utf8Decode } from '../../lib/bytes.ts'
import { isWireError } from '../../wire/wire-error.ts'
import type { Keyring } from '../keyring.ts'
import { isKey, MAX_KEYS } from '../keyring.ts'
import { decodeSerfMessage, encodeSerfMessage } from '../serf-codec.ts'
import type { ConflictMember, KeyResponse, Query } from '../serf-messages.ts'
import { toBase64 } from './base64.ts'
import type { Queries } from './queries.ts'
import type { SerfState } from './serf-state.ts'
import type { SerfStatus } from './serf-types.ts'

export const INTERNAL_PREFIX = '_serf_'
export const CONFLICT_QUERY: string = `${INTERNAL_PREFIX}conflict`

const STATUS_NUMBERS: Readonly<Record<SerfStatus, number>> = { alive: 1, leaving: 2, left: 3, failed: 4 }
const NO_VERSIONS = [0, 0, 0, 0, 0, 0] as const

/** Answers an internal query; one that is not known is left alone. */
export function answerInternal(state: SerfState, queries: Queries, request: number, query: Query, now: number): void {
  const payload = answerTo(state, queries, query)
  if (payload === undefined || queries.respond(request, payload, now) !== undefined) queries.ignore(request)
}

function answerTo(state: SerfState, queries: Queries, query: Query): Uint8Array | undefined {
  switch (query.name.slice(INTERNAL_PREFIX.length)) {
    case 'conflict':
      return conflictAnswer(state, query)
    case 'install-key':
      return encodeSerfMessage(changeKey(state, 'install', query.payload))
    case 'use-key':
      return encodeSerfMessage(changeKey(state, 'use', query.payload))
    case 'remove-key':
      return encodeSerfMessage(changeKey(state, 'remove', query.payload))
    case 'list-keys':
      return listKeys(state, queries.payloadRoom(query))
    default:
      // A ping among them: its ack is the answer.
      return undefined
  }
}

/** Who is known by a name; about itself, a member says nothing. */
function conflictAnswer({ self, members }: SerfState, { payload }: Query): Uint8Array | undefined {
  const name = utf8Decode(payload)
  if (name === undefined || name === self.name) return undefined
  const entry = members.get(name)
  if (entry === undefined) return encodeSerfMessage({ type: 'conflict-response', member: undefined })
  const { address, port, tags, status, versions } = entry
  const member: ConflictMember = { name, address, port, tags, status: STATUS_NUMBERS[status], versions: versions ?? NO_VERSIONS }
  return encodeSerfMessage({ type: 'conflict-response', member })
}

// ---- keys ----

type KeyOperation = 'install' | 'use' | 'remove'

const CHANGES: Readonly<Record<KeyOperation, (keyring: Keyring, key: Uint8Array) => string | undefined>> = {
  install: (keyring, key) => (keyring.add(key) ? undefined : `the key ring holds ${MAX_KEYS} keys already`),
  use: (keyring, key) => (keyring.use(key) ? undefined : 'requested key is not in the keyring'),
  remove: (keyring, key) => (keyring.remove(key) ? undefined : 'removing the primary key is not allowed'),
}

/** Serf's own words where it has such, as its tools show them. */
function changeKey(state: SerfState, operation: KeyOperation, payload: Uint8Array): KeyResponse {
  const { keyring } = state.options
  if (keyring === undefined) return keyResponse('No keyring to modify (encryption not enabled)')
  const request = decodeSerfMessage(payload)
  if (isWireError(request) || request.type !== 'key-request') return keyResponse('the request for a change of keys cannot be read')
  const { key } = request
  if (!isKey(key)) return keyResponse('key size must be 16, 24 or 32 bytes')
  const problem = CHANGES[operation](keyring, key)
  if (problem === undefined) state.emit({ type: 'key-change', operation, key })
  return keyResponse(problem)
}

function keyResponse(problem: string | undefined): KeyResponse {
  return { type: 'key-response', isOk: problem === undefined, message: problem ?? '', keys: [], primaryKey: '' }
}

/** As many keys as one response has room for. */
function listKeys({ options }: SerfState, room: number): Uint8Array {
  const { keyring } = options
  if (keyring === undefined) return encodeSerfMessage(keyResponse('Keyring is empty (encryption not enabled)'))
  const keys = keyring.keys.map(toBase64)
  const primaryKey = toBase64(keyring.primary)
  for (let count = keys.length; ; count--) {
    const message = count === keys.length ? '' : `truncated key list response, showing first ${count} of ${keys.length} keys`
    const bytes = encodeSerfMessage({ type: 'key-response', isOk: true, message, keys: keys.slice(0, count), primaryKey })
    if (bytes.length <= room || count === 0) return bytes
  }
}
