// Maximum mutual information, plain and boosted: log of the reference's share of the lattice.
import type { CriterionInput, SequenceLoss } from './criterion.ts'
import { accumulate, forwardBackward } from './forward-backward.ts'

/** Below this a reference pdf counts as missing from the denominator (Kaldi, nnet-train-mmi-sequential). */
const REJECTION_POSTERIOR = 1e-20

/**
 * F = numerator - denominator; -dF/dy = scale * (gamma_denominator - gamma_numerator). With the forced
 * path as numerator its graph score is left out: a constant of the utterance.
 */
export function maximumMutualInformation(
  input: CriterionInput,
): Omit<SequenceLoss, 'finite'> | undefined {
  const { lattice, alignment, pdfs, options } = input
  const { acousticScale } = options
  const denominator = forwardBackward(lattice, acousticScale, boostOf(input))
  if (!denominator) return undefined
  const outer = new Float64Array(lattice.frames * pdfs)
  accumulate(lattice, denominator.arcs, acousticScale, outer, pdfs)
  const rejected = new Set<number>()
  for (let t = 0; options.frameRejection && t < lattice.frames; t++) {
    const reference = outer[t * pdfs + alignment.pdfs[t]!]!
    if (reference < REJECTION_POSTERIOR * acousticScale) rejected.add(t)
  }
  const { numerator } = options
  const restricted =
    numerator === 'alignment'
      ? undefined
      : forwardBackward(lattice, acousticScale, toleranceOf(input, numerator.toleranceFrames))
  let value = -denominator.logTotal
  if (restricted) {
    accumulate(lattice, restricted.arcs, -acousticScale, outer, pdfs)
    value += restricted.logTotal
  } else {
    // Also where no path is left within the tolerance.
    value += acousticScale * referenceScore(input)
    alignment.pdfs.forEach((pdf, t) => {
      outer[t * pdfs + pdf] = outer[t * pdfs + pdf]! - acousticScale
    })
  }
  for (const t of rejected) outer.fill(0, t * pdfs, (t + 1) * pdfs)
  return { value, outer, rejectedFrames: rejected.size }
}

/** Boosting adds b per wrong frame to the score (Kaldi, LatticeBoost, which subtracts it from the cost). */
function boostOf({ lattice, alignment, options }: CriterionInput): Float64Array | undefined {
  const { boost, boostUnit } = options
  if (boost === 0) return undefined
  const [own, reference] =
    boostUnit === 'phone'
      ? [lattice.arcPhone, alignment.phones]
      : [lattice.arcWord, alignment.words]
  // Silence is never an error: boosting it would ask for insertions (Kaldi, max_silence_error = 0).
  return perArc(lattice.frames, lattice, (arc, t) =>
    own[arc] === reference[t] || own[arc] === 0 ? 0 : boost,
  )
}

function toleranceOf({ lattice, alignment }: CriterionInput, tolerance: number): Float64Array {
  const { words } = alignment
  const allowed = Array.from(
    words,
    (_, t) => new Set(words.subarray(Math.max(0, t - tolerance), t + tolerance + 1)),
  )
  return perArc(lattice.frames, lattice, (arc, t) =>
    allowed[t]?.has(lattice.arcWord[arc]!) ? 0 : Number.NEGATIVE_INFINITY,
  )
}

function perArc(
  frames: number,
  { timeOffset, arcOffset, arcTarget }: CriterionInput['lattice'],
  valueOf: (arc: number, t: number) => number,
): Float64Array {
  const values = new Float64Array(arcTarget.length)
  for (let t = 0; t < frames; t++) {
    const end = arcOffset[timeOffset[t + 1]!]!
    for (let arc = arcOffset[timeOffset[t]!]!; arc < end; arc++) values[arc] = valueOf(arc, t)
  }
  return values
}

function referenceScore({ alignment, scores, pdfs }: CriterionInput): number {
  let sum = 0
  alignment.pdfs.forEach((pdf, t) => {
    sum += scores[t * pdfs + pdf]!
  })
  return sum
}
