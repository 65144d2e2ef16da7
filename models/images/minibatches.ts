// Which images a step trains on: a function of the seed and the number of the step alone.
import { randomFor } from '../../protocol/random.ts'

export interface ImageMinibatches {
  readonly stepsPerEpoch: number
  of(sequence: number): { readonly indices: Uint32Array; readonly epoch: number }
}

/**
 * Every epoch is a new permutation. Every minibatch is full: the last of an epoch is filled up with the
 * images that the epoch began with.
 */
export function imageMinibatches({
  seed,
  count,
  batch,
}: {
  readonly seed: number
  readonly count: number
  readonly batch: number
}): ImageMinibatches {
  const stepsPerEpoch = Math.ceil(count / batch)
  let known: { readonly epoch: number; readonly order: Uint32Array } | undefined
  return {
    stepsPerEpoch,
    of(sequence) {
      const epoch = Math.floor(sequence / stepsPerEpoch)
      if (known?.epoch !== epoch) known = { epoch, order: permutation(seed, epoch, count) }
      const { order } = known
      const from = (sequence % stepsPerEpoch) * batch
      const indices = Uint32Array.from(
        { length: batch },
        (_, index) => order[(from + index) % count] ?? 0,
      )
      return { indices, epoch }
    },
  }
}

/** Fisher and Yates. */
function permutation(seed: number, epoch: number, count: number): Uint32Array {
  const random = randomFor(seed, 'images', epoch)
  const order = Uint32Array.from({ length: count }, (_, index) => index)
  for (let last = count - 1; last > 0; last--) {
    const other = random.below(last + 1)
    const kept = order[last] ?? 0
    order[last] = order[other] ?? 0
    order[other] = kept
  }
  return order
}
