/** Sessions that are over before their sockets are open. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Pacer } from './pacer.ts'
import type { FromSessionWorker, ReceiverSettings } from './protocol.ts'
import { ReceiverDriver } from './receiver-driver.ts'
import { SenderDriver } from './sender-driver.ts'

const SETTINGS: ReceiverSettings = {
  parameters: { sessionId: '0011223344556677', datagramBytes: 1400, blockSymbols: 200 },
  salt: new Uint8Array(16),
  key: undefined,
  group: '232.1.2.3',
  port: 7949,
  ttl: 1,
  sender: '127.0.0.1',
  controlPort: 9,
  name: 'n1',
  app: new Uint8Array(0),
  invited: 2,
}

for (const { what, end } of [
  {
    what: 'a receiver that is left',
    end: (post: (message: FromSessionWorker) => void, onEnd: () => void): void =>
      new ReceiverDriver(7, SETTINGS, { post, pacer: new Pacer(), onEnd }).leave(),
  },
  {
    what: 'a sender that is stopped',
    end: (post: (message: FromSessionWorker) => void, onEnd: () => void): void =>
      new SenderDriver(7, { post, pacer: new Pacer(), onEnd }).stop(),
  },
]) {
  void test(`${what} before it is open is over, and says so`, () => {
    const said: FromSessionWorker[] = []
    let ended = 0
    end(
      (message) => said.push(message),
      () => ended++,
    )
    assert.equal(ended, 1)
    assert.deepEqual(
      said.map((message) => [message.type, 'id' in message && message.id, 'error' in message && message.error.code]),
      [['failed', 7, 'cancelled']],
    )
  })
}
