// A connection's first phase, on both sides: one greeting each way before a deadline; then its packets
// go to the link that the greeting led to.
import { ProtocolError } from '../../protocol/codec.ts'
import type { Clock } from '../environment.ts'
import type { ConnectionEvents } from './connection.ts'
import { decodeGreeting, type Greeting } from './hello.ts'

/** Who takes the packets after the greeting: a link, with the connection filled in. */
export interface Reader {
  received(packet: Uint8Array): void
  drained(): void
  closed(cause: string): void
}

export interface Handshake {
  readonly clock: Clock
  readonly deadlineMs: number
  /** The connection is open: the dialling side speaks first. */
  opened(): void
  /** Undefined where the connection is not to go on. */
  greeted(greeting: Greeting): Reader | undefined
  /** Exactly once, where no greeting led to a link. */
  failed(cause: string): void
  /** Ends the connection; `closed` of the returned events follows. */
  close(cause: string): void
}

export function shakeHands(handshake: Handshake): ConnectionEvents {
  const { clock, deadlineMs } = handshake
  let reader: Reader | undefined
  let isOver = false
  const stopClock = clock.after(deadlineMs, () => fail(`no greeting within ${deadlineMs} ms`))

  function fail(cause: string): void {
    if (isOver || reader) return
    isOver = true
    stopClock()
    handshake.failed(cause)
    handshake.close(cause)
  }

  return {
    opened: () => handshake.opened(),
    received(packet) {
      if (reader) return reader.received(packet)
      if (isOver) return
      try {
        reader = handshake.greeted(decodeGreeting(packet))
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error
        return fail(error.message)
      }
      if (reader) stopClock()
      else fail('refused')
    },
    drained: () => reader?.drained(),
    closed(cause) {
      if (reader) reader.closed(cause)
      else fail(cause)
    },
  }
}
