/** A delivery as the command line shows it: a line per member redrawn on a terminal, a line per receipt elsewhere, a summary at the end. */
import type { DeliveryEvent, DeliveryInfo, DeliveryMember, Receipt } from '../agent/deliveries/delivery-info.ts'
import type { Context } from './context.ts'
import { explain } from './failure.ts'
import { count, formatBytes, formatDuration, formatRate, printable } from './format.ts'
import { bar, percent } from './live-lines.ts'

/** The view of one delivery. */
export class DeliveryView {
  readonly #context: Context
  readonly #members = new Map<string, DeliveryMember>()
  #totalBytes: number | undefined
  #sentBytes = 0

  constructor(context: Context) {
    this.#context = context
  }

  /** Shows an event. */
  show(event: DeliveryEvent): void {
    if (this.#context.isJson) {
      this.#context.printJson(event)
      return
    }
    switch (event.event) {
      case 'started':
        this.#take(event.delivery)
        break
      case 'progress':
        this.#totalBytes = event.totalBytes ?? this.#totalBytes
        this.#sentBytes = event.sentBytes
        for (const member of event.members) this.#members.set(member.name, { ...this.#members.get(member.name), ...member })
        break
      case 'receipt': {
        const { member, totalBytes, status } = event.receipt
        const haveBytes = status === 'done' ? totalBytes : (this.#members.get(member)?.haveBytes ?? 0)
        this.#members.set(member, { name: member, state: 'ended', haveBytes, receipt: event.receipt })
        this.#showReceipt(event.receipt)
        break
      }
      case 'done':
        this.#context.print(summary(event.delivery))
        return
      case 'error':
        this.#context.print(summary(event.delivery))
        this.#context.note(explain(event.error))
        return
    }
    this.#context.live.draw(() => this.#lines())
  }

  #take(delivery: DeliveryInfo): void {
    this.#totalBytes = delivery.totalBytes
    this.#sentBytes = delivery.sentBytes
    for (const member of delivery.members) this.#members.set(member.name, member)
  }

  #showReceipt(receipt: Receipt): void {
    this.#context.print(receiptLine(receipt))
  }

  /** What still goes on: those that are furthest behind come first, for it is them that one waits for. */
  #lines(): string[] {
    const open = [...this.#members.values()].filter((member) => member.receipt === undefined)
    const width = Math.max(...open.map((member) => member.name.length), 0)
    const done = this.#members.size - open.length
    const total = this.#totalBytes
    const lines = open
      .toSorted((a, b) => a.haveBytes - b.haveBytes || (a.name < b.name ? -1 : 1))
      .map((member) => {
        const what = member.state === 'waiting' ? 'not reached yet' : formatBytes(member.haveBytes)
        return `  ${printable(member.name).padEnd(width)}  ${bar(member.haveBytes, total)} ${percent(member.haveBytes, total)}  ${what}`
      })
    return [`${done} of ${count(this.#members.size, 'member')} ended, ${formatBytes(this.#sentBytes)} sent from here`, ...lines]
  }
}

/** One receipt as a line. */
export function receiptLine(receipt: Receipt): string {
  const { status, totalBytes, receivedBytes, reusedBytes, durationMs } = receipt
  const member = printable(receipt.member)
  if (status === 'done') {
    const rate = receivedBytes > 0 ? `, ${formatRate(receivedBytes, durationMs)}` : ''
    const reused = reusedBytes > 0 ? `, ${formatBytes(reusedBytes)} reused` : ''
    const path = receipt.path === undefined ? '' : `  ${printable(receipt.path)}`
    return `${member}: done  ${formatBytes(totalBytes)} in ${formatDuration(durationMs)} (${formatBytes(receivedBytes)} received${reused}${rate})${path}\n`
  }
  const reason = receipt.error === undefined ? '' : `  ${receipt.error.code}: ${printable(receipt.error.message)}`
  return `${member}: ${status}${reason}\n`
}

/** The end of a delivery in a line or two. */
export function summary(delivery: DeliveryInfo): string {
  const { members, totalBytes = 0, sentBytes, createdAt, endedAt } = delivery
  const done = members.filter((member) => member.receipt?.status === 'done').length
  const time = endedAt === undefined ? '' : ` in ${formatDuration(endedAt - createdAt)}`
  const sent = sentBytes > 0 ? `; ${formatBytes(sentBytes)} sent from here` : ''
  const id = delivery.contentId === undefined ? '' : `content ${delivery.contentId}\n`
  return `${done} of ${count(members.length, 'member')} ${done === 1 ? 'has' : 'have'} ${printable(delivery.name)}: ${formatBytes(totalBytes)}${time}${sent}\ndelivery ${delivery.id}\n${id}`
}
