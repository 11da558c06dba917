/**
 * A reporter for node:test that writes one JSON document a line for each test that ended, for test-files.ts to add up.
 * Given to Node as `--test-reporter`, which wants a default export.
 */
import { inspect } from 'node:util'

/** One test that ended. */
export interface TestRecord {
  readonly name: string
  /** The file that declares it, where Node tells. */
  readonly file: string | undefined
  readonly line: number | undefined
  readonly nesting: number
  readonly ms: number
  readonly outcome: 'passed' | 'failed' | 'skipped'
  /** A suite or a test that failed only because something inside it did: not counted. */
  readonly isContainer: boolean
  /** What went wrong, or why it was skipped. */
  readonly detail: string | undefined
}

interface TestEvent {
  readonly type: string
  readonly data: {
    readonly name: string
    readonly nesting: number
    readonly file?: string
    readonly line?: number
    readonly skip?: string | boolean
    readonly todo?: string | boolean
    readonly details: { readonly duration_ms: number; readonly type?: string; readonly error?: Error & { failureType?: string } }
  }
}

// oxlint-disable-next-line import/no-default-export -- node:test loads a reporter by its default export
export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string, void> {
  for await (const event of source) {
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue
    yield `${JSON.stringify(recordOf(event))}\n`
  }
}

function recordOf({ type, data }: TestEvent): TestRecord {
  const error = data.details.error
  const isSkipped = data.skip !== undefined && data.skip !== false
  const isTodo = data.todo !== undefined && data.todo !== false
  return {
    name: data.name,
    file: data.file,
    line: data.line,
    nesting: data.nesting,
    ms: data.details.duration_ms,
    outcome: isSkipped || isTodo ? 'skipped' : type === 'test:pass' ? 'passed' : 'failed',
    isContainer: data.details.type === 'suite' || error?.failureType === 'subtestsFailed',
    detail: isSkipped || isTodo ? String(data.skip ?? data.todo) : error === undefined ? undefined : inspect(error.cause ?? error),
  }
}
