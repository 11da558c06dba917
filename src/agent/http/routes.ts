/** The one table of the HTTP API: every route that the agent answers, and nothing else. */
import type { Route } from './route.ts'
import { CONTENT_ROUTES } from './routes-contents.ts'
import { GOSSIP_ROUTES } from './routes-gossip.ts'
import { MESSAGE_ROUTES } from './routes-messages.ts'
import { NODE_ROUTES } from './routes-node.ts'
import { ORDER_ROUTES } from './routes-orders.ts'

/** All routes, in the order of the document. */
export const ROUTES: readonly Route[] = [...ORDER_ROUTES, ...CONTENT_ROUTES, ...GOSSIP_ROUTES, ...MESSAGE_ROUTES, ...NODE_ROUTES]
