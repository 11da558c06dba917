/** `polycast agent`: the flags of the agent's options, and the agent itself. */
import type { Command } from 'commander'
import type { Exit } from './command.ts'

/** Adds flags and action. */
export async function addAgent(command: Command, exit: Exit): Promise<void> {
  const { addOptionFlags, readOptionFlags } = await import('../agent/config/flags.ts')
  command
    .option('--config <file>', 'configuration file, YAML (POLYCAST_CONFIG)')
    .option('--print-config', 'print every option with its value and where that comes from, and end')
    .action(async (options: { config?: string; printConfig?: boolean }) => {
      const { runAgent } = await import('../agent/main.ts')
      const { version } = await import('./program.ts')
      const code = await runAgent({
        flags: readOptionFlags(command),
        version: version(),
        isPrintConfig: options.printConfig === true,
        ...(options.config === undefined ? {} : { configFile: options.config }),
      })
      exit(code)
      // A node that has stopped ends now: connections that are still being closed are the kernel's matter.
      if (options.printConfig !== true) process.exit(code)
    })
  addOptionFlags(command)
}
