// What to do to a gradient that was computed with older parameters than it is applied to: pure vector
// functions for the `compensate` verdicts. `seen` are the parameters the trainer had pulled.
import { assert } from '../../protocol/assert.ts'

interface Delayed {
  /** Changed in place. */
  readonly gradient: Float32Array
  readonly parameters: Float32Array
  readonly seen: Float32Array
}

/** DC-ASGD-c (Zheng 2017, equation 10): g + lambda g g (w - seen), a diagonal Taylor term. */
export function compensateDelay({ gradient, parameters, seen }: Delayed, lambda: number): void {
  checkLengths(gradient, parameters, seen)
  for (let i = 0; i < gradient.length; i++) {
    const g = gradient[i]!
    gradient[i] = g + lambda * g * g * (parameters[i]! - seen[i]!)
  }
}

/**
 * Gap-aware (Barkai 2020): each coordinate divided by 1 + |w - seen| / (its root mean square step). A
 * coordinate that never moved has no gap, hence no penalty.
 */
export function compensateGap(
  { gradient, parameters, seen }: Delayed,
  stepSquares: Float32Array,
): void {
  checkLengths(gradient, parameters, seen, stepSquares)
  for (let i = 0; i < gradient.length; i++) {
    const gap = Math.abs(parameters[i]! - seen[i]!)
    gradient[i]! /= 1 + gap / (Math.sqrt(stepSquares[i]!) + SMALLEST_STEP)
  }
}

/** Running mean of squared steps, in place. `step` is what `applyGradient` leaves in the gradient. */
export function trackSteps(stepSquares: Float32Array, step: Float32Array, decay: number): void {
  checkLengths(stepSquares, step)
  const taken = 1 - decay
  for (let i = 0; i < step.length; i++) {
    stepSquares[i] = decay * stepSquares[i]! + taken * step[i]! * step[i]!
  }
}

/** Keeps 0 / 0 from becoming NaN where nothing has moved yet. */
const SMALLEST_STEP = 1e-20

function checkLengths(...vectors: readonly Float32Array[]): void {
  const lengths = new Set(vectors.map(({ length }) => length))
  assert(lengths.size === 1, `vectors of one range are equally long, not ${[...lengths]}`)
}
