/** `polycast/gossip/node`: a member of a Serf cluster in a program of Node, with sockets and time (`startSerfNode`). */
export { startSerfNode } from './serf-node.ts'
export type { ReceivedQuery, SerfNode, SerfNodeOptions, SerfQueryOptions } from './serf-node.ts'
