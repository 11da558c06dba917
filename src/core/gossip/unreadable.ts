/**
 * What it says about the other side that its bytes cannot be read, for diagnosis: decoders give a reason in words, and the words of
 * memberlist's agents are the same. The test makes each of these reasons with the decoders themselves, so that the two cannot part.
 */

/**
 * `label`: it belongs to another cluster. `key`: it has other keys. `plain`: it does not encrypt and is to. `sealed`: it encrypts and is not
 * to. `damaged`: anything else.
 */
export type UnreadableCause = 'label' | 'key' | 'plain' | 'sealed' | 'damaged'

const CAUSES: readonly (readonly [RegExp, UnreadableCause])[] = [
  [/label/i, 'label'],
  [/no key of the ring decrypts|no installed keys could decrypt/i, 'key'],
  [/encryption is configured but remote state is not encrypted/i, 'plain'],
  [/remote state is encrypted and encryption is not configured/i, 'sealed'],
]

/** What a reason says. */
export function unreadableCause(reason: string): UnreadableCause {
  return CAUSES.find(([pattern]) => pattern.test(reason))?.[1] ?? 'damaged'
}
