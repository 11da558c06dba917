/**
 * What this node publishes: contents that it reads from a source while others fetch them already.
 *
 * A URL is published once, however many ask at the same time; who asks with other headers may be entitled to other bytes and
 * is kept apart. Which content a URL stood for is remembered: in the catalog where no credential was needed, else in memory
 * only, under a key that can't be turned back into the credential.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { basename } from 'node:path'
import type { ContentInfo, DataPlane, PublishInput, PublishedContent, Ticket } from '../data-plane/data-plane.ts'
import { asPolycastError } from '../errors.ts'
import type { PolycastError } from '../errors.ts'
import type { Calls, ServiceLog } from './calls.ts'
import type { Catalog } from './catalog.ts'
import { isReliable, stampOf } from './path-stamp.ts'
import { loggable } from './source-name.ts'

/** How a publication ends. */
export interface Sealed {
  contentId: string
  totalBytes: number
}

/** A content that others may fetch from here. */
export interface Publication {
  readonly ticket: Ticket
  /** There from the beginning if the content was complete here already. */
  readonly known?: Sealed
  readonly sealed: Promise<Sealed>
}

/** Ends of publications that are remembered for those who ask a little later. */
const MAX_ENDS = 1024
/** URLs with credentials whose content is remembered. */
const MAX_PRIVATE_NAMES = 4096

/** The publications of a node. */
export class Publications {
  readonly #dataPlane: DataPlane
  readonly #calls: Calls
  readonly #catalog: Catalog
  readonly #log: ServiceLog
  readonly #byUrl = new Map<string, Promise<Publication>>()
  readonly #bySwarm = new Map<string, Publication>()
  readonly #ends = new Map<string, Sealed | PolycastError>()
  readonly #privateNames = new Map<string, string>()
  readonly #privateKey = randomBytes(32)

  constructor(dataPlane: DataPlane, calls: Calls, catalog: Catalog, log: ServiceLog) {
    this.#dataPlane = dataPlane
    this.#calls = calls
    this.#catalog = catalog
    this.#log = log
  }

  /** Publishes a URL from here, or joins its running publication, or takes the content that it is known to stand for. Errors: source-…. */
  url(url: string, headers: Record<string, string>, isFresh: boolean): Promise<Publication> {
    const key = this.#key(url, headers)
    const running = this.#byUrl.get(key)
    if (running !== undefined) return running
    const begun = this.#openUrl(url, headers, isFresh)
    this.#byUrl.set(key, begun)
    const forget = (): void => {
      if (this.#byUrl.get(key) === begun) this.#byUrl.delete(key)
    }
    begun.then((publication) => publication.sealed.then(forget, forget), forget)
    return begun
  }

  /** Publishes a file or directory of this machine; a file that is known to be unchanged is not read again. Errors: path-…. */
  async path(path: string, name: string = basename(path)): Promise<Publication> {
    const before = await stampOf(path)
    const knownId = before === undefined ? undefined : this.#catalog.contentOfPath(path, before.text)
    const known = knownId === undefined ? undefined : await this.complete(knownId)
    if (known !== undefined) return this.ofContent({ ...known, name })
    const publication = await this.#publish({ path }, name)
    if (before !== undefined) {
      publication.sealed
        .then(async ({ contentId }) => {
          const after = await stampOf(path)
          if (after === undefined || !isReliable(before, after, Date.now())) return
          await this.#catalog.record({ t: 'path', path, stamp: after.text, contentId })
        })
        .catch((error: unknown) => {
          this.#log.debug({ path, reason: asPolycastError(error).message }, 'a published file is not remembered')
        })
    }
    return publication
  }

  /** Publishes a file that will be gone: nothing of it is remembered but the content. Errors: path-…. */
  passing(path: string, name: string): Promise<Publication> {
    return this.#publish({ path }, name)
  }

  /** A complete content of this node as a publication. */
  ofContent(info: ContentInfo): Publication {
    const known: Sealed = { contentId: info.id, totalBytes: info.totalBytes ?? info.haveBytes }
    return { ticket: this.#ticket(info), known, sealed: Promise.resolve(known) }
  }

  /** The content that a URL is known to stand for, if it is complete here. */
  async contentOfUrl(url: string, headers: Record<string, string>): Promise<ContentInfo | undefined> {
    const contentId = this.#catalog.contentOfUrl(url) ?? this.#privateNames.get(this.#key(url, headers))
    return contentId === undefined ? undefined : this.complete(contentId)
  }

  /** A content that is complete here. */
  async complete(id: string): Promise<ContentInfo | undefined> {
    const info = await this.#dataPlane.content(id)
    return info?.state === 'complete' ? info : undefined
  }

  /** Remembers what a URL stands for; with headers it is a matter of those who have them. */
  async name(url: string, headers: Record<string, string>, contentId: string): Promise<void> {
    if (Object.keys(headers).length === 0) {
      if (this.#catalog.contentOfUrl(url) !== contentId) await this.#catalog.record({ t: 'name', url, contentId })
      return
    }
    remember(this.#privateNames, this.#key(url, headers), contentId, MAX_PRIVATE_NAMES)
  }

  /** The running publication whose swarm id begins so. */
  running(idPrefix: string): Publication | undefined {
    for (const [swarmId, publication] of this.#bySwarm) if (swarmId.startsWith(idPrefix)) return publication
    return undefined
  }

  /** How a publication of this node ended: undefined while it runs, or if it is none of this node's life. */
  endOf(swarmId: string): Sealed | PolycastError | undefined {
    return this.#ends.get(swarmId)
  }

  async #openUrl(url: string, headers: Record<string, string>, isFresh: boolean): Promise<Publication> {
    const here = isFresh ? undefined : await this.contentOfUrl(url, headers)
    if (here !== undefined) return this.ofContent(here)
    this.#log.info({ source: loggable(url) }, 'fetching from the source')
    const hasHeaders = Object.keys(headers).length > 0
    const publication = await this.#publish(hasHeaders ? { url, headers } : { url })
    const name = ({ contentId }: Sealed): Promise<void> => this.name(url, headers, contentId)
    publication.sealed.then(name).catch((error: unknown) => {
      this.#log.warn(
        { source: loggable(url), code: asPolycastError(error).code, reason: asPolycastError(error).message },
        'the source was not fetched to its end',
      )
    })
    return publication
  }

  async #publish(input: PublishInput, name?: string): Promise<Publication> {
    const published: PublishedContent = await this.#dataPlane.publish(input, name === undefined ? {} : { name })
    const { swarmId } = published.ticket
    const publication: Publication = { ticket: published.ticket, sealed: published.sealed }
    this.#bySwarm.set(swarmId, publication)
    const end = (how: Sealed | PolycastError): void => {
      this.#bySwarm.delete(swarmId)
      remember(this.#ends, swarmId, how, MAX_ENDS)
    }
    published.sealed.then(end, (error: unknown) => {
      end(asPolycastError(error))
    })
    return publication
  }

  #ticket(info: ContentInfo): Ticket {
    return { swarmId: info.id, trackers: [this.#calls.selfAddress], name: info.name }
  }

  #key(url: string, headers: Record<string, string>): string {
    const names = Object.keys(headers).toSorted()
    if (names.length === 0) return url
    const secret = createHmac('sha256', this.#privateKey).update(JSON.stringify(names.map((name) => [name, headers[name]])))
    return `${secret.digest('hex')} ${url}`
  }
}

function remember<T>(map: Map<string, T>, key: string, value: T, limit: number): void {
  map.delete(key)
  map.set(key, value)
  for (const oldest of map.keys()) {
    if (map.size <= limit) return
    map.delete(oldest)
  }
}
