/** A served API for the tests of this folder: the real server and delivery services on the fake cluster, and plain requests to it. */
import { Agent, request as httpRequest } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import { Bed } from '../deliveries/test-bed.ts'
import { FakeGossip } from '../gossip/testing/fake-gossip.ts'
import { openapiReference } from './openapi.ts'
import { startHttpServer } from './server.ts'
import type { HttpServer } from './server.ts'

/** An answer, read to its end. */
export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly bytes: Buffer
  /** The body as JSON. */
  json(): unknown
  /** The body as JSON lines. */
  lines(): { event: string; [key: string]: unknown }[]
}

/** What to send. */
export interface Ask {
  readonly body?: unknown
  readonly text?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** A node's API. */
export class TestApi {
  readonly bed: Bed
  readonly requests: { route: string; status: number }[] = []
  isReady: boolean = true
  /** How often the agent was told to leave. */
  leaves: number = 0
  readonly gossip: FakeGossip
  #server: HttpServer | undefined

  private constructor(bed: Bed, name: string) {
    this.bed = bed
    this.gossip = new FakeGossip(bed.node(name).membership)
  }

  /** Serves the API of the first of these nodes. */
  static async open(t: { after: (clean: () => Promise<void>) => void }, names: [string, ...string[]]): Promise<TestApi> {
    const [name] = names
    const api = new TestApi(await Bed.open(t, names), name)
    const node = api.bed.node(name)
    const { self } = node.membership
    api.#server = await startHttpServer({
      host: '127.0.0.1',
      port: 0,
      parts: {
        dataPlane: node,
        gossip: api.gossip,
        deliveries: api.bed.of(name),
        leave: () => {
          api.leaves++
        },
        agent: () => ({
          name,
          version: '0',
          nodeVersion: process.version,
          pid: process.pid,
          startedAt: 0,
          isSeed: self.isSeed,
          tags: { ...self.tags },
          addresses: { gossip: `${self.address}:${self.gossipPort}`, swarm: node.address, http: `127.0.0.1:${api.port}` },
          dataDirectory: node.disk.directory,
          destRoots: [],
        }),
        readiness: () => (api.isReady ? { status: 'ready' } : { status: 'not-ready', reason: 'the test says so' }),
        metrics: () => Promise.resolve({ text: '# metrics\n', contentType: 'text/plain; version=0.0.4' }),
        openapi: openapiReference,
      },
      log: { debug: () => undefined, error: () => undefined },
      onRequest: ({ route, status }) => api.requests.push({ route, status }),
    })
    const server = api.#server
    t.after(() => server.close())
    return api
  }

  get port(): number {
    return this.#server?.port ?? 0
  }

  /** Asks and reads the answer to its end. */
  async ask(method: string, path: string, ask: Ask = {}): Promise<Answer> {
    const text = ask.text ?? (ask.body === undefined ? undefined : JSON.stringify(ask.body))
    const headers = {
      ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }),
      ...ask.headers,
    }
    return new Promise((resolve, reject) => {
      const request = httpRequest({ host: '127.0.0.1', port: this.port, method, path, headers, agent: NO_REUSE }, (response) => {
        const pieces: Buffer[] = []
        response.on('data', (piece: Buffer) => pieces.push(piece))
        response.on('error', reject)
        response.on('end', () => {
          const bytes = Buffer.concat(pieces)
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            bytes,
            json: () => JSON.parse(bytes.toString('utf8')) as unknown,
            lines: () =>
              bytes
                .toString('utf8')
                .trim()
                .split('\n')
                .map((line) => JSON.parse(line) as { event: string }),
          })
        })
      })
      request.on('error', reject)
      request.end(text)
    })
  }

  /** Asks, and closes the connection as soon as the first bytes of the answer are there. */
  async askAndLeave(method: string, path: string, body: unknown): Promise<void> {
    return new Promise((resolve, reject) => {
      const request = httpRequest(
        { host: '127.0.0.1', port: this.port, method, path, headers: { 'content-type': 'application/json' }, agent: NO_REUSE },
        (response) => {
          response.once('data', () => {
            response.destroy()
            resolve()
          })
        },
      )
      request.on('error', reject)
      request.end(JSON.stringify(body))
    })
  }
}

const NO_REUSE = new Agent({ keepAlive: false })
