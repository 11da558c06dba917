/**
 * A run of whole nodes: events that are sent and keys that are set in it, what must come of them, and what they cost.
 *
 * An event must be given out by each node that runs at the end and ran when it was sent, and by none of them twice (`gossip-checks.ts`); what
 * a node says of itself by keys and by a tag, as it was set last in its present life, must be what all others hold at the end; queues keep to their limits.
 */
import { DEFAULT_BROADCAST_SETTINGS } from '../../core/gossip/broadcast/broadcast-types.ts'
import { DEFAULT_SERF_LIMITS } from '../../core/gossip/serf/serf-types.ts'
import { DEFAULT_STATE_SETTINGS } from '../../core/gossip/state/state-types.ts'
import { assert } from '../../core/lib/assert.ts'
import { equalBytes } from '../../core/lib/bytes.ts'
import { rounded, type Figures } from '../scenario.ts'
import type { Spread } from './gossip-checks.ts'
import type { GossipHost } from './gossip-host.ts'
import type { GossipWorld } from './gossip-world.ts'
import type { Layer } from './layers.ts'
import { GossipNode, metaOf } from './whole-node.ts'

interface SentEvent {
  readonly name: string
  readonly sentAt: number
  readonly spread: Spread
}

/** What a key was set to, and in which life of its node; without a value, it was removed. */
interface SetKey {
  readonly host: GossipHost
  readonly key: string
  readonly life: number
  readonly value: Uint8Array | undefined
  readonly spread: Spread
}

const LAYERS: readonly Layer[] = ['membership', 'serf', 'state', 'trees']
/** How often the lengths of queues are looked at, ms. */
const LOOK_MS = 1000
const MOST_KEPT = 20

export class WholeRun {
  readonly world: GossipWorld
  readonly #sent: SentEvent[] = []
  readonly #set: Map<string, SetKey> = new Map()
  readonly #violations: string[] = []
  /** By host: the role that it was given in a life of it. */
  readonly #roles: Map<GossipHost, { readonly life: number; readonly role: string }> = new Map()
  #wasSet = false

  constructor(world: GossipWorld) {
    this.world = world
    this.#look(LOOK_MS)
  }

  /** Sends an event from a host, if a node runs there; names are each used once. */
  publish(index: number, name: string, payloadBytes: number): Spread {
    const { hosts, now, checks } = this.world
    const host = hosts[index]!
    const spread = checks.follow('event', name)
    if (!host.isUp || host.isLeaving) return spread
    this.#sent.push({ name, sentAt: now, spread })
    host.act((node) => wholeOf(node).publish(name, new Uint8Array(payloadBytes).fill(index), now), now)
    return spread
  }

  /** Sets a key of a host's state, or removes it, if a node runs there. */
  set(index: number, key: string, value: Uint8Array | undefined): Spread {
    const { hosts, now, checks } = this.world
    const host = hosts[index]!
    const name = `${host.name} ${key}`
    const spread = checks.follow('state', name)
    if (!host.isUp || host.isLeaving) return spread
    this.#wasSet = true
    this.#set.set(name, { host, key, life: host.life, value, spread })
    host.act((node) => wholeOf(node).set(key, value, now), now)
    return spread
  }

  /** Gives a host's node another tag `role`, if a node runs there. */
  tag(index: number, role: string): Spread {
    const { hosts, now, checks } = this.world
    const host = hosts[index]!
    const spread = checks.follow('updated', host.name)
    if (!host.isUp || host.isLeaving) return spread
    this.#roles.set(host, { life: host.life, role })
    host.change(metaOf({ role }), now)
    return spread
  }

  // ---- what must hold ----

  #look(time: number): void {
    this.world.at(time, () => {
      for (const host of this.world.hosts) if (host.node !== undefined) this.#lookAt(host.name, wholeOf(host.node))
      this.#look(time + LOOK_MS)
    })
  }

  #lookAt(name: string, { machine }: GossipNode): void {
    const { queues } = machine.serf
    const { cachedMessages, cachedBytes, origins, missing } = machine.broadcast.stats()
    const { maxCachedMessages, maxCachedBytes, maxOrigins, maxMissing } = DEFAULT_BROADCAST_SETTINGS
    const limits: [string, number, number][] = [
      ['messages queued for gossip', Math.max(queues.intents, queues.events, queues.queries), DEFAULT_SERF_LIMITS.maxQueued],
      ['events kept', cachedMessages, maxCachedMessages],
      ['bytes of events kept', cachedBytes, maxCachedBytes],
      ['origins remembered', origins, maxOrigins],
      ['events missed', missing, maxMissing],
    ]
    for (const [what, value, most] of limits) if (value > most) this.#violated(`${value} ${what} at ${name}; ${most} are the limit`)
  }

  /** What does not hold at the end. */
  violations(): readonly string[] {
    const up = this.world.hosts.filter((host) => host.isUp && !host.isLeaving)
    for (const { name, sentAt } of this.#sent) {
      const missed = up.filter((host) => host.startedAt <= sentAt && !this.world.checks.hasEvent(host, name))
      if (missed.length > 0) this.#violated(`event ${name} has not come to ${missed.length} nodes, ${missed[0]!.name} among them`)
    }
    for (const { host, key, life, value } of this.#set.values()) {
      if (host.life !== life || !host.isUp || host.isLeaving) continue
      const wrong = up.filter((other) => !isSame(wholeOf(other.node).machine.state.get(host.name, key), value))
      if (wrong.length > 0)
        this.#violated(`${wrong.length} nodes hold another ${key} of ${host.name} than it says, ${wrong[0]!.name} among them`)
    }
    for (const [{ name, life: present, isUp }, { life, role }] of this.#roles) {
      if (present !== life || !isUp) continue
      const wrong = up.filter(({ node }) => wholeOf(node).machine.serf.member(name)?.tags.get('role') !== role)
      if (wrong.length > 0) this.#violated(`${wrong.length} nodes hold another role of ${name} than it says, ${wrong[0]!.name} among them`)
    }
    for (const { name, node } of up) {
      const { refusedMessages } = wholeOf(node).machine.serf.stats()
      const { bytesHeld } = wholeOf(node).machine.state.stats()
      if (refusedMessages > 0) this.#violated(`${name} refused ${refusedMessages} messages`)
      if (bytesHeld > DEFAULT_STATE_SETTINGS.maxTotalBytes) this.#violated(`${name} holds ${bytesHeld} bytes of state`)
    }
    return this.#violations
  }

  #violated(what: string): void {
    if (this.#violations.length < MOST_KEPT) this.#violations.push(`at ${Math.round(this.world.now)} ms: ${what}`)
  }

  // ---- figures ----

  /** Bytes per node and second by layer, and what came of events and keys. */
  figures(): Figures {
    const { hosts, now, measuredFrom } = this.world
    const nodeSeconds = (hosts.length * (now - measuredFrom)) / 1000
    const layers = LAYERS.map((layer): [string, number] => {
      const bytes = hosts.reduce((sum, host) => sum + host.layerBytes[layer], 0)
      return [`${layer}BytesPerSec`, rounded(bytes / nodeSeconds, 1)]
    })
    return { ...Object.fromEntries(layers), ...this.#eventFigures(), ...this.#stateFigures() }
  }

  #eventFigures(): Figures {
    if (this.#sent.length === 0) return {}
    // Who started later has what was before from an exchange, and is no part of how soon it was everywhere.
    const lasts = this.#sent
      .map(({ spread, sentAt }) => spread.times(({ startedAt, isUp }) => isUp && startedAt <= sentAt).at(-1) ?? 0)
      .toSorted((a, b) => a - b)
    return {
      events: this.#sent.length,
      /** When the last node had an event. */
      eventMedianMs: rounded(lasts[Math.floor(lasts.length / 2)]!, 0),
      eventLastMs: rounded(lasts.at(-1)!, 0),
      ...this.#copies(),
    }
  }

  /** Payloads that came to a node for each event that it had; nothing where some that count them have ended. */
  #copies(): Figures {
    const { hosts } = this.world
    if (hosts.some(({ life, isUp }) => life > 1 || !isUp)) return {}
    const stats = hosts.map(({ node }) => wholeOf(node).machine.broadcast.stats())
    const received = stats.reduce((sum, { payloadsReceived }) => sum + payloadsReceived, 0)
    const repaired = stats.reduce((sum, { repairs }) => sum + repairs, 0)
    const heard = this.#sent.reduce((sum, { spread }) => sum + spread.count - 1, 0)
    return { copies: rounded(received / heard, 3), repaired }
  }

  #stateFigures(): Figures {
    if (!this.#wasSet) return {}
    // What is removed that was not there, or set to what it was, is no news.
    const lasts = [...this.#set.values()].map(({ spread }) => spread.times().at(-1) ?? 0)
    return { keys: this.#set.size, stateLastMs: rounded(Math.max(...lasts), 0) }
  }
}

export function wholeOf(node: unknown): GossipNode {
  assert(node instanceof GossipNode, 'a whole node')
  return node
}

function isSame(held: Uint8Array | undefined, said: Uint8Array | undefined): boolean {
  return held === undefined || said === undefined ? held === said : equalBytes(held, said)
}
