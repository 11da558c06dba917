/**
 * Drives the machine of one session's receiver: one socket hears the group, the other one speaks with the sender. What this host's
 * socket has dropped is read from the system and told to the machine, for nobody else can know that it was not the network.
 *
 * While data comes, the driver does not wait for each datagram: it naps, and then reads all that has come meanwhile. Being woken costs a process
 * several times what a datagram does.
 */
import type { MulticastReceiver } from '../../../core/multicast/multicast-receiver.ts'
import type { ReceiverOutput } from '../../../core/multicast/session-machine-types.ts'
import { fail, serialiseError } from '../../errors.ts'
import { openGroupSocket, type GroupSocket } from '../sockets/group-socket.ts'
import type { NetworkInterface } from '../sockets/interfaces.ts'
import { openLinkSocket, type LinkSocket } from '../sockets/link-socket.ts'
import type { Paced, Pacer } from './pacer.ts'
import type { FromSessionWorker, ReceiverSettings } from './protocol.ts'

/** A pause of 60 ms at a gigabit; the system gives what it has, mostly 208 KiB (twice of that as it tells it) unless its limit was raised. */
const RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024
/** How often the system is asked for what it has dropped, ms. */
const DROPS_MS = 200
/** Between two reads, ms. Longer: fewer of them; round trips look longer by as much. */
const LEAST_NAP_MS = 0.2
const MOST_NAP_MS = 2
/** What may come in a nap, by the socket's buffer: the system counts a datagram several times, and a process is woken late at times. */
const NAP_SHARE = 1 / 16
/** When nothing came for so long, ms, the event loop waits for the next datagram. */
const QUIET_MS = 20

export class ReceiverDriver implements Paced {
  readonly #id: number
  readonly #post: (message: FromSessionWorker, transfer?: readonly ArrayBuffer[]) => void
  readonly #pacer: Pacer
  readonly #onEnd: () => void
  readonly #sender: string
  readonly #controlPort: number
  #machine: MulticastReceiver | undefined
  #group: GroupSocket | undefined
  #link: LinkSocket | undefined
  #timer: NodeJS.Timeout | undefined
  #timerAt = Infinity
  #afterDatagrams: NodeJS.Immediate | undefined
  /** Whether it reads by itself. */
  #isReading = false
  /** When a read found something last. */
  #foundAt = 0
  #napMs = LEAST_NAP_MS
  #dropsTimer: NodeJS.Timeout | undefined
  #drops = 0
  #isOver = false

  constructor(
    id: number,
    settings: ReceiverSettings,
    host: {
      readonly post: (message: FromSessionWorker, transfer?: readonly ArrayBuffer[]) => void
      readonly pacer: Pacer
      readonly onEnd: () => void
    },
  ) {
    this.#id = id
    this.#post = host.post
    this.#pacer = host.pacer
    this.#onEnd = host.onEnd
    this.#sender = settings.sender
    this.#controlPort = settings.controlPort
  }

  /** Opens the sockets and joins. Rejects as `openGroupSocket` does. */
  async open(settings: ReceiverSettings, via: NetworkInterface, make: (now: number) => MulticastReceiver): Promise<void> {
    const { group, port, ttl } = settings
    const link = await openLinkSocket({ interface: via, ttl, onPacket: (bytes) => this.#handle({ type: 'packet', bytes }) })
    try {
      this.#group = await openGroupSocket({
        interface: via,
        group,
        port,
        ttl,
        receiveBufferBytes: RECEIVE_BUFFER_BYTES,
        source: this.#sender,
        onPacket: (bytes) => {
          this.#handle({ type: 'packet', bytes })
          this.#beginReading()
        },
        // The time of each: more may come while those before it are worked at, and none has come before it was sent.
        bulk: { onDatagram: (bytes) => this.#machine!.handle({ type: 'packet', bytes }, performance.now()) },
      })
    } catch (error) {
      link.close()
      throw error
    }
    this.#link = link
    if (this.#isOver) return this.close()
    this.#machine = make(performance.now())
    this.#dropsTimer = setInterval(() => this.#readDrops(), DROPS_MS)
    this.#carryOut()
    this.#arm()
  }

  leave(): void {
    if (this.#machine === undefined) return this.#cancel()
    this.#handle({ type: 'leave' })
  }

  turn(now: number): number {
    const { socket } = this.#group!
    const { receivedBytes } = socket.counters
    if (socket.read() > 0) this.#foundAt = now
    this.#lookAfter(now)
    if (this.#isOver) return Infinity
    if (now - this.#foundAt > QUIET_MS) return this.#endReading()
    const share = (socket.counters.receivedBytes - receivedBytes) / (NAP_SHARE * socket.receiveBufferBytes)
    if (share > 1) this.#napMs = Math.max(this.#napMs / 2, LEAST_NAP_MS)
    else if (share < 0.5) this.#napMs = Math.min(this.#napMs * 1.25, MOST_NAP_MS)
    return performance.now() + this.#napMs
  }

  close(): void {
    this.#isOver = true
    this.#pacer.remove(this)
    clearTimeout(this.#timer)
    clearInterval(this.#dropsTimer)
    clearImmediate(this.#afterDatagrams)
    this.#group?.close()
    this.#link?.close()
  }

  /** It was not open yet: there is nothing to say to anybody but who wanted it. */
  #cancel(): void {
    this.close()
    this.#onEnd()
    this.#post({ type: 'failed', id: this.#id, error: serialiseError(fail('cancelled', { reason: 'it is not needed any more' })) })
  }

  #handle(input: Parameters<MulticastReceiver['handle']>[0]): void {
    if (this.#isOver || this.#machine === undefined) return
    this.#machine.handle(input, performance.now())
    this.#carryOut()
    // Many datagrams come in one turn of the event loop: what is due is looked at once after them.
    this.#afterDatagrams ??= setImmediate(() => {
      this.#afterDatagrams = undefined
      this.#arm()
    })
  }

  #beginReading(): void {
    if (this.#isReading || this.#isOver || this.#machine === undefined || !this.#group!.socket.beginReading()) return
    this.#isReading = true
    this.#foundAt = performance.now()
    this.#pacer.add(this)
  }

  #endReading(): number {
    this.#isReading = false
    this.#group!.socket.endReading()
    this.#pacer.remove(this)
    this.#arm()
    return Infinity
  }

  /** Carries out what came of datagrams, and does what is due. */
  #lookAfter(now: number): void {
    const machine = this.#machine!
    if (machine.nextDeadline() <= now) machine.handleTimeout(now)
    this.#carryOut()
  }

  #arm(): void {
    // While it reads, it looks at what is due often enough.
    if (this.#isOver || this.#isReading) return
    const now = performance.now()
    this.#lookAfter(now)
    if (this.#isOver) return
    const deadline = this.#machine!.nextDeadline()
    // Most datagrams put the deadline off: a timer that goes off too early sets the next one, which is cheaper than a new one for each.
    if (deadline >= this.#timerAt) return
    this.#timerAt = deadline
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.#timeout, Math.max(1, Math.round(deadline - now)))
  }

  readonly #timeout = (): void => {
    this.#timerAt = Infinity
    this.#arm()
  }

  #readDrops(): void {
    const drops = this.#group?.socket.drops() ?? 0
    const packets = drops - this.#drops
    this.#drops = drops
    if (packets > 0) this.#handle({ type: 'overrun', packets })
  }

  #carryOut(): void {
    for (const output of this.#machine!.drain()) this.#do(output)
  }

  #do(output: ReceiverOutput): void {
    const id = this.#id
    switch (output.type) {
      case 'send':
        return this.#link?.send(output.bytes, this.#controlPort, this.#sender)
      case 'heard':
      case 'complete':
        return this.#post({ type: output.type, id })
      case 'welcomed':
        return this.#post({ type: 'welcomed', id, firstBlock: output.firstBlock })
      case 'block': {
        const payload = transferable(output.payload)
        return this.#post({ type: 'received', id, block: output.block, payload }, [payload.buffer as ArrayBuffer])
      }
      case 'given-up':
        return this.#post({ type: 'given-up', id, block: output.block })
      case 'ended':
        this.#post({ type: 'ended', id, reason: output.reason, status: this.#machine!.status() })
        this.close()
        return this.#onEnd()
    }
  }
}

/** Bytes that may be given to another thread with their buffer: a copy where they are a small part of one, or share one of Node's pool. */
function transferable(payload: Uint8Array): Uint8Array {
  const isMostOfIt = payload.buffer.byteLength <= payload.length + 8192 && payload.buffer instanceof ArrayBuffer
  return isMostOfIt && payload.length > 65_536 ? payload : Uint8Array.from(payload)
}
