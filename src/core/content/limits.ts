/**
 * What no manifest exceeds: a decoder refuses more before it allocates for it (docs/specs/01-manifest.md §7).
 */

/** Entries of a page; only a content's last page has fewer. Also the most entries of one segment. */
export const CHUNKS_PER_PAGE = 1024
/** Chunks of one content. */
export const MAX_CHUNKS: number = 16 * 1024 * 1024
/** Bytes of one content: 256 TiB. */
export const MAX_TOTAL_BYTES: number = 2 ** 48
/** Bytes of the encoded tree at the beginning of a directory's content. */
export const MAX_TREE_BYTES: number = 256 * 1024 * 1024
/** Bytes of a media type. */
export const MAX_MEDIA_TYPE_BYTES = 255
/** Bytes of an encoded root: 16 Ki page hashes and what stands before them. */
export const MAX_ROOT_BYTES: number = 512 * 1024 + 512
/** Bytes of an encoded page. */
export const MAX_PAGE_BYTES: number = 40 * 1024
/** Bytes of an encoded growing header. */
export const MAX_GROWING_HEADER_BYTES = 512
/** Bytes of an encoded segment. */
export const MAX_SEGMENT_BYTES: number = 40 * 1024
/** Bytes of an encoded seal. */
export const MAX_SEAL_BYTES: number = MAX_ROOT_BYTES + 128
