/**
 * What all datagrams to the group of the beacons have in common: who they are for, and their seal. docs/specs/10-reach.md §2, §6.
 *
 *   datagram = u8 magic, u8 version = 1, u32 cluster, sealed body          cluster: hash of the cluster's name
 *
 * Without a key the body is as it is; with one it is what the sealing function makes of it, with the first six bytes as associated data.
 */
import { concatBytes } from '../../lib/bytes.ts'
import { hashUnits } from '../../lib/text-hash.ts'
import { Reader } from '../../wire/reader.ts'
import { wireError, type WireError } from '../../wire/wire-error.ts'
import { Writer } from '../../wire/writer.ts'

/** Seals what goes on the wire, or leaves it as it is. */
export interface BeaconCipher {
  /** Bytes that sealing adds. */
  readonly overheadBytes: number
  seal(body: Uint8Array, header: Uint8Array): Uint8Array
  /** Undefined where no key of this cluster has sealed it. */
  open(sealed: Uint8Array, header: Uint8Array): Uint8Array | undefined
}

/** For clusters without a key. */
export const PLAIN_BEACONS: BeaconCipher = { overheadBytes: 0, seal: (body) => body, open: (sealed) => sealed }

/** A kind of datagram: its first byte, and what it is called where it is refused. */
export interface DatagramKind {
  readonly magic: number
  readonly noun: string
}

/** Bytes before the sealed body. */
export const GROUP_HEADER_BYTES = 6

const VERSION = 1

/** A cluster in datagrams: 32 bits of its name. */
export function clusterHash(name: string): number {
  return hashUnits(`polycast ${name}`)
}

/** A datagram with this body. */
export function sealDatagram(kind: DatagramKind, cluster: number, body: Uint8Array, cipher: BeaconCipher): Uint8Array {
  const writer = new Writer(GROUP_HEADER_BYTES)
  writer.u8(kind.magic)
  writer.u8(VERSION)
  writer.u32(cluster)
  const header = writer.finish()
  return concatBytes([header, cipher.seal(body, header)])
}

/** The body of a datagram, maybe a view of it. `ignore` for what is not of this kind and cluster; never throws. */
export function openDatagram(kind: DatagramKind, datagram: Uint8Array, cluster: number, cipher: BeaconCipher): Uint8Array | WireError {
  const { magic, noun } = kind
  const header = datagram.subarray(0, GROUP_HEADER_BYTES)
  const reader = new Reader(header)
  if (reader.u8() !== magic) return wireError('ignore', `it is not ${noun}`)
  const version = reader.u8()
  if (version !== VERSION) return wireError('ignore', `${noun} of version ${version}`)
  if (reader.u32() !== cluster || reader.failed) return wireError('ignore', `${noun} of another cluster`)
  return (
    cipher.open(datagram.subarray(GROUP_HEADER_BYTES), header) ?? wireError('penalise', `${noun} that no key of this cluster has sealed`)
  )
}
