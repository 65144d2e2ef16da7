// An averaged copy of the parameters, for evaluation: it follows the live ones with a weight per update.
import { assert } from '../../protocol/assert.ts'

export type Average =
  /** Exponential: avg = decay avg + (1 - decay) w. `debias` weighs the first updates as Adam does. */
  | { readonly name: 'exponential'; readonly decay: number; readonly debias: boolean }
  /** Exponential with decay min(decay, (1 + t) / (10 + t)): TensorFlow's, given the number of updates. */
  | { readonly name: 'ramped'; readonly decay: number }
  /** Plain mean of the parameters after each update from `fromUpdate` on (Polyak and Juditsky 1992). */
  | { readonly name: 'polyak'; readonly fromUpdate: number }

/**
 * How far the average moves towards the live parameters after update number `update` (from 0). 1 copies
 * them, so the first update of a debiased average needs no initial value.
 */
export function averageWeight(average: Average, update: number): number {
  switch (average.name) {
    case 'exponential': {
      const { decay, debias } = average
      // Sum of the weights so far, 1 - decay^t, divides out: Kingma and Ba 2015, section 3.
      return debias ? (1 - decay) / (1 - decay ** (update + 1)) : 1 - decay
    }
    case 'ramped':
      return 1 - Math.min(average.decay, (1 + update) / (10 + update))
    case 'polyak':
      return 1 / Math.max(1, update - average.fromUpdate + 1)
  }
}

/** average = (1 - weight) average + weight parameters, in place. */
export function follow(average: Float32Array, parameters: Float32Array, weight: number): void {
  assert(average.length === parameters.length, 'an average is as long as its parameters')
  const kept = 1 - weight
  for (let i = 0; i < average.length; i++) {
    average[i] = kept * average[i]! + weight * parameters[i]!
  }
}
