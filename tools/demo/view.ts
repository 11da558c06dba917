/** What the demonstration shows: progress by node while it runs, and the sum at the end. */
import type { DeliveryEvent, DeliveryInfo, Receipt } from '#src/agent/deliveries/delivery-info.js'
import { formatBytes, formatDuration, formatRate, formatTable, printable } from '#src/cli/format.js'
import { bar, LiveLines, percent } from '#src/cli/live-lines.js'

/** Between two lines of progress where there is no terminal. */
const PLAIN_EVERY_MS = 2000

export class DemoView {
  readonly #live: LiveLines = new LiveLines(process.stdout)
  readonly #members: Map<string, { haveBytes: number; isDone: boolean }> = new Map()
  #totalBytes: number | undefined
  #startedAt = 0
  #sentBytes = 0
  #plainAt = 0

  /** `expectedBytes`: the content's size as far as it is known before its end is read. */
  constructor(expectedBytes: number | undefined) {
    this.#totalBytes = expectedBytes
  }

  show(event: DeliveryEvent): void {
    switch (event.event) {
      case 'started':
        this.#startedAt = performance.now()
        this.#totalBytes = event.delivery.totalBytes ?? this.#totalBytes
        for (const { name, haveBytes } of event.delivery.members) this.#members.set(name, { haveBytes, isDone: false })
        break
      case 'progress':
        this.#totalBytes = event.totalBytes ?? this.#totalBytes
        this.#sentBytes = event.sentBytes
        for (const { name, haveBytes } of event.members) {
          this.#members.set(name, { haveBytes, isDone: this.#members.get(name)?.isDone === true })
        }
        break
      case 'receipt':
        this.#members.set(event.receipt.member, { haveBytes: event.receipt.totalBytes, isDone: true })
        break
      case 'done':
      case 'error':
        this.#live.clear()
        return
    }
    if (process.stdout.isTTY) this.#live.draw(() => this.#lines())
    else this.#plainLine()
  }

  /** Takes the redrawn lines away. */
  clear(): void {
    this.#live.clear()
  }

  #lines(): string[] {
    const lines = this.#sorted().map(([name, { haveBytes, isDone }]) => {
      const what = isDone ? 'receipt' : formatBytes(haveBytes)
      return `  ${printable(name)}  ${bar(haveBytes, this.#totalBytes, 30)} ${percent(haveBytes, this.#totalBytes)}  ${what}`
    })
    return [...lines, `  the seed has sent ${formatBytes(this.#sentBytes)}`]
  }

  #plainLine(): void {
    const elapsed = performance.now() - this.#startedAt
    if (elapsed - this.#plainAt < PLAIN_EVERY_MS) return
    this.#plainAt = elapsed
    const total = this.#totalBytes
    const nodes = this.#sorted().map(([name, { haveBytes }]) => {
      return `${printable(name)} ${total === undefined ? formatBytes(haveBytes) : percent(haveBytes, total).trim()}`
    })
    process.stdout.write(`  ${formatDuration(elapsed)}: ${nodes.join(', ')}\n`)
  }

  #sorted(): [string, { haveBytes: number; isDone: boolean }][] {
    return [...this.#members].toSorted(([a], [b]) => (a < b ? -1 : 1))
  }
}

/** Receipts, times, what the source sent, and what it would have been without relaying. */
export function report(delivery: DeliveryInfo): string {
  const receipts = delivery.members.flatMap(({ receipt }) => receipt ?? []).toSorted((a, b) => (a.member < b.member ? -1 : 1))
  const rows = receipts.map((receipt) => [receipt.member, outcome(receipt), ...figures(receipt, delivery)])
  const table = formatTable(['node', 'receipt', '>received', '>time', '>rate'], rows)
  return `${table}\n${comparison(delivery, receipts)}`
}

function outcome({ status, error }: Receipt): string {
  return error === undefined ? status : `${status}, ${error.code}: ${error.message}`
}

function figures(receipt: Receipt, { createdAt }: DeliveryInfo): string[] {
  const ms = receipt.at - createdAt
  const received = formatBytes(receipt.receivedBytes)
  return receipt.status === 'done' ? [received, formatDuration(ms), formatRate(receipt.totalBytes, ms)] : [received, '', '']
}

function comparison(delivery: DeliveryInfo, receipts: readonly Receipt[]): string {
  const { totalBytes = 0, sentBytes, createdAt } = delivery
  const times = receipts.filter(({ status }) => status === 'done').map(({ at }) => at - createdAt)
  const [first, last, count] = [Math.min(...times), Math.max(...times), times.length]
  const factor = totalBytes === 0 ? '' : `, ${(sentBytes / totalBytes).toFixed(2)} times the content`
  const sent = `the source sent  ${formatBytes(sentBytes)}${factor}\n`
  if (count === 0) return sent
  return [
    sent,
    `all had it in    ${formatDuration(last)}, from the order to the last receipt\n`,
    `one by one       ${formatDuration(first * count)}, computed: ${count} copies at the rate of the first, ${formatRate(totalBytes, first)}\n`,
  ].join('')
}
