// Running statistics of batch normalisation, kept among the parameters: where a gradient brings a
// minibatch's mean or variance in their place, they follow it, and no optimizer touches them.
import type { Range } from '../parameters.ts'

/** PyTorch's momentum of BatchNorm: running = (1 - momentum) running + momentum batch. */
export const STATISTICS_MOMENTUM = 0.1

/** Moves the running statistics towards the minibatch's, and leaves zeros in the gradient: no step. */
export function followStatistics(
  parameters: Float32Array,
  gradient: Float32Array,
  ranges: readonly Range[],
): void {
  const taken = Math.fround(STATISTICS_MOMENTUM)
  for (const { offset, length } of ranges) {
    for (let i = offset; i < offset + length; i++) {
      const change = Math.fround(gradient[i]! - parameters[i]!)
      parameters[i] = Math.fround(parameters[i]! + Math.fround(taken * change))
      gradient[i] = 0
    }
  }
}
