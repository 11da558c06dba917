/**
 * The data plane as the main thread sees it: publishing, fetching, storing and writing out contents, and calls from node
 * to node. It says nothing about who the receivers of a delivery are, nor about how bytes travel: the first is the
 * delivery service's matter, the second the swarm's, which runs behind this interface in a worker thread.
 */

/** What a node's store holds of one content. */
export interface ContentInfo {
  /** Hex: the content id, or the growing id while the content isn't sealed. */
  id: string
  state: 'complete' | 'partial'
  name: string
  mediaType: string
  totalBytes: number | undefined
  haveBytes: number
  chunkCount: number
  pinned: boolean
  /** Milliseconds since 1970. */
  createdAt: number
  usedAt: number
  /** The plain file with the content's bytes; never to be written to. */
  path: string
}

/** All that a node needs in order to fetch a content: safe to send to any member, holds no credential. */
export interface Ticket {
  /** Hex. The growing id while the content was being published when the ticket was made, else the content id. */
  swarmId: string
  /** Swarm addresses (`host:port`) of the nodes that give out neighbours, the first one first. */
  trackers: string[]
  /** What the content is called for people: a file's or a directory's base name. */
  name: string
  /** Base64 of the growing header, or of the root, so that a receiver can start at once. */
  header?: string
  /** An invitation to a multicast session is on its way: wait so long for it before asking others for chunks, ms. */
  multicastWaitMs?: number
}

/** A content that others may fetch already, while its source may still be being read. */
export interface PublishedContent {
  ticket: Ticket
  /** Settles once the whole source was read; rejects with a PolycastError. */
  sealed: Promise<{ contentId: string; totalBytes: number }>
}

/** How far one transfer into the store is. */
export interface TransferProgress {
  haveBytes: number
  /** Undefined as long as nobody knows it. */
  totalBytes: number | undefined
  /** Bytes of chunks that came over the network in this transfer. */
  receivedBytes: number
  /** Of these, bytes that came by multicast. */
  multicastBytes: number
  /** Bytes of chunks taken from other contents of this node's store. */
  reusedBytes: number
  peers: number
}

/** One content on its way into the store. */
export interface Transfer {
  /** Settles once every chunk is in the store, verified and synced; rejects with a PolycastError. */
  readonly done: Promise<{ contentId: string; totalBytes: number; receivedBytes: number; multicastBytes: number; reusedBytes: number }>
  /** Calls back on every progress; the function returned ends it. */
  onProgress(listener: (progress: TransferProgress) => void): () => void
  /** Gives the transfer up: `done` rejects with `cancelled`; what was received stays in the store. */
  cancel(): void
}

/** How far one peer of a swarm is, as its tracker was told. */
export interface SwarmPeerProgress {
  /** The node's name. */
  name: string
  /** The swarm address, `host:port`. */
  address: string
  haveBytes: number
  isComplete: boolean
}

/** A node that hears this one by multicast. */
export interface ReachedNode {
  readonly name: string
  /** The interface of this node that it is reached by, and the family of the addresses there. */
  readonly interface: string
  readonly family: 4 | 6
  /** The longest datagram that gets there, UDP payload, bytes. */
  readonly datagramBytes: number
}

/** Where a content is to be published from. */
export type PublishInput = { path: string } | { url: string; headers?: Record<string, string>; digest?: string }

/** The node that a call came from. */
export interface Caller {
  name: string
  /** The swarm address, `host:port`. */
  address: string
}

/** Contents and transfers of this node, and calls to others. */
export interface DataPlane {
  /** The TCP port that peers connect to. */
  readonly swarmPort: number
  /** Reads a path or URL into the store while others may fetch it; a second publish of a URL whose first one runs joins that. */
  publish(input: PublishInput, options: { name?: string }): Promise<PublishedContent>
  /** Relays a content through the swarm into the store. */
  fetch(ticket: Ticket): Transfer
  /** Follows a swarm of which this node is the tracker; the function returned ends it. */
  watchSwarm(swarmId: string, listener: (progress: { sentBytes: number; peers: SwarmPeerProgress[] }) => void): () => void
  /** Writes a complete content to a path outside of the store: aside, then renamed. */
  output(contentId: string, dest: string, options: { allowHardLink?: boolean; overwrite?: boolean }): Promise<{ method: string }>
  contents(): Promise<ContentInfo[]>
  /** Finds by content id, growing id, or a unique prefix of at least 8 hex digits. */
  content(id: string): Promise<ContentInfo | undefined>
  pin(id: string): Promise<void>
  unpin(id: string): Promise<void>
  remove(id: string, options?: { force?: boolean }): Promise<void>
  gc(): Promise<{ removed: number; bytes: number }>
  verify(id: string): Promise<{ chunks: number; bad: number[] }>
  /** Calls a method of the node at a swarm address; rejects with `member-unreachable`, or with the PolycastError that the other side raised. */
  call(address: string, method: string, params: unknown, options: { timeoutMs: number; signal?: AbortSignal }): Promise<unknown>
  /** Declares a method that other nodes may call; what the handler raises goes back to the caller. */
  onCall(method: string, handler: (params: unknown, from: Caller) => Promise<unknown>): void
  /** Counters and gauges by name, for the metrics. */
  stats(): Promise<Record<string, number>>
  close(): Promise<void>
}
