// The accepting side on Bun: `Bun.serve` with WebSockets. Compression off (tensors do not compress), no
// idle time-out (the link has heartbeats), and the result of `send` obeyed.
import type { ServerWebSocket } from 'bun'
import { limits } from '../../protocol/limits.ts'
import {
  type Connection,
  type ConnectionEvents,
  type Listener,
  type ListenOptions,
  TransportError,
} from './connection.ts'

/** Twice what a link has on its way; above it the connection says `full`. */
const BUFFERED_BYTES_MAX = 4 << 20

interface Socket {
  events: ConnectionEvents | undefined
  isWaiting: boolean
  isClosed: boolean
}

export async function listenOnBun(options: ListenOptions): Promise<Listener> {
  const { hostname, port, accept } = options
  try {
    const server = Bun.serve<Socket>({
      hostname,
      port,
      fetch(request, running) {
        const data: Socket = { events: undefined, isWaiting: false, isClosed: false }
        if (running.upgrade(request, { data })) return undefined
        return new Response('this port speaks WebSocket\n', { status: 426 })
      },
      websocket: {
        perMessageDeflate: false,
        idleTimeout: 0,
        maxPayloadLength: limits.socketMessageBytesMax,
        // Never reached, because nothing is sent while more than BUFFERED_BYTES_MAX waits.
        backpressureLimit: limits.socketMessageBytesMax + 2 * BUFFERED_BYTES_MAX,
        open(socket) {
          socket.binaryType = 'uint8array'
          socket.data.events = accept(connectionOf(socket))
          socket.data.events.opened()
        },
        message(socket, message) {
          if (typeof message === 'string') socket.close(1003, 'a message that is no packet')
          else if (!socket.data.isClosed) socket.data.events?.received(message)
        },
        drain(socket) {
          if (!socket.data.isWaiting || socket.getBufferedAmount() > BUFFERED_BYTES_MAX) return
          socket.data.isWaiting = false
          socket.data.events?.drained()
        },
        close(socket, code, reason) {
          closed(socket, reason || `closed with code ${code}`)
        },
      },
    })
    return { url: `ws://${hostname}:${server.port}`, close: () => void server.stop(true) }
  } catch (cause) {
    throw new TransportError(
      `cannot listen on ${hostname}:${port}: choose another port (0 picks a free one)`,
      { cause },
    )
  }
}

function connectionOf(socket: ServerWebSocket<Socket>): Connection {
  return {
    send(packet) {
      if (socket.data.isClosed) return 'closed'
      if (socket.data.isWaiting) return 'full'
      // Bytes sent; or -1: all of it queued by the socket; or 0: dropped.
      const result = socket.sendBinary(packet)
      if (result === 0) return socket.readyState === WebSocket.OPEN ? dropped(socket) : 'closed'
      socket.data.isWaiting = socket.getBufferedAmount() > BUFFERED_BYTES_MAX
      return 'sent'
    },
    close(reason) {
      if (socket.data.isClosed) return
      socket.close(1000, reason.slice(0, 100))
      closed(socket, reason)
    },
  }
}

// It cannot be told whether a part has left: the session resumes on a new connection.
function dropped(socket: ServerWebSocket<Socket>): 'closed' {
  socket.terminate()
  closed(socket, 'the socket dropped a packet')
  return 'closed'
}

function closed({ data }: ServerWebSocket<Socket>, reason: string): void {
  if (data.isClosed) return
  data.isClosed = true
  data.events?.closed(reason)
}
