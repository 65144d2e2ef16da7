// The accepting side on Deno: `Deno.serve`, each request upgraded to the standard WebSocket class. No idle
// time-out (the link has heartbeats); compression is not offered. Deno refuses messages of 64 MiB and
// more by itself.
import { limits } from '../../protocol/limits.ts'
import type { Clock } from '../environment.ts'
import {
  type Connection,
  type ConnectionEvents,
  closeReason,
  type Listener,
  type ListenOptions,
  TransportError,
} from './connection.ts'
import type { DenoApi } from './deno-api.ts'

/** Above it the connection says `full`; the class has no event for the end of that, so it is polled. */
const BUFFERED_BYTES_MAX = 8 << 20
const DRAIN_POLL_MS = 2

/** Throws `TransportError`. */
export async function listenOnDeno(
  { serve, upgradeWebSocket }: DenoApi,
  clock: Clock,
  { hostname, port, accept }: ListenOptions,
): Promise<Listener> {
  const connections = new Set<Connection>()
  // A graceful end would wait for a peer that never reads.
  const end = new AbortController()
  try {
    const server = serve({ hostname, port, signal: end.signal, onListen() {} }, (request) => {
      if (!isUpgrade(request)) return new Response('this port speaks WebSocket\n', { status: 426 })
      const { socket, response } = upgradeWebSocket(request, { idleTimeout: 0 })
      carry({ clock, socket, accept, connections })
      return response
    })
    return {
      url: `ws://${hostname}:${server.addr.port}`,
      close() {
        for (const connection of [...connections]) connection.close('the listener was closed')
        end.abort()
      },
    }
  } catch (cause) {
    const isRefused = cause instanceof Error && cause.name === 'NotCapable'
    const advice = isRefused
      ? 'run it with --allow-net'
      : 'choose another port (0 picks a free one)'
    throw new TransportError(`cannot listen on ${hostname}:${port}: ${advice}`, { cause })
  }
}

/** What `upgradeWebSocket` would throw for. */
function isUpgrade({ headers }: Request): boolean {
  return headers.get('upgrade')?.toLowerCase() === 'websocket' && headers.has('sec-websocket-key')
}

interface Carried extends Pick<ListenOptions, 'accept'> {
  readonly clock: Clock
  readonly socket: WebSocket
  /** Those that are open. */
  readonly connections: Set<Connection>
}

function carry({ clock, socket, accept, connections }: Carried): void {
  let events: ConnectionEvents | undefined
  let isWaiting = false
  let isClosed = false
  let error = ''

  const closed = (reason: string): void => {
    if (isClosed) return
    isClosed = true
    connections.delete(connection)
    events?.closed(reason)
  }
  const poll = (): void => {
    if (isClosed) return
    if (socket.bufferedAmount > BUFFERED_BYTES_MAX) return void clock.after(DRAIN_POLL_MS, poll)
    isWaiting = false
    events?.drained()
  }
  const connection: Connection = {
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
      if (isClosed) return
      socket.close(1000, closeReason(reason))
      closed(reason)
    },
  }

  socket.binaryType = 'arraybuffer'
  socket.onopen = () => {
    connections.add(connection)
    events = accept(connection)
    events.opened()
  }
  socket.onmessage = ({ data }) => {
    if (isClosed) return
    if (data instanceof ArrayBuffer && data.byteLength <= limits.socketMessageBytesMax) {
      events?.received(new Uint8Array(data))
    } else {
      socket.close(1003, 'a message that is no packet')
      closed('a message that is no packet')
    }
  }
  // Always followed by a close, which on Deno does not say why.
  socket.onerror = (event) => {
    if ('message' in event) error = String(event.message)
  }
  socket.onclose = ({ code, reason }) => closed(reason || error || `closed with code ${code}`)
}
