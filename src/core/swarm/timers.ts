/** The timers of a machine: a table from name to deadline, which is all that there is to a timer without a clock. */
export class Timers<Name extends string> {
  readonly #deadlines: Map<Name, number> = new Map()
  #earliest = Infinity

  /** Sets a timer, or moves it. */
  set(name: Name, deadline: number): void {
    const last = this.#deadlines.get(name)
    this.#deadlines.set(name, deadline)
    if (deadline < this.#earliest) this.#earliest = deadline
    else if (last === this.#earliest) this.#findEarliest()
  }

  /** Sets a timer unless it would go off before anyway. */
  setSooner(name: Name, deadline: number): void {
    if (deadline < (this.#deadlines.get(name) ?? Infinity)) this.set(name, deadline)
  }

  /** Takes a timer off; whether it was set. */
  delete(name: Name): boolean {
    const last = this.#deadlines.get(name)
    if (last === undefined) return false
    this.#deadlines.delete(name)
    if (last === this.#earliest) this.#findEarliest()
    return true
  }

  has(name: Name): boolean {
    return this.#deadlines.has(name)
  }

  /** The earliest deadline, ms; Infinity for none. */
  earliest(): number {
    return this.#earliest
  }

  /** Takes off a timer that is due and names it; undefined when none is. */
  takeDue(now: number): Name | undefined {
    if (this.#earliest > now) return undefined
    for (const [name, deadline] of this.#deadlines) {
      if (deadline !== this.#earliest) continue
      this.delete(name)
      return name
    }
    return undefined
  }

  #findEarliest(): void {
    let earliest = Infinity
    for (const deadline of this.#deadlines.values()) if (deadline < earliest) earliest = deadline
    this.#earliest = earliest
  }
}
