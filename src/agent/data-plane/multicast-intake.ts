/**
 * A receiver's side of multicast for one content: waits for the invitation that a ticket announced, joins the session, takes what its blocks
 * hold, and lets the swarm go on when the session ends.
 *
 * As long as a session brings chunks the peer machine is held: it asks for nothing and nobody sends it anything unasked, so that no
 * chunk comes twice. Every wait has a bound: for the invitation what the ticket says, for the session what its machine says
 * (`silent`, `unreached`), and beyond that some seconds in which known chunks are missing and none comes.
 *
 * Chunks are verified by the peer machine, as those of a neighbour are: nothing here is believed. What is sent to whom is decided by the
 * origin (`multicast-origin.ts`), how datagrams come by the session's machine (core/multicast).
 * docs/specs/11-multicast-transfer.md.
 */
import { ContentAssembler, type AssemblerOutput } from '../../core/multicast/content-assembler.ts'
import { decodeBlock } from '../../core/multicast/content-block.ts'
import { decodeInvitation } from '../../core/multicast/invitation.ts'
import type { ManifestPart } from '../../core/swarm/frames.ts'
import { isWireError } from '../../core/wire/wire-error.ts'
import type { PolycastError } from '../errors.ts'
import { discard } from './discard.ts'
import { keyById } from '../multicast/session/cipher.ts'
import type { MulticastSessions, ReceiverEvent, ReceiverHandle } from '../multicast/session/client.ts'
import { isSessionGroup } from '../multicast/session/groups.ts'

/** What an intake needs of the session of its content. */
export interface IntakeHost {
  readonly name: string
  readonly sessions: MulticastSessions
  readonly ttl: number
  /** Counted on, all contents of the node together. */
  readonly figures: IntakeFigures
  keys(): readonly Uint8Array[]
  /** Chunks that the manifest knows, and the length of one of them. */
  readonly knownChunks: number
  chunkBytes(chunk: number): number
  isMissing(chunk: number): boolean
  isDone(): boolean
  /** Known chunks are missing. */
  isLacking(): boolean
  /** What is lacking, for the origin; once this node's disk was searched, as far as that can be waited for. */
  needs(): Promise<Uint8Array>
  /** Missing chunks come by multicast from this one on; Infinity: none do. */
  hold(fromChunk: number): void
  acceptManifest(part: ManifestPart): void
  /** Takes chunks that are known and missing, unverified; of the bytes, a copy. */
  bring(firstChunk: number, count: number, payload: Uint8Array): void
  /** Says to the origin that nothing of a session comes here. */
  decline(): void
  log(level: 'info' | 'warn', message: string, fields: Record<string, unknown>): void
  now(): number
  /** Calls back after a time, ms; the function returned takes it back. */
  after(ms: number, what: () => void): () => void
}

/** Known chunks are missing and none comes: after this long the swarm goes on, although the session lives, ms. */
const STALLED_MS = 2500
const LOOK_MS = 250

/** What multicast has brought to one content here. */
export interface IntakeFigures {
  /** Bytes of chunks that were missing. */
  bytes: number
  sessions: number
  blocks: number
  givenUpBlocks: number
}

interface Joined {
  readonly sessionId: string
  readonly startedAt: number
  readonly bytesBefore: number
  /** Blocks before this one were sent before this node came; what is in them comes by the swarm. */
  firstBlock: number
  /** The first chunk that comes by the session, as far as can be told: blocks mostly have chunks in order. */
  firstChunk: number
  readonly assembler: ContentAssembler
  handle: ReceiverHandle | undefined
}

/** The multicast of one content that this node receives. */
export class MulticastIntake {
  readonly #host: IntakeHost
  #joined: Joined | undefined
  #heldFrom = Infinity
  #endWaiting: (() => void) | undefined
  #endLooking: (() => void) | undefined
  #progressAt = 0
  /** Bytes of chunks that came. */
  #bytes = 0
  #isEnded = false

  constructor(host: IntakeHost) {
    this.#host = host
  }

  /** Whether a session is joined or waited for. */
  get isActive(): boolean {
    return this.#joined !== undefined || this.#heldFrom < Infinity
  }

  /** An invitation is on its way: nothing is asked of others for so long. */
  expect(waitMs: number): void {
    if (this.#isEnded || this.#joined !== undefined || this.#host.isDone()) return
    this.#host.sessions.prepare()
    this.#hold(0)
    this.#endWaiting?.()
    this.#endWaiting = this.#host.after(waitMs, () => {
      this.#endWaiting = undefined
      if (this.#joined === undefined) this.#hold(Infinity)
    })
  }

  /** The origin's invitation; one that cannot be followed is left, and the swarm goes on. */
  invited(bytes: Uint8Array): void {
    const host = this.#host
    const invitation = decodeInvitation(bytes)
    if (isWireError(invitation) || this.#isEnded || host.isDone() || invitation.sessionId === this.#joined?.sessionId) return
    const key = invitation.keyId.length === 0 ? undefined : keyById(host.keys(), invitation.keyId)
    const isKeyMissing = invitation.keyId.length === 0 ? host.keys().length > 0 : key === undefined
    if (isKeyMissing || !isSessionGroup(invitation.group)) {
      host.log('warn', 'an invitation to a multicast session was not followed', {
        reason: isKeyMissing ? 'it is of another gossip key, or of none' : `${invitation.group} is no group for sessions`,
      })
      host.decline()
      return this.#release()
    }
    this.#leave()
    const joined: Joined = {
      sessionId: invitation.sessionId,
      startedAt: host.now(),
      bytesBefore: this.#bytes,
      firstBlock: 0,
      firstChunk: 0,
      assembler: new ContentAssembler(host),
      handle: undefined,
    }
    this.#joined = joined
    host.figures.sessions++
    this.#hold(0)
    void host.needs().then((app) => {
      if (this.#joined !== joined) return
      if (host.isDone()) return this.#over(joined, 'not needed any more')
      this.#progressAt = host.now()
      this.#look()
      const { group, groupPort, sender, controlPort, salt, sessionId, datagramBytes, blockSymbols } = invitation
      joined.handle = host.sessions.receive(
        {
          parameters: { sessionId, datagramBytes, blockSymbols },
          salt,
          key,
          group,
          port: groupPort,
          ttl: host.ttl,
          sender,
          controlPort,
          name: host.name,
          app,
          invited: invitation.invited,
        },
        {
          event: (event) => this.#event(joined, event),
          failed: (error) => this.#failed(joined, error),
        },
      )
    })
  }

  /** The manifest knows more. */
  grew(): void {
    const joined = this.#joined
    if (joined !== undefined) this.#take(joined, joined.assembler.manifestGrew())
  }

  end(): void {
    this.#isEnded = true
    this.#endWaiting?.()
    this.#endLooking?.()
    this.#leave()
  }

  // ---- what the session brings ----

  #event(joined: Joined, event: ReceiverEvent): void {
    if (this.#joined !== joined) return
    switch (event.type) {
      case 'received':
        this.#host.figures.blocks++
        this.#block(joined, event.block, event.payload)
        return discard(event.payload)
      case 'given-up':
        this.#host.figures.givenUpBlocks++
        return this.#take(joined, joined.assembler.releasePieces())
      case 'heard':
        this.#progressAt = this.#host.now()
        return
      case 'welcomed':
        this.#progressAt = this.#host.now()
        joined.firstBlock = event.firstBlock
        return
      case 'complete':
        // All that it was going to bring is here: the rest is the swarm's.
        return this.#release()
      case 'ended':
        return this.#over(joined, event.reason, {
          blocks: event.status.blocks,
          ...(joined.firstBlock > 0 ? { missedBlocks: joined.firstBlock } : {}),
          givenUpBlocks: event.status.givenUpBlocks,
          lostPackets: event.status.lostPackets,
          overrunPackets: event.status.overrunPackets,
        })
    }
  }

  #block(joined: Joined, block: number, payload: Uint8Array): void {
    if (block === joined.firstBlock && block > 0) this.#cameLate(joined, payload)
    const outputs = joined.assembler.addBlock(payload)
    // A member of the group that does not speak the protocol: what is right in other blocks is taken all the same.
    if (!isWireError(outputs)) this.#take(joined, outputs)
  }

  #take(joined: Joined, outputs: readonly AssemblerOutput[]): void {
    for (const output of outputs) {
      if (output.type === 'manifest') this.#host.acceptManifest(output.piece)
      else {
        this.#progressAt = this.#host.now()
        this.#host.figures.bytes += output.bytes.length
        this.#bytes += output.bytes.length
        // It had been given up for a while, and brings chunks again.
        if (this.#heldFrom === Infinity && !this.#host.isDone()) this.#hold(joined.firstChunk)
        this.#host.bring(output.firstChunk, output.lengths.length, output.bytes)
      }
    }
  }

  // ---- holding ----

  #hold(fromChunk: number): void {
    if (fromChunk === this.#heldFrom) return
    this.#heldFrom = fromChunk
    this.#host.hold(fromChunk)
  }

  /** What was sent before this node came is left to the swarm, at the same time as the rest comes. */
  #cameLate(joined: Joined, payload: Uint8Array): void {
    const segments = decodeBlock(payload)
    if (isWireError(segments)) return
    let first = Infinity
    for (const segment of segments) {
      if (segment.type === 'chunks') first = Math.min(first, segment.firstChunk)
      // Of a chunk that was begun in the block before, the beginning is missing.
      if (segment.type === 'chunk-part') first = Math.min(first, segment.offset === 0 ? segment.chunk : segment.chunk + 1)
    }
    if (first === Infinity) return
    joined.firstChunk = first
    if (this.#heldFrom < Infinity) this.#hold(first)
  }

  #release(): void {
    this.#endWaiting?.()
    this.#endWaiting = undefined
    this.#hold(Infinity)
  }

  /** Looks now and then whether the session still brings something. */
  #look(): void {
    this.#endLooking?.()
    this.#endLooking = this.#host.after(LOOK_MS, () => {
      if (this.#joined === undefined) return
      if (this.#host.knownChunks > 0 && !this.#host.isLacking()) this.#progressAt = this.#host.now()
      else if (this.#host.now() - this.#progressAt > STALLED_MS) this.#hold(Infinity)
      this.#look()
    })
  }

  // ---- the end ----

  #failed(joined: Joined, error: PolycastError): void {
    if (this.#joined !== joined) return
    this.#host.log('warn', `a multicast session cannot be received: ${error.message}`, { session: joined.sessionId, code: error.code })
    this.#over(joined, error.code)
  }

  #over(joined: Joined, reason: string, fields: Record<string, unknown> = {}): void {
    this.#joined = undefined
    this.#endLooking?.()
    if (reason !== 'complete') this.#host.decline()
    const bytes = this.#bytes - joined.bytesBefore
    const durationMs = Math.round(this.#host.now() - joined.startedAt)
    this.#host.log('info', 'a multicast session ended here', { session: joined.sessionId, reason, bytes, durationMs, ...fields })
    this.#release()
  }

  #leave(): void {
    const joined = this.#joined
    if (joined === undefined) return
    this.#joined = undefined
    this.#endLooking?.()
    joined.handle?.leave()
  }
}
