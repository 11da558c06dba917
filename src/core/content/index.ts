/**
 * `polycast/content`: contents as chunks with hashes, their manifests, and directories as trees. Hash and signature
 * functions are handed in; nothing here does input or output.
 */
export { toHex, fromHex } from '../lib/bytes.ts'
export { isWireError, type Disposition, type WireError } from '../wire/wire-error.ts'
export { averageChunkBytes, MAX_AVERAGE_CHUNK_BYTES, MAX_CHUNK_FACTOR, MIN_AVERAGE_CHUNK_BYTES } from './chunk-size.ts'
export { Chunker } from './chunker.ts'
export {
  decodeGrowingHeader,
  decodeSeal,
  decodeSegment,
  encodeGrowingHeader,
  encodeSeal,
  encodeSegment,
  growingId,
  signSeal,
  signSegment,
  type GrowingHeader,
  type Seal,
  type Segment,
} from './growing.ts'
export {
  CHUNKS_PER_PAGE,
  MAX_CHUNKS,
  MAX_GROWING_HEADER_BYTES,
  MAX_MEDIA_TYPE_BYTES,
  MAX_PAGE_BYTES,
  MAX_ROOT_BYTES,
  MAX_SEAL_BYTES,
  MAX_SEGMENT_BYTES,
  MAX_TOTAL_BYTES,
  MAX_TREE_BYTES,
} from './limits.ts'
export { Manifest } from './manifest.ts'
export { buildSealed, ManifestAuthor, type ManifestAuthorOptions } from './manifest-author.ts'
export {
  HASH_BYTES,
  NONCE_BYTES,
  PUBLIC_KEY_BYTES,
  SIGNATURE_BYTES,
  type HashFunction,
  type Signer,
  type VerifySignature,
} from './primitives.ts'
export { decodePage, decodeRoot, encodePage, encodeRoot, pageCount, type Page, type Root } from './root.ts'
export {
  decodeTree,
  encodeTree,
  MAX_NAME_BYTES,
  MAX_PATH_BYTES,
  MAX_TREE_ENTRIES,
  sortTree,
  treeFileBytes,
  treeProblem,
  type TreeEntry,
} from './tree.ts'
