/**
 * The worker's side of multicast sessions: opens them, hands each what is for it, and ends with them. What a session does is the matter of
 * its machine, how it is driven that of `sender-driver.ts` and `receiver-driver.ts`.
 */
import { randomBytes } from 'node:crypto'
import { Random } from '../../../core/lib/random.ts'
import { MulticastReceiver } from '../../../core/multicast/multicast-receiver.ts'
import { MulticastSender } from '../../../core/multicast/multicast-sender.ts'
import type { ErasureCode, SessionCipher } from '../../../core/multicast/session-types.ts'
import { asPolycastError, fail, serialiseError } from '../../errors.ts'
import { isInSubnet, listInterfaces, type NetworkInterface } from '../sockets/interfaces.ts'
import { groupCipher, OPEN_CIPHER, type TagMaker } from './cipher.ts'
import { Pacer } from './pacer.ts'
import type { FromSessionWorker, ReceiverSettings, SenderSettings, SessionPlace, ToSessionWorker } from './protocol.ts'
import { rateOf } from './rate.ts'
import { ReceiverDriver } from './receiver-driver.ts'
import { SenderDriver } from './sender-driver.ts'

export interface SessionHostParts {
  readonly code: ErasureCode
  readonly tagMaker: TagMaker
  readonly post: (message: FromSessionWorker, transfer?: readonly ArrayBuffer[]) => void
}

/** All sessions of this node. */
export class SessionHost {
  readonly #parts: SessionHostParts
  readonly #pacer: Pacer = new Pacer()
  readonly #senders: Map<number, SenderDriver> = new Map()
  readonly #receivers: Map<number, ReceiverDriver> = new Map()

  constructor(parts: SessionHostParts) {
    this.#parts = parts
  }

  handle(message: ToSessionWorker): void {
    switch (message.type) {
      case 'send':
        return this.#opening(message.id, () => this.#send(message.id, message.settings))
      case 'receive':
        return this.#opening(message.id, () => this.#receive(message.id, message.settings))
      case 'invited':
        return this.#senders.get(message.id)?.invited(message.names)
      case 'block':
        return this.#senders.get(message.id)?.block(message.payload)
      case 'end':
        return this.#senders.get(message.id)?.end()
      case 'stop':
        return this.#senders.get(message.id)?.stop()
      case 'leave':
        return this.#receivers.get(message.id)?.leave()
    }
  }

  #opening(id: number, open: () => Promise<void>): void {
    open().catch((error: unknown) => {
      this.#senders.delete(id)
      this.#receivers.delete(id)
      this.#parts.post({ type: 'failed', id, error: serialiseError(asPolycastError(error)) })
    })
  }

  async #send(id: number, settings: SenderSettings): Promise<void> {
    const addresses = listInterfaces().filter(({ name, family }) => name === settings.interface && family === settings.family)
    // An address that is unique says by itself on which of its interfaces a receiver finds the sender.
    const via = addresses.find(({ isLinkLocal }) => !isLinkLocal) ?? addresses[0]
    if (via === undefined) throw gone(settings.group, settings.interface)
    const { parameters, mode, rateBytesPerSec } = settings
    const cipher = this.#cipher(settings)
    const { code, post } = this.#parts
    const driver = new SenderDriver(id, { post, pacer: this.#pacer, onEnd: () => this.#senders.delete(id) })
    this.#senders.set(id, driver)
    // Its first waits begin with it, so that it is made last.
    await driver.open(settings, via, (now) => {
      const rate = rateOf(mode, rateBytesPerSec, via.name, now)
      return new MulticastSender({ parameters, cipher, code, rate }, now)
    })
  }

  async #receive(id: number, settings: ReceiverSettings): Promise<void> {
    const via = interfaceTowards(settings.sender)
    if (via === undefined) throw gone(settings.group, `the one towards ${settings.sender}`)
    const { parameters, name, app, invited } = settings
    const driver = new ReceiverDriver(id, settings, {
      post: this.#parts.post,
      pacer: this.#pacer,
      onEnd: () => this.#receivers.delete(id),
    })
    this.#receivers.set(id, driver)
    const cipher = this.#cipher(settings)
    const options = { parameters, cipher, code: this.#parts.code, random: freshRandom(), name, app, invited }
    await driver.open(settings, via, (now) => new MulticastReceiver(options, now))
  }

  #cipher({ key, salt, parameters }: SessionPlace): SessionCipher {
    return key === undefined ? OPEN_CIPHER : groupCipher(key, { sessionId: parameters.sessionId, salt }, this.#parts.tagMaker)
  }
}

/** Seeded by the system: a receiver's identity comes from it, which must not come again. */
function freshRandom(): Random {
  return new Random(randomBytes(16).toString('hex'))
}

/** The interface in whose subnet an address is; else the first one of its family that is no loopback. */
function interfaceTowards(address: string): NetworkInterface | undefined {
  const family = address.includes(':') ? 6 : 4
  const all = listInterfaces().filter((one) => one.family === family)
  return all.find((one) => isInSubnet(address, one)) ?? all.find((one) => !one.isLoopback)
}

function gone(group: string, name: string): Error {
  return fail('multicast-interface-gone', { group, interface: name, reason: 'it is not up, or has no such address any more' })
}
