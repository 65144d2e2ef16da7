// The actor that each worker process of `worker-pool.ts` runs.
import { defineActor, type Infer, next, plain, replyTo, u32, union } from 'troupe/runtime'

const CounterMessage = union({ count: { from: u32, to: u32, replyTo: replyTo<number>() } })
export type CounterMessage = Infer<typeof CounterMessage>

export const primeCounter = defineActor({
  kind: 'prime-counter',
  protocol: CounterMessage,
  config: plain,
  start: () => null,
  receive(state, { from, to, replyTo: asker }) {
    asker.tell(primesBelow(from, to))
    return next(state)
  },
})

/** Primes p with from <= p < to, by the sieve of Eratosthenes. */
export function primesBelow(from: number, to: number): number {
  const isComposite = new Uint8Array(to)
  let count = 0
  for (let n = 2; n < to; n++) {
    if (isComposite[n]) continue
    if (n >= from) count += 1
    for (let multiple = n * n; multiple < to; multiple += n) isComposite[multiple] = 1
  }
  return count
}
