// The dialling side: the standard WebSocket class, as Bun, Deno and browsers have it.
import { limits } from '../../protocol/limits.ts'
import type { Clock } from '../environment.ts'
import type { Connection, ConnectionEvents } from './connection.ts'

/**
 * Twice what a link has on its way: only signals get there. Above it the connection says `full`; the
 * class has no event for the end of that, so it is polled.
 */
const BUFFERED_BYTES_MAX = 4 << 20
const DRAIN_POLL_MS = 2

export function connectWebSocket(clock: Clock, url: string, events: ConnectionEvents): Connection {
  const socket = open(url)
  if (!socket) {
    clock.after(0, () => events.closed(`not a WebSocket URL: ${url}`))
    return { send: () => 'closed', close: () => {} }
  }
  socket.binaryType = 'arraybuffer'
  let isWaiting = false
  let isClosed = false

  const closed = (reason: string): void => {
    if (isClosed) return
    isClosed = true
    events.closed(reason)
  }
  const poll = (): void => {
    if (isClosed) return
    if (socket.bufferedAmount > BUFFERED_BYTES_MAX) return void clock.after(DRAIN_POLL_MS, poll)
    isWaiting = false
    events.drained()
  }

  socket.onopen = () => events.opened()
  socket.onmessage = ({ data }) => {
    if (isClosed) return
    if (data instanceof ArrayBuffer && data.byteLength <= limits.socketMessageBytesMax) {
      events.received(new Uint8Array(data))
    } else {
      socket.close(1003)
      closed('a message that is no packet')
    }
  }
  // An error is always followed by a close, which is what the link wants to know.
  socket.onerror = () => {}
  socket.onclose = ({ code, reason }) => closed(reason || `closed with code ${code}`)

  return {
    send(packet) {
      if (isClosed || socket.readyState !== WebSocket.OPEN) return 'closed'
      if (isWaiting) return 'full'
      socket.send(packet as Uint8Array<ArrayBuffer>)
      if (socket.bufferedAmount > BUFFERED_BYTES_MAX) {
        isWaiting = true
        clock.after(DRAIN_POLL_MS, poll)
      }
      return 'sent'
    },
    close(reason) {
      socket.close(1000, reason.slice(0, 100))
      closed(reason)
    },
  }
}

function open(url: string): WebSocket | undefined {
  try {
    return new WebSocket(url)
  } catch {
    // Its only mistake is a URL that cannot be parsed; the link is told like of any other failure.
    return undefined
  }
}
