/** `polycast doctor`: what is wrong with a member or the way to it, on what evidence, and what to do. */
import type { DoctorReport, Examination } from '../agent/gossip/gossip.ts'
import type { DoctorOrder } from '../agent/http/gossip-api.ts'
import { withContext } from './context.ts'
import type { CommonOptions } from './context.ts'
import { count, printable } from './format.ts'
import { multicastLines } from './multicast-view.ts'

/** Some member has a problem. */
const EXIT_PROBLEM = 3

/** Runs the command; gives its exit code. */
export async function doctor(target: string | undefined, options: CommonOptions): Promise<number> {
  return withContext(options, async (context) => {
    const body: DoctorOrder = target === undefined ? {} : { target }
    const report = await context.api.json<DoctorReport>('POST', '/v1/doctor', { body })
    if (context.isJson) context.printJson(report)
    else context.print(reportText(report))
    const isWell = report.examined.every(({ findings }) => findings.every(({ severity }) => severity !== 'problem'))
    return isWell ? 0 : EXIT_PROBLEM
  })
}

function reportText({ node, examined, skipped, multicast }: DoctorReport): string {
  const lines = examined.flatMap((one) => examinationLines(one))
  if (multicast !== undefined) {
    lines.push(...multicastLines(multicast))
    for (const finding of multicast.findings) lines.push(...findingLines(finding, '  '))
  }
  const well = examined.filter(({ findings }) => findings.length === 0).length
  lines.push(`${printable(node)} examined ${examined.length}: ${well} well, ${examined.length - well} not`)
  if (skipped > 0) lines.push(`${count(skipped, 'member')} not examined, as there are so many: name one to examine it`)
  return lines.map((line) => `${line}\n`).join('')
}

function examinationLines({ name, address, status, findings }: Examination): string[] {
  const where = name === address ? '' : ` (${printable(address)}${status === 'self' ? ', this node' : ''})`
  const head = `${printable(name)}${where}: `
  if (findings.length === 0) return [`${head}well`]
  return findings.flatMap((finding, at) => findingLines(finding, at === 0 ? head : '  '))
}

function findingLines({ code, severity, sentence, evidence, advice }: Examination['findings'][number], head: string): string[] {
  return [
    `${head}${severity}: ${printable(sentence)} [${code}]`,
    ...evidence.map((line) => `    ${printable(line)}`),
    `  What to do: ${printable(advice)}`,
  ]
}
