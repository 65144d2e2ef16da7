// Minimum Bayes risk over frames: sMBR, MPFE and MWE are one computation and differ only in what makes
// a frame right: its pdf, its phone, or its word.
import type { CriterionInput, SequenceLoss } from './criterion.ts'
import { accumulate, forwardBackward } from './forward-backward.ts'

/** Per arc: 1 where its frame counts as right. */
export type FrameAccuracy = Float64Array

export const frameAccuracies = {
  /** sMBR. */
  pdf: (input: CriterionInput) => matching(input, input.lattice.arcPdf, input.alignment.pdfs),
  /** MPFE. */
  phone: (input: CriterionInput) => matching(input, input.lattice.arcPhone, input.alignment.phones),
  /** MWE: silence is a word of its own. */
  word: ({ lattice, alignment }: CriterionInput) =>
    perFrame(lattice, (arc, t) => lattice.arcWord[arc] === alignment.words[t]),
}

// one_silence_class: right where it matches, or both are silence. Otherwise silence is never right.
function matching(
  { lattice, alignment, options }: CriterionInput,
  own: Int32Array,
  reference: Int32Array,
): FrameAccuracy {
  const { arcPhone } = lattice
  return perFrame(lattice, (arc, t) => {
    const matches = own[arc] === reference[t]
    const isSilence = arcPhone[arc] === 0
    if (!options.oneSilenceClass) return matches && !isSilence
    return matches || (isSilence && alignment.phones[t] === 0)
  })
}

function perFrame(
  { frames, timeOffset, arcOffset, arcTarget }: CriterionInput['lattice'],
  isRight: (arc: number, t: number) => boolean,
): FrameAccuracy {
  const accuracy = new Float64Array(arcTarget.length)
  for (let t = 0; t < frames; t++) {
    const end = arcOffset[timeOffset[t + 1]!]!
    for (let arc = arcOffset[timeOffset[t]!]!; arc < end; arc++)
      accuracy[arc] = isRight(arc, t) ? 1 : 0
  }
  return accuracy
}

/**
 * F = expected accuracy; dF/dy = scale * gamma * (accuracy of paths through the arc - F), in two passes
 * over alpha_A and beta_A, the mean accuracies before and after a state (Kaldi,
 * LatticeForwardBackwardMpeVariants).
 */
export function expectedAccuracy(
  { lattice, pdfs, options }: CriterionInput,
  accuracy: FrameAccuracy,
): Omit<SequenceLoss, 'finite'> | undefined {
  const variables = forwardBackward(lattice, options.acousticScale)
  if (!variables) return undefined
  const { alpha, beta, arcProbability: p, finalProbability, arcs } = variables
  const { arcOffset, arcTarget, timeOffset, frames } = lattice
  const states = alpha.length
  // Sums weighted by alpha (beta); divided by it when a state is left: its mean accuracy so far.
  const before = new Float64Array(states)
  const after = new Float64Array(states)
  for (let state = 0; state < timeOffset[frames]!; state++) {
    const own = alpha[state]!
    if (own === 0) continue
    const mean = before[state]! / own
    for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
      const target = arcTarget[arc]!
      before[target] = before[target]! + own * p[arc]! * (mean + accuracy[arc]!)
    }
  }
  let value = 0
  let end = 0
  for (let state = timeOffset[frames]!; state < states; state++) {
    value += before[state]! * finalProbability[state]!
    end += alpha[state]! * finalProbability[state]!
  }
  value /= end
  for (let state = timeOffset[frames]! - 1; state >= 0; state--) {
    let sum = 0
    for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
      const target = arcTarget[arc]!
      sum += p[arc]! * (after[target]! + beta[target]! * accuracy[arc]!)
    }
    after[state] = sum
  }
  const derivative = new Float64Array(arcs.length)
  for (let state = 0; state < timeOffset[frames]!; state++) {
    const mean = alpha[state] === 0 ? 0 : before[state]! / alpha[state]!
    for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
      const target = arcTarget[arc]!
      // A state that reaches no end has beta 0, and its arcs no posterior.
      const rest = beta[target] === 0 ? 0 : after[target]! / beta[target]!
      derivative[arc] = arcs[arc]! * (mean + accuracy[arc]! + rest - value)
    }
  }
  const outer = new Float64Array(frames * pdfs)
  accumulate(lattice, derivative, -options.acousticScale, outer, pdfs)
  return { value, outer, rejectedFrames: 0 }
}
