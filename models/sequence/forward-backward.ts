// Arc posteriors of a lattice in float64: forward and backward sums in the probability domain, each
// frame scaled so that nothing under- or overflows. The obvious sums of logs are the specification, and
// take over where a frame's range exceeds float64.
import type { Lattice } from './lattice.ts'

export interface Posteriors {
  /** Log of the sum over all paths. */
  readonly logTotal: number
  /** Per arc; those of one frame sum to 1. */
  readonly arcs: Float64Array
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
): Posteriors | undefined {
  const scores = arcScores(lattice, acousticScale, bonus)
  return scaledForwardBackward(lattice, scores) ?? logForwardBackward(lattice, scores)
}

export function arcScores(
  { arcGraphScore, arcAcousticScore }: Lattice,
  acousticScale: number,
  bonus?: ArcBonus,
): Float64Array {
  const scores = new Float64Array(arcGraphScore.length)
  for (let arc = 0; arc < scores.length; arc++) {
    scores[arc] = arcGraphScore[arc]! + acousticScale * arcAcousticScore[arc]!
  }
  if (bonus) for (let arc = 0; arc < scores.length; arc++) scores[arc] = scores[arc]! + bonus[arc]!
  return scores
}

/** Forward and backward totals must agree this far, in logs (as Kaldi's LatticeForwardBackward). */
const TOTALS_TOLERANCE = 1e-8

/**
 * INV (no underflow): the probability of an arc, or of the paths to a state, is 0 or at least this. Its
 * square is a normal number, so a product is 0 only where no path is. Below, both passes would be wrong
 * alike, and their totals agree.
 */
const PROBABILITY_MIN = 2 ** -500

/** Nothing also where a frame's range, or that of the paths up to it, exceeds `PROBABILITY_MIN`. */
export function scaledForwardBackward(
  lattice: Lattice,
  scores: Float64Array,
): Posteriors | undefined {
  const { frames, timeOffset, arcOffset, arcTarget, finalScore } = lattice
  const states = finalScore.length
  const probabilities = probabilitiesOf(lattice, scores)
  if (!probabilities) return undefined
  const { values: p, logScale } = probabilities
  const alpha = new Float64Array(states)
  const beta = new Float64Array(states)
  let logTotal = logScale
  alpha.fill(1, 0, timeOffset[1]!)
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
    for (let state = timeOffset[t + 1]!; state < timeOffset[t + 2]!; state++) {
      if (alpha[state]! < PROBABILITY_MIN && alpha[state]! > 0) return undefined
    }
    // The arcs take the scale too, so that alpha, arc and beta multiply to a posterior.
    divide(p, scale, arcOffset[timeOffset[t]!]!, arcOffset[timeOffset[t + 1]!]!)
    logTotal += Math.log(scale)
  }
  const last = timeOffset[frames]!
  let best = Number.NEGATIVE_INFINITY
  for (let state = last; state < states; state++)
    if (alpha[state]! > 0) best = Math.max(best, finalScore[state]!)
  let end = 0
  for (let state = last; state < states; state++)
    if (alpha[state]! > 0) end += alpha[state]! * Math.exp(finalScore[state]! - best)
  if (!(end > 0) || !Number.isFinite(end)) return undefined
  logTotal += best + Math.log(end)
  for (let state = last; state < states; state++)
    if (alpha[state]! > 0) beta[state] = Math.exp(finalScore[state]! - best) / end
  const arcs = new Float64Array(p.length)
  for (let state = last - 1; state >= 0; state--) {
    const own = alpha[state]!
    // Its beta, which might be beyond float64, stays 0: no path asks for it.
    if (own === 0) continue
    let sum = 0
    for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
      const later = p[arc]! * beta[arcTarget[arc]!]!
      arcs[arc] = own * later
      sum += later
    }
    beta[state] = sum
  }
  // The invariant makes them agree; were it broken, the sums of logs would still be right.
  const agree = Math.abs(Math.log(sumOf(beta, 0, timeOffset[1]!))) < TOTALS_TOLERANCE
  return agree ? { logTotal, arcs } : undefined
}

/** The same as sums of logs: slower by the logarithms, and sound for scores of any range. */
export function logForwardBackward(
  { frames, timeOffset, arcOffset, arcTarget, finalScore }: Lattice,
  scores: Float64Array,
): Posteriors | undefined {
  const states = finalScore.length
  const last = timeOffset[frames]!
  const alpha = new Float64Array(states).fill(Number.NEGATIVE_INFINITY)
  const beta = finalScore.slice().fill(Number.NEGATIVE_INFINITY, 0, last)
  alpha.fill(0, 0, timeOffset[1]!)
  for (let state = 0; state < last; state++) {
    for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
      const target = arcTarget[arc]!
      alpha[target] = addLogs(alpha[target]!, alpha[state]! + scores[arc]!)
    }
  }
  for (let state = last - 1; state >= 0; state--) {
    for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
      beta[state] = addLogs(beta[state]!, scores[arc]! + beta[arcTarget[arc]!]!)
    }
  }
  let [logTotal, backwardTotal] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (let state = last; state < states; state++) {
    logTotal = addLogs(logTotal, alpha[state]! + finalScore[state]!)
  }
  for (let state = 0; state < timeOffset[1]!; state++) {
    backwardTotal = addLogs(backwardTotal, beta[state]!)
  }
  const tolerance = TOTALS_TOLERANCE * Math.max(1, Math.abs(logTotal))
  // Also false where a total is not finite.
  if (!(Math.abs(logTotal - backwardTotal) < tolerance)) return undefined
  const arcs = new Float64Array(scores.length)
  for (let state = 0; state < last; state++) {
    for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
      arcs[arc] = Math.exp(alpha[state]! + scores[arc]! + beta[arcTarget[arc]!]! - logTotal)
    }
  }
  return { logTotal, arcs }
}

/** log(exp(a) + exp(b)) */
export function addLogs(a: number, b: number): number {
  const [larger, smaller] = a > b ? [a, b] : [b, a]
  if (smaller === Number.NEGATIVE_INFINITY) return larger
  return larger + Math.log1p(Math.exp(smaller - larger))
}

/**
 * exp(score - largest score of its frame); `logScale` is the sum of those largest scores. Nothing where
 * one is below `PROBABILITY_MIN`, arcs that were removed apart.
 */
function probabilitiesOf(
  { frames, timeOffset, arcOffset }: Lattice,
  scores: Float64Array,
): { values: Float64Array; logScale: number } | undefined {
  const values = new Float64Array(scores.length)
  let logScale = 0
  for (let t = 0; t < frames; t++) {
    const start = arcOffset[timeOffset[t]!]!
    const end = arcOffset[timeOffset[t + 1]!]!
    let largest = Number.NEGATIVE_INFINITY
    for (let arc = start; arc < end; arc++) largest = Math.max(largest, scores[arc]!)
    for (let arc = start; arc < end; arc++) {
      const value = Math.exp(scores[arc]! - largest)
      if (value < PROBABILITY_MIN && scores[arc]! > Number.NEGATIVE_INFINITY) return undefined
      values[arc] = value
    }
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
