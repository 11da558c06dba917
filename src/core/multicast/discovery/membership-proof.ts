/**
 * Who may be joined: agents of the same cluster name that hold the same key, if there is one. What an agent says of itself on the LAN, by
 * DNS-SD or by beacon, and how that is known for true. docs/specs/09-discovery.md §3.
 *
 * What is proved holds for ever (the name of a cluster, of a node, an address, a port), so that a proof needs no clock: one that is
 * replayed leads to the address that the holder of the key has named, and to nobody else.
 */
import { equalBytes, fromHex, toHex, utf8Decode } from '../../lib/bytes.ts'
import { Writer } from '../../wire/writer.ts'
import type { FoundService } from './mdns-browser.ts'

/** Where the gossip of a node is reached. */
export interface DiscoveredEndpoint {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array
  readonly port: number
}

export interface Discovered {
  readonly node: string
  /** Never empty. */
  readonly endpoints: readonly DiscoveredEndpoint[]
}

/** What the key of the cluster can do. None of these throws. */
export interface DiscoveryKey {
  /** Sixteen bytes that only a holder of the key can make of this. */
  prove(message: Uint8Array): Uint8Array
  /** The same with each key that is accepted, while keys are changed. */
  check(message: Uint8Array, proof: Uint8Array): boolean
  seal(plaintext: Uint8Array, associated: Uint8Array): Uint8Array
  /** Undefined where no accepted key has sealed it. */
  open(sealed: Uint8Array, associated: Uint8Array): Uint8Array | undefined
}

/** The cluster that a node belongs to. */
export interface ClusterIdentity {
  /** Its name; with a label of gossip, `NAME/LABEL`. */
  readonly cluster: string
  /** Undefined in a cluster without encryption. */
  readonly key: DiscoveryKey | undefined
}

/** Why somebody that was found is not joined. */
export type Stranger = 'another cluster' | 'another key' | 'not understood'

export const POLYCAST_SERVICE: readonly string[] = ['_polycast', '_tcp']
/** Of what is said in TXT records and beacons. */
export const DISCOVERY_VERSION = 1
export const MAX_NODE_BYTES = 255
export const PROOF_BYTES = 16

/** The TXT record of a node: `txtvers`, `cluster`, `node`, and a proof for each of its addresses, of which one family has one. */
export function describeNode(node: string, endpoints: readonly DiscoveredEndpoint[], { cluster, key }: ClusterIdentity): string[] {
  const texts = [`txtvers=${DISCOVERY_VERSION}`, `cluster=${cluster}`, `node=${node}`]
  if (key === undefined) return texts
  return [...texts, ...endpoints.map((endpoint) => `${proofName(endpoint)}=${toHex(key.prove(claim(cluster, node, endpoint)))}`)]
}

/** What a service that was found says of a node of this cluster. Addresses without a proof are left out. */
export function readNode({ txt, port, addresses }: FoundService, { cluster, key }: ClusterIdentity): Discovered | Stranger {
  const values = new Map<string, string>()
  for (const bytes of txt) {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(utf8Decode(bytes) ?? '') ?? []
    // RFC 6763 §6.4: of several with one name, the first one counts; their case does not.
    if (name !== undefined && !values.has(name.toLowerCase())) values.set(name.toLowerCase(), value!)
  }
  const node = values.get('node') ?? ''
  if (values.get('txtvers') !== String(DISCOVERY_VERSION) || node === '' || node.length > MAX_NODE_BYTES || port === 0)
    return 'not understood'
  if (values.get('cluster') !== cluster) return 'another cluster'
  const endpoints = addresses.map((address) => ({ address, port }))
  const hasProof = values.has('p4') || values.has('p6')
  if (key === undefined) return hasProof ? 'another key' : { node, endpoints }
  const proved = endpoints.filter((endpoint) => {
    const proof = fromHex(values.get(proofName(endpoint)) ?? '')
    return proof?.length === PROOF_BYTES && key.check(claim(cluster, node, endpoint), proof)
  })
  return proved.length === 0 ? 'another key' : { node, endpoints: proved }
}

export function isSameEndpoint(a: DiscoveredEndpoint, b: DiscoveredEndpoint): boolean {
  return a.port === b.port && equalBytes(a.address, b.address)
}

function proofName({ address }: DiscoveredEndpoint): string {
  return address.length === 4 ? 'p4' : 'p6'
}

/** text "polycast discovery", text cluster, text node, varint length and address, u16 port. */
function claim(cluster: string, node: string, { address, port }: DiscoveredEndpoint): Uint8Array {
  const writer = new Writer(128)
  writer.text('polycast discovery')
  writer.text(cluster)
  writer.text(node)
  writer.lengthBytes(address)
  writer.u16(port)
  return writer.finish()
}
