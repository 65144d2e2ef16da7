// A message with its addressing: what the runtime routes. The payload stays opaque until the receiving
// actor's schema is known.
import type { Address } from './address.ts'

/** Signals (stop, watch, refusals, membership) never queue behind messages. */
export type Lane = 'signal' | 'message'

export interface Envelope {
  readonly target: Address
  readonly sender?: Address
  readonly lane: Lane
  /** The same in every envelope that one cause led to. */
  readonly trace: number
  /** Of an ask: where in the sender's member the reply, or the refusal, belongs. */
  readonly slot?: number
  readonly payload: unknown
}
