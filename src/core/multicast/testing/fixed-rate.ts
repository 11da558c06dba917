/** A rate that doesn't change, for tests of the machines alone. */
import type { RateControl, ReceiverReport } from '../session-types.ts'

export class FixedRate implements RateControl {
  readonly reports: ReceiverReport[] = []
  readonly rateBytesPerSec: number
  readonly isStarting: boolean = false
  proactiveShare: number
  /** Receivers to name as slow at the next call. */
  slow: number[] = []

  constructor(rateBytesPerSec: number, proactiveShare: number = 0) {
    this.rateBytesPerSec = rateBytesPerSec
    this.proactiveShare = proactiveShare
  }

  isSlow(): boolean {
    return false
  }

  takeSlow(): number[] {
    const slow = this.slow
    this.slow = []
    return slow
  }

  report(report: ReceiverReport): void {
    this.reports.push(report)
  }

  sent(): void {}

  handleTimeout(): void {}

  nextDeadline(): number {
    return Infinity
  }
}
