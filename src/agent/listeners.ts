/** Who wants to be called back about one kind of thing. */
export class Listeners<T> {
  readonly #listeners: Set<(value: T) => void> = new Set()

  get count(): number {
    return this.#listeners.size
  }

  /** The function returned takes the listener out again. */
  add(listener: (value: T) => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  /** Calls all that are in now: one that goes meanwhile is called all the same. */
  call(value: T): void {
    for (const listener of [...this.#listeners]) listener(value)
  }
}
