// One peer, across connections: a session of numbered packets that are kept until acknowledged and sent
// again on the next connection, so a lost connection neither loses, repeats nor reorders a message. The
// session itself ends when the peer is gone, and then nothing of it is sent again.
import { decodePacket, encodePacket, measureBytes, ProtocolError } from '../../protocol/codec.ts'
import type { Envelope } from '../../protocol/envelope.ts'
import type { Limits } from '../../protocol/limits.ts'
import type { Resolve } from '../../protocol/schema.ts'
import type { Clock } from '../environment.ts'
import { Ring } from '../mailbox.ts'
import type { Connection } from './connection.ts'

export interface LinkOptions {
  readonly session: number
  readonly clock: Clock
  readonly limits: Limits
  readonly resolve: Resolve
  readonly received: (envelope: Envelope) => void
  /** The connection is gone, the session is not: the dialling side dials again. */
  readonly disconnected: (cause: string) => void
  /** The session is over. Exactly once, and nothing is received after it. */
  readonly ended: (cause: string) => void
}

export interface Link {
  session: number
  readonly isConnected: boolean
  readonly hasBeenConnected: boolean
  readonly isIdle: boolean
  /** The last packet that has arrived. */
  readonly received: number
  /** Throws `ProtocolError` for what cannot travel. */
  enqueue(envelope: Envelope): 'accepted' | 'full'
  /** After the hello: goes on behind the last packet that the peer has received. */
  attach(connection: Connection, peerReceived: number): void
  receive(connection: Connection, bytes: Uint8Array): void
  drained(connection: Connection): void
  detach(connection: Connection, cause: string): void
  end(cause: string): void
}

interface Waiting {
  readonly envelope: Envelope
  readonly bytes: number
}

interface Sent {
  readonly sequence: number
  readonly packet: Uint8Array
}

export function createLink(options: LinkOptions): Link {
  const { clock, limits } = options
  const signals = new Ring<Waiting>()
  const messages = new Ring<Waiting>()
  /** Encoded, not yet acknowledged; oldest first. */
  const unacknowledged = new Ring<Sent>()
  let queuedBytes = 0
  let unacknowledgedBytes = 0
  let lastEncoded = 0
  /** The next packet that this connection has not seen. */
  let nextToSend = 1
  let received = 0
  let acknowledged = 0
  let receivedBytes = 0
  let connection: Connection | undefined
  let hasBeenConnected = false
  let isFlushing = false
  let isEnded = false
  let stopSaying: (() => void) | undefined
  let heardAt = clock.now()
  let saidAt = heardAt
  let tickedAt = heardAt
  let disconnectedAt = heardAt
  let stopClock = clock.after(limits.heartbeatMs, tick)

  function scheduleFlush(): void {
    if (isFlushing || !connection) return
    isFlushing = true
    queueMicrotask(() => {
      isFlushing = false
      flush()
    })
  }

  function flush(): void {
    while (connection) {
      const sent = unacknowledged.peek(nextToSend - 1 - (lastEncoded - unacknowledged.length))
      const packet = sent?.packet ?? encodeBatch()
      if (!packet) break
      if (connection.send(packet) !== 'sent') return
      nextToSend += 1
      saidAt = clock.now()
    }
    const isDue =
      receivedBytes >= limits.acknowledgeBytes ||
      received - acknowledged >= limits.acknowledgePackets
    if (isDue) say()
    else if (received > acknowledged) sayLater()
  }

  // Most packets are acknowledged by the next one that goes the other way.
  function sayLater(): void {
    stopSaying ??= clock.after(limits.acknowledgeMs, () => {
      stopSaying = undefined
      if (received > acknowledged) say()
    })
  }

  /** Signals first; messages only while the window is open. */
  function encodeBatch(): Uint8Array | undefined {
    const batch: Envelope[] = []
    let bytes = 0
    const fill = (queue: Ring<Waiting>): void => {
      for (let next = queue.peek(); next; next = queue.peek()) {
        const isFull = batch.length > 0 && bytes + next.bytes > limits.batchBytesMax
        if (isFull || batch.length >= limits.envelopesMax) return
        queue.take()
        batch.push(next.envelope)
        bytes += next.bytes
        queuedBytes -= next.bytes
      }
    }
    fill(signals)
    if (unacknowledgedBytes < limits.windowBytesMax) fill(messages)
    if (batch.length === 0) return undefined
    lastEncoded += 1
    const packet = encodePacket(batch, { sequence: lastEncoded, acknowledged: acknowledge() })
    unacknowledged.push({ sequence: lastEncoded, packet })
    unacknowledgedBytes += packet.byteLength
    return packet
  }

  function acknowledge(): number {
    acknowledged = received
    receivedBytes = 0
    return received
  }

  /** Says that we are alive and what has arrived. */
  function say(): void {
    connection?.send(encodePacket([], { acknowledged: acknowledge() }))
    saidAt = clock.now()
  }

  function forgetUpTo(sequence: number): void {
    if (sequence > lastEncoded) throw new ProtocolError('an acknowledgement of what was never sent')
    for (let first = unacknowledged.peek(); first && first.sequence <= sequence; ) {
      unacknowledged.take()
      unacknowledgedBytes -= first.packet.byteLength
      first = unacknowledged.peek()
    }
    nextToSend = Math.max(nextToSend, sequence + 1)
  }

  function take(bytes: Uint8Array): void {
    const packet = decodePacket(bytes, options.resolve)
    forgetUpTo(packet.acknowledged)
    if (packet.sequence === 0) {
      if (packet.envelopes.length > 0) throw new ProtocolError('envelopes outside of the sequence')
    } else if (packet.sequence > received + 1) {
      throw new ProtocolError(`packet ${packet.sequence} after ${received}`)
    } else if (packet.sequence === received + 1) {
      received += 1
      receivedBytes += bytes.byteLength
      for (const envelope of packet.envelopes) if (!isEnded) options.received(envelope)
    }
    scheduleFlush()
  }

  function tick(): void {
    stopClock = clock.after(limits.heartbeatMs, tick)
    const now = clock.now()
    // We were not running ourselves (stopped, asleep, busy): what the peer said meanwhile is unread.
    if (now - tickedAt > 2 * limits.heartbeatMs) heardAt = disconnectedAt = now
    tickedAt = now
    if (!connection) {
      const { reconnectMsMax } = limits
      if (now - disconnectedAt >= reconnectMsMax) end(`no connection for ${reconnectMsMax} ms`)
    } else if (now - heardAt >= limits.silenceMsMax) {
      end(`no heartbeat for ${limits.silenceMsMax} ms`)
    } else if (now - saidAt >= limits.heartbeatMs / 2) {
      say()
    }
  }

  function end(cause: string): void {
    if (isEnded) return
    isEnded = true
    stopClock()
    stopSaying?.()
    const last = connection
    connection = undefined
    last?.close(cause)
    options.ended(cause)
  }

  return {
    session: options.session,
    get isConnected() {
      return connection !== undefined
    },
    get hasBeenConnected() {
      return hasBeenConnected
    },
    get isIdle() {
      return signals.length + messages.length + unacknowledged.length === 0
    },
    get received() {
      return received
    },
    enqueue(envelope) {
      const bytes = 64 + measureBytes(envelope.payload)
      if (bytes > limits.packetBytesMax) {
        throw new ProtocolError(`a message of ${bytes} bytes: above packetBytesMax, split it`)
      }
      const isSignal = envelope.lane === 'signal'
      const total = queuedBytes + unacknowledgedBytes + bytes
      if (!isSignal && total > limits.linkQueueBytesMax) return 'full'
      queuedBytes += bytes
      const queue = isSignal ? signals : messages
      queue.push({ envelope, bytes })
      if (signals.length > limits.linkSignalsMax) end('its signals were not read')
      scheduleFlush()
      return 'accepted'
    },
    attach(next, peerReceived) {
      const previous = connection
      connection = next
      previous?.close('replaced by a new connection')
      hasBeenConnected = true
      heardAt = saidAt = clock.now()
      const isKept = peerReceived >= lastEncoded - unacknowledged.length
      if (peerReceived > lastEncoded || !isKept) return end('the peer is in another session')
      nextToSend = 0
      forgetUpTo(peerReceived)
      scheduleFlush()
    },
    receive(from, bytes) {
      if (from !== connection) return
      heardAt = clock.now()
      try {
        take(bytes)
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error
        // The same packet would come again on the next connection: the session is beyond repair.
        end(`protocol error: ${error.message}`)
      }
    },
    drained(from) {
      if (from === connection) flush()
    },
    detach(from, cause) {
      if (from !== connection) return
      connection = undefined
      disconnectedAt = clock.now()
      options.disconnected(cause)
    },
    end,
  }
}
