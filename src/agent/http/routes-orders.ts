/** Routes of orders: deliveries to members, gets to this node. */
import { fail } from '../errors.ts'
import type { Delivery, SendOrder } from '../deliveries/deliveries.ts'
import type { Get, GetOrder } from '../deliveries/gets.ts'
import { replyQuery, replyWith } from './order-reply.ts'
import type { ReplyQuery } from './order-reply.ts'
import { json, lines, route } from './route.ts'
import type { Route, RouteRequest } from './route.ts'
import { deliveryEvent, deliveryInfo, deliveryList, getEvent, getInfo, getList, getOrder, sendOrder } from './schemas.ts'

const CANCELLED_HERE = 'it was cancelled through the API'

/** The rows for `/v1/deliveries` and `/v1/gets`. */
export const ORDER_ROUTES: readonly Route[] = [
  route<ReplyQuery, SendOrder>({
    method: 'POST',
    path: '/v1/deliveries',
    operationId: 'send',
    tag: 'deliveries',
    summary: 'Deliver a content to the members of a selector',
    description:
      'Answers with a stream of events, one JSON object per line; see the query `reply` for other ways. The delivery goes on when the connection is closed: only DELETE ends it. The same `id` again joins the delivery.',
    query: replyQuery,
    body: sendOrder,
    responses: {
      200: lines('What happens, to the end; with reply=end the delivery.', deliveryEvent, deliveryInfo),
      202: json('With reply=start: the delivery as it began.', deliveryInfo),
    },
    errors: [
      'selector-invalid',
      'selector-empty',
      'path-not-found',
      'path-not-readable',
      'source-not-found',
      'source-forbidden',
      'source-failed',
      'source-unsupported',
      'content-not-found',
      'delivery-partial',
    ],
    async handle(request) {
      const delivery = await request.parts.deliveries.send(request.body)
      return replyWith(request, delivery, () => undefined)
    },
  }),
  route({
    method: 'GET',
    path: '/v1/deliveries',
    operationId: 'listDeliveries',
    tag: 'deliveries',
    summary: 'The deliveries ordered at this node',
    responses: { 200: json('All that run, and the last ones that ended.', deliveryList) },
    errors: [],
    handle: ({ parts }) => Promise.resolve({ status: 200, json: { deliveries: parts.deliveries.list() } }),
  }),
  route({
    method: 'GET',
    path: '/v1/deliveries/{id}',
    operationId: 'showDelivery',
    tag: 'deliveries',
    summary: 'One delivery with its receipts',
    pathParams: { id: 'the id of a delivery ordered at this node' },
    responses: { 200: json('The delivery as it is now.', deliveryInfo) },
    errors: ['delivery-not-found'],
    handle: (request) => Promise.resolve({ status: 200, json: deliveryOf(request).info() }),
  }),
  route({
    method: 'GET',
    path: '/v1/deliveries/{id}/events',
    operationId: 'followDelivery',
    tag: 'deliveries',
    summary: 'Follow a delivery to its end',
    pathParams: { id: 'the id of a delivery ordered at this node' },
    responses: { 200: lines('How it stands, the receipts so far, and what happens from now on, to the end.', deliveryEvent) },
    errors: ['delivery-not-found'],
    handle: (request) => replyWith({ ...request, query: { reply: 'stream' } }, deliveryOf(request), () => undefined),
  }),
  route({
    method: 'DELETE',
    path: '/v1/deliveries/{id}',
    operationId: 'cancelDelivery',
    tag: 'deliveries',
    summary: 'Cancel a delivery',
    description:
      'Members that have it keep it; the others are told to give up, and keep what arrived for a later delivery. One that has ended stays as it is.',
    pathParams: { id: 'the id of a delivery ordered at this node' },
    responses: { 200: json('The delivery as it ended.', deliveryInfo) },
    errors: ['delivery-not-found'],
    async handle(request) {
      const delivery = deliveryOf(request)
      delivery.cancel(CANCELLED_HERE)
      await delivery.ended
      return { status: 200, json: delivery.info() }
    },
  }),
  route<ReplyQuery, GetOrder>({
    method: 'POST',
    path: '/v1/gets',
    operationId: 'get',
    tag: 'gets',
    summary: 'Bring a URL or a content id to this node',
    description:
      'Answers with a stream of events, one JSON object per line; see the query `reply` for other ways. Closing the connection cancels the get, unless another one follows it or reply=start was asked for. The same `id` again joins the get.',
    query: replyQuery,
    body: getOrder,
    responses: {
      200: lines('What happens, to the end; with reply=end the get.', getEvent, getInfo),
      202: json('With reply=start: the get as it began.', getInfo),
    },
    errors: [
      'source-not-found',
      'source-forbidden',
      'source-failed',
      'source-changed',
      'source-short',
      'source-unsupported',
      'content-not-found',
      'digest-mismatch',
      'transfer-stalled',
      'no-space',
      'quota-exceeded',
      'dest-missing-directory',
      'dest-not-writable',
      'dest-exists',
      'dest-exists-as-directory',
    ],
    async handle(request) {
      const get = request.parts.deliveries.get(request.body)
      return replyWith(request, get, () => {
        if (get.followers === 0) get.cancel('the client closed the connection')
      })
    },
  }),
  route({
    method: 'GET',
    path: '/v1/gets',
    operationId: 'listGets',
    tag: 'gets',
    summary: 'The gets of this node',
    responses: { 200: json('All that run, and the last ones that ended.', getList) },
    errors: [],
    handle: ({ parts }) => Promise.resolve({ status: 200, json: { gets: parts.deliveries.gets() } }),
  }),
  route({
    method: 'GET',
    path: '/v1/gets/{id}',
    operationId: 'showGet',
    tag: 'gets',
    summary: 'One get',
    pathParams: { id: 'the id of a get of this node' },
    responses: { 200: json('The get as it is now.', getInfo) },
    errors: ['delivery-not-found'],
    handle: (request) => Promise.resolve({ status: 200, json: getOf(request).info() }),
  }),
  route({
    method: 'DELETE',
    path: '/v1/gets/{id}',
    operationId: 'cancelGet',
    tag: 'gets',
    summary: 'Cancel a get',
    description: 'What arrived is kept. One that has ended stays as it is.',
    pathParams: { id: 'the id of a get of this node' },
    responses: { 200: json('The get as it ended.', getInfo) },
    errors: ['delivery-not-found'],
    async handle(request) {
      const get = getOf(request)
      get.cancel(CANCELLED_HERE)
      await Promise.allSettled([get.done])
      return { status: 200, json: get.info() }
    },
  }),
]

function deliveryOf({ parts, path }: RouteRequest<never, never> | RouteRequest): Delivery {
  const id = path['id'] ?? ''
  const delivery = parts.deliveries.find(id)
  if (delivery === undefined) throw fail('delivery-not-found', { id })
  return delivery
}

function getOf({ parts, path }: RouteRequest<never, never> | RouteRequest): Get {
  const id = path['id'] ?? ''
  const get = parts.deliveries.findGet(id)
  if (get === undefined) throw fail('delivery-not-found', { id })
  return get
}
