/** Calls to members by name: finds their address, gives up when the membership says that they died, checks what they answer. */
import type { z } from 'zod'
import type { DataPlane } from '../data-plane/data-plane.ts'
import { fail } from '../errors.ts'
import { formatAddress } from '../addresses.ts'
import type { Member } from '../membership/member.ts'
import type { Membership } from '../membership/membership.ts'
import { checked } from './messages.ts'

/** The part of a pino logger that the delivery service uses. */
export interface ServiceLog {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Whom to call: the address counts only where the membership doesn't know the name. */
export interface Callee {
  readonly name: string
  readonly address?: string
}

/** The members as the delivery service needs them, and calls to them. */
export class Calls {
  readonly #dataPlane: DataPlane
  readonly #membership: Membership
  readonly #members = new Map<string, Member>()
  /** What to end when a member dies, by its name: one listener at the membership serves all calls. */
  readonly #pending = new Map<string, Set<() => void>>()
  readonly #unwatch: () => void
  #answer: () => void = () => undefined
  /** Calls that come while what a restart interrupted is not yet taken up again wait here: they would find half of the truth. */
  readonly #answering: Promise<void> = new Promise((resolve) => {
    this.#answer = resolve
  })

  constructor(dataPlane: DataPlane, membership: Membership) {
    this.#dataPlane = dataPlane
    this.#membership = membership
    for (const member of membership.members()) this.#members.set(member.name, member)
    this.#unwatch = membership.onChange((member) => {
      this.#members.set(member.name, member)
      if (!isLive(member)) for (const end of this.#pending.get(member.name) ?? []) end()
    })
  }

  /** Lets the handlers see calls, those that came already first. */
  answer(): void {
    this.#answer()
  }

  close(): void {
    this.#unwatch()
  }

  get selfName(): string {
    return this.#membership.self.name
  }

  /** This node's swarm address. */
  get selfAddress(): string {
    return formatAddress(this.#membership.self.address, this.#dataPlane.swarmPort)
  }

  /** Every member but this node. */
  others(): Member[] {
    return [...this.#members.values()].filter((member) => member.name !== this.selfName)
  }

  /** Live members but this node. */
  live(): Member[] {
    return this.others().filter(isLive)
  }

  /** Live seeds, this node among them if it is one. */
  seeds(): Member[] {
    const seeds = this.live().filter((member) => member.isSeed)
    return this.#membership.self.isSeed ? [...seeds, this.#membership.self] : seeds
  }

  /** The member of a name, this node included. */
  member(name: string): Member | undefined {
    return name === this.selfName ? this.#membership.self : this.#members.get(name)
  }

  /** The swarm address of a member, `host:port`. */
  addressOf(member: Member): string {
    return swarmAddress(member)
  }

  /** Follows the membership; the function returned ends it. */
  onChange(listener: (member: Member) => void): () => void {
    return this.#membership.onChange(listener)
  }

  /** Calls a member. Errors: member-unreachable (also when it dies meanwhile, or answers nonsense), cancelled, or what the member raised. */
  async call<T>(
    callee: Callee,
    method: string,
    params: unknown,
    result: z.ZodType<T>,
    options: { timeoutMs: number; signal?: AbortSignal },
  ): Promise<T> {
    const member = this.member(callee.name)
    const address = member === undefined ? callee.address : swarmAddress(member)
    if (address === undefined) throw fail('member-unreachable', { address: callee.name, reason: 'this node does not know its address' })
    const abort = new AbortController()
    const cancel = (): void => {
      abort.abort()
    }
    let hasDied = false
    const end = (): void => {
      hasDied = true
      abort.abort()
    }
    const pending = this.#pending.get(callee.name) ?? new Set()
    this.#pending.set(callee.name, pending.add(end))
    options.signal?.addEventListener('abort', cancel, { once: true })
    try {
      if (options.signal?.aborted === true) throw fail('cancelled', { reason: `before ${method}` })
      const answer = await this.#dataPlane.call(address, method, params, { timeoutMs: options.timeoutMs, signal: abort.signal })
      const parsed = result.safeParse(answer)
      if (parsed.success) return parsed.data
      throw fail('member-unreachable', { address, reason: `its answer to ${method} cannot be understood` })
    } catch (error) {
      if (options.signal?.aborted === true) throw fail('cancelled', { reason: `while ${method} was under way` }, error)
      if (hasDied) throw fail('member-unreachable', { address, reason: 'it died meanwhile' }, error)
      throw error
    } finally {
      pending.delete(end)
      if (pending.size === 0) this.#pending.delete(callee.name)
      options.signal?.removeEventListener('abort', cancel)
    }
  }

  /** Declares a method: params are checked before the handler sees them, which is not before `answer`. */
  handle<T>(method: string, params: z.ZodType<T>, handler: (params: T, from: { name: string; address: string }) => Promise<unknown>): void {
    this.#dataPlane.onCall(method, async (raw, from) => {
      const given = checked(params, raw)
      await this.#answering
      return handler(given, from)
    })
  }
}

/** Alive, or not yet known to be dead. */
export function isLive(member: Member): boolean {
  return member.status === 'alive' || member.status === 'suspect'
}

function swarmAddress(member: Member): string {
  return formatAddress(member.address, member.swarmPort)
}
