/**
 * What a source is: a place outside the cluster from which a content comes when no node has it. A source is read once, from its
 * beginning to its end, by the one node that fetches; it knows nothing of chunks, stores or swarms.
 *
 * The contract below is checked on every kind of source by testing/source-conformance.ts.
 */

/**
 * Tells one version of a source from another, as text that only the kind of source that made it understands. Kept beside a partial
 * content, it lets a later run go on where this one ended, and refuse to when the source has changed.
 */
export type Validator = string

export interface OpenOptions {
  /** Ends the fetch, and every connection or file that it holds, with `cancelled`. */
  readonly signal: AbortSignal
  /** The first byte wanted; 0 when left out. Above 0 it needs the validator of the bytes before it. */
  readonly offset?: number
  /** The version that must still be there; otherwise `source-changed` or `path-changed`. */
  readonly validator?: Validator
}

/** A place to read one content from; it can be opened any number of times, also at the same time. */
export interface Source {
  /** The location as it may be shown and logged: without credentials. */
  readonly location: string
  /**
   * Starts reading; resolves once the source has answered. The stream must then be read, or the signal aborted: until then it
   * holds a connection or a file. Rejects with a PolycastError.
   */
  open(options: OpenOptions): Promise<SourceStream>
}

export interface SourceStream {
  /** Size of the whole content, also when opened at an offset; undefined when the source does not tell. */
  readonly totalBytes: number | undefined
  /** What the content is called: one path component, never empty. */
  readonly name: string
  /** Media type without parameters, `application/octet-stream` when unknown. */
  readonly mediaType: string
  /** Undefined when a later run could not tell whether the source has changed. */
  readonly validator: Validator | undefined
  /**
   * The bytes from the offset on, in order, each exactly once; an array is valid until the next one is asked for. Ends only when the content is whole;
   * otherwise it throws a PolycastError. To be read once. Leaving the loop early closes everything.
   */
  readonly chunks: AsyncIterable<Uint8Array>
}
