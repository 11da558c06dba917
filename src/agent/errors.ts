/**
 * The one table of everything that can go wrong with an operation, and the error made from it.
 *
 * Not here: bugs (`assert` in core/lib) and broken or hostile peers (`WireError` in core/wire). An operation that failed is a
 * `PolycastError` with a code from `ERRORS`; its message, HTTP status, exit code and advice come from the table alone, so that the
 * CLI, the HTTP API, receipts from other nodes and docs/reference/errors.md say the same thing.
 *
 * A message is a template: `{name}` is filled from the params, whose names the compiler checks.
 */

/** One row of the table: what the error says and what those who receive it do with it. */
export interface ErrorRow {
  /** Sentence for a person in the middle of an incident: what failed and why, with `{param}` placeholders. */
  readonly message: string
  /** What the person can do about it; may hold placeholders too. */
  readonly advice: string
  /** HTTP status of the agent's API. */
  readonly status: number
  /** Exit code of the CLI: 1 failed, 2 usage, 3 some members failed, 4 cannot reach the agent. */
  readonly exitCode: 1 | 2 | 3 | 4
  /** True where the same call may succeed later without anybody changing anything. */
  readonly isRetryable: boolean
}

/** Every error code of Polycast. Codes are stable: scripts match on them. */
export const ERRORS = {
  // Sources: where a content comes from when no node has it.
  'source-not-found': {
    message: 'The source {url} does not exist (HTTP {status}).',
    advice: 'Check the URL; open it with curl from the machine that fetches.',
    status: 404,
    exitCode: 1,
    isRetryable: false,
  },
  'source-forbidden': {
    message: 'The source {url} refused access (HTTP {status}).',
    advice: 'Give the credentials that it asks for with --header, for example --header "Authorization: Bearer TOKEN".',
    status: 403,
    exitCode: 1,
    isRetryable: false,
  },
  'source-failed': {
    message: 'The source {url} could not be fetched: {reason}.',
    advice: 'Check that the source answers from the machine that fetches; then run the command again: what arrived is kept.',
    status: 502,
    exitCode: 1,
    isRetryable: true,
  },
  'source-changed': {
    message: 'The source {url} changed while it was fetched: {reason}.',
    advice: 'Nothing was delivered, so that no file is a mixture of two versions. Run the command again once the source is settled.',
    status: 409,
    exitCode: 1,
    isRetryable: true,
  },
  'source-short': {
    message: 'The source {url} announced {expected} bytes and sent {received}.',
    advice: 'The server or a proxy before it cuts or pads the transfer; compare with curl -v from the machine that fetches.',
    status: 502,
    exitCode: 1,
    isRetryable: true,
  },
  'source-range-unsupported': {
    message: 'The source {url} cannot continue a transfer from byte {offset}.',
    advice: 'Run the command again: the content is then fetched from its beginning.',
    status: 502,
    exitCode: 1,
    isRetryable: true,
  },
  'source-unsupported': {
    message: 'No kind of source knows {url}: {reason}.',
    advice: 'Use an http:, https: or file: URL, a path, or a content id.',
    status: 400,
    exitCode: 2,
    isRetryable: false,
  },
  'source-refused': {
    message: 'This agent does not fetch from {url}: its address {address} is link-local or serves the credentials of a cloud machine.',
    advice:
      'If the source is right, let it be reached by another address; such addresses are refused so that nobody can make the agent give them away.',
    status: 403,
    exitCode: 1,
    isRetryable: false,
  },
  'digest-mismatch': {
    message: 'The bytes of {name} have the digest {actual}, not {expected}.',
    advice: 'Do not use the file. Check the digest you gave; if it is right, the source serves other bytes than it should.',
    status: 422,
    exitCode: 1,
    isRetryable: false,
  },

  // Contents and the store.
  'content-not-found': {
    message: 'There is no content {id} {where}.',
    advice: 'List what a node holds with: polycast content ls; see who is alive with: polycast members',
    status: 404,
    exitCode: 1,
    isRetryable: false,
  },
  'content-ambiguous': {
    message: '{id} is the beginning of {count} content ids.',
    advice: 'Give more of its digits; list the ids with: polycast content ls',
    status: 409,
    exitCode: 2,
    isRetryable: false,
  },
  'content-incomplete': {
    message: 'The content {id} is not complete here: {have} of {total} bytes.',
    advice: 'Fetch the rest with: polycast get {id}',
    status: 409,
    exitCode: 1,
    isRetryable: true,
  },
  'content-damaged': {
    message: 'The content {id} is damaged on this disk: {reason}.',
    advice: 'Check the disk; polycast content verify {id} drops the bad chunks, and polycast get {id} fetches them again.',
    status: 500,
    exitCode: 1,
    isRetryable: false,
  },
  'content-pinned': {
    message: 'The content {id} is pinned, so it is not removed.',
    advice: 'Unpin it with: polycast content unpin {id} — or remove it all the same with --force.',
    status: 409,
    exitCode: 1,
    isRetryable: false,
  },
  'content-in-use': {
    message: 'The content {id} is in use by {user}.',
    advice: 'Wait until that is done, or cancel it; then try again.',
    status: 409,
    exitCode: 1,
    isRetryable: true,
  },
  'no-space': {
    message: 'The disk that holds {path} is full.',
    advice: 'Free space there, or remove contents with: polycast content gc — then run the command again: what arrived is kept.',
    status: 507,
    exitCode: 1,
    isRetryable: true,
  },
  'quota-exceeded': {
    message: 'The content needs {needed} bytes and the quota of {quota} bytes leaves {free}, even after what could be evicted.',
    advice: 'Raise the option quota, unpin or remove contents (polycast content ls), or wait for running deliveries to end.',
    status: 507,
    exitCode: 1,
    isRetryable: true,
  },
  'data-dir-locked': {
    message: 'The data directory {path} is in use by another agent (process {pid}).',
    advice: 'Stop that agent, or start this one with another --data directory.',
    status: 409,
    exitCode: 1,
    isRetryable: false,
  },
  'data-dir-unusable': {
    message: 'The data directory {path} cannot be used: {reason}.',
    advice: 'Make it a directory that this user may write, or name another one with --data.',
    status: 500,
    exitCode: 1,
    isRetryable: false,
  },

  // Destinations: where a delivery's file or directory goes on a member.
  'dest-not-writable': {
    message: 'The destination {path} cannot be written: {reason}.',
    advice: 'Check owner, mode and mount of its directory for the user that runs the agent; nothing was left there half-written.',
    status: 403,
    exitCode: 1,
    isRetryable: false,
  },
  'dest-missing-directory': {
    message: 'The directory {path} of the destination does not exist.',
    advice: 'Create it on that machine, or give another --dest.',
    status: 404,
    exitCode: 1,
    isRetryable: false,
  },
  'dest-outside-root': {
    message: 'The destination {path} is below none of the roots that this agent allows: {roots}.',
    advice: 'Give a --dest below one of them, or add a root to the option dest-roots of the receiving agent.',
    status: 403,
    exitCode: 1,
    isRetryable: false,
  },
  'dest-exists': {
    message: 'The destination {path} exists already.',
    advice: 'Remove it, give another destination, or let it be replaced with --overwrite.',
    status: 409,
    exitCode: 1,
    isRetryable: false,
  },
  'dest-exists-as-directory': {
    message: 'The destination {path} is a directory, and a file was to be written there.',
    advice: 'Give the name that the file is to have inside it as --dest, for example {path}/NAME.',
    status: 409,
    exitCode: 1,
    isRetryable: false,
  },

  // Paths on the machine that sends.
  'path-not-found': {
    message: 'There is no file or directory {path}.',
    advice: "Check the path; it is read by the agent, on the agent's machine.",
    status: 404,
    exitCode: 1,
    isRetryable: false,
  },
  'path-not-readable': {
    message: 'The path {path} cannot be read: {reason}.',
    advice: 'Let the user that runs the agent read it, or send a copy that it may read.',
    status: 403,
    exitCode: 1,
    isRetryable: false,
  },
  'path-changed': {
    message: 'The file {path} changed while it was read.',
    advice: 'Nothing was delivered, so that no file is a mixture of two versions. Send it again once nobody writes to it.',
    status: 409,
    exitCode: 1,
    isRetryable: true,
  },
  'too-many-open-files': {
    message: 'This process may not open any more files ({reason}) while it handled {path}.',
    advice: 'Raise the limit of open files of the agent (ulimit -n, or LimitNOFILE in its systemd unit) and start it again.',
    status: 503,
    exitCode: 1,
    isRetryable: true,
  },

  // Addresses and members.
  'address-in-use': {
    message: 'The address {address} for {purpose} is in use by another program.',
    advice:
      'Stop that program, or choose another port (--gossip-port, --swarm-port, --http-port, where 0 takes any free one; or --multicast-port, the same on all nodes).',
    status: 409,
    exitCode: 1,
    isRetryable: false,
  },
  'address-unusable': {
    message: 'The agent cannot listen on {address} for {purpose}: {reason}.',
    advice: 'Give an address of this machine with --bind, and a port that this user may open.',
    status: 500,
    exitCode: 1,
    isRetryable: false,
  },
  'multicast-interface-gone': {
    message: 'Multicast of {group} cannot use the interface {interface}: {reason}.',
    advice:
      'See with ip addr whether the interface is up and still has this address; the agent tries again by itself when interfaces change.',
    status: 503,
    exitCode: 1,
    isRetryable: true,
  },
  'multicast-too-many-groups': {
    message:
      'This machine lets no socket join one more group or source than it has, so that {group} cannot be joined on {interface} ({reason}).',
    advice: 'Raise the limits with: sysctl -w net.ipv4.igmp_max_memberships=256 net.ipv4.igmp_max_msf=64',
    status: 503,
    exitCode: 1,
    isRetryable: true,
  },
  'multicast-no-route': {
    message: 'Nothing can be sent to {group} on {interface}: {reason}.',
    advice:
      'Give the interface a route for groups, for example: ip route add 224.0.0.0/4 dev {interface}; meanwhile deliveries go by the swarm.',
    status: 503,
    exitCode: 1,
    isRetryable: true,
  },
  'multicast-unusable': {
    message: 'Multicast of {group} on the interface {interface} does not work: {reason}.',
    advice: 'Deliveries go by the swarm meanwhile. Look at firewall and interface with: polycast doctor — or start with --no-multicast.',
    status: 500,
    exitCode: 1,
    isRetryable: true,
  },
  'not-loopback': {
    message: 'The address {address} ({option}) can be reached from other machines, and this cluster has no keys yet.',
    advice: 'Bind to an address of 127.0.0.0/8, or, in a network where everyone may read and write everything, start with --insecure.',
    status: 403,
    exitCode: 2,
    isRetryable: false,
  },
  'name-conflict': {
    message: 'The name {name} belongs to another live agent, at {address}.',
    advice: 'Give this agent another --name; or stop the other agent first, if this one replaces it.',
    status: 409,
    exitCode: 1,
    isRetryable: false,
  },
  'join-failed': {
    message: 'None of the agents to join answered: {reason}.',
    advice: 'Check that at least one of them runs, and that its gossip port is open from this machine.',
    status: 502,
    exitCode: 1,
    isRetryable: true,
  },
  'member-not-found': {
    message: 'There is no member {name} in this cluster.',
    advice: 'List the members with: polycast members',
    status: 404,
    exitCode: 1,
    isRetryable: false,
  },
  'member-unreachable': {
    message: 'The member at {address} cannot be reached: {reason}.',
    advice: 'Check that its agent runs and that its swarm port is open from this machine; polycast members shows who is there.',
    status: 502,
    exitCode: 1,
    isRetryable: true,
  },
  'member-left': {
    message: 'The member {name} left the cluster or died before it had everything.',
    advice: 'Start its agent again and repeat the delivery: what arrived there is kept.',
    status: 410,
    exitCode: 1,
    isRetryable: true,
  },
  'coordinate-unknown': {
    message: 'How far {name} is cannot be told yet: it has no coordinate here.',
    advice: 'Coordinates come with answered probes: try again in a few seconds, while the member is alive.',
    status: 409,
    exitCode: 1,
    isRetryable: true,
  },
  'state-key-not-found': {
    message: 'The state of {node} has no key {key}.',
    advice: 'List what it has with: polycast state get {node}',
    status: 404,
    exitCode: 1,
    isRetryable: false,
  },
  'selector-empty': {
    message: 'The selector {selector} matches no live member.',
    advice: 'List the members and their tags with: polycast members',
    status: 404,
    exitCode: 1,
    isRetryable: true,
  },
  'selector-invalid': {
    message: 'The selector "{selector}" cannot be understood at position {position}: {reason}.',
    advice: 'Write all, a tag (role=web), several that must all hold (role=web,zone=eu), or names (name=n1, name=n1,name=n2).',
    status: 400,
    exitCode: 2,
    isRetryable: false,
  },

  // Deliveries and transfers.
  'delivery-not-found': {
    message: 'There is no delivery {id} on this node.',
    advice: "Deliveries are kept by the node where they were ordered; ask that node's agent (--api).",
    status: 404,
    exitCode: 1,
    isRetryable: false,
  },
  'delivery-timeout': {
    message: 'The time of {timeoutMs} ms was over before it had everything: {have} of {total} bytes.',
    advice: 'Repeat the delivery with a longer --timeout: what arrived is kept and costs no data again.',
    status: 504,
    exitCode: 3,
    isRetryable: true,
  },
  'delivery-partial': {
    message: '{failed} of {members} members do not have it: {names}.',
    advice: 'Each receipt says why; mend that and repeat the delivery: members that have it cost no data.',
    status: 502,
    exitCode: 3,
    isRetryable: true,
  },
  'transfer-stalled': {
    message: 'No live peer has the remaining {missing} bytes of {id}.',
    advice: 'Start the agent that sent it again, or send it again from where the file is: what arrived is kept.',
    status: 504,
    exitCode: 1,
    isRetryable: true,
  },
  cancelled: {
    message: 'The operation was cancelled: {reason}.',
    advice: 'Run it again to go on: what arrived is kept.',
    status: 499,
    exitCode: 1,
    isRetryable: true,
  },

  // The agent, its API and its configuration.
  'api-unreachable': {
    message: 'No agent answers at {url}: {reason}.',
    advice: 'Start one with: polycast agent — or name another with --api URL.',
    status: 503,
    exitCode: 4,
    isRetryable: true,
  },
  'shutting-down': {
    message: 'The agent is shutting down.',
    advice: 'Run the command again when it is back: what arrived is kept.',
    status: 503,
    exitCode: 1,
    isRetryable: true,
  },
  overloaded: {
    message: 'The agent does not take more: {reason}.',
    advice: 'Wait for some of what runs to end, then try again.',
    status: 503,
    exitCode: 1,
    isRetryable: true,
  },
  'bad-request': {
    message: 'The request cannot be understood: {reason}.',
    advice: 'See /v1/openapi.json of the agent for what it takes.',
    status: 400,
    exitCode: 2,
    isRetryable: false,
  },
  'request-refused': {
    message: 'The request was refused: {reason}.',
    advice: 'Call the API from this machine and by its loopback address, not from a web page.',
    status: 403,
    exitCode: 1,
    isRetryable: false,
  },
  'route-not-found': {
    message: 'The API has no {method} {path}.',
    advice: 'See /v1/openapi.json of the agent; a CLI and an agent of different versions may differ here.',
    status: 404,
    exitCode: 1,
    isRetryable: false,
  },
  'config-unreadable': {
    message: 'The configuration file {path} cannot be read: {reason}.',
    advice: 'Check the path and that it is YAML; docs/reference/configuration.md lists the options.',
    status: 500,
    exitCode: 2,
    isRetryable: false,
  },
  'config-unknown': {
    message: 'There is no option {key} ({where}).',
    advice: '{hint}',
    status: 500,
    exitCode: 2,
    isRetryable: false,
  },
  'config-invalid': {
    message: 'The option {key} cannot be {value} ({where}): {reason}.',
    advice:
      'polycast agent --print-config shows every option and where its value comes from; docs/reference/configuration.md explains them.',
    status: 500,
    exitCode: 2,
    isRetryable: false,
  },
  usage: {
    message: '{reason}',
    advice: 'See polycast --help, or --help after a command.',
    status: 400,
    exitCode: 2,
    isRetryable: false,
  },
  internal: {
    message: 'This should not have happened: {reason}.',
    advice: "It is a fault of Polycast, not yours: please report it with the lines around it in the agent's log.",
    status: 500,
    exitCode: 1,
    isRetryable: false,
  },
} as const

ERRORS satisfies Record<string, ErrorRow>

/** A code of the table. */
export type ErrorCode = keyof typeof ERRORS

type Placeholders<Template extends string> = Template extends `${string}{${infer Name}}${infer Rest}` ? Name | Placeholders<Rest> : never

/** The params that the message and the advice of a code need. */
export type ErrorParams<Code extends ErrorCode> = Record<
  Placeholders<(typeof ERRORS)[Code]['message']> | Placeholders<(typeof ERRORS)[Code]['advice']>,
  string | number
>

/** An operation that failed, with a code from `ERRORS`; made by `fail`. */
export class PolycastError extends Error {
  override readonly name: string = 'PolycastError'
  readonly code: ErrorCode
  readonly params: Readonly<Record<string, string | number>>
  readonly status: number
  readonly exitCode: number
  readonly isRetryable: boolean
  readonly advice: string

  constructor(code: ErrorCode, params: Readonly<Record<string, string | number>>, cause?: unknown) {
    const row: ErrorRow = ERRORS[code]
    super(fill(row.message, params), cause === undefined ? undefined : { cause })
    this.code = code
    this.params = params
    this.status = row.status
    this.exitCode = row.exitCode
    this.isRetryable = row.isRetryable
    this.advice = fill(row.advice, params)
  }
}

/** Makes (doesn't throw) the error of `code`: `throw fail('no-space', { path }, cause)`. */
export function fail<Code extends ErrorCode>(code: Code, params: ErrorParams<Code>, cause?: unknown): PolycastError {
  return new PolycastError(code, params, cause)
}

/** True for a PolycastError, and with `code` for one of that code. */
export function isPolycastError(error: unknown, code?: ErrorCode): error is PolycastError {
  return error instanceof PolycastError && (code === undefined || error.code === code)
}

/** The error itself if it is a PolycastError, else an `internal` one around it. */
export function asPolycastError(error: unknown): PolycastError {
  if (error instanceof PolycastError) return error
  return fail('internal', { reason: error instanceof Error ? error.message : String(error) }, error)
}

/** An error as it travels in the HTTP API and between nodes; all but `code` and `params` is for those who don't have the table. */
export interface ErrorBody {
  code: string
  message: string
  advice: string
  /** The CLI's; receipts leave it out. */
  exitCode?: number
  isRetryable: boolean
  params: Record<string, string | number>
}

/** What is sent of an error: never its stack nor its cause, which stay in the log of the node where it happened. */
export function serialiseError(error: unknown): ErrorBody {
  const { code, message, advice, exitCode, isRetryable, params } = asPolycastError(error)
  return { code, message, advice, exitCode, isRetryable, params: { ...params } }
}

/** The longest text taken from another node's error; the rest is cut. */
const MAX_REMOTE_TEXT = 4096

/**
 * The error that the other side raised, rebuilt from this node's own table. Never throws: a code that this version doesn't
 * know, or one without its params, becomes `internal` with the other side's words; text is cut and freed of control characters.
 */
export function deserialiseError(body: unknown): PolycastError {
  const record = isRecord(body) ? body : {}
  const { code } = record
  const params: Record<string, string | number> = {}
  if (typeof code === 'string' && Object.hasOwn(ERRORS, code)) {
    const row: ErrorRow = ERRORS[code as ErrorCode]
    const given = isRecord(record['params']) ? record['params'] : {}
    const needed = placeholders(row.message + row.advice)
    for (const name of needed) {
      const value = Object.hasOwn(given, name) ? given[name] : undefined
      if (typeof value === 'number') params[name] = value
      if (typeof value === 'string') params[name] = clean(value)
    }
    if (needed.every((name) => name in params)) return new PolycastError(code as ErrorCode, params)
  }
  const said = typeof record['message'] === 'string' ? clean(record['message']) : 'it gave no reason'
  return fail('internal', {
    reason: `another node failed with ${typeof code === 'string' ? clean(code).slice(0, 64) : 'no code'}: ${said}`,
  })
}

/** What was being done when Node gave an errno; together they name the error. */
export type ErrnoContext =
  | { readonly doing: 'read-path'; readonly path: string } // a file or directory that the user wants to send
  | { readonly doing: 'write-dest'; readonly path: string } // a destination on this machine
  | { readonly doing: 'data-dir'; readonly path: string } // anything below the data directory
  | { readonly doing: 'listen'; readonly address: string; readonly purpose: string }
  | { readonly doing: 'multicast'; readonly address: string; readonly group: string; readonly interface: string }
  | { readonly doing: 'call-member'; readonly address: string }
  | { readonly doing: 'call-api'; readonly url: string }
  | { readonly doing: 'fetch-source'; readonly url: string }

/** Names a failure of the operating system: a PolycastError passes unchanged, anything without an errno becomes `internal`. */
export function fromErrno(error: unknown, context: ErrnoContext): PolycastError {
  if (error instanceof PolycastError) return error
  const errno = errnoOf(error)
  if (errno === undefined) return asPolycastError(error)
  const reason = explainErrno(errno)
  if (errno === 'EMFILE' || errno === 'ENFILE') {
    return fail(
      'too-many-open-files',
      { reason: errno, path: 'path' in context ? context.path : 'url' in context ? context.url : context.address },
      error,
    )
  }
  switch (context.doing) {
    case 'read-path':
      if (errno === 'ENOENT' || errno === 'ENOTDIR') return fail('path-not-found', { path: context.path }, error)
      return fail('path-not-readable', { path: context.path, reason }, error)
    case 'write-dest':
      if (errno === 'ENOSPC' || errno === 'EDQUOT') return fail('no-space', { path: context.path }, error)
      if (errno === 'ENOENT' || errno === 'ENOTDIR') return fail('dest-missing-directory', { path: parentOf(context.path) }, error)
      if (errno === 'EISDIR') return fail('dest-exists-as-directory', { path: context.path }, error)
      if (errno === 'EEXIST' || errno === 'ENOTEMPTY') return fail('dest-exists', { path: context.path }, error)
      return fail('dest-not-writable', { path: context.path, reason }, error)
    case 'data-dir':
      if (errno === 'ENOSPC' || errno === 'EDQUOT') return fail('no-space', { path: context.path }, error)
      return fail('data-dir-unusable', { path: context.path, reason }, error)
    case 'listen':
      if (errno === 'EADDRINUSE') return fail('address-in-use', { address: context.address, purpose: context.purpose }, error)
      return fail('address-unusable', { address: context.address, purpose: context.purpose, reason }, error)
    case 'multicast': {
      const params = { group: context.group, interface: context.interface, reason }
      if (errno === 'EADDRINUSE') return fail('address-in-use', { address: context.address, purpose: 'multicast' }, error)
      if (errno === 'ENODEV' || errno === 'EADDRNOTAVAIL' || errno === 'ENXIO') return fail('multicast-interface-gone', params, error)
      if (errno === 'ENOBUFS') return fail('multicast-too-many-groups', params, error)
      if (errno === 'ENETUNREACH' || errno === 'EHOSTUNREACH') return fail('multicast-no-route', params, error)
      return fail('multicast-unusable', params, error)
    }
    case 'call-member':
      return fail('member-unreachable', { address: context.address, reason }, error)
    case 'call-api':
      return fail('api-unreachable', { url: context.url, reason }, error)
    case 'fetch-source':
      return fail('source-failed', { url: context.url, reason }, error)
  }
}

/** The errno name of an error of Node (`ENOSPC`), looked for in its causes and aggregated errors too. */
export function errnoOf(error: unknown): string | undefined {
  let current = error
  for (let depth = 0; depth < 8 && isRecord(current); depth++) {
    if (typeof current['code'] === 'string' && /^E[A-Z0-9_]+$/.test(current['code']) && !current['code'].startsWith('ERR_'))
      return current['code']
    const nested: unknown = Array.isArray(current['errors']) ? current['errors'][0] : undefined
    current = nested ?? current['cause']
  }
  return undefined
}

const ERRNO_TEXTS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EADDRINUSE: 'address in use',
  EADDRNOTAVAIL: 'this machine does not have that address',
  EAI_AGAIN: 'its name cannot be resolved at the moment',
  EBUSY: 'busy',
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was reset',
  EDQUOT: 'disk quota exceeded',
  EEXIST: 'it exists already',
  EHOSTUNREACH: 'no route to the host',
  EIO: 'input/output error of the disk',
  EISDIR: 'it is a directory',
  ELOOP: 'too many symbolic links',
  ENAMETOOLONG: 'the name is too long',
  ENETDOWN: 'the interface is down',
  ENETUNREACH: 'the network is unreachable',
  ENOBUFS: 'the system has no room for one more',
  ENODEV: 'there is no such interface',
  ENOENT: 'it does not exist',
  ENOSPC: 'no space left on the disk',
  ENOTDIR: 'part of its path is not a directory',
  ENOTEMPTY: 'the directory is not empty',
  ENOTFOUND: 'its name cannot be resolved',
  EPERM: 'operation not permitted',
  EPIPE: 'the connection was closed',
  EROFS: 'the file system is read-only',
  ESTALE: 'stale file handle of a network file system',
  ETIMEDOUT: 'timed out',
  EXDEV: 'on another file system',
}

/** An errno name in words, with the name behind it: `permission denied (EACCES)`. */
export function explainErrno(errno: string): string {
  const text = ERRNO_TEXTS[errno]
  return text === undefined ? errno : `${text} (${errno})`
}

/** What an error of the system says, in words where its code has some. */
export function explainError(error: unknown): string {
  const errno = errnoOf(error)
  if (errno !== undefined) return explainErrno(errno)
  return error instanceof Error ? error.message : String(error)
}

/** The names of the placeholders of a message template, each once, in order. */
export function placeholders(template: string): string[] {
  return [...new Set([...template.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? ''))]
}

function fill(template: string, params: Readonly<Record<string, string | number>>): string {
  return template.replace(/\{(\w+)\}/g, (whole, name: string) => (Object.hasOwn(params, name) ? String(params[name]) : whole))
}

function clean(text: string): string {
  return text.slice(0, MAX_REMOTE_TEXT).replace(/\p{Cc}/gu, ' ')
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash <= 0 ? '/' : path.slice(0, slash)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
