// Maximum mutual information, plain and boosted: log of the reference's share of the lattice.
import type { CriterionInput, SequenceLoss } from './criterion.ts'
import { accumulate, forwardBackward } from './forward-backward.ts'

/** Below this a reference pdf counts as missing from the denominator (Kaldi, nnet-train-mmi-sequential). */
const REJECTION_POSTERIOR = 1e-20

/**
 * F = numerator - denominator; -dF/dy = scale * (gamma_denominator - gamma_numerator). With the forced
 * path as numerator its graph score is left out, a constant of the utterance, so F may exceed 0. That
 * path need not be in the lattice: where its pdf is not, nothing in the denominator limits how far the
 * frame is pushed, which is what frame rejection is for. With a tolerance F is the log posterior of the
 * allowed paths; where the lattice has none (pruned, early in training) the forced path stands in.
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
    value += acousticScale * referenceScore(input)
    alignment.pdfs.forEach((pdf, t) => {
      outer[t * pdfs + pdf] = outer[t * pdfs + pdf]! - acousticScale
    })
  }
  for (const t of rejected) outer.fill(0, t * pdfs, (t + 1) * pdfs)
  return { value, outer, frames: lattice.frames, rejectedFrames: rejected.size }
}

/**
 * Boosting adds b per wrong frame to the score (Kaldi, LatticeBoost, which subtracts it from the cost);
 * -b per right frame gives the same posteriors, for it differs by the same b in every frame. A frame of
 * hypothesised silence counts maxSilenceError: boosting silence in full asks for insertions.
 */
function boostOf({ lattice, alignment, options }: CriterionInput): Float64Array | undefined {
  const { boost, boostUnit, maxSilenceError = 0 } = options
  if (boost === 0) return undefined
  const [own, reference] =
    boostUnit === 'phone'
      ? [lattice.arcPhone, alignment.phones]
      : [lattice.arcWord, alignment.words]
  return perArc(lattice, (arc, t) => {
    if (own[arc] === reference[t]) return 0
    return own[arc] === 0 ? boost * maxSilenceError : boost
  })
}

/** Removes arcs whose word is not the aligned one of a frame within the tolerance. */
function toleranceOf({ lattice, alignment }: CriterionInput, tolerance: number): Float64Array {
  const { words } = alignment
  const larger = (a: number, b: number): number => Math.max(a, b)
  const wordCount = 1 + lattice.arcWord.reduce(larger, words.reduce(larger, 0))
  // Per frame and word, how many frames of the window are aligned to it; the window slides.
  const inWindow = new Int32Array(wordCount)
  let [first, end] = [0, 0]
  return perArc(lattice, (arc, t) => {
    for (; end < Math.min(words.length, t + tolerance + 1); end++) inWindow[words[end]!]! += 1
    for (; first < t - tolerance; first++) inWindow[words[first]!]! -= 1
    return inWindow[lattice.arcWord[arc]!] === 0 ? Number.NEGATIVE_INFINITY : 0
  })
}

/** `score` is called frame by frame. */
function perArc(
  { frames, timeOffset, arcOffset, arcTarget }: CriterionInput['lattice'],
  score: (arc: number, t: number) => number,
): Float64Array {
  const values = new Float64Array(arcTarget.length)
  for (let t = 0; t < frames; t++) {
    const end = arcOffset[timeOffset[t + 1]!]!
    for (let arc = arcOffset[timeOffset[t]!]!; arc < end; arc++) values[arc] = score(arc, t)
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
