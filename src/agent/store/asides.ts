/**
 * What lies aside of outputs' destinations, outside of the data directory: in the journal from before it is made until it is
 * renamed or removed, so that a start after a crash, or gc, removes what was left. Nothing else outside is ever removed.
 */
import type { JournalRecord } from './journal.ts'
import { clearAside, type AsideLog } from './output.ts'

/** The paths aside that were begun and not ended, by this process or one before. */
export class Asides {
  readonly #append: (record: JournalRecord) => Promise<void>
  readonly #live: Set<string> = new Set()
  readonly #left: Set<string>

  /** `left` is what the journal said at the start. */
  constructor(left: Iterable<string>, append: (record: JournalRecord) => Promise<void>) {
    this.#left = new Set(left)
    this.#append = append
  }

  /** For the journal's snapshot. */
  records(): JournalRecord[] {
    return [...this.#left, ...this.#live].map((path) => ({ t: 'aside', path }))
  }

  /** Runs an output with a log; what it doesn't end itself counts as left. */
  async during<T>(output: (log: AsideLog) => Promise<T>): Promise<T> {
    const begun = new Set<string>()
    try {
      return await output({
        begin: async (path) => {
          begun.add(path)
          this.#live.add(path)
          await this.#append({ t: 'aside', path })
        },
        end: async (path) => {
          begun.delete(path)
          this.#live.delete(path)
          await this.#append({ t: 'aside-done', path })
        },
      })
    } finally {
      for (const path of begun) {
        this.#live.delete(path)
        this.#left.add(path)
      }
    }
  }

  /** Removes what was left, as far as that is possible. */
  async clear(): Promise<void> {
    for (const path of this.#left) {
      if (!(await clearAside(path))) continue
      this.#left.delete(path)
      await this.#append({ t: 'aside-done', path })
    }
  }
}
