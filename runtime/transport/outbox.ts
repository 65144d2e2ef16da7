// The sending side of one stream: envelopes wait to become numbered packets, and packets are kept until
// the peer has acknowledged them. Positions count the bytes of all packets of the session.
import { ProtocolError } from '../../protocol/codec.ts'
import type { Envelope } from '../../protocol/envelope.ts'
import type { Limits } from '../../protocol/limits.ts'
import type { Parts } from '../../protocol/parts.ts'
import { Ring } from '../mailbox.ts'

export interface Kept {
  readonly sequence: number
  readonly parts: Parts
  readonly envelopes: readonly Envelope[]
  /** Position of its first byte. */
  readonly start: number
  /** Not to be sent before this packet of the stream that it follows. */
  readonly after: number
}

interface Waiting {
  readonly envelope: Envelope
  /** Of its payload, as measured. */
  readonly bytes: number
  /** Envelopes of the followed stream that were there before it. */
  readonly after: number
}

export type Encode = (envelopes: readonly Envelope[], sequence: number) => Parts

export class Outbox {
  readonly #limits: Limits
  /** What has been there before an envelope of this stream is sent before it. */
  readonly #followed: Outbox | undefined
  readonly #released: (envelopes: readonly Envelope[]) => void
  readonly #queue = new Ring<Waiting>()
  readonly #kept = new Ring<Kept>()
  #pushed = 0
  #queuedBytes = 0
  /** Sequence and end of the last packet that was made. */
  #encoded = 0
  #encodedTo = 0
  #acknowledgedTo = 0
  /** Of this connection: the packet that is next, and how far it and those before it have been sent. */
  #next = 1
  #sentTo = 0
  /** Of all connections. */
  #sentToMax = 0

  /** `released` is told what has arrived and been acknowledged. */
  constructor(
    limits: Limits,
    followed?: Outbox,
    released: (envelopes: readonly Envelope[]) => void = () => {},
  ) {
    this.#limits = limits
    this.#followed = followed
    this.#released = released
  }

  get queued(): number {
    return this.#queue.length
  }

  /** Queued, or made and not yet acknowledged. */
  get bytes(): number {
    return this.#queuedBytes + this.#encodedTo - this.#acknowledgedTo
  }

  /** Sent on this connection and not yet acknowledged. */
  get flightBytes(): number {
    return this.#sentTo - this.#acknowledgedTo
  }

  get isIdle(): boolean {
    return this.#queue.length + this.#kept.length === 0
  }

  push(envelope: Envelope, bytes: number): void {
    this.#pushed += 1
    this.#queuedBytes += bytes
    this.#queue.push({ envelope, bytes, after: this.#followed ? this.#followed.#pushed : 0 })
  }

  /** The packet to send next, made where there is none; undefined where nothing may be sent. */
  next(encode: Encode): Kept | undefined {
    const kept = this.#kept.peek(this.#next - 1 - this.#acknowledged) ?? this.#make(encode)
    return kept && this.#isBehind(kept.after) ? kept : undefined
  }

  /** How much of the next packet this connection has seen. */
  offsetOf(kept: Kept): number {
    return this.#sentTo - kept.start
  }

  sent(kept: Kept, bytes: number): void {
    this.#sentTo += bytes
    this.#sentToMax = Math.max(this.#sentToMax, this.#sentTo)
    if (this.#sentTo === kept.start + kept.parts.byteLength) this.#next += 1
  }

  /** Forgets the packets up to `sequence`; `offset` bytes of the one after it have arrived too. */
  acknowledge(sequence: number, offset = 0): void {
    if (!this.#hasSent(sequence, offset)) {
      throw new ProtocolError('an acknowledgement of what was never sent')
    }
    for (let first = this.#kept.peek(); first && first.sequence <= sequence; ) {
      this.#kept.take()
      this.#acknowledgedTo = first.start + first.parts.byteLength
      this.#released(first.envelopes)
      first = this.#kept.peek()
    }
    // An older word than the last one says nothing new.
    if (sequence === this.#acknowledged && offset > 0) {
      const { start = 0 } = this.#kept.peek() ?? {}
      this.#acknowledgedTo = Math.max(this.#acknowledgedTo, start + offset)
    }
    this.#next = Math.max(this.#next, sequence + 1)
    this.#sentTo = Math.max(this.#sentTo, this.#acknowledgedTo)
  }

  /** A new connection goes on from there; false where the peer cannot be there. */
  resume(sequence: number, offset = 0): boolean {
    if (sequence < this.#acknowledged || offset < 0 || !this.#hasSent(sequence, offset))
      return false
    this.acknowledge(sequence, offset)
    this.#next = sequence + 1
    this.#sentTo = this.#acknowledgedTo
    return true
  }

  get #acknowledged(): number {
    return this.#encoded - this.#kept.length
  }

  #hasSent(sequence: number, offset: number): boolean {
    const index = sequence - this.#acknowledged
    if (index < 0) return true
    const { start, parts } = this.#kept.peek(index) ?? {}
    // Behind the last packet there is nothing of which a part could have arrived.
    if (start === undefined) return sequence === this.#encoded && offset === 0 && this.#isAllSent
    const isPart = offset === 0 || offset < (parts?.byteLength ?? 0)
    return isPart && start + offset <= this.#sentToMax
  }

  get #isAllSent(): boolean {
    return this.#encodedTo <= this.#sentToMax
  }

  #isBehind(after: number): boolean {
    return this.#followed === undefined || this.#followed.#next > after
  }

  #make(encode: Encode): Kept | undefined {
    const envelopes = this.#takeBatch()
    if (envelopes.length === 0) return undefined
    const sequence = this.#encoded + 1
    const parts = encode(envelopes, sequence)
    const start = this.#encodedTo
    const after = this.#followed ? this.#followed.#encoded : 0
    const kept = { sequence, parts, envelopes, start, after }
    this.#kept.push(kept)
    this.#encoded = sequence
    this.#encodedTo += parts.byteLength
    return kept
  }

  #takeBatch(): readonly Envelope[] {
    const { batchBytesMax, envelopesMax } = this.#limits
    const batch: Envelope[] = []
    let bytes = 0
    const taken = this.#followed ? this.#followed.#pushed - this.#followed.#queue.length : 0
    for (let next = this.#queue.peek(); next; next = this.#queue.peek()) {
      if (batch.length > 0 && bytes + next.bytes > batchBytesMax) break
      if (batch.length >= envelopesMax || next.after > taken) break
      this.#queue.take()
      batch.push(next.envelope)
      bytes += next.bytes
      this.#queuedBytes -= next.bytes
    }
    return batch
  }
}
