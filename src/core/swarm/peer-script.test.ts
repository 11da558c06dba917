/**
 * Plays the scripts of testdata/ against a peer machine: what goes in, and below it what has to come out.
 *
 * A file holds scenarios. Each has a title (`== …`), a line that says what the peer is (`peer chunks=8 run=1 …`), and then events,
 * `<ms> <event>`, with the machine's outputs indented below, each with the time at which it came. `p: …` is what neighbour p says,
 * `p < …` what it is told; chunks are written `0-3 7`. The timers that are due before an event go off at their own times.
 * With UPDATE_TESTDATA=1 in the environment the files are written anew from what the machine does; read the difference.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { Bitfield } from '../lib/bitfield.ts'
import { Random } from '../lib/random.ts'
import { wireError, type WireError } from '../wire/wire-error.ts'
import type { ContentView, ManifestParts } from './content-view.ts'
import type { ManifestPart, PlanMessage, SwarmMessage } from './frames.ts'
import { DEFAULT_PEER_LIMITS } from './peer-types.ts'
import type { PeerInput, PeerOutput } from './peer-types.ts'
import { SwarmPeer } from './peer.ts'
import type { Ranges } from './ranges.ts'

const FOLDER = new URL('../../../src/core/swarm/testdata/', import.meta.url)

/** A content of equal chunks; a payload or a part of the manifest is right when its first byte is 0. */
class ScriptedContent implements ContentView {
  readonly runChunks: number
  knownChunks: number
  isComplete: boolean
  readonly #chunkBytes: number

  constructor(runChunks: number, knownChunks: number, isComplete: boolean, chunkBytes: number) {
    this.runChunks = runChunks
    this.knownChunks = knownChunks
    this.isComplete = isComplete
    this.#chunkBytes = chunkBytes
  }

  rangeBytes(_first: number, count: number): number {
    return count * this.#chunkBytes
  }

  verify(first: number, count: number, payload: Uint8Array): number {
    return payload[0] === 0 && payload.length === this.rangeBytes(first, count) ? -1 : first
  }

  acceptManifest(part: ManifestPart): WireError | undefined {
    if (part.bytes[0] !== 0) return wireError('disconnect', `a ${part.kind} that is not signed by the author`)
    if (part.kind === 'seal') this.isComplete = true
    else this.knownChunks = Math.max(this.knownChunks, part.index)
    return undefined
  }

  manifestParts(fromChunk: number, _hasHead: boolean, hasSeal: boolean): ManifestParts {
    const { knownChunks, isComplete } = this
    if (fromChunk < knownChunks) return { parts: [partOf('segment', knownChunks)], next: knownChunks, hasHead: true, hasSeal }
    if (isComplete && !hasSeal) return { parts: [partOf('seal', 0)], next: fromChunk, hasHead: true, hasSeal: true }
    return { parts: [], next: fromChunk, hasHead: true, hasSeal }
  }
}

/** In scripts the index of a segment says how many entries are known with it. */
function partOf(kind: 'segment' | 'seal', index: number, isRight: boolean = true): ManifestPart {
  return { kind, index, bytes: new Uint8Array([isRight ? 0 : 1]) }
}

/** Shorter times than in use, so that scripts are short; a script may set its own. */
const SCRIPT_LIMITS = { minLateMs: 400, originGraceMs: 500, originHelpMs: 3000, markMs: 2000, forgottenMs: 3000, maxQuietMs: 10_000 }

class Player {
  readonly transcript: string[] = []
  readonly #content: ScriptedContent
  readonly #peer: SwarmPeer
  #now = 0

  constructor(settings: ReadonlyMap<string, string>) {
    const numberOf = (key: string, standard: number): number => Number(settings.get(key) ?? standard)
    const chunks = numberOf('chunks', 8)
    this.#content = new ScriptedContent(numberOf('run', 1), chunks, !settings.has('growing'), numberOf('chunkBytes', 16384))
    const have = new Bitfield(chunks)
    for (const [first, count] of pairs(parseRanges(settings.get('have')?.split(',') ?? []))) have.setRange(first, count)
    const limits = Object.fromEntries(
      [...settings].filter(([key]) => key in DEFAULT_PEER_LIMITS).map(([key, value]): [string, number] => [key, Number(value)]),
    )
    this.#peer = new SwarmPeer(
      {
        id: 'me',
        address: 'me:1',
        zone: '',
        content: this.#content,
        isOrigin: settings.has('origin'),
        canReuse: settings.has('reuse'),
        random: new Random(settings.get('seed') ?? 'script'),
        limits: { ...SCRIPT_LIMITS, ...limits },
      },
      have,
      0,
    )
    this.#flush()
  }

  play(line: string): void {
    const [, time = '', event = ''] = /^(\S+) (.+)$/.exec(line) ?? []
    const at = Number(time)
    assert.ok(at >= this.#now, `a time that is not before ${this.#now}: ${line}`)
    for (let due = this.#peer.nextDeadline(); due <= at; due = this.#peer.nextDeadline()) {
      this.#now = Math.max(due, this.#now)
      this.#peer.handleTimeout(this.#now)
      this.#flush()
    }
    this.#now = at
    this.transcript.push(line)
    this.#event(event)
    this.#flush()
  }

  #event(event: string): void {
    const said = /^(\S+): (.+)$/.exec(event)
    if (said !== null) return this.#handle({ type: 'message', from: said[1]!, message: this.#message(said[2]!) })
    const [subject = '', verb = '', ...rest] = event.split(' ')
    const ranges = parseRanges(event.split(' ').slice(1))
    if (subject === 'wait') return
    if (subject === 'plan') return this.#handle({ type: 'message', from: 'o', message: this.#plan(event.split(' ').slice(1)) })
    if (subject === 'tracker') return this.#handle({ type: 'tracker', isUp: verb === 'up' })
    if (subject === 'stored' || subject === 'lost') return this.#handle({ type: subject, firstChunk: ranges[0]!, count: ranges[1]! })
    if (subject === 'handed-out') return this.#handle({ type: subject, firstChunk: ranges[0]!, count: ranges[1]! })
    if (subject === 'brought') {
      const payload = new Uint8Array(this.#content.rangeBytes(ranges[0]!, ranges[1]!)).fill(rest.includes('wrong') ? 1 : 0)
      return this.#handle({ type: subject, firstChunk: ranges[0]!, count: ranges[1]!, payload })
    }
    if (subject === 'learns') return void (this.#content.knownChunks = Number(verb))
    if (subject === 'hold') return this.#handle({ type: 'hold', fromChunk: verb === 'off' ? Infinity : Number(verb) })
    if (subject === 'reused') return this.#handle({ type: 'reused', upTo: Number(verb) })
    if (subject === 'read') return this.#read(Number(verb), rest.includes('sealed'))
    if (subject === 'room') return this.#room(verb, Number(rest[0] ?? Infinity))
    if (verb === 'up') return this.#handle({ type: 'neighbour-up', id: subject, address: `${subject}:1` })
    assert.equal(verb, 'down', `an event that there is: ${event}`)
    this.#handle({ type: 'neighbour-down', id: subject })
  }

  #handle(input: PeerInput): void {
    this.#peer.handle(input, this.#now)
  }

  /** The source has given more chunks. */
  #read(chunks: number, isSealed: boolean): void {
    const firstChunk = this.#content.knownChunks
    this.#content.knownChunks = chunks
    this.#content.isComplete = isSealed
    this.#handle({ type: 'stored', firstChunk, count: chunks - firstChunk })
  }

  /** The link to a neighbour has room for so many ranges. */
  #room(id: string, most: number): void {
    for (let sent = 0; sent < most; sent++) {
      const range = this.#peer.nextUpload(id, this.#now)
      if (range === undefined) return
      this.#flush()
      this.#print(`${id} < data ${formatRanges([range.firstChunk, range.count])}`)
    }
  }

  #message(text: string): SwarmMessage {
    const [type = '', ...words] = text.split(' ')
    const ranges = parseRanges(words)
    switch (type) {
      case 'have':
      case 'lost':
      case 'request':
      case 'cancel':
      case 'withheld':
        return { type, ranges }
      case 'data': {
        const [firstChunk = 0, count = 0] = ranges
        const payload = new Uint8Array(this.#content.rangeBytes(firstChunk, count))
        if (words.includes('wrong')) payload[0] = 1
        return { type, firstChunk, count, payload }
      }
      case 'subscribe': {
        const mask = words[0] === 'none' ? 0 : words[0]!.split(',').reduce((sum, stripe) => sum | (1 << Number(stripe)), 0)
        const manifestAt = words.indexOf('manifest')
        const manifestFrom = manifestAt < 0 ? -1 : Number(words[manifestAt + 1])
        return { type, runChunks: this.#peer.runChunks, stripes: Number(words[2]), mask, manifestFrom }
      }
      case 'clear':
        return { type, to: Number(words[0]) }
      case 'manifest':
        return { type, part: partOf(words[0] === 'seal' ? 'seal' : 'segment', Number(words[1] ?? 0), !words.includes('wrong')) }
      case 'peers':
        return { type, peers: words.map((id) => ({ id, address: `${id}:1` })) }
      case 'close':
        return { type, reason: words.join(' ') }
      default:
        assert.fail(`a message that there is: ${text}`)
    }
  }

  /** `p - q run 2 also r o*`: stripe 0 from p, nobody for stripe 1, stripe 2 from q; the origin has a star. */
  #plan(words: string[]): PlanMessage {
    const also = words.includes('also') ? words.splice(words.indexOf('also')).slice(1) : []
    const runChunks = words.includes('run') ? Number(words.splice(words.indexOf('run'))[1]) : this.#peer.runChunks
    const names = [...new Set([...words, ...also])].filter((name) => name !== '-')
    const peers = names.map((name) => ({ id: name.replace('*', ''), address: `${name.replace('*', '')}:1`, isOrigin: name.endsWith('*') }))
    return { type: 'plan', runChunks, stripes: words.length, parents: words.map((name) => names.indexOf(name)), peers }
  }

  #flush(): void {
    for (let outputs = this.#peer.drain(); outputs.length > 0; outputs = this.#peer.drain()) {
      for (const output of outputs) {
        this.#print(describe(output))
        // Closing the connection is the shell's part.
        if (output.type === 'misbehaved') this.#handle({ type: 'neighbour-down', id: output.id })
      }
    }
  }

  #print(text: string): void {
    this.transcript.push(`  ${Math.round(this.#now)} ${text}`)
  }
}

function describe(output: PeerOutput): string {
  switch (output.type) {
    case 'send':
      return `${output.to} < ${describeMessage(output.message)}`
    case 'announce': {
      const { haveBytes, isComplete, lateStripes, slowPeers, lostPeers } = output.message
      const lists = { late: lateStripes, slow: slowPeers, lost: lostPeers }
      const named = Object.entries(lists).filter(([, list]) => list.length > 0)
      return [`tracker < ${haveBytes} bytes${isComplete ? ', complete' : ''}`, ...named.map((list) => list.flat().join(' '))].join(', ')
    }
    case 'uploadable':
      return `something for ${output.to}`
    case 'write':
      return `write ${formatRanges([output.firstChunk, output.count])}${output.from === '' ? '' : ` from ${output.from}`}`
    case 'connect':
      return `connect ${output.id} at ${output.address}`
    case 'misbehaved':
      return `drop ${output.id}: ${output.reason}`
    case 'closed':
      return `${output.by} left: ${output.reason}`
    case 'reuse':
      return `search the disk for ${formatRanges([output.fromChunk, output.upTo - output.fromChunk])}`
    case 'complete':
      return 'complete'
  }
}

function describeMessage(message: Extract<PeerOutput, { type: 'send' }>['message']): string {
  switch (message.type) {
    case 'have':
    case 'lost':
    case 'request':
    case 'cancel':
    case 'withheld':
      return `${message.type} ${formatRanges(message.ranges)}`
    case 'subscribe': {
      const wanted = Array.from({ length: message.stripes }, (_, stripe) => stripe).filter((stripe) => (message.mask >>> stripe) & 1)
      const manifest = message.manifestFrom < 0 ? '' : ` manifest ${message.manifestFrom}`
      return `subscribe ${wanted.length === 0 ? 'none' : wanted.join()} of ${message.stripes}${manifest}`
    }
    case 'clear':
      return `clear ${message.to}`
    case 'manifest':
      return `manifest ${message.part.kind}${message.part.kind === 'seal' ? '' : ` ${message.part.index}`}`
    case 'peers':
      return `peers ${message.peers.map(({ id }) => id).join(' ')}`
    case 'close':
      return `close ${message.reason}`
    case 'open':
    case 'announce':
    case 'plan':
    case 'invite':
      return assert.fail(`a peer does not send ${message.type}`)
  }
}

/** `0-3`, `7`, and `0-9/2` for every second one from 0 to 9; other words are no ranges. */
function parseRanges(words: readonly string[]): number[] {
  return words.flatMap((word) => {
    const [, from, to, step] = /^(\d+)(?:-(\d+))?(?:\/(\d+))?$/.exec(word) ?? []
    if (from === undefined) return []
    const first = Number(from)
    const count = Number(to ?? from) - first + 1
    if (step === undefined) return [first, count]
    return Array.from({ length: Math.ceil(count / Number(step)) }, (_, i) => [first + i * Number(step), 1]).flat()
  })
}

function pairs(ranges: Ranges): [number, number][] {
  return Array.from({ length: ranges.length / 2 }, (_, i) => [ranges[2 * i]!, ranges[2 * i + 1]!])
}

function formatRanges(ranges: Ranges): string {
  return pairs(ranges)
    .map(([first, count]) => (count === 1 ? `${first}` : `${first}-${first + count - 1}`))
    .join(' ')
}

/** Plays a scenario; the transcript has its comments and events as they are, and the outputs that came. */
function play(lines: readonly string[]): string[] {
  let player: Player | undefined
  const played: string[] = []
  for (const line of lines) {
    const settings = /^peer\b(.*)$/.exec(line)
    if (settings !== null) {
      const words = settings[1]!.split(' ').filter((word) => word !== '')
      player = new Player(new Map(words.map((word) => [word.split('=')[0]!, word.split('=')[1] ?? ''])))
      played.push(line)
    } else if (line === '' || line.startsWith('#')) played.push(line)
    else if (!line.startsWith('  ')) {
      assert.ok(player !== undefined, 'a scenario says what the peer is before anything happens')
      player.play(line)
    }
    if (player !== undefined) played.push(...player.transcript.splice(0))
  }
  return played
}

for (const file of readdirSync(FOLDER).toSorted()) {
  const [preamble = '', ...scenarios] = readFileSync(new URL(file, FOLDER), 'utf8').split(/^== /m)
  const results: string[] = []
  for (const scenario of scenarios) {
    const [title = '', ...lines] = scenario.trimEnd().split('\n')
    void test(`${title} (testdata/${file})`, () => {
      const played = play(lines)
      results.push(`== ${title}\n${played.join('\n')}\n`)
      if (process.env.UPDATE_TESTDATA === undefined) assert.equal(played.join('\n'), lines.join('\n'))
      else if (results.length === scenarios.length) writeFileSync(new URL(file, FOLDER), preamble + results.join('\n'))
    })
  }
}
