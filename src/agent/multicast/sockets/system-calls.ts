/**
 * System calls that Node does not offer, for sockets through which tens of thousands of datagrams go in a second: one call takes or gives
 * many (sendmmsg(2), recvmmsg(2), udp(7)). They are called by koffi, an optional dependency; where it or the calls are missing, Node's own
 * way serves, datagram by datagram (docs/decisions/0005-system-calls.md).
 *
 * Structures are written by hand, for Linux on 64-bit machines with little endians: there glibc and musl lay them out alike.
 */
import { createRequire } from 'node:module'
import { endianness } from 'node:os'
import type { Socket } from 'node:dgram'
import type * as Koffi from 'koffi'

/** The calls, as errno tells of them: below 0 for a failure. Addresses are those of `NativeMemory`. */
export interface SystemCalls {
  /** @returns how many messages were taken, or −1. */
  sendmmsg(descriptor: number, messages: number, count: number, flags: number): number
  /** @returns how many messages came, or −1. */
  recvmmsg(descriptor: number, messages: number, count: number, flags: number, timeout: number): number
  /** Whether the system has taken it. */
  setOption(descriptor: number, level: number, option: number, value: number): boolean
  /** Of the last call; to be asked at once. */
  errno(): number
  memory(bytes: number): NativeMemory
}

/** Bytes that stay at their address: the system gets it, so that they have to be held for as long as it may use it. */
export interface NativeMemory {
  readonly bytes: Buffer
  readonly view: DataView
  readonly address: number
}

/** Flag of both calls: never to wait. */
export const DONT_WAIT = 0x40

/** The layout of `struct mmsghdr`, 64 bytes: where its fields are. */
export const MESSAGE = { bytes: 64, vector: 16, vectorCount: 24, control: 32, controlBytes: 40, length: 56 } as const
/** `struct iovec`: an address and a length, 8 bytes each. */
export const VECTOR_BYTES = 16
/** `struct cmsghdr` before its data: length, level, type. */
export const CONTROL_HEADER_BYTES = 16

/** UDP_SEGMENT and UDP_GRO, udp(7): one message is many datagrams of one size. */
export const UDP = { level: 17, segment: 103, gather: 104 } as const

/** Messages laid out in memory, each of one piece and with room for control data, and room for what they are of. */
export interface MessageArea extends NativeMemory {
  /** Where the pieces are described, `VECTOR_BYTES` each: an address and a length. */
  readonly vectorsAt: number
  readonly controlsAt: number
  readonly dataAt: number
}

/** Lays out so many messages. Where their pieces are, and how much control data there is, remains to be said. */
export function messageArea(calls: SystemCalls, count: number, controlBytes: number, dataBytes: number): MessageArea {
  const vectorsAt = count * MESSAGE.bytes
  const controlsAt = vectorsAt + count * VECTOR_BYTES
  const dataAt = controlsAt + count * controlBytes
  const memory = calls.memory(dataAt + dataBytes)
  const { view, address } = memory
  for (let index = 0; index < count; index++) {
    const message = index * MESSAGE.bytes
    setWord(view, message + MESSAGE.vector, address + vectorsAt + index * VECTOR_BYTES)
    setWord(view, message + MESSAGE.vectorCount, 1)
    setWord(view, message + MESSAGE.control, address + controlsAt + index * controlBytes)
  }
  return { ...memory, vectorsAt, controlsAt, dataAt }
}

/** Says where a message's piece is, and how long. */
export function setPiece({ view, address, vectorsAt }: MessageArea, index: number, at: number, bytes: number): void {
  setWord(view, vectorsAt + index * VECTOR_BYTES, address + at)
  setWord(view, vectorsAt + index * VECTOR_BYTES + 8, bytes)
}

/** An address or a size: 64 bits, without the allocation of a bigint, as it is done for each message that is sent. */
export function setWord(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true)
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true)
}

/** Set to anything, a program does without: for tests of Node's own way. */
const PLAIN_VARIABLE = 'POLYCAST_PLAIN_UDP'

let loaded: { readonly calls: SystemCalls | undefined } | undefined

/** The calls; undefined where they are not to be had. Loading takes about 5 ms and 5 MB, once in each thread. */
export function systemCalls(): SystemCalls | undefined {
  loaded ??= { calls: isSupported() ? load() : undefined }
  return loaded.calls
}

function isSupported(): boolean {
  const is64Bit = process.arch === 'x64' || process.arch === 'arm64' || process.arch === 'riscv64'
  return process.platform === 'linux' && is64Bit && endianness() === 'LE' && (process.env[PLAIN_VARIABLE] ?? '') === ''
}

function load(): SystemCalls | undefined {
  try {
    return callsOf(createRequire(import.meta.url)('koffi') as typeof Koffi)
  } catch {
    // Not installed, or not for this system, or the system's library lacks a call: it is optional.
    return undefined
  }
}

function callsOf(koffi: typeof Koffi): SystemCalls {
  const program = koffi.load(null)
  const address = 'uintptr_t'
  const setsockopt = program.func('setsockopt', 'int', ['int', 'int', 'int', address, 'uint'])
  const memory = (bytes: number): NativeMemory => {
    const buffer = new ArrayBuffer(bytes)
    return { bytes: Buffer.from(buffer), view: new DataView(buffer), address: Number(koffi.address(buffer)) }
  }
  const word = memory(8)
  return {
    sendmmsg: program.func('sendmmsg', 'int', ['int', address, 'uint', 'int']) as SystemCalls['sendmmsg'],
    recvmmsg: program.func('recvmmsg', 'int', ['int', address, 'uint', 'int', address]) as SystemCalls['recvmmsg'],
    setOption: (descriptor, level, option, value) => {
      word.view.setInt32(0, value, true)
      return (setsockopt(descriptor, level, option, word.address, 4) as number) === 0
    },
    errno: () => koffi.errno(),
    memory,
  }
}

/** What Node has of a socket that is bound. */
export interface SocketHandle {
  /** The descriptor, until the socket is closed. */
  readonly fd: number
  /** Node's event loop reads from the socket, or leaves that to somebody else. */
  recvStart(): void
  recvStop(): void
}

/** Nothing of Node's public interface tells it: undefined where it is kept elsewhere than up to Node 24. */
export function handleOf(socket: Socket): SocketHandle | undefined {
  const key = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'state symbol')
  const state = key === undefined ? undefined : (socket as unknown as Record<symbol, { handle?: Partial<SocketHandle> | null }>)[key]
  const handle = state?.handle ?? undefined
  if (handle === undefined || typeof handle.recvStart !== 'function' || typeof handle.recvStop !== 'function') return undefined
  return handle.fd !== undefined && handle.fd >= 0 ? (handle as SocketHandle) : undefined
}
