/** Base64 with padding, RFC 4648 §4: how keys are shown. */
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

export function toBase64(bytes: Uint8Array): string {
  let text = ''
  for (let i = 0; i < bytes.length; i += 3) {
    const bits = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0)
    for (let k = 0; k < 4; k++) text += i * 8 + k * 6 < bytes.length * 8 ? ALPHABET[(bits >>> (18 - 6 * k)) & 63] : '='
  }
  return text
}
