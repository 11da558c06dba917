/** `polycast delivery`: the deliveries ordered at a node. */
import type { DeliveryEvent, DeliveryInfo } from '../agent/deliveries/delivery-info.ts'
import type { DeliveryList } from '../agent/http/api.ts'
import { Context } from './context.ts'
import type { CommonOptions } from './context.ts'
import { receiptLine, summary } from './delivery-view.ts'
import { explain } from './failure.ts'
import { formatBytes, formatTable, formatTime, printable } from './format.ts'
import { follow } from './send.ts'

/** `delivery ls`. */
export async function listDeliveries(options: CommonOptions): Promise<number> {
  const context = await Context.open(options)
  const { deliveries } = await context.api.json<DeliveryList>('GET', '/v1/deliveries')
  if (context.isJson) context.printJson({ deliveries })
  else {
    const rows = deliveries.map((delivery) => [
      delivery.id,
      delivery.state,
      `${delivery.members.filter(({ receipt }) => receipt?.status === 'done').length}/${delivery.members.length}`,
      delivery.totalBytes === undefined ? '' : formatBytes(delivery.totalBytes),
      formatTime(delivery.createdAt),
      delivery.selector,
      delivery.source,
    ])
    context.print(formatTable(['DELIVERY', 'STATE', '>DONE', '>SIZE', 'ORDERED', 'TO', 'SOURCE'], rows))
  }
  context.close()
  return 0
}

/** `delivery show`; the exit code is that which `send` had. */
export async function showDelivery(id: string, options: CommonOptions): Promise<number> {
  const context = await Context.open(options)
  const delivery = await context.api.json<DeliveryInfo>('GET', `/v1/deliveries/${encodeURIComponent(id)}`)
  context.close()
  const exitCode = delivery.state === 'running' || delivery.state === 'done' ? 0 : (delivery.error?.exitCode ?? 3)
  if (context.isJson) {
    context.printJson(delivery)
    return exitCode
  }
  context.print(`${printable(delivery.source)} to ${printable(delivery.selector)}: ${delivery.state}\n`)
  for (const { name, state, haveBytes, receipt } of delivery.members) {
    context.print(receipt === undefined ? `${printable(name)}: ${state}, has ${formatBytes(haveBytes)}\n` : receiptLine(receipt))
  }
  context.print(summary(delivery))
  if (delivery.error !== undefined) context.note(explain(delivery.error))
  return exitCode
}

/** `delivery follow`: like `send`, for a delivery that goes on already. */
export async function followDelivery(id: string, options: CommonOptions): Promise<number> {
  const context = await Context.open(options)
  try {
    return await follow(context, context.api.lines<DeliveryEvent>('GET', `/v1/deliveries/${encodeURIComponent(id)}/events`), false)
  } finally {
    context.close()
  }
}

/** `delivery cancel`. */
export async function cancelDelivery(id: string, options: CommonOptions): Promise<number> {
  const context = await Context.open(options)
  const delivery = await context.api.json<DeliveryInfo>('DELETE', `/v1/deliveries/${encodeURIComponent(id)}`)
  context.close()
  if (context.isJson) context.printJson(delivery)
  else context.print(`${delivery.state}\n${summary(delivery)}`)
  return 0
}
