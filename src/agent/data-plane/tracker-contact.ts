/** The way from a session to a tracker of its swarm: dials one after the other until one answers, and again when it is lost. */
import type { Link } from './link.ts'

const REDIAL_FIRST_MS = 250
/** Hundreds of peers that dial every 5 s fill a link of 200 kbit/s with what begins connections, so that none comes about. */
const REDIAL_MOST_MS = 15_000

export interface TrackerContactOptions {
  /** Swarm addresses, in the order in which they are tried; none where this node is the tracker. */
  readonly addresses: readonly string[]
  dial(address: string): Promise<Link>
  /** A tracker can be told things from now on. */
  onUp(link: Link): void
  /** No tracker hears this node now; another try follows. */
  onDown(): void
  /** From 0 to 1, so that peers that lost their tracker together don't come back together. */
  readonly random: () => number
}

/** The link to the tracker of one swarm. */
export class TrackerContact {
  readonly #options: TrackerContactOptions
  #link: Link | undefined
  #tries = 0
  #timer: NodeJS.Timeout | undefined
  #isEnded = false

  constructor(options: TrackerContactOptions) {
    this.#options = options
  }

  /** The tracker's link while there is one. */
  get link(): Link | undefined {
    return this.#link
  }

  /** Dials the next address; never rejects. */
  async connect(): Promise<void> {
    const { addresses } = this.#options
    if (addresses.length === 0 || this.#isEnded) return
    const address = addresses[this.#tries++ % addresses.length]!
    try {
      const link = await this.#options.dial(address)
      if (this.#isEnded) return
      this.#link = link
      this.#tries = 0
      this.#options.onUp(link)
    } catch {
      // Unreachable now: the swarm goes on without it, and it is tried again.
      if (!this.#isEnded) this.lost()
    }
  }

  /** The link is gone, or the tracker doesn't want it. */
  lost(): void {
    this.#link = undefined
    if (this.#isEnded) return
    clearTimeout(this.#timer)
    const { random } = this.#options
    const pauseMs = Math.min(REDIAL_MOST_MS, REDIAL_FIRST_MS * 2 ** Math.min(this.#tries, 8)) * (1 + random() / 2)
    this.#timer = setTimeout(() => void this.connect(), pauseMs)
    this.#options.onDown()
  }

  /** No more tries. */
  end(): void {
    this.#isEnded = true
    clearTimeout(this.#timer)
  }
}
