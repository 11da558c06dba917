/**
 * One machine among members that exist only in what a test says of them: the test is the network, and looks at each message.
 */
import { assert } from '../../lib/assert.ts'
import { utf8Encode } from '../../lib/bytes.ts'
import { Random } from '../../lib/random.ts'
import { endpointKey } from '../endpoint.ts'
import type { Alive, Endpoint, PacketMessage } from '../messages.ts'
import { GOSSIP_PROFILES } from '../profile.ts'
import { SwimMachine } from '../swim.ts'
import type { SwimInput, SwimOptions, SwimOutput } from '../swim-types.ts'
import { messageBytes, VERSIONS } from './virtual-cluster.ts'

/** A message that the machine sent, and to whom. */
export interface Sent<Message> {
  readonly at: number
  readonly to: string
  readonly message: Message
}

export const SELF = 'self'

export class ScriptedMachine {
  now = 0
  /** Members that answer pings, at once. */
  readonly answering: Set<string> = new Set()
  readonly machine: SwimMachine
  #hasLeft = false
  #outputs: { readonly at: number; readonly output: SwimOutput }[] = []
  readonly #names: Map<string, string> = new Map()

  constructor(options: Partial<SwimOptions> = {}) {
    this.machine = new SwimMachine(
      {
        node: SELF,
        endpoint: endpointOf(SELF),
        meta: new Uint8Array(0),
        versions: VERSIONS,
        profile: GOSSIP_PROFILES.serf,
        random: new Random('scripted'),
        messageBytes,
        packetBytes: 1400,
        ...options,
      },
      0,
    )
    this.#names.set(endpointKey(endpointOf(SELF)), SELF)
  }

  /** The machine hears of members, by alive messages of incarnation 1 unless they say otherwise; what comes of that is forgotten. */
  meet(...members: (string | Alive)[]): this {
    for (const member of members) {
      const message = typeof member === 'string' ? aliveOf(member) : member
      this.#names.set(endpointKey(message), message.node)
      this.hear(message)
    }
    this.#outputs = []
    return this
  }

  /** A packet comes with these messages, from an endpoint or a member. */
  hear(messages: PacketMessage | readonly PacketMessage[], from: string | Endpoint = 'teller'): void {
    const endpoint = typeof from === 'string' ? endpointOf(from) : from
    if (typeof from === 'string') this.#names.set(endpointKey(endpoint), from)
    this.input({ type: 'packet', from: endpoint, messages: 'type' in messages ? [messages] : messages })
  }

  input(input: SwimInput): void {
    if (input.type === 'leave') this.#hasLeft = true
    this.machine.handle(input, this.now)
    this.#collect()
  }

  advance(ms: number): void {
    const until = this.now + ms
    for (;;) {
      const deadline = this.machine.nextDeadline()
      assert(
        Number.isFinite(deadline) || (this.#hasLeft && deadline === Infinity),
        'until it has left, a machine always wants to be called again',
      )
      if (deadline > until) break
      this.now = Math.max(deadline, this.now)
      this.machine.handleTimeout(this.now)
      this.#collect()
    }
    this.now = until
  }

  /** Goes on until there is an output that the condition holds for; it and those before it are taken. */
  awaitOutput<Type extends SwimOutput['type']>(type: Type, mostMs = 60_000): Extract<SwimOutput, { type: Type }> {
    for (const until = this.now + mostMs; this.now < until;) {
      const index = this.#outputs.findIndex(({ output }) => output.type === type)
      if (index >= 0) return this.#outputs.splice(0, index + 1).at(-1)!.output as Extract<SwimOutput, { type: Type }>
      this.advance(Math.min(Math.max(this.machine.nextDeadline() - this.now, 0), until - this.now))
    }
    throw new Error(`no output ${type} within ${mostMs} ms`)
  }

  /** Goes on until a message of this type is sent; it and the outputs before it are taken. */
  awaitSent<Type extends PacketMessage['type']>(type: Type, mostMs = 60_000): Sent<Extract<PacketMessage, { type: Type }>> {
    for (const until = this.now + mostMs; this.now <= until;) {
      for (const [index, { at, output }] of this.#outputs.entries()) {
        const message = output.type === 'send' ? output.messages.find((one) => one.type === type) : undefined
        if (output.type !== 'send' || message === undefined) continue
        this.#outputs.splice(0, index + 1)
        return { at, to: this.nameOf(output.to), message: message as Extract<PacketMessage, { type: Type }> }
      }
      this.advance(Math.max(this.machine.nextDeadline() - this.now, 0))
    }
    throw new Error(`no message ${type} within ${mostMs} ms`)
  }

  /** Takes all outputs of a type; the others stay. */
  takeOutputs<Type extends SwimOutput['type']>(type: Type): Extract<SwimOutput, { type: Type }>[] {
    const taken = this.#outputs.filter(({ output }) => output.type === type)
    this.#outputs = this.#outputs.filter(({ output }) => output.type !== type)
    return taken.map(({ output }) => output as Extract<SwimOutput, { type: Type }>)
  }

  /** Takes all that was sent, as messages of one type. */
  takeSent<Type extends PacketMessage['type']>(type: Type): Sent<Extract<PacketMessage, { type: Type }>>[] {
    const sent = this.#outputs.flatMap(({ at, output }) =>
      output.type === 'send' ? output.messages.map((message) => ({ at, to: this.nameOf(output.to), message })) : [],
    )
    this.#outputs = this.#outputs.filter(({ output }) => output.type !== 'send')
    return sent.flatMap(({ at, to, message }) =>
      message.type === type ? [{ at, to, message: message as Extract<PacketMessage, { type: Type }> }] : [],
    )
  }

  stateOf(node: string): string | undefined {
    return this.machine.member(node)?.state
  }

  nameOf(endpoint: Endpoint): string {
    return this.#names.get(endpointKey(endpoint)) ?? endpointKey(endpoint)
  }

  #collect(): void {
    for (const output of this.machine.drain()) {
      this.#outputs.push({ at: this.now, output })
      if (output.type !== 'send' || !this.answering.has(this.nameOf(output.to))) continue
      for (const message of output.messages) {
        if (message.type === 'ping') this.hear({ type: 'ack', sequence: message.sequence, payload: undefined }, output.to)
      }
    }
  }
}

/** The endpoint at which a member of that name is: made of the name's first three letters. */
export function endpointOf(node: string): Endpoint {
  const address = Uint8Array.of(10, 0, 0, 0)
  address.set(utf8Encode(node).subarray(0, 3), 1)
  return { address, port: 7946 }
}

/** What a member of that name says of itself. */
export function aliveOf(node: string, changes: Partial<Alive> = {}): Alive {
  const { address, port } = endpointOf(node)
  return { type: 'alive', incarnation: 1, node, address, port, meta: new Uint8Array(0), versions: VERSIONS, ...changes }
}
