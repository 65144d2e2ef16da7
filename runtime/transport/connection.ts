// A connection carries whole packets in order until it closes. Nothing here knows what a packet says.

export interface Transport {
  /** Listens on loopback unless told otherwise; port 0 picks a free one. Throws `TransportError`. */
  listen(options: ListenOptions): Promise<Listener>
  connect(url: string, events: ConnectionEvents): Connection
}

export interface ListenOptions {
  readonly hostname: string
  readonly port: number
  accept(connection: Connection): ConnectionEvents
}

export interface Listener {
  readonly url: string
  close(): void
}

export interface Connection {
  /** Obeyed by the link: `full` means not sent, try again after `drained`. */
  send(packet: Uint8Array): 'sent' | 'full' | 'closed'
  close(reason: string): void
}

export interface ConnectionEvents {
  opened(): void
  received(packet: Uint8Array): void
  drained(): void
  /** Exactly once, also when the connection never opened. */
  closed(reason: string): void
}

/** As much of it as fits into a close frame, which a WebSocket refuses to exceed: 123 bytes of UTF-8. */
export function closeReason(reason: string): string {
  const bytes = new TextEncoder().encode(reason).subarray(0, 123)
  // `stream`: half a character at the end is left out.
  return new TextDecoder().decode(bytes, { stream: true })
}

export class TransportError extends Error {
  override readonly name = 'TransportError'
}
