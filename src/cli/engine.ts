/**
 * What V8 is told before an agent's modules are loaded: later its main thread would have the large heap already that they fill for a moment.
 * It holds for the threads that the agent starts, too.
 */
import { setFlagsFromString } from 'node:v8'

const FLAGS = [
  // A young generation of 1 MiB instead of 16, in each thread: what is delivered passes the heaps by. The second flag is the one that the
  // main thread, whose heap exists, goes by. 61 MB of an idle agent become 54; the CPU of deliveries stays.
  '--max-semi-space-size=1',
  '--semi-space-growth-factor=1',
  // What did not run for minutes stays compiled: a delivery after a quiet hour doesn't begin with the parser (8 % of the CPU of 64 agents).
  '--no-flush-bytecode',
  // How much of a function has to run until it is optimised: four times as much as the engine would want by itself. In a delivery of seconds
  // optimising costs more than it brings (a third of the CPU of 17 agents on two cores, 1,000 small files: 5.0 CPU seconds instead of
  // 5.7); in one that goes on it costs the same, only later (512 MB to 4 without a limit: no difference). Later engines don't know it.
  ...(parseInt(process.versions.v8, 10) < 13 ? ['--interrupt-budget=270336'] : []),
]

/** Prepares this process to be an agent. */
export function tuneEngine(): void {
  for (const flag of FLAGS) setFlagsFromString(flag)
}
