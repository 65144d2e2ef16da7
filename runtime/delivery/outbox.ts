// What a producer holds until it is confirmed: a bounded buffer, of which a window is on its way. Time
// and answers come in as arguments, what is to be sent and what is settled goes out: no effects here.
import { assert } from '../../protocol/assert.ts'
import { Ring } from '../mailbox.ts'
import type { DeliveryAnswer } from './envelope.ts'

export interface OutboxLimits {
  /** Deliveries that may be on their way; the receiver may allow fewer. Default 50. */
  readonly windowMax: number
  /** Messages that are held, those on their way included; above it `send` says 'full'. Default 1,000. */
  readonly bufferMax: number
  /** From `send` until a message is given up. Default: never. */
  readonly giveUpMs: number
}

export const outboxLimits: OutboxLimits = {
  windowMax: 50,
  bufferMax: 1_000,
  giveUpMs: Number.POSITIVE_INFINITY,
}

export interface Entry<Message> {
  readonly message: Message
  readonly acceptedAt: number
  /** Told how it ended; without a failure it was confirmed. */
  readonly settle: ((failure?: Error) => void) | undefined
}

export interface Outgoing<Message> {
  readonly sequence: number
  readonly message: Message
  readonly answer: boolean
}

/** A life of the receiver, and which of the times that it came to know this producer. */
export interface Session {
  readonly receiver: number
  readonly opening: number
}

type Confirmed = Extract<DeliveryAnswer, { readonly type: 'confirmed' }>

export interface Outbox<Message> {
  /** Accepted and not settled. */
  readonly pending: number
  /** Every delivery up to here is settled. */
  readonly settled: number
  /** The highest delivery that was told to this life of the receiver. */
  readonly sent: number
  /** Who receives, if that is known: without it nothing may be sent but a probe. */
  readonly session: Session | undefined
  /** When the oldest message is given up. */
  readonly expiresAt: number
  push(entry: Entry<Message>): 'accepted' | 'full'
  /** What may be sent now, in order; it counts as sent. */
  take(): readonly Outgoing<Message>[]
  /** Everything from `sequence` on was not sent after all. */
  unsend(sequence: number): void
  /** Returns what it confirms, in order. */
  confirmed(answer: Confirmed): readonly Entry<Message>[]
  /** Returns the oldest message, if it is that one. */
  misunderstood(sequence: number): Entry<Message> | undefined
  /** Returns those that are given up. */
  expire(now: number): readonly Entry<Message>[]
  /** The receiver no longer knows this producer, or is gone; `dead` is a life that will not come back. */
  lost(dead?: number): void
  /** Empties it. */
  clear(): readonly Entry<Message>[]
}

/** So many answers per window: enough that sending never waits for the last of a window. */
const ANSWERS_PER_WINDOW = 4

export function createOutbox<Message>(limits: OutboxLimits = outboxLimits): Outbox<Message> {
  assert(limits.windowMax >= 1 && limits.bufferMax >= 1, 'a window and a buffer of at least one')
  /** Those behind `settled`, in order. */
  const entries = new Ring<Entry<Message>>()
  let settled = 0
  let sent = 0
  let session: Session | undefined
  /** The latest that was ever known. */
  let latest: Session = { receiver: 0, opening: 0 }
  let deadMax = -1
  let window = limits.windowMax

  function settle(through: number): Entry<Message>[] {
    const done: Entry<Message>[] = []
    for (; settled < through; settled++) {
      const entry = entries.take()
      assert(entry !== undefined, 'only what was accepted is settled')
      done.push(entry)
    }
    sent = Math.max(sent, settled)
    return done
  }

  const last = (): number => settled + entries.length

  return {
    get pending() {
      return entries.length
    },
    get settled() {
      return settled
    },
    get sent() {
      return sent
    },
    get session() {
      return session
    },
    get expiresAt() {
      const oldest = entries.peek()
      return oldest ? oldest.acceptedAt + limits.giveUpMs : Number.POSITIVE_INFINITY
    },
    push(entry) {
      if (entries.length >= limits.bufferMax) return 'full'
      entries.push(entry)
      return 'accepted'
    },
    take() {
      if (!session) return []
      const outgoing: Outgoing<Message>[] = []
      const through = Math.min(last(), settled + window)
      const stride = Math.ceil(window / ANSWERS_PER_WINDOW)
      while (sent < through) {
        const sequence = ++sent
        const entry = entries.peek(sequence - settled - 1)
        assert(entry !== undefined, 'what is unsettled is held')
        const answer = sequence === through || sequence % stride === 0
        outgoing.push({ sequence, message: entry.message, answer })
      }
      return outgoing
    },
    unsend(sequence) {
      sent = Math.max(settled, Math.min(sent, sequence - 1))
    },
    confirmed(answer) {
      // An answer to what was never accepted is none of ours.
      if (answer.through > last()) return []
      // INV-1: what was sent again meanwhile is settled by the session that it was sent to, or it would
      // be handled after it was settled.
      if (isLater(latest, answer)) return []
      if (answer.receiver > deadMax && (!session || isLater(answer, session))) {
        session = latest = { receiver: answer.receiver, opening: answer.opening }
        sent = settled
      }
      const done = settle(answer.through)
      if (!session) return done
      window = Math.max(1, Math.min(limits.windowMax, answer.window))
      if (answer.through < answer.sent) sent = Math.max(settled, Math.min(sent, answer.through))
      return done
    },
    misunderstood: (sequence) => (sequence === settled + 1 ? settle(sequence)[0] : undefined),
    expire(now) {
      const expired: Entry<Message>[] = []
      for (let oldest = entries.peek(); oldest; oldest = entries.peek()) {
        if (now - oldest.acceptedAt < limits.giveUpMs) break
        expired.push(...settle(settled + 1))
      }
      return expired
    },
    lost(dead = -1) {
      deadMax = Math.max(deadMax, dead)
      session = undefined
      sent = settled
    },
    clear: () => settle(last()),
  }
}

function isLater(one: Session, other: Session): boolean {
  if (one.receiver !== other.receiver) return one.receiver > other.receiver
  return one.opening > other.opening
}
