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
 * LatticeForwardBackwardMpeVariants). Its exp(alpha[s] + w - alpha[s']) is the share gamma(arc) /
 * gamma(s') of a state's posterior, so arc posteriors are all that is needed.
 */
export function expectedAccuracy(
  { lattice, pdfs, options }: CriterionInput,
  accuracy: FrameAccuracy,
): Omit<SequenceLoss, 'finite'> | undefined {
  const posteriors = forwardBackward(lattice, options.acousticScale)
  if (!posteriors) return undefined
  const gamma = posteriors.arcs
  const { arcOffset, arcTarget, timeOffset, frames } = lattice
  const states = lattice.finalScore.length
  const last = timeOffset[frames]!
  const before = new Float64Array(states)
  const reached = new Float64Array(states)
  for (let state = 0; state < last; state++) {
    before[state] = meanOf(before[state]!, reached[state]!)
    for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
      const target = arcTarget[arc]!
      before[target] = before[target]! + gamma[arc]! * (before[state]! + accuracy[arc]!)
      reached[target] = reached[target]! + gamma[arc]!
    }
  }
  const after = new Float64Array(states)
  let value = 0
  for (let state = last - 1; state >= 0; state--) {
    let [sum, left] = [0, 0]
    for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
      sum += gamma[arc]! * (accuracy[arc]! + after[arcTarget[arc]!]!)
      left += gamma[arc]!
    }
    after[state] = meanOf(sum, left)
    // The states of time 0 share the whole posterior.
    if (state < timeOffset[1]!) value += sum
  }
  const derivative = new Float64Array(gamma.length)
  for (let state = 0; state < last; state++) {
    for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
      const through = before[state]! + accuracy[arc]! + after[arcTarget[arc]!]!
      derivative[arc] = gamma[arc]! * (through - value)
    }
  }
  const outer = new Float64Array(frames * pdfs)
  accumulate(lattice, derivative, -options.acousticScale, outer, pdfs)
  return { value, outer, frames, rejectedFrames: 0 }
}

/** A dead end, or a state that nothing reaches, has no posterior; nor have its arcs. */
function meanOf(sum: number, weight: number): number {
  return weight === 0 ? 0 : sum / weight
}
