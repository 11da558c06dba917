/**
 * The beacon: one datagram by which a node says where it is to whoever hears a broadcast. docs/specs/09-discovery.md §4.
 *
 *   beacon = "PCBN" u8 version (1) u8 form u32 hash of the cluster, body
 *   body   = form 0: content   |   form 1: the content, sealed with the cluster's key; what stands before it is authenticated with it
 *   content = text cluster, 8 bytes id of this life of the node, text node, varint length (4 or 16), address, u16 port
 *
 * The hash lets beacons of other clusters be dropped before anything is decrypted. It is no secret and proves nothing.
 */
import { concatBytes, copyBytes, toHex } from '../../lib/bytes.ts'
import { Reader } from '../../wire/reader.ts'
import { Writer } from '../../wire/writer.ts'
import { MAX_NODE_BYTES, type ClusterIdentity, type Discovered, type Stranger } from './membership-proof.ts'

/** What a node says of itself in its beacons. */
export interface DiscoveryBeaconContent extends Discovered {
  /** Eight random bytes, in hex, new with each start. */
  readonly id: string
}

export const MAX_DISCOVERY_BEACON_BYTES = 1024
const MAGIC = Uint8Array.of(0x50, 0x43, 0x42, 0x4e)
const VERSION = 1
const HEADER_BYTES = 10
const ID_BYTES = 8
const MAX_CLUSTER_BYTES = 512

/** `id` is 16 hexadecimal digits as bytes; each beacon names one endpoint. */
export function encodeDiscoveryBeacon(
  { node, id, address, port }: { node: string; id: Uint8Array; address: Uint8Array; port: number },
  { cluster, key }: ClusterIdentity,
): Uint8Array {
  const header = headerOf(cluster, key !== undefined)
  const writer = new Writer(128)
  writer.text(cluster)
  writer.bytes(id)
  writer.text(node)
  writer.lengthBytes(address)
  writer.u16(port)
  const content = writer.finish()
  return concatBytes([header, key === undefined ? content : key.seal(content, header)])
}

/** What a node of this cluster says; else why it is none. */
export function decodeDiscoveryBeacon(bytes: Uint8Array, { cluster, key }: ClusterIdentity): DiscoveryBeaconContent | Stranger {
  if (bytes.length > MAX_DISCOVERY_BEACON_BYTES || bytes.length < HEADER_BYTES) return 'not understood'
  if (MAGIC.some((byte, index) => bytes[index] !== byte) || bytes[MAGIC.length] !== VERSION) return 'not understood'
  const header = headerOf(cluster, key !== undefined)
  const isSealed = bytes[MAGIC.length + 1] === 1
  if (!header.subarray(6).every((byte, index) => bytes[6 + index] === byte)) return 'another cluster'
  if (isSealed !== (key !== undefined)) return 'another key'
  const body = bytes.subarray(HEADER_BYTES)
  const content = key === undefined ? body : key.open(body, header)
  if (content === undefined) return 'another key'
  const reader = new Reader(content)
  const named = reader.text(MAX_CLUSTER_BYTES)
  const id = reader.bytes(ID_BYTES)
  const node = reader.text(MAX_NODE_BYTES)
  const address = reader.lengthBytes(16)
  const port = reader.u16()
  if (!reader.done() || (address.length !== 4 && address.length !== 16) || port === 0 || node === '') return 'not understood'
  if (named !== cluster) return 'another cluster'
  return { node, id: toHex(id), endpoints: [{ address: copyBytes(address), port }] }
}

function headerOf(cluster: string, isSealed: boolean): Uint8Array {
  const writer = new Writer(HEADER_BYTES)
  writer.bytes(MAGIC)
  writer.u8(VERSION)
  writer.u8(isSealed ? 1 : 0)
  writer.u32(clusterHash(cluster))
  return writer.finish()
}

/** FNV-1a over the UTF-16 units. */
function clusterHash(cluster: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < cluster.length; i++) hash = Math.imul(hash ^ cluster.charCodeAt(i), 0x01000193)
  return hash >>> 0
}
