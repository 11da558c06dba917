/**
 * Bursts made short before handlers see them, as Serf's agent does: many members that join in a second are one call of a handler, and
 * of several user events that may be coalesced the last one is told.
 *
 * Where it departs from Serf: an update that follows a join in one burst does not hide the join, for a handler that is for joins alone
 * would never hear of the member; and what only Polycast tells (suspicion, leaving) is gathered apart, so that it hides nothing.
 */
import type { Clock } from '../clock.ts'
import { MEMBER_KINDS } from './event-filter.ts'
import type { GossipMember, MemberEvent, UserEventRecord } from './gossip.ts'
import { QuietWindow } from './quiet-window.ts'

/** Members that a burst of one kind is about. */
export interface MemberBurst {
  /** As Serf calls it: `member-join`. */
  readonly kind: string
  readonly members: readonly GossipMember[]
}

/** Gathers what becomes of members. */
export class MemberCoalescer {
  readonly #onBurst: (burst: MemberBurst) => void
  readonly #window: QuietWindow
  /** By lane and member, what became of it last. */
  #latest = new Map<string, { readonly kind: string; readonly member: GossipMember }>()
  /** By member, what of Serf's kinds was told last: the same is not told twice. Members that are reaped leave it. */
  readonly #told = new Map<string, string>()

  constructor(clock: Clock, onBurst: (burst: MemberBurst) => void) {
    this.#onBurst = onBurst
    this.#window = new QuietWindow(clock, () => {
      this.#flush()
    })
  }

  add({ change, member }: MemberEvent): void {
    const key = `${OWN_CHANGES.has(change) ? 'polycast' : 'serf'} ${member.name}`
    const kind = MEMBER_KINDS[change]
    const before = this.#latest.get(key)?.kind
    const isJoinStill = change === 'updated' && before === MEMBER_KINDS.joined
    this.#latest.set(key, { kind: isJoinStill ? before : kind, member })
    this.#window.touch()
  }

  close(): void {
    this.#window.close()
    this.#latest.clear()
  }

  #flush(): void {
    const latest = this.#latest
    this.#latest = new Map()
    const bursts = new Map<string, GossipMember[]>()
    for (const { kind, member } of latest.values()) {
      if (this.#isTold(kind, member.name)) continue
      const burst = bursts.get(kind)
      if (burst === undefined) bursts.set(kind, [member])
      else burst.push(member)
    }
    for (const [kind, members] of bursts) this.#onBurst({ kind, members })
  }

  /** Whether handlers know it already; else they will. */
  #isTold(kind: string, name: string): boolean {
    if (OWN_KINDS.has(kind)) return false
    if (this.#told.get(name) === kind && kind !== MEMBER_KINDS.updated) return true
    if (kind === MEMBER_KINDS.reaped) this.#told.delete(name)
    else this.#told.set(name, kind)
    return false
  }
}

/** What only Polycast tells. */
const OWN_CHANGES: ReadonlySet<MemberEvent['change']> = new Set(['suspected', 'cleared', 'leaving'])
const OWN_KINDS: ReadonlySet<string> = new Set([...OWN_CHANGES].map((change) => MEMBER_KINDS[change]))

/** User events that are gathered at the most; a burst that is longer is over early. */
export const MAX_GATHERED: number = 4096

/** Gathers user events that may be coalesced; to be given no others. */
export class UserEventCoalescer {
  readonly #onEvent: (event: UserEventRecord) => void
  readonly #window: QuietWindow
  /** By name, those of the highest time. */
  #latest = new Map<string, UserEventRecord[]>()
  #gathered = 0

  constructor(clock: Clock, onEvent: (event: UserEventRecord) => void) {
    this.#onEvent = onEvent
    this.#window = new QuietWindow(clock, () => {
      this.#flush()
    })
  }

  add(event: UserEventRecord): void {
    const known = this.#latest.get(event.name)
    const time = known?.[0]?.time ?? -1
    // Events of one time know nothing of each other: none of them is the last.
    if (known !== undefined && event.time === time) known.push(event)
    else if (event.time > time) this.#latest.set(event.name, [event])
    this.#window.touch()
    if (++this.#gathered < MAX_GATHERED) return
    this.#window.close()
    this.#flush()
  }

  close(): void {
    this.#window.close()
    this.#latest.clear()
  }

  #flush(): void {
    const latest = this.#latest
    this.#latest = new Map()
    this.#gathered = 0
    for (const events of latest.values()) for (const event of events) this.#onEvent(event)
  }
}
