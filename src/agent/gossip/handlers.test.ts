/** When handlers are called and with what; commands are not run here (script.test.ts does). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Member } from '../membership/member.ts'
import { ManualClock } from '../manual-clock.ts'
import type { Gossip, GossipMember, IncomingQuery, MemberEvent, UserEventRecord } from './gossip.ts'
import { parseHandler } from './handler-spec.ts'
import { EventHandlers, MAX_RUNNING, MAX_WAITING } from './handlers.ts'
import type { CallResult } from './handlers.ts'
import type { ScriptEnd, ScriptRun } from './script.ts'

const SELF = { name: 'n1', tags: { role: 'web', 'data-center': 'eu' } } as unknown as Member

/** Handlers with commands that end when the test says so. */
class Bed {
  readonly clock = new ManualClock()
  readonly runs: { run: ScriptRun; end: (end?: Partial<ScriptEnd>) => void }[] = []
  readonly results: CallResult[] = []
  readonly responses: [id: number, text: string][] = []
  readonly warnings: string[] = []
  tellMember: (event: MemberEvent) => void = () => undefined
  tellEvent: (event: UserEventRecord) => void = () => undefined
  tellQuery: (query: IncomingQuery) => void = () => undefined
  listeners = 0
  readonly handlers: EventHandlers

  constructor(...texts: string[]) {
    const listen = (set: () => void): (() => void) => {
      set()
      this.listeners++
      return () => {
        this.listeners--
      }
    }
    const gossip: Pick<Gossip, 'self' | 'onMemberEvent' | 'onEvent' | 'onQuery' | 'respond'> = {
      self: SELF,
      onMemberEvent: (listener) => listen(() => (this.tellMember = listener)),
      onEvent: (listener) => listen(() => (this.tellEvent = listener)),
      onQuery: (listener) => listen(() => (this.tellQuery = listener)),
      respond: (id, payload) => {
        this.responses.push([id, Buffer.from(payload).toString()])
        return Promise.resolve()
      },
    }
    this.handlers = new EventHandlers({
      handlers: texts.map((text) => {
        const spec = parseHandler(text)
        assert.ok(typeof spec !== 'string', text)
        return spec
      }),
      gossip,
      clock: this.clock,
      timeoutMs: 1000,
      environment: { PATH: '/bin' },
      run: (run) =>
        new Promise((resolve) => {
          const end = (given: Partial<ScriptEnd> = {}): void => {
            resolve({ result: 'done', output: new Uint8Array(), isCut: false, reason: '', ...given })
          }
          this.runs.push({ run, end })
          run.signal.addEventListener('abort', () => {
            end({ result: 'stopped' })
          })
        }),
      log: { debug: () => undefined, warn: (_fields, message) => this.warnings.push(message) },
      onCall: (result) => this.results.push(result),
    })
  }

  say(name: string, text: string, canCoalesce = false): void {
    this.tellEvent({ name, payload: Buffer.from(text), time: 7, canCoalesce })
  }

  ask(id: number, deadlineAt = this.clock.now() + 5000): void {
    this.tellQuery({ id, name: 'load', payload: Buffer.from('now\n'), from: 'n2', time: 9, deadlineAt })
  }

  /** Ends the run of an index, and lets what follows happen. */
  async end(index: number, end?: Partial<ScriptEnd>): Promise<void> {
    this.runs[index]?.end(end)
    await new Promise((resolve) => setImmediate(resolve))
  }

  inputs(): string[] {
    return this.runs.map(({ run }) => Buffer.from(run.input).toString())
  }
}

function member(name: string, tags: Record<string, string>): GossipMember {
  const rest = { incarnation: 1, versions: [], isPolycast: true, changedAt: 0, lastRttMs: undefined }
  return { name, address: '10.0.0.2', port: 7946, tags, status: 'alive', isSuspect: false, ...rest }
}

test('a user event: environment under both names, and the payload with a newline', () => {
  const bed = new Bed('user:deploy=/x')
  bed.say('other', 'no')
  bed.say('deploy', 'v2')
  assert.equal(bed.runs.length, 1)
  const { run } = bed.runs[0] ?? assert.fail()
  const told = {
    EVENT: 'user',
    SELF_NAME: 'n1',
    SELF_ROLE: 'web',
    TAG_ROLE: 'web',
    TAG_DATA_CENTER: 'eu',
    USER_EVENT: 'deploy',
    USER_LTIME: '7',
  }
  const both = Object.entries(told).flatMap(([key, value]) => [
    [`SERF_${key}`, value],
    [`POLYCAST_${key}`, value],
  ])
  assert.deepEqual(run.environment, { PATH: '/bin', ...(Object.fromEntries(both) as object) })
  assert.deepEqual([run.script, run.timeoutMs, bed.inputs()], ['/x', 1000, ['v2\n']])
})

test('members that join in a burst are one call, a line each', () => {
  const bed = new Bed('member-join=/x', 'member-failed=/y')
  for (const [name, tags] of [
    ['a', { role: 'db', zone: 'e\tu' }],
    ['b', {}],
  ] as const)
    bed.tellMember({ change: 'joined', member: member(name, tags), verdict: undefined })
  assert.equal(bed.runs.length, 0)
  bed.clock.advance(1000)
  assert.deepEqual(bed.inputs(), [`a\t10.0.0.2\tdb\trole=db,zone=e${String.raw`\t`}u\nb\t10.0.0.2\t\t\n`])
  assert.equal(bed.runs[0]?.run.environment['SERF_EVENT'], 'member-join')
})

test('what may be coalesced waits for the last; what may not is told at once', () => {
  const bed = new Bed('user=/x')
  bed.say('a', 'one', true)
  bed.tellEvent({ name: 'a', payload: Buffer.from('two'), time: 8, canCoalesce: true })
  assert.deepEqual(bed.inputs(), [])
  bed.clock.advance(1000)
  assert.deepEqual(bed.inputs(), ['two\n'])
})

test('the output answers a query, but not when the command fails or says nothing', async () => {
  const bed = new Bed('query:load=/x')
  for (const id of [1, 2, 3]) bed.ask(id)
  await bed.end(0, { output: Buffer.from('0.5') })
  await bed.end(1, { output: Buffer.from('broken'), result: 'failed' })
  await bed.end(2)
  assert.deepEqual(bed.responses, [[1, '0.5']])
  assert.deepEqual(bed.inputs(), ['now\n', 'now\n', 'now\n'])
  assert.deepEqual(bed.results, ['done', 'failed', 'done'])
  assert.deepEqual(bed.warnings, ['an event handler failed'])
})

test('a handler runs one call at a time, in order, beside others', async () => {
  const bed = new Bed('user=/x', 'user:b=/y')
  bed.say('a', '1')
  bed.say('b', '2')
  assert.deepEqual(
    bed.runs.map(({ run }) => run.script),
    ['/x', '/y'],
  )
  await bed.end(0)
  assert.deepEqual(bed.inputs(), ['1\n', '2\n', '2\n'])
})

test('where too many wait, the oldest is left out', async () => {
  const bed = new Bed('user=/x')
  for (let index = 0; index <= MAX_WAITING + 1; index++) bed.say('a', String(index))
  assert.deepEqual(bed.results, ['dropped'])
  await bed.end(0)
  assert.deepEqual(bed.inputs(), ['0\n', '2\n'])
})

test('large payloads wait within a bound, and the last one in any case', async () => {
  const bed = new Bed('user=/x')
  const mib = (name: string, count: number): void => bed.say(name, 'x'.repeat(count * 1024 * 1024))
  bed.say('first', '0')
  for (const name of ['a', 'b', 'c', 'd']) mib(name, 16)
  assert.deepEqual(bed.results, [])
  bed.say('e', '1')
  assert.deepEqual(bed.results, ['dropped'])
  mib('f', 65)
  assert.deepEqual(bed.results, Array(5).fill('dropped'))
  await bed.end(0)
  assert.equal(bed.runs.at(-1)?.run.input.length, 65 * 1024 * 1024 + 1)
})

test('an answer that would come too late is not made', async () => {
  const bed = new Bed('query=/x')
  bed.ask(1)
  bed.ask(2)
  bed.clock.advance(5000)
  await bed.end(0)
  assert.equal(bed.runs.length, 1)
  assert.deepEqual(bed.results, ['done', 'late'])
})

test('no more than a bound run, and who waited longest is next', async () => {
  const names = Array.from({ length: MAX_RUNNING + 1 }, (_, index) => `/${index}`)
  const bed = new Bed(...names.map((name) => `user=${name}`))
  bed.say('a', '1')
  bed.say('a', '2')
  assert.equal(bed.runs.length, MAX_RUNNING)
  await bed.end(0)
  assert.equal(bed.runs.at(-1)?.run.script, `/${MAX_RUNNING}`)
  assert.equal(bed.runs.length, MAX_RUNNING + 1)
})

test('closing ends what runs and calls nothing more', async () => {
  const bed = new Bed('*=/x')
  bed.say('a', '1')
  bed.say('a', '2')
  bed.tellMember({ change: 'joined', member: member('b', {}), verdict: undefined })
  await bed.handlers.close()
  assert.equal(bed.listeners, 0)
  bed.clock.advance(10_000)
  assert.equal(bed.runs.length, 1)
  assert.deepEqual(bed.results, ['stopped'])
})
