/** Why a member is not well, in lines for somebody in the middle of an incident: what is so, who says it, and on what evidence. */
import type { MemberVerdict } from '../agent/http/gossip-api.ts'
import { formatDuration, formatRtt, formatTime, printable } from './format.ts'

type Verdict = NonNullable<MemberVerdict['verdict']>
type ProbeEvidence = NonNullable<Verdict['probe']>
type ProbePath = ProbeEvidence['paths'][number]

/** The text for one member; `now` is for how long ago things were. */
export function verdictText({ name, status, isSuspect, changedAt, verdict }: MemberVerdict, now: number): string {
  const since = `since ${formatTime(changedAt)} (${formatDuration(Math.max(0, now - changedAt))})`
  const lines = [`${printable(name)}: ${isSuspect ? 'suspect' : status} ${since}`]
  if (verdict !== undefined) lines.push(...verdictLines(verdict))
  else if (isSuspect || status === 'failed') lines.push('  This node knows nothing of why: ask one that saw it (--api).')
  return lines.map((line) => `${line}\n`).join('')
}

function verdictLines(verdict: Verdict): string[] {
  const { about, state, incarnation, from, source, at, accusers, grounds, timeoutMs, probe } = verdict
  const by = from === about ? 'the member itself' : printable(from)
  const lines = [`  ${state} by the word of ${by} at ${formatTime(at)}: ${SOURCES[source]} (incarnation ${incarnation})`]
  const [first] = accusers
  if (first !== undefined) {
    const others = accusers.slice(1).map((one) => `${printable(one.by)} ${formatDuration(Math.max(0, one.at - first.at))} later`)
    lines.push(`  suspected by ${[`${printable(first.by)} at ${formatTime(first.at)}`, ...others].join(', ')}`)
  }
  if (grounds === 'gone') lines.push('  its process is gone: its host refuses connections, and another member could not reach it either')
  if (timeoutMs !== undefined) {
    const had = `  it had ${formatDuration(timeoutMs)} to show that it lives`
    lines.push(state === 'dead' && source === 'time-out' ? `${had}, and did not` : had)
  }
  if (probe === undefined) {
    if (state !== 'left') lines.push('  no failed probe of this node itself: it believed the others')
  } else lines.push(...probeLines(probe))
  return lines
}

const SOURCES: Readonly<Record<Verdict['source'], string>> = {
  probe: 'a probe of this node failed',
  'time-out': 'the time that it had to show that it lives was over',
  packet: 'a member told it in a packet',
  'push-pull': 'a member told it with its whole list',
}

function probeLines({ by, startedAt, endedAt, healthScore, lastRttMs, paths }: ProbeEvidence): string[] {
  const health =
    healthScore === 0 ? 'it had no doubt of itself' : `it doubted itself (health score ${healthScore}) and waited longer for that`
  const before = lastRttMs === undefined ? 'no probe went well before' : `the last good round trip took ${formatRtt(lastRttMs)}`
  const width = Math.max(0, ...paths.map((path) => wayOf(path).length))
  return [
    `  last failed probe by ${printable(by)}: ${formatTime(startedAt)}, for ${formatDuration(endedAt - startedAt)}; ${health}; ${before}`,
    ...paths.map(
      (path) => `    ${wayOf(path).padEnd(width)}  after ${formatDuration(Math.max(0, path.sentAt - startedAt))}: ${outcomeOf(path)}`,
    ),
  ]
}

function wayOf({ kind, via }: ProbePath): string {
  if (kind === 'direct') return 'directly'
  return kind === 'stream' ? 'by a stream' : `by way of ${printable(via)}`
}

function outcomeOf({ kind, via, outcome, afterMs, reason }: ProbePath): string {
  const time = afterMs === undefined ? '' : ` after ${formatRtt(afterMs)}`
  const why = reason === undefined ? '' : ` (${printable(reason)})`
  switch (outcome) {
    case 'ack':
      return `it answered${time}${why}`
    case 'nack':
      return `${printable(via)} answered${time}, and got no answer from it${why}`
    case 'failed':
      return `${kind === 'stream' ? 'failed' : 'could not be sent'}${time}${why}`
    case 'refused':
      // The reason would say the same in other words.
      return `its host refused${time}: nothing listens there`
    case 'silent':
      return kind === 'indirect' ? `${printable(via)} did not answer either${why}` : `nothing came${why}`
  }
}
