/**
 * Drives the machine of one session's sender: its datagrams go out of a connected socket, which is quicker, feedback comes to another one.
 */
import type { MulticastSender } from '../../../core/multicast/multicast-sender.ts'
import type { SenderOutput } from '../../../core/multicast/session-machine-types.ts'
import { fail, serialiseError } from '../../errors.ts'
import { openGroupSocket, type GroupSocket } from '../sockets/group-socket.ts'
import type { NetworkInterface } from '../sockets/interfaces.ts'
import { openLinkSocket, type LinkSocket } from '../sockets/link-socket.ts'
import type { Paced, Pacer } from './pacer.ts'
import type { FromSessionWorker, SenderSettings } from './protocol.ts'

/**
 * What the system is asked to keep until it is sent: so much of the rate, ms. More is a queue in this very host, which the rate control would take for
 * one on the way: with 256 KiB a session on 50 Mbit/s took 1.3 times what the link needs. With less, programs of this host that fill a queue of
 * some milliseconds leave a session no place in it: with 64 KiB it had 280 of 1,000 Mbit/s beside one TCP flow, whatever its rate.
 */
const SEND_BUFFER_MS = 10
const LEAST_SEND_BUFFER_BYTES = 64 * 1024
const MOST_SEND_BUFFER_BYTES = 2 * 1024 * 1024
/** Who leaves the link to others leaves them this host's queue as well, and has the place of one message in it. */
const SCAVENGER_SEND_BUFFER_BYTES = 16 * 1024
/** It is changed when it is off by this factor. */
const SEND_BUFFER_SLACK = 1.5
const FEEDBACK_BUFFER_BYTES = 1024 * 1024
/** Datagrams sent in one turn, at the most, before feedback is read. */
const BURST_DATAGRAMS = 64
/** Datagrams for which a turn waits, unless that takes too long: they go to the system together. Of large ones fewer: the pacing lets 96 KiB go at once. */
const GATHERED_DATAGRAMS = 16
const MOST_GATHERED_BYTES = 32 * 1024
/** Between two turns that send, ms: shorter than timers could, and less than what the pacing lets one catch up. */
const LEAST_STEP_MS = 0.15
const MOST_STEP_MS = 1.9
/** How long to wait where the system has no place for more, ms. */
const FULL_MS = 0.3
/** How often its figures are told, ms. */
const STATUS_MS = 100

export class SenderDriver implements Paced {
  readonly #id: number
  readonly #post: (message: FromSessionWorker, transfer?: readonly ArrayBuffer[]) => void
  readonly #pacer: Pacer
  readonly #onEnd: () => void
  /** There once the sockets are, and before anything else. */
  #machine: MulticastSender | undefined
  #data: GroupSocket | undefined
  #control: LinkSocket | undefined
  #statusAt = 0
  #datagramBytes = 0
  #sendBufferBytes = LEAST_SEND_BUFFER_BYTES
  #isScavenger = false
  #isOver = false

  constructor(
    id: number,
    host: { readonly post: (message: FromSessionWorker) => void; readonly pacer: Pacer; readonly onEnd: () => void },
  ) {
    this.#id = id
    this.#post = host.post
    this.#pacer = host.pacer
    this.#onEnd = host.onEnd
  }

  /** Opens the sockets and begins. Rejects as `openGroupSocket` does. */
  async open(settings: SenderSettings, via: NetworkInterface, make: (now: number) => MulticastSender): Promise<void> {
    const { group, port, ttl, parameters } = settings
    this.#datagramBytes = parameters.datagramBytes
    this.#isScavenger = settings.mode === 'scavenger'
    const control = await openLinkSocket({
      interface: via,
      ttl,
      receiveBufferBytes: FEEDBACK_BUFFER_BYTES,
      onPacket: (bytes, from) => {
        this.#handle({ type: 'packet', from: `${from.address} ${from.port}`, bytes })
      },
    })
    try {
      this.#data = await openGroupSocket({
        interface: via,
        group,
        port,
        ttl,
        sendOnly: true,
        sendBufferBytes: this.#isScavenger ? SCAVENGER_SEND_BUFFER_BYTES : this.#sendBufferBytes,
        onPacket: () => undefined,
        bulk: { sendBytes: parameters.datagramBytes },
      })
    } catch (error) {
      control.close()
      throw error
    }
    this.#control = control
    if (this.#isOver) return this.close()
    const { maxPayloadBytes } = (this.#machine = make(performance.now()))
    this.#post({ type: 'open', id: this.#id, address: via.address, controlPort: control.port, maxPayloadBytes })
    this.#pacer.add(this)
  }

  invited(names: readonly string[]): void {
    this.#handle({ type: 'invited', names })
  }

  block(payload: Uint8Array): void {
    this.#handle({ type: 'block', payload })
  }

  end(): void {
    this.#handle({ type: 'end' })
  }

  stop(): void {
    if (this.#machine === undefined) return this.#cancel()
    this.#handle({ type: 'stop' })
  }

  turn(now: number): number {
    const machine = this.#machine!
    if (machine.nextDeadline() <= now) machine.handleTimeout(now)
    const { socket } = this.#data!
    let isFull = !socket.flush()
    let isMore = !isFull
    for (let sent = 0; sent < BURST_DATAGRAMS && isMore && socket.hasRoom; sent++) {
      const datagram = machine.nextDatagram(now)
      if (datagram === undefined) isMore = false
      else socket.queue(datagram)
    }
    this.#carryOut()
    if (!this.#isOver && !isFull) isFull = !socket.flush()
    if (this.#isOver) return Infinity
    if (!this.#isScavenger) this.#fitSendBuffer()
    if (now - this.#statusAt >= STATUS_MS) {
      this.#statusAt = now
      this.#post({ type: 'sent', id: this.#id, status: machine.status(), sentBytes: this.#data!.socket.counters.sentBytes })
    }
    if (isFull) return now + FULL_MS
    return isMore ? now : Math.max(machine.nextDeadline(), now + this.#stepMs())
  }

  #fitSendBuffer(): void {
    const wanted = (this.#machine!.rateBytesPerSec * SEND_BUFFER_MS) / 1000
    const bytes = Math.min(Math.max(wanted, LEAST_SEND_BUFFER_BYTES), MOST_SEND_BUFFER_BYTES)
    if (bytes < SEND_BUFFER_SLACK * this.#sendBufferBytes && this.#sendBufferBytes < SEND_BUFFER_SLACK * bytes) return
    this.#sendBufferBytes = bytes
    this.#data!.socket.setSendBuffer(bytes)
  }

  #stepMs(): number {
    const gatheredBytes = Math.min(GATHERED_DATAGRAMS * this.#datagramBytes, MOST_GATHERED_BYTES)
    return Math.min(Math.max((1000 * gatheredBytes) / this.#machine!.rateBytesPerSec, LEAST_STEP_MS), MOST_STEP_MS)
  }

  close(): void {
    this.#isOver = true
    this.#pacer.remove(this)
    this.#data?.close()
    this.#control?.close()
  }

  /** It was not open yet: there is nothing to say to anybody but who wanted it. */
  #cancel(): void {
    this.close()
    this.#onEnd()
    this.#post({ type: 'failed', id: this.#id, error: serialiseError(fail('cancelled', { reason: 'it is not needed any more' })) })
  }

  #handle(input: Parameters<MulticastSender['handle']>[0]): void {
    if (this.#isOver || this.#machine === undefined) return
    this.#machine.handle(input, performance.now())
    this.#carryOut()
    if (!this.#isOver) this.#pacer.wake(this)
  }

  #carryOut(): void {
    for (const output of this.#machine!.drain()) this.#do(output)
  }

  /** In its place among the datagrams; where there is none it is lost, as it might be on the way. */
  #sendControl(bytes: Uint8Array): void {
    const { socket } = this.#data!
    if (socket.hasRoom || socket.flush()) socket.queue(bytes)
    else socket.counters.sendErrors++
  }

  #do(output: SenderOutput): void {
    const id = this.#id
    switch (output.type) {
      case 'send':
        return this.#sendControl(output.bytes)
      case 'want-blocks':
        return this.#post({ type: 'want-blocks', id, count: output.count })
      case 'joined':
        return this.#post({ type: 'joined', id, name: output.name, app: output.app })
      case 'reached':
        return this.#post({ type: 'reached', id, name: output.name })
      case 'gone':
        return this.#post({ type: 'gone', id, name: output.name, reason: output.reason })
      case 'finished':
        this.#post({
          type: 'finished',
          id,
          reason: output.reason,
          status: this.#machine!.status(),
          sentBytes: this.#data!.socket.counters.sentBytes,
        })
        this.close()
        return this.#onEnd()
    }
  }
}
