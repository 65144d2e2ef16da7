// A message with its addressing: what the runtime routes. The payload stays opaque until the receiving
// actor's schema is known.
import type { Address } from './address.ts'

/** Signals (stop, watch, refusals, membership) never queue behind messages. */
export type Lane = 'signal' | 'message'

export interface Envelope {
  readonly target: Address
  readonly sender?: Address
  readonly lane: Lane
  /**
   * W3C `traceparent`, the same trace id in every envelope that one cause led to. Absent where nothing led
   * to this one: its receiver begins a trace as soon as one is needed.
   */
  readonly trace?: string | undefined
  /** Of an ask: where in the sender's member the reply, or the refusal, belongs. */
  readonly slot?: number
  readonly payload: unknown
}
