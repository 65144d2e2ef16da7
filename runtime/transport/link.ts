// One peer, across connections: a session of numbered packets that are kept until acknowledged and sent
// again on the next connection, so a lost connection neither loses, repeats nor reorders a message. The
// session itself ends when the peer is gone, and then nothing of it is sent again.
//
// Three streams share the connection. Signals go first and wait for nothing; messages, and the pieces of
// large ones (bulk), take turns while the window is open. A message to an actor that a large one is on
// its way to follows it in the bulk stream: what one actor sends another keeps its order.
import {
  decodePacket,
  encodePacket,
  encodeParts,
  encodePieces,
  type Packet,
  type Position,
  ProtocolError,
  START,
  type Stream,
} from '../../protocol/codec.ts'
import type { Envelope } from '../../protocol/envelope.ts'
import type { Limits } from '../../protocol/limits.ts'
import { measureBytes } from '../../protocol/measure.ts'
import { join, pieceOf } from '../../protocol/parts.ts'
import type { Resolve } from '../../protocol/schema.ts'
import type { Clock } from '../environment.ts'
import { createAssembly } from './assembly.ts'
import type { Connection } from './connection.ts'
import { createGate, type Gate, type LinkFault } from './gate.ts'
import { type Kept, Outbox } from './outbox.ts'

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

/** Bytes since the link began; a reader makes rates of two looks. */
export interface LinkTraffic {
  readonly queueBytes: number
  readonly sentBytes: number
  readonly receivedBytes: number
}

export interface Link {
  session: number
  readonly traffic: LinkTraffic
  readonly isConnected: boolean
  readonly hasBeenConnected: boolean
  readonly isIdle: boolean
  /** What has arrived. */
  readonly received: Position
  /** Throws `ProtocolError` for what cannot travel. */
  enqueue(envelope: Envelope): 'accepted' | 'full'
  /** After the hello: goes on behind what the peer has received. */
  attach(connection: Connection, peerReceived: Position): void
  receive(connection: Connection, bytes: Uint8Array): void
  drained(connection: Connection): void
  detach(connection: Connection, cause: string): void
  end(cause: string): void
  /** For chaos. */
  fault(fault: LinkFault, durationMs: number): void
}

type Sending = 'sent' | 'nothing' | 'stuck'

export function createLink(options: LinkOptions): Link {
  const { clock, limits } = options
  const signals = new Outbox(limits)
  const messages = new Outbox(limits)
  const bulk = new Outbox(limits, messages, released)
  const outboxes = { signals, messages, bulk }
  const assembly = createAssembly(limits.packetBytesMax)
  const acknowledgeBytes = Math.min(limits.acknowledgeBytes, limits.windowBytesMax / 3)
  /** Path -> envelopes of the bulk stream that are not yet acknowledged. */
  const bulkPaths = new Map<string, number>()
  let isBulksTurn = false
  /** Of that packet so many bytes are announced and not yet sent. */
  let announced: { readonly kept: Kept; left: number } | undefined
  const received = { ...START }
  let isUnsaid = false
  let unsaidPackets = 0
  let unsaidBytes = 0
  let sentBytes = 0
  let receivedBytes = 0
  /** Absent until there is a fault. */
  let gate: Gate | undefined
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
    queueMicrotask(flush)
  }

  function flush(): void {
    isFlushing = false
    try {
      while (connection && sendNext() === 'sent') saidAt = clock.now()
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      // It could travel when it was sent: somebody has written to it since.
      end(`a message was changed after it was sent: ${error.message}`)
    }
    if (isSayingDue()) say()
    else if (isUnsaid) sayLater()
  }

  function sendNext(): Sending {
    if (announced) return sendPiece(announced)
    const sending = sendFrom('signals')
    if (sending !== 'nothing') return sending
    if (messages.flightBytes + bulk.flightBytes >= limits.windowBytesMax) return 'nothing'
    isBulksTurn = !isBulksTurn
    const first = sendFrom(isBulksTurn ? 'bulk' : 'messages')
    return first === 'nothing' ? sendFrom(isBulksTurn ? 'messages' : 'bulk') : first
  }

  function sendFrom(stream: Stream): Sending {
    let isFresh = false
    const outbox = outboxes[stream]
    const kept = outbox.next((envelopes, sequence) => {
      isFresh = true
      return encodeParts(envelopes, { stream, sequence, acknowledged: received })
    })
    if (!kept) return 'nothing'
    const at = outbox.offsetOf(kept)
    const { byteLength: total } = kept.parts
    const isWhole = stream !== 'bulk' || (at === 0 && total <= limits.pieceBytesMax)
    if (!isWhole) return announce(kept, at)
    if (!send(join(kept.parts))) return 'stuck'
    outbox.sent(kept, total)
    if (isFresh) said()
    return 'sent'
  }

  function send(packet: Uint8Array): boolean {
    if (gate?.isShut || connection?.send(packet) !== 'sent') return false
    sentBytes += packet.byteLength
    return true
  }

  function announce(kept: Kept, at: number): Sending {
    const { sequence, parts } = kept
    const total = parts.byteLength
    const room = limits.windowBytesMax - messages.flightBytes - bulk.flightBytes
    const bytes = Math.min(total - at, limits.runBytesMax, room)
    const announcement = encodePieces({ sequence, acknowledged: received, at, bytes, total })
    if (!send(announcement)) return 'stuck'
    said()
    announced = { kept, left: bytes }
    return 'sent'
  }

  function sendPiece(run: { readonly kept: Kept; left: number }): Sending {
    const { kept, left } = run
    const at = bulk.offsetOf(kept)
    const piece = pieceOf(kept.parts, at, Math.min(left, limits.pieceBytesMax))
    if (!send(piece)) return 'stuck'
    bulk.sent(kept, piece.byteLength)
    run.left -= piece.byteLength
    if (run.left === 0) announced = undefined
    return 'sent'
  }

  // Most packets are acknowledged by the next one that goes the other way.
  function sayLater(): void {
    stopSaying ??= clock.after(limits.acknowledgeMs, () => {
      stopSaying = undefined
      if (isUnsaid) say()
    })
  }

  /** Says that we are alive and what has arrived. */
  function say(): void {
    // Between an announcement and the last of its bytes nothing may be said.
    if (announced || !send(encodePacket([], { acknowledged: received }))) return
    said()
    saidAt = clock.now()
  }

  function said(): void {
    isUnsaid = false
    unsaidBytes = unsaidPackets = 0
  }

  function isSayingDue(): boolean {
    return unsaidBytes >= acknowledgeBytes || unsaidPackets >= limits.acknowledgePackets
  }

  function released(envelopes: readonly Envelope[]): void {
    for (const { target } of envelopes) {
      const left = (bulkPaths.get(target.path) ?? 0) - 1
      if (left > 0) bulkPaths.set(target.path, left)
      else bulkPaths.delete(target.path)
    }
  }

  function take(bytes: Uint8Array): void {
    if (assembly.isExpecting) return takePiece(bytes)
    const packet = decodePacket(bytes, options.resolve)
    const { acknowledged: peer } = packet
    signals.acknowledge(peer.signals)
    messages.acknowledge(peer.messages)
    bulk.acknowledge(peer.bulk, peer.offset)
    if (packet.type === 'batch') return takeBatch(packet, bytes.byteLength)
    if (packet.sequence !== received.bulk + 1) {
      throw new ProtocolError(`pieces of packet ${packet.sequence} after ${received.bulk}`)
    }
    assembly.expect(packet)
  }

  function takePiece(bytes: Uint8Array): void {
    const whole = assembly.add(bytes)
    received.offset = assembly.offset
    if (!whole) return arrived(bytes.byteLength)
    const packet = decodePacket(whole, options.resolve)
    if (packet.type !== 'batch' || packet.stream !== 'bulk') {
      throw new ProtocolError('pieces that are no bulk packet')
    }
    takeBatch(packet, bytes.byteLength)
  }

  function takeBatch(packet: Packet & { readonly type: 'batch' }, bytes: number): void {
    const { stream, sequence, envelopes } = packet
    if (sequence === 0) {
      if (envelopes.length > 0) throw new ProtocolError('envelopes outside of the sequence')
      return
    }
    if (stream === 'bulk' && assembly.offset > 0) throw new ProtocolError('a packet within another')
    const last = received[stream]
    if (sequence > last + 1) throw new ProtocolError(`packet ${sequence} after ${last}`)
    if (sequence <= last) return
    received[stream] = sequence
    arrived(bytes)
    for (const envelope of envelopes) if (!isEnded) options.received(envelope)
  }

  function arrived(bytes: number): void {
    isUnsaid = true
    unsaidPackets += 1
    unsaidBytes += bytes
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

  function receive(from: Connection, bytes: Uint8Array): void {
    if (from !== connection) return
    receivedBytes += bytes.byteLength
    heardAt = clock.now()
    try {
      take(bytes)
      // In the middle of a run there is nothing new to send.
      if (!assembly.isExpecting || isSayingDue()) scheduleFlush()
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      // The same packet would come again on the next connection: the session is beyond repair.
      end(`protocol error: ${error.message}`)
    }
  }

  /** Pieces begun on the former connection go on behind the last byte that has arrived. */
  function startAfresh(next: Connection | undefined): void {
    connection = next
    announced = undefined
    assembly.interrupt()
  }

  return {
    session: options.session,
    get isConnected() {
      return connection !== undefined
    },
    get hasBeenConnected() {
      return hasBeenConnected
    },
    get traffic() {
      return { queueBytes: signals.bytes + messages.bytes + bulk.bytes, sentBytes, receivedBytes }
    },
    get isIdle() {
      return signals.isIdle && messages.isIdle && bulk.isIdle
    },
    get received() {
      return { ...received }
    },
    enqueue(envelope) {
      const bytes = 64 + measureBytes(envelope.payload)
      const isSignal = envelope.lane === 'signal'
      const bytesMax = isSignal ? limits.socketMessageBytesMax : limits.packetBytesMax
      if (bytes > bytesMax)
        throw new ProtocolError(`a ${envelope.lane} of ${bytes} bytes: split it`)
      if (isSignal) {
        signals.push(envelope, bytes)
        if (signals.queued > limits.linkSignalsMax) end('its signals were not read')
      } else {
        const total = signals.bytes + messages.bytes + bulk.bytes + bytes
        if (total > limits.linkQueueBytesMax) return 'full'
        const { path } = envelope.target
        const before = bulkPaths.get(path) ?? 0
        const isBulk = bytes > limits.pieceBytesMax || before > 0
        if (isBulk) bulkPaths.set(path, before + 1)
        const outbox = isBulk ? bulk : messages
        outbox.push(envelope, bytes)
      }
      scheduleFlush()
      return 'accepted'
    },
    attach(next, peer) {
      const previous = connection
      startAfresh(next)
      previous?.close('replaced by a new connection')
      hasBeenConnected = true
      heardAt = saidAt = clock.now()
      const isKnown =
        signals.resume(peer.signals) &&
        messages.resume(peer.messages) &&
        bulk.resume(peer.bulk, peer.offset)
      if (!isKnown) return end('the peer is in another session')
      scheduleFlush()
    },
    receive(from, bytes) {
      if (gate) gate.pass(() => receive(from, bytes))
      else receive(from, bytes)
    },
    drained(from) {
      if (from === connection) flush()
    },
    detach(from, cause) {
      if (from !== connection) return
      startAfresh(undefined)
      disconnectedAt = clock.now()
      options.disconnected(cause)
    },
    end,
    fault(fault, durationMs) {
      gate ??= createGate(clock, scheduleFlush)
      gate.hold(fault, durationMs)
    },
  }
}
