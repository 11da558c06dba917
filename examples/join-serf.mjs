// Joins a Serf cluster and prints its members and events: node examples/join-serf.mjs BIND-ADDRESS SERF-ADDRESS
//
// It is a member like any other: it answers probes, acknowledges queries, and tells the others when it goes (Ctrl-C).
import { startSerfNode } from 'polycast/gossip/node'

const [bind, ...targets] = process.argv.slice(2)
const print = (...words) => process.stdout.write(`${words.join(' ')}\n`)

const node = await startSerfNode({
  name: 'example',
  bind,
  tags: { role: 'example' },
  onMember: (change, { name, status }) => print('member', name, change, status),
  onEvent: ({ name, payload }) => print('event', name, Buffer.from(payload).toString()),
  onQuery: ({ name, respond }) => name === 'uptime' && respond(Buffer.from(`${Math.round(process.uptime())} s`)),
})
await node.join(...targets)
process.once('SIGINT', () => void node.leave())
