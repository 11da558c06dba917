/**
 * One UDP socket with what multicast needs to know of it: what went through, what it lost because nobody read in time, how large its
 * buffer really is, and errors in words. What it is bound to and which groups it has joined is said by who opens it: `group-socket.ts`,
 * `link-socket.ts`. One for the datagrams of a session sends and reads many at a time, where the system can.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { formatAddress } from '../../addresses.ts'
import { ipBytes } from '../../gossip/ip-bytes.ts'
import { fromErrno, type PolycastError } from '../../errors.ts'
import { BundleReader } from './bundle-reader.ts'
import { BundleSender } from './bundle-sender.ts'
import { ImpairedPath, impairmentFrom, type Impairment } from './impairment.ts'
import { handleOf, systemCalls } from './system-calls.ts'

/** One datagram and who sent it. `bytes` belongs to the receiver. */
export type PacketListener = (bytes: Buffer, from: { readonly address: string; readonly port: number }) => void

/** For many datagrams: that it sends by `queue`, or that it reads by `read`. */
export type BulkOptions =
  /** Bytes of most that are sent; none is longer. */
  | { readonly sendBytes: number }
  /** One of several that were read at once; its bytes are used again when this returns. */
  | { readonly onDatagram: (bytes: Buffer) => void }

/** Datagrams that wait for the system to take them, from which on none is to be added. */
const MAX_QUEUED_DATAGRAMS = 8

/** What went through a socket since it was opened. */
export interface SocketCounters {
  sentPackets: number
  sentBytes: number
  receivedPackets: number
  receivedBytes: number
  /** Datagrams that the system did not take. */
  sendErrors: number
}

export interface UdpSocketOptions {
  readonly family: 4 | 6
  /** The address that it is bound to. */
  readonly address: string
  /** 0 takes any free one. */
  readonly port: number
  /** Whether several sockets may be bound to it; each gets every datagram of a group, and one of them every other one. */
  readonly isShared: boolean
  /** For errors: the group, and the interface by name. */
  readonly group: string
  readonly interface: string
  readonly onPacket: PacketListener
  /** Wanted; the system may give less. Undefined leaves what it gives by itself. */
  readonly receiveBufferBytes?: number | undefined
  readonly sendBufferBytes?: number | undefined
  /** What the environment says unless given. */
  readonly impairment?: Impairment | undefined
  readonly bulk?: BulkOptions | undefined
  /** Called once it is bound, before anything comes; what it throws becomes the error of opening. */
  readonly prepare?: (socket: Socket) => void
}

/** The largest receive buffer that this machine gives to a program, bytes; undefined where it does not tell. */
export function maxReceiveBufferBytes(): number | undefined {
  try {
    return Number(readFileSync('/proc/sys/net/core/rmem_max', 'utf8'))
  } catch {
    // Only Linux tells.
    return undefined
  }
}

/** Inodes of the sockets of this thread whose drops somebody reads, so that two with one address are told apart. */
const claimedInodes: Set<string> = new Set()

interface Outgoing {
  readonly bytes: Uint8Array
  readonly port: number | undefined
  readonly address: string | undefined
}

export class UdpSocket {
  readonly counters: SocketCounters = { sentPackets: 0, sentBytes: 0, receivedPackets: 0, receivedBytes: 0, sendErrors: 0 }
  readonly #options: UdpSocketOptions
  readonly #socket: Socket
  readonly #in: ImpairedPath<{ readonly bytes: Buffer; readonly from: RemoteInfo }> | undefined
  readonly #out: ImpairedPath<Outgoing> | undefined
  #sender: BundleSender | undefined
  #reader: BundleReader | undefined
  #port = 0
  #receiveBufferBytes = 0
  /** As the system told it: put in words when somebody asks, since while an interface is down each datagram fails. */
  #lastError: Error | undefined
  #lastErrorAt = -Infinity
  #inode: string | undefined
  #firstDrops = 0
  #isClosed = false

  /** Binds it. Rejects with `address-in-use`, `multicast-interface-gone`, `multicast-too-many-groups`, `multicast-no-route`, `multicast-unusable`. */
  static async open(options: UdpSocketOptions): Promise<UdpSocket> {
    const socket = new UdpSocket(options)
    await socket.#bind()
    return socket
  }

  private constructor(options: UdpSocketOptions) {
    this.#options = options
    const { family, isShared } = options
    this.#socket = createSocket({
      type: family === 4 ? 'udp4' : 'udp6',
      reuseAddr: isShared,
      ipv6Only: family === 6,
      // Addresses alone are sent to: looking them up as names costs a tenth of what a datagram takes.
      lookup: (address, _options, callback) => callback(null, address, family),
    })
    const impairment = options.impairment ?? impairmentFrom(process.env, `${options.interface} ${options.address}`)
    if (impairment !== undefined) {
      this.#in = new ImpairedPath(impairment, 'in', ({ bytes, from }) => this.#receive(bytes, from))
      this.#out = new ImpairedPath(impairment, 'out', (outgoing) => this.#send(outgoing))
    }
  }

  get port(): number {
    return this.#port
  }

  /** What the system gave, bytes; Linux counts its own management of datagrams in, and tells twice of what was asked for. */
  get receiveBufferBytes(): number {
    return this.#receiveBufferBytes
  }

  /** What the last datagram failed with that the system did not take. */
  get lastError(): PolycastError | undefined {
    return this.#lastError === undefined ? undefined : this.explain(this.#lastError)
  }

  /** How long ago that was, ms; Infinity for never. */
  get lastErrorAgoMs(): number {
    return performance.now() - this.#lastErrorAt
  }

  /** For joining and leaving groups. */
  get raw(): Socket {
    return this.#socket
  }

  /** Sends, to where it is connected to or to an address. Errors are counted: `lastError`. */
  send(bytes: Uint8Array, port?: number, address?: string): void {
    if (this.#isClosed) return
    if (this.#out === undefined) this.#send({ bytes, port, address })
    // The caller may use its buffer again.
    else this.#out.push({ bytes: Uint8Array.from(bytes), port, address }, bytes.length)
  }

  /** Whether `queue` may be called before the next `flush`. */
  get hasRoom(): boolean {
    return this.#sender?.hasRoom ?? (this.#isClosed || this.#socket.getSendQueueCount() <= MAX_QUEUED_DATAGRAMS)
  }

  /** Sends to where it is connected to, with the next `flush` at the latest. */
  queue(bytes: Uint8Array): void {
    if (this.#sender === undefined) return this.send(bytes)
    this.#sender.add(bytes)
    this.counters.sentPackets++
    this.counters.sentBytes += bytes.length
  }

  /** Gives to the system what is queued; false while it has no place for all of it. */
  flush(): boolean {
    return this.#isClosed || (this.#sender?.flush() ?? this.hasRoom)
  }

  /** Nothing comes by itself any more, but what `read` reads; false where this socket cannot do that. */
  beginReading(): boolean {
    if (this.#reader === undefined || this.#isClosed) return false
    this.#reader.begin()
    return true
  }

  /** Gives what waits to `bulk.onDatagram`; how many datagrams there were. */
  read(): number {
    return this.#isClosed ? 0 : (this.#reader?.read() ?? 0)
  }

  /** Everything comes by itself again. */
  endReading(): void {
    if (!this.#isClosed) this.#reader?.end()
  }

  /** What the system is to keep until it is sent; it may give less. */
  setSendBuffer(bytes: number): void {
    try {
      if (!this.#isClosed) this.#socket.setSendBufferSize(Math.round(bytes))
    } catch {
      // As when it was opened: some systems refuse what is beyond their limit.
    }
  }

  /** Sends all its datagrams to one address, which is quicker; it then receives from there alone. */
  connect(port: number, address: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.connect(port, address, ((error?: Error) =>
        error === undefined ? resolve() : reject(this.explain(error))) as () => void)
    })
  }

  /** Datagrams that this socket dropped since it was opened, since nobody read them in time; undefined where the system does not tell. */
  drops(): number | undefined {
    if (this.#inode === undefined) return undefined
    const line = this.#lines().find(({ inode }) => inode === this.#inode)
    return line === undefined ? undefined : line.drops - this.#firstDrops
  }

  explain(error: unknown): PolycastError {
    const { group, interface: name, address } = this.#options
    return fromErrno(error, { doing: 'multicast', group, interface: name, address: formatAddress(address, this.#options.port) })
  }

  close(): void {
    if (this.#isClosed) return
    this.#sender?.flush()
    this.#reader?.close()
    this.#isClosed = true
    if (this.#inode !== undefined) claimedInodes.delete(this.#inode)
    this.#in?.close()
    this.#out?.close()
    this.#socket.close()
  }

  #bind(): Promise<void> {
    const socket = this.#socket
    const { address, port, prepare } = this.#options
    return new Promise((resolve, reject) => {
      const failed = (error: unknown): void => {
        this.close()
        reject(this.explain(error))
      }
      socket.once('error', failed)
      socket.bind({ port, address, exclusive: true }, () => {
        socket.removeListener('error', failed)
        // What comes back of earlier datagrams (nobody listens there) is no error of this socket.
        socket.on('error', (error) => this.#failed(error))
        try {
          this.#port = socket.address().port
          this.#growBuffers()
          prepare?.(socket)
          this.#openBulk()
        } catch (error) {
          return failed(error)
        }
        this.#claimInode()
        socket.on('message', (bytes, from) => {
          if (this.#in === undefined) this.#receive(bytes, from)
          else this.#in.push({ bytes, from }, bytes.length)
        })
        resolve()
      })
    })
  }

  /** An impaired socket has each datagram by itself. */
  #openBulk(): void {
    const { bulk } = this.#options
    if (bulk === undefined || this.#in !== undefined) return
    const calls = systemCalls()
    const handle = handleOf(this.#socket)
    if (calls === undefined || handle === undefined) return
    if ('onDatagram' in bulk) {
      this.#reader = new BundleReader(calls, handle, (bytes) => {
        this.#count(bytes)
        bulk.onDatagram(bytes)
      })
      return
    }
    const onError = (error: Error, datagrams: number): void => {
      this.counters.sendErrors += datagrams
      this.#failed(error)
    }
    this.#sender = new BundleSender({ calls, handle, datagramBytes: bulk.sendBytes, onError })
  }

  #receive(bytes: Buffer, from: RemoteInfo): void {
    this.#count(bytes)
    this.#options.onPacket(bytes, from)
  }

  #count(bytes: Buffer): void {
    this.counters.receivedPackets++
    this.counters.receivedBytes += bytes.length
  }

  #send({ bytes, port, address }: Outgoing): void {
    if (this.#isClosed) return
    this.counters.sentPackets++
    this.counters.sentBytes += bytes.length
    if (port === undefined) this.#socket.send(bytes, this.#sent)
    else this.#socket.send(bytes, port, address, this.#sent)
  }

  /** One function for all datagrams: a closure for each would cost more than the rest of sending. */
  readonly #sent = (error: Error | null): void => {
    if (error === null || this.#isClosed) return
    this.counters.sendErrors++
    this.#failed(error)
  }

  #failed(error: Error): void {
    this.#lastError = error
    this.#lastErrorAt = performance.now()
  }

  #growBuffers(): void {
    const { receiveBufferBytes, sendBufferBytes } = this.#options
    try {
      if (receiveBufferBytes !== undefined) this.#socket.setRecvBufferSize(receiveBufferBytes)
      if (sendBufferBytes !== undefined) this.#socket.setSendBufferSize(sendBufferBytes)
    } catch {
      // Some systems refuse what is beyond their limit, where Linux gives what it has: what was got is read back.
    }
    this.#receiveBufferBytes = this.#socket.getRecvBufferSize()
  }

  // ---- drops, which Node does not tell ----

  /** Looks up which of the system's sockets this one is: the one with its address that this process has and no other of its own has claimed. */
  #claimInode(): void {
    const candidates = this.#lines().filter(({ inode }) => !claimedInodes.has(inode))
    if (candidates.length === 0) return
    const own = candidates.length === 1 ? new Set(candidates.map(({ inode }) => inode)) : inodesOfProcess()
    // The newest one: others may be older sockets of another thread with the same address.
    const line = candidates.findLast(({ inode }) => own.has(inode))
    if (line === undefined) return
    this.#inode = line.inode
    this.#firstDrops = line.drops
    claimedInodes.add(line.inode)
  }

  #lines(): { readonly inode: string; readonly drops: number }[] {
    const wanted = localAddress(this.#options.address, this.#port)
    try {
      const text = readFileSync(this.#options.family === 4 ? '/proc/net/udp' : '/proc/net/udp6', 'utf8')
      return text.split('\n').flatMap((line) => {
        const columns = line.trim().split(/\s+/)
        const inode = columns[9]
        const drops = Number(columns.at(-1))
        return columns[1] === wanted && inode !== undefined ? [{ inode, drops }] : []
      })
    } catch {
      // Only Linux tells.
      return []
    }
  }
}

/** As the system writes an address and port: hexadecimal, in words of 32 bits whose bytes are turned around. */
function localAddress(address: string, port: number): string {
  const words = Buffer.from(ipBytes(address) ?? []).swap32()
  return `${words.toString('hex')}:${port.toString(16).padStart(4, '0')}`.toUpperCase()
}

function inodesOfProcess(): Set<string> {
  const inodes = new Set<string>()
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      const inode = /^socket:\[(?<inode>\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.groups?.['inode']
      if (inode !== undefined) inodes.add(inode)
    } catch {
      // It was closed meanwhile.
    }
  }
  return inodes
}
