/**
 * The one table of commands (those of the cluster are in program-gossip.ts): names, flags, help. What a command does is loaded when it runs, so that `polycast get` starts
 * without the agent.
 */
import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { collect, common } from './command.ts'
import type { Exit } from './command.ts'
import { addCluster, addMessages } from './program-gossip.ts'
import type { SimOptions } from './sim.ts'

/** The program, ready to parse; `withAgent` adds the flags of `agent`, which need the table of its options. */
export async function createProgram(exit: Exit, withAgent: boolean): Promise<Command> {
  const program = new Command('polycast')
  program
    .description('Send once; every machine gets it.')
    .version(version(), '--version', 'print the version')
    .helpOption('--help', 'show what there is')
    .showHelpAfterError('(see --help)')
    .configureHelp({ sortSubcommands: false })
    .enablePositionalOptions()
  addGet(program, exit)
  addSend(program, exit)
  addContent(program, exit)
  addDelivery(program, exit)
  addCluster(program, exit)
  addMessages(program, exit)
  addSim(program, exit)
  const agent = program.command('agent').description('run a node in the foreground')
  if (withAgent) {
    const { addAgent } = await import('./agent.ts')
    await addAgent(agent, exit)
  }
  return program
}

/** The version of the package. */
export function version(): string {
  const file = new URL('../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

const HEADER_HELP = 'a header for the source, "Name: value"; @FILE reads them from a file, out of sight of ps'

function addGet(program: Command, exit: Exit): void {
  common(program.command('get <source>').description('bring a URL or a content id to this machine, through the cluster'))
    .option('-o, --output <file>', 'write it to this path; - is standard output; by default it stays in the store')
    .option('--digest <digest>', 'check the bytes: sha256:… or blake3:…')
    .option('--fresh', 'ask the source even if its content is known')
    .option('--overwrite', 'replace a directory too; files are replaced anyway')
    .option('--no-overwrite', 'replace nothing')
    .option('--header <header>', HEADER_HELP, collect)
    .action(async (source: string, options: object) => {
      const { get } = await import('./get.ts')
      exit(await get(source, options))
    })
}

function addSend(program: Command, exit: Exit): void {
  common(program.command('send <source>').description('deliver a path, a URL or a content id to members, with a receipt from each'))
    .requiredOption('--to <selector>', 'who gets it: all, tags (role=web,zone=eu), names (name=n1,name=n2)')
    .option('--dest <path>', 'where members write it, below a root that they allow; by default its name')
    .option('--timeout <time>', 'give up after 90s, 5m, 1h')
    .option('--mkdir', 'create directories of --dest that are missing')
    .option('--name <name>', 'what the content is called')
    .option('--header <header>', HEADER_HELP, collect)
    .option('--id <id>', 'an id of your own: the same again joins the delivery instead of ordering another')
    .option('--detach', 'print the id of the delivery and leave it running')
    .addHelpText('after', '\nExit code: 0 all have it, 3 some or none, 1 the source failed. Ctrl-C cancels the delivery.')
    .action(async (source: string, options: { to: string }) => {
      const { send } = await import('./send.ts')
      exit(await send(source, options))
    })
}

function addContent(program: Command, exit: Exit): void {
  const content = program.command('content').description('what this node holds')
  common(content.command('ls').description('list the contents')).action(async (options: object) => {
    const { listContents } = await import('./content.ts')
    exit(await listContents(options))
  })
  common(content.command('show <id>').description('show one content')).action(async (id: string, options: object) => {
    const { showContent } = await import('./content.ts')
    exit(await showContent(id, options))
  })
  common(content.command('pin <id...>').description('keep contents from being evicted')).action(async (ids: string[], options: object) => {
    const { pinContents } = await import('./content.ts')
    exit(await pinContents(ids, true, options))
  })
  common(content.command('unpin <id...>').description('let contents be evicted again')).action(async (ids: string[], options: object) => {
    const { pinContents } = await import('./content.ts')
    exit(await pinContents(ids, false, options))
  })
  common(content.command('rm <id...>').description('remove contents from this node'))
    .option('--force', 'pinned ones too')
    .action(async (ids: string[], options: object) => {
      const { removeContents } = await import('./content.ts')
      exit(await removeContents(ids, options))
    })
  common(content.command('gc').description('remove what is neither pinned nor in use')).action(async (options: object) => {
    const { collectGarbage } = await import('./content.ts')
    exit(await collectGarbage(options))
  })
  common(content.command('verify [id...]').description('check the bytes on the disk; all contents by default')).action(
    async (ids: string[], options: object) => {
      const { verifyContents } = await import('./content.ts')
      exit(await verifyContents(ids, options))
    },
  )
}

function addDelivery(program: Command, exit: Exit): void {
  const delivery = program.command('delivery').description('the deliveries ordered at this node')
  common(delivery.command('ls').description('list them')).action(async (options: object) => {
    const { listDeliveries } = await import('./delivery.ts')
    exit(await listDeliveries(options))
  })
  common(delivery.command('show <id>').description('show one with its receipts')).action(async (id: string, options: object) => {
    const { showDelivery } = await import('./delivery.ts')
    exit(await showDelivery(id, options))
  })
  common(delivery.command('follow <id>').description('watch one to its end')).action(async (id: string, options: object) => {
    const { followDelivery } = await import('./delivery.ts')
    exit(await followDelivery(id, options))
  })
  common(delivery.command('cancel <id>').description('end one; members that have it keep it')).action(
    async (id: string, options: object) => {
      const { cancelDelivery } = await import('./delivery.ts')
      exit(await cancelDelivery(id, options))
    },
  )
}

function addSim(program: Command, exit: Exit): void {
  program
    .command('sim')
    .description('simulate clusters on this machine, to know beforehand what one of a size will be like')
    .option('--nodes <counts>', 'how many nodes, or a list: 64,256,1024', '64')
    .option('--loss <shares>', 'share of packets that get lost, or a list: 0,1%,10%', '0')
    .option('--profile <name>', 'the times of the membership protocol: lan, wan, local or serf', 'lan')
    .option('--idle <time>', 'for how long nothing happens, while traffic and false alarms are counted', '60s')
    .option('--seed <text>', 'the same seed gives the same numbers', '1')
    .option('--svg <file>', 'draw a chart into this file')
    .option('--json', 'one JSON document')
    .addHelpText(
      'after',
      '\nEach cluster runs the code that ships, in virtual time, without an agent: it does nothing for a while, then nodes change their tags,' +
        '\njoin and are killed. 1,000 nodes take some seconds, 10,000 some minutes.',
    )
    .action(async (options: SimOptions) => {
      const { sim } = await import('./sim.ts')
      exit(await sim(options))
    })
}
