/**
 * Loaded before a program (`node --import`), gives its sockets no more receive buffer than a system with the stock `net.core.rmem_max` of
 * 208 KiB does: that setting is the whole machine's, and this one process's.
 */
import { Socket } from 'node:dgram'

const STOCK_BYTES = 212_992

const original = Object.getOwnPropertyDescriptor(Socket.prototype, 'setRecvBufferSize')!.value as (this: Socket, bytes: number) => void
Socket.prototype.setRecvBufferSize = function (this: Socket, bytes: number): void {
  original.call(this, Math.min(bytes, STOCK_BYTES))
}
