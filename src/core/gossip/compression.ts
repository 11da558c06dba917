/** The layer of compressed messages (docs/specs/04-gossip.md §4.3): type 9, then {Algo, Buf}; the one algorithm there is, 0, is LZW. */
import { wireError, type WireError } from '../wire/wire-error.ts'
import { lzwDecode, lzwEncode } from './lzw.ts'
import { MESSAGE_TYPES } from './message-types.ts'
import { struct, U8, view } from './msgpack-kinds.ts'
import { type MsgpackReader, MsgpackWriter } from './msgpack.ts'

const LZW = 0
const COMPRESSED = struct({ Algo: U8, Buf: view(0xffffffff) })

/** `bytes` as a compressed message; it may well be longer. */
export function compress(bytes: Uint8Array): Uint8Array {
  const writer = new MsgpackWriter()
  writer.bytes(Uint8Array.of(MESSAGE_TYPES.compressed))
  COMPRESSED.write(writer, { Algo: LZW, Buf: lzwEncode(bytes) })
  return writer.finish()
}

/** What was compressed, from after the type byte, if it is at most `maxBytes`; where the bytes end too early, the reader says so. */
export function decompress(reader: MsgpackReader, maxBytes: number): Uint8Array | WireError {
  const { Algo, Buf } = COMPRESSED.read(reader)
  if (reader.failed) return wireError('ignore', 'a compressed message whose fields are wrong or cut off')
  if (Algo !== LZW) return wireError('ignore', `a message compressed by the unknown algorithm ${Algo}`)
  return lzwDecode(Buf, maxBytes)
}
