// Arc posteriors of a lattice in float64: forward and backward sums in the probability domain, each
// frame scaled so that nothing under- or overflows. Equal to the log-domain twin in the tests.
import type { Lattice } from './lattice.ts'

export interface Posteriors {
  /** Log of the sum over all paths. */
  readonly logTotal: number
  /** Per arc; those of one frame sum to 1. */
  readonly arcs: Float64Array
}

/** Forward and backward variables, per state, scaled per frame; what the MBR criteria extend. */
export interface ScaledVariables extends Posteriors {
  readonly alpha: Float64Array
  readonly beta: Float64Array
  /** exp(arc score) / scale of its frame. */
  readonly arcProbability: Float64Array
  readonly finalProbability: Float64Array
}

/** Per-arc additions to the graph score (boosting; -Infinity removes an arc). */
export type ArcBonus = Float64Array | undefined

/**
 * The score of an arc is acousticScale * acoustic + graph + bonus. Returns nothing where no path is left
 * or a score is not finite.
 */
export function forwardBackward(
  lattice: Lattice,
  acousticScale: number,
  bonus?: ArcBonus,
): ScaledVariables | undefined {
  const { frames, timeOffset, arcOffset, arcTarget, finalScore } = lattice
  const states = finalScore.length
  const arcProbability = arcProbabilities(lattice, acousticScale, bonus)
  const alpha = new Float64Array(states)
  const beta = new Float64Array(states)
  const finalProbability = finalScore.map(Math.exp)
  let logTotal = arcProbability.logScale
  const p = arcProbability.values
  alpha.fill(1 / timeOffset[1]!, 0, timeOffset[1]!)
  logTotal += Math.log(timeOffset[1]!)
  for (let t = 0; t < frames; t++) {
    for (let state = timeOffset[t]!; state < timeOffset[t + 1]!; state++) {
      const own = alpha[state]!
      for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
        const target = arcTarget[arc]!
        alpha[target] = alpha[target]! + own * p[arc]!
      }
    }
    const scale = sumOf(alpha, timeOffset[t + 1]!, timeOffset[t + 2]!)
    if (!(scale > 0) || !Number.isFinite(scale)) return undefined
    divide(alpha, scale, timeOffset[t + 1]!, timeOffset[t + 2]!)
    // The arcs take the scale too, so that alpha, arc and beta multiply to a posterior.
    divide(p, scale, arcOffset[timeOffset[t]!]!, arcOffset[timeOffset[t + 1]!]!)
    logTotal += Math.log(scale)
  }
  let end = 0
  for (let state = timeOffset[frames]!; state < states; state++) {
    end += alpha[state]! * finalProbability[state]!
  }
  if (!(end > 0) || !Number.isFinite(end)) return undefined
  logTotal += Math.log(end)
  for (let state = timeOffset[frames]!; state < states; state++) {
    beta[state] = finalProbability[state]! / end
  }
  const arcs = new Float64Array(p.length)
  for (let state = timeOffset[frames]! - 1; state >= 0; state--) {
    let sum = 0
    for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
      const later = p[arc]! * beta[arcTarget[arc]!]!
      arcs[arc] = alpha[state]! * later
      sum += later
    }
    beta[state] = sum
  }
  return { logTotal, arcs, alpha, beta, arcProbability: p, finalProbability }
}

/** exp(score - largest score of its frame); `logScale` is the sum of those largest scores. */
function arcProbabilities(
  lattice: Lattice,
  acousticScale: number,
  bonus: ArcBonus,
): { values: Float64Array; logScale: number } {
  const { frames, timeOffset, arcOffset, arcGraphScore, arcAcousticScore } = lattice
  const values = new Float64Array(arcGraphScore.length)
  for (let arc = 0; arc < values.length; arc++) {
    values[arc] = arcGraphScore[arc]! + acousticScale * arcAcousticScore[arc]!
  }
  if (bonus) for (let arc = 0; arc < values.length; arc++) values[arc] = values[arc]! + bonus[arc]!
  let logScale = 0
  for (let t = 0; t < frames; t++) {
    const start = arcOffset[timeOffset[t]!]!
    const end = arcOffset[timeOffset[t + 1]!]!
    let largest = Number.NEGATIVE_INFINITY
    for (let arc = start; arc < end; arc++) largest = Math.max(largest, values[arc]!)
    for (let arc = start; arc < end; arc++) values[arc] = Math.exp(values[arc]! - largest)
    logScale += largest
  }
  return { values, logScale }
}

/** Adds `weight` times arc quantities to a T x pdfs matrix. */
export function accumulate(
  lattice: Lattice,
  quantities: Float64Array,
  weight: number,
  into: Float64Array,
  pdfs: number,
): void {
  const { frames, timeOffset, arcOffset, arcPdf } = lattice
  for (let t = 0; t < frames; t++) {
    const row = t * pdfs
    const end = arcOffset[timeOffset[t + 1]!]!
    for (let arc = arcOffset[timeOffset[t]!]!; arc < end; arc++) {
      const cell = row + arcPdf[arc]!
      into[cell] = into[cell]! + weight * quantities[arc]!
    }
  }
}

function sumOf(values: Float64Array, start: number, end: number): number {
  let sum = 0
  for (let i = start; i < end; i++) sum += values[i]!
  return sum
}

function divide(values: Float64Array, divisor: number, start: number, end: number): void {
  for (let i = start; i < end; i++) values[i] = values[i]! / divisor
}
