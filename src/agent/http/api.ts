/** Types of the HTTP API that belong to nothing else, for the agent and for its clients. Plain data. */
import type { ContentInfo } from '../data-plane/data-plane.ts'
import type { DeliveryInfo, GetInfo } from '../deliveries/delivery-info.ts'
import type { ErrorBody } from '../errors.ts'
import type { ListedMember } from './gossip-api.ts'

/** The body of every answer that is an error. */
export interface ErrorReply {
  error: ErrorBody
  /** With reply=end: the delivery, or the get, that ended so. */
  delivery?: DeliveryInfo
  get?: GetInfo
}

/** What `GET /v1/agent` tells of the node itself. */
export interface AgentInfo {
  name: string
  version: string
  nodeVersion: string
  pid: number
  /** Milliseconds since 1970. */
  startedAt: number
  isSeed: boolean
  tags: Record<string, string>
  /** `host:port` each. */
  addresses: { gossip: string; swarm: string; http: string }
  dataDirectory: string
  /** Directories below which deliveries may be written here. */
  destRoots: string[]
}

/** How a request wants its answer: what happens as it happens, the end alone, or just that it was begun. */
export type ReplyMode = 'stream' | 'end' | 'start'

export interface MemberList {
  members: ListedMember[]
}

export interface ContentList {
  contents: ContentInfo[]
}

export interface DeliveryList {
  deliveries: DeliveryInfo[]
}

export interface GetList {
  gets: GetInfo[]
}

/** What a garbage collection did. */
export interface GcResult {
  /** Contents removed. */
  removed: number
  bytes: number
}

/** What a verification found. */
export interface VerifyResult {
  chunks: number
  /** Indexes of chunks whose bytes don't have their hash; they were dropped, and a get fetches them again. */
  bad: number[]
}

/** The answer of what changes something and has nothing to tell. */
export interface Done {
  isDone: true
}

export interface Health {
  status: 'ok'
}

export interface Readiness {
  status: 'ready' | 'not-ready'
  /** Why it isn't. */
  reason?: string
}
