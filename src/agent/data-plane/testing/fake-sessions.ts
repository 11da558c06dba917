/** Multicast sessions without any thread or socket, for tests. */
import type {
  MulticastSessions,
  ReceiverEvent,
  ReceiverHandle,
  ReceiverListener,
  SenderEvent,
  SenderHandle,
  SenderListener,
} from '../../multicast/session/client.ts'
import type { ReceiverSettings, SenderSettings } from '../../multicast/session/protocol.ts'

/** What comes of a session, without its number. */
type Numberless<Event> = Event extends unknown ? Omit<Event, 'id'> : never

/** A session that a test plays the other side of. */
export class FakeSender implements SenderHandle {
  readonly settings: SenderSettings
  readonly listener: SenderListener
  readonly invitedNames: string[] = []
  readonly blocks: Uint8Array[] = []
  hasEnded = false
  isStopped = false

  constructor(settings: SenderSettings, listener: SenderListener) {
    this.settings = settings
    this.listener = listener
  }

  say(event: Numberless<SenderEvent>): void {
    this.listener.event({ ...event, id: 0 })
  }

  invited(names: readonly string[]): void {
    this.invitedNames.push(...names)
  }

  block(payload: Uint8Array): void {
    this.blocks.push(payload)
  }

  end(): void {
    this.hasEnded = true
  }

  stop(): void {
    this.isStopped = true
  }
}

export class FakeReceiver implements ReceiverHandle {
  readonly settings: ReceiverSettings
  readonly listener: ReceiverListener
  hasLeft = false

  constructor(settings: ReceiverSettings, listener: ReceiverListener) {
    this.settings = settings
    this.listener = listener
  }

  say(event: Numberless<ReceiverEvent>): void {
    this.listener.event({ ...event, id: 0 })
  }

  leave(): void {
    this.hasLeft = true
  }
}

export class FakeSessions implements MulticastSessions {
  readonly senders: FakeSender[] = []
  readonly receivers: FakeReceiver[] = []
  prepared = 0

  prepare(): void {
    this.prepared++
  }

  send(settings: SenderSettings, listener: SenderListener): SenderHandle {
    const sender = new FakeSender(settings, listener)
    this.senders.push(sender)
    return sender
  }

  receive(settings: ReceiverSettings, listener: ReceiverListener): ReceiverHandle {
    const receiver = new FakeReceiver(settings, listener)
    this.receivers.push(receiver)
    return receiver
  }

  groups(): Iterable<string> {
    return [...this.senders, ...this.receivers].map(({ settings }) => settings.group)
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
