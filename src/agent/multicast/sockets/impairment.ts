/**
 * Faults of the network inside the process, for tests: every socket of multicast runs its datagrams, those that come and those that go,
 * through a model that loses, delays, reorders and duplicates them as its seed says. Off unless `POLYCAST_UDP_IMPAIRMENT` says otherwise.
 */
import { ImpairmentModel, parseImpairment, type ImpairmentOptions } from '../../../core/multicast/impairment-model.ts'
import { Random } from '../../../core/lib/random.ts'
import { fail } from '../../errors.ts'

/** The environment variable that turns it on. */
export const IMPAIRMENT_VARIABLE = 'POLYCAST_UDP_IMPAIRMENT'

/** What is wrong with both directions of a socket, and where its chance comes from. */
export interface Impairment {
  readonly options: ImpairmentOptions
  readonly random: Random
}

/** What the environment asks for; undefined for a network as it is. Throws `bad-request` for what cannot be read. */
export function impairmentFrom(environment: NodeJS.ProcessEnv, name: string): Impairment | undefined {
  const text = environment[IMPAIRMENT_VARIABLE]
  if (text === undefined || text === '') return undefined
  const parsed = parseImpairment(text)
  if (parsed === undefined) throw fail('bad-request', { reason: `${IMPAIRMENT_VARIABLE}=${text} is no impairment` })
  return { options: parsed.options, random: new Random(parsed.seed).fork(name) }
}

/** One direction: what is pushed in comes out late, twice or not at all. */
export class ImpairedPath<T> {
  readonly #model: ImpairmentModel
  readonly #deliver: (item: T) => void
  readonly #timers: Set<NodeJS.Timeout> = new Set()

  constructor({ options, random }: Impairment, direction: 'in' | 'out', deliver: (item: T) => void) {
    this.#model = new ImpairmentModel(options, random.fork(direction))
    this.#deliver = deliver
  }

  push(item: T, bytes: number): void {
    const now = performance.now()
    for (const at of this.#model.arrivals(bytes, now)) {
      if (at <= now) {
        this.#deliver(item)
        continue
      }
      const timer = setTimeout(() => {
        this.#timers.delete(timer)
        this.#deliver(item)
      }, at - now)
      this.#timers.add(timer)
    }
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }
}
