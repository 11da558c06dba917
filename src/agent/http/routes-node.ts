/** Routes of the node itself: who it is, whether it is well, what the API is. */
import { json, route } from './route.ts'
import type { Route } from './route.ts'
import { agentInfo, health, readiness } from './schemas.ts'

/** The rows for the node, the checks and the document. */
export const NODE_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/agent',
    operationId: 'showAgent',
    tag: 'cluster',
    summary: 'The node that answers',
    responses: { 200: json('Its name, version, addresses and directories.', agentInfo) },
    errors: [],
    handle: ({ parts }) => Promise.resolve({ status: 200, json: parts.agent() }),
  }),
  route({
    method: 'GET',
    path: '/v1/openapi.json',
    operationId: 'showApi',
    tag: 'operation',
    summary: 'This document',
    responses: { 200: { description: 'OpenAPI 3.1.', contentType: 'application/json' } },
    errors: [],
    async handle({ parts, response }) {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(parts.openapi())
      return Promise.resolve(undefined)
    },
  }),
  route({
    method: 'GET',
    path: '/metrics',
    operationId: 'showMetrics',
    tag: 'operation',
    summary: 'Metrics for Prometheus',
    responses: {
      200: { description: 'The text format of Prometheus; docs/reference/metrics.md lists the metrics.', contentType: 'text/plain' },
    },
    errors: [],
    async handle({ parts, response }) {
      const { text, contentType } = await parts.metrics()
      response.writeHead(200, { 'content-type': contentType })
      response.end(text)
      return undefined
    },
  }),
  route({
    method: 'GET',
    path: '/healthz',
    operationId: 'checkHealth',
    tag: 'operation',
    summary: 'Whether the process answers',
    responses: { 200: json('It does.', health) },
    errors: [],
    handle: () => Promise.resolve({ status: 200, json: { status: 'ok' } }),
  }),
  route({
    method: 'GET',
    path: '/readyz',
    operationId: 'checkReadiness',
    tag: 'operation',
    summary: 'Whether the node takes orders',
    responses: { 200: json('It does.', readiness), 503: json('It does not yet, or not any more.', readiness) },
    errors: [],
    handle({ parts }) {
      const state = parts.readiness()
      return Promise.resolve({ status: state.status === 'ready' ? 200 : 503, json: state })
    },
  }),
]
