/** The commands of the cluster and of what its members tell each other: names, flags, help. */
import type { Command } from 'commander'
import { collect, common } from './command.ts'
import type { Exit } from './command.ts'

/** `members`, `join`, `leave`, `forget`, `tags`, `rtt`, `keys`, `keygen`, `doctor`. */
export function addCluster(program: Command, exit: Exit): void {
  addMembers(program, exit)
  common(program.command('join <address...>').description('join the cluster of other agents: HOST or HOST:PORT')).action(
    async (addresses: string[], options: object) => {
      const { join } = await import('./cluster.ts')
      exit(await join(addresses, options))
    },
  )
  common(program.command('leave').description('leave the cluster and stop the agent')).action(async (options: object) => {
    const { leave } = await import('./cluster.ts')
    exit(await leave(options))
  })
  common(program.command('forget <name>').description('give up a failed member: it counts as one that left'))
    .option('--prune', 'forget it at once')
    .action(async (name: string, options: object) => {
      const { forget } = await import('./cluster.ts')
      exit(await forget(name, options))
    })
  common(program.command('tags').description('show or change the tags of this node'))
    .option('--set <key=value>', 'set a tag; may be repeated', collect)
    .option('--delete <key>', 'remove a tag; may be repeated', collect)
    .action(async (options: object) => {
      const { tags } = await import('./cluster.ts')
      exit(await tags(options))
    })
  common(
    program.command('rtt <member> [other]').description('estimate the round-trip time between two members; from this node by default'),
  ).action(async (member: string, other: string | undefined, options: object) => {
    const { rtt } = await import('./cluster.ts')
    exit(await rtt(member, other, options))
  })
  addKeys(program, exit)
  common(program.command('doctor [target]').description('find out what is wrong with a member, an address, or this node and its members'))
    .addHelpText('after', '\nExit code: 0 all is well, 3 somebody has a problem.')
    .action(async (target: string | undefined, options: object) => {
      const { doctor } = await import('./doctor.ts')
      exit(await doctor(target, options))
    })
}

/** `event`, `query`, `state`, `monitor`. */
export function addMessages(program: Command, exit: Exit): void {
  common(program.command('event <name> [payload]').description('send an event to all members; - reads the payload from standard input'))
    .option('--coalesce', 'of several with this name that come shortly after each other, handlers need the last alone')
    .option('--report', 'wait until it is known who has got it')
    .addHelpText('after', '\nExit code with --report: 0 all have it, 3 some miss it.')
    .action(async (name: string, payload: string | undefined, options: object) => {
      const { event } = await import('./messages.ts')
      exit(await event(name, payload, options))
    })
  common(
    program.command('query <name> [payload]').description('ask members and show their answers; - reads the payload from standard input'),
  )
    .option('--to <selector>', 'who is asked: all (the default), tags (role=web,zone=eu), names (name=n1,name=n2)')
    .option('--no-ack', 'ask for no acknowledgements')
    .option('--timeout <time>', 'wait for 5s, 1m; by default what the size of the cluster asks for')
    .option('--relay-factor <n>', 'let answers come by way of so many other members as well')
    .addHelpText('after', '\nExit code: 0 all acknowledged it (or --no-ack), 3 some did not.')
    .action(async (name: string, payload: string | undefined, options: { ack: boolean }) => {
      const { query } = await import('./messages.ts')
      exit(await query(name, payload, options))
    })
  addState(program, exit)
  common(program.command('monitor').description('show what happens in the cluster, as it happens'))
    .option('--filter <filter>', 'only these: member-failed,user:deploy (as in the option event-handlers)')
    .option('--count <n>', 'end after so many')
    .action(async (options: object) => {
      const { monitor } = await import('./messages.ts')
      exit(await monitor(options))
    })
}

function addMembers(program: Command, exit: Exit): void {
  const list = common(program.command('members').description('list the members of the cluster'))
    .option('--detailed', 'with what gossip knows of each: its kind, incarnation, round-trip time, last change')
    .enablePositionalOptions()
    .action(async (options: object) => {
      const { members } = await import('./members.ts')
      exit(await members(options))
    })
  common(list.command('show <name>').description('how a member stands, and the evidence where it is not well')).action(
    async (name: string, options: object) => {
      const { showMember } = await import('./members.ts')
      exit(await showMember(name, options))
    },
  )
}

function addState(program: Command, exit: Exit): void {
  const state = program.command('state').description('the state that each node keeps for all to see')
  common(state.command('get [node] [key]').description('show the state of a node, this one by default, or the bytes of one key')).action(
    async (node: string | undefined, key: string | undefined, options: object) => {
      const { getState } = await import('./state.ts')
      exit(await getState(node, key, options))
    },
  )
  common(state.command('set <key> <value>').description("set a key of this node's state; - reads the value from standard input"))
    .option('--ttl <time>', 'let it go by itself after 90s, 5m, 1h')
    .action(async (key: string, value: string, options: object) => {
      const { setState } = await import('./state.ts')
      exit(await setState(key, value, options))
    })
  common(state.command('rm <key>').description("remove a key of this node's state")).action(async (key: string, options: object) => {
    const { removeState } = await import('./state.ts')
    exit(await removeState(key, options))
  })
  common(state.command('watch [prefix]').description('show changes of the state of all nodes as they happen'))
    .option('--count <n>', 'end after so many')
    .action(async (prefix: string | undefined, options: object) => {
      const { watchState } = await import('./state.ts')
      exit(await watchState(prefix, options))
    })
}

const KEY_FILE = 'the key comes from a file, or from standard input: never from the command line, which others can see'

function addKeys(program: Command, exit: Exit): void {
  const keys = program.command('keys').description('the keys that gossip is encrypted with, on all members')
  common(keys.command('list').description('show which keys the members have, by their fingerprints'))
    .option('--reveal', 'show the keys themselves')
    .action(async (options: object) => {
      const { listKeys } = await import('./keys.ts')
      exit(await listKeys(options))
    })
  const texts = {
    install: 'make a key known to all members, so that they can decrypt with it',
    use: 'encrypt with a key from now on; all members must have it',
    remove: 'make all members forget a key that is not in use',
  }
  for (const operation of ['install', 'use', 'remove'] as const) {
    common(keys.command(`${operation} [file]`).description(`${texts[operation]}; ${KEY_FILE}`)).action(
      async (file: string | undefined, options: object) => {
        const { changeKeys } = await import('./keys.ts')
        exit(await changeKeys(operation, file, options))
      },
    )
  }
  program
    .command('keygen')
    .description('print a new key for gossip')
    .option('--json', 'JSON: one document')
    .action(async (options: object) => {
      const { keygen } = await import('./keys.ts')
      exit(keygen(options))
    })
}
