/**
 * One `SerfMachine` among members that exist only in what a test says of them: the test is the network, and looks at each message.
 */
import { Random } from '../../lib/random.ts'
import { isWireError } from '../../wire/wire-error.ts'
import type { Alive, Endpoint, PacketMessage, StreamMessage } from '../messages.ts'
import { GOSSIP_PROFILES } from '../profile.ts'
import { decodeSerfMessage, encodeSerfMessage } from '../serf-codec.ts'
import type { SerfMessage, SerfState } from '../serf-messages.ts'
import { SerfMachine } from '../serf/serf.ts'
import type { SerfInput, SerfOptions, SerfOutput } from '../serf/serf-types.ts'
import { aliveOf, endpointOf, SELF } from './scripted-machine.ts'
import { messageBytes, VERSIONS } from './virtual-cluster.ts'

/** A state of a member that knows nothing. */
export const EMPTY_STATE: SerfState = {
  type: 'push-pull',
  time: 0,
  statusTimes: new Map(),
  leftMembers: [],
  eventTime: 0,
  events: [],
  queryTime: 0,
}

export class ScriptedSerf {
  now = 0
  readonly machine: SerfMachine
  outputs: SerfOutput[] = []
  #requests = 0

  constructor(options: Partial<SerfOptions> = {}) {
    this.machine = new SerfMachine(
      {
        node: SELF,
        endpoint: endpointOf(SELF),
        tags: new Map(),
        versions: VERSIONS,
        profile: GOSSIP_PROFILES.serf,
        random: new Random('scripted'),
        messageBytes,
        packetBytes: 1400,
        keyring: undefined,
        ...options,
      },
      0,
    )
  }

  /** The machine hears of members; what comes of that is forgotten. */
  meet(...members: (string | Alive)[]): this {
    for (const member of members) this.packet([typeof member === 'string' ? aliveOf(member) : member])
    this.outputs = []
    return this
  }

  packet(messages: readonly PacketMessage[], from: Endpoint = endpointOf('teller')): void {
    this.input({ type: 'packet', from, messages })
  }

  /** Messages of this layer come, in one packet. */
  hear(...messages: (SerfMessage | Uint8Array)[]): void {
    this.packet(messages.map((message) => ({ type: 'user', bytes: message instanceof Uint8Array ? message : encodeSerfMessage(message) })))
  }

  /** Another member pushes its state, and gets this one's. */
  pushPull(state: Partial<SerfState>, members: Extract<StreamMessage, { type: 'push-pull' }>['members'] = []): SerfState {
    const message = { type: 'push-pull', isJoin: false, members, userState: encodeSerfMessage({ ...EMPTY_STATE, ...state }) } as const
    const request = ++this.#requests
    this.input({ type: 'stream-opened', request, from: endpointOf('teller'), message })
    const answer = this.take('answer').find((output) => output.request === request)?.message
    const own = answer?.type === 'push-pull' ? decodeSerfMessage(answer.userState) : undefined
    if (isWireError(own) || own?.type !== 'push-pull') throw new Error('no state was answered')
    return own
  }

  input(input: SerfInput): void {
    this.machine.handle(input, this.now)
    this.outputs.push(...this.machine.drain())
  }

  advance(ms: number): void {
    const until = this.now + ms
    while (this.machine.nextDeadline() <= until) {
      this.now = Math.max(this.machine.nextDeadline(), this.now)
      this.machine.handleTimeout(this.now)
      this.outputs.push(...this.machine.drain())
    }
    this.now = until
  }

  /** Takes all outputs of a type; the others stay. */
  take<Type extends SerfOutput['type']>(type: Type): Extract<SerfOutput, { type: Type }>[] {
    const taken = this.outputs.filter((output): output is Extract<SerfOutput, { type: Type }> => output.type === type)
    this.outputs = this.outputs.filter((output) => output.type !== type)
    return taken
  }

  /** Takes what changed of members, as `name change`. */
  takeChanges(): string[] {
    return this.take('member').map(({ member, change }) => `${member.name} ${change}`)
  }

  /** Takes all that was sent, as messages of this layer of one type, each with where it went to. */
  takeSent<Type extends SerfMessage['type']>(type: Type): { to: Endpoint; message: Extract<SerfMessage, { type: Type }> }[] {
    return this.take('send').flatMap(({ to, messages }) =>
      messages.flatMap((one) => {
        const message = one.type === 'user' ? decodeSerfMessage(one.bytes) : undefined
        if (message === undefined || isWireError(message) || message.type !== type) return []
        return [{ to, message: message as Extract<SerfMessage, { type: Type }> }]
      }),
    )
  }

  statusOf(name: string): string | undefined {
    return this.machine.member(name)?.status
  }
}
