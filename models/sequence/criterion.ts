// The sequence criteria and their outer derivatives, one row each: from a lattice and an alignment to
// the loss and dLoss/dScores. Formulae as in Kaldi's lattice-functions.cc; float64 inside.
import { assert } from '../../protocol/assert.ts'
import type { Alignment } from './decoding-graph.ts'
import type { Lattice } from './lattice.ts'
import { expectedAccuracy, frameAccuracies } from './minimum-bayes-risk.ts'
import { maximumMutualInformation } from './mmi.ts'

export type SequenceCriterion = 'mmi' | 'bmmi' | 'mpfe' | 'mwe' | 'smbr'

export interface CriterionOptions {
  readonly acousticScale: number
  /** bmmi: added to the score of an arc per frame that differs from the reference. */
  readonly boost: number
  /** What must differ for `boost`: the phone (Kaldi) or the word. */
  readonly boostUnit: 'phone' | 'word'
  /** What a frame of hypothesised silence against another reference counts for `boost`; 0 if absent. */
  readonly maxSilenceError?: number
  /** MPFE, sMBR: silence against silence counts as right; else silence never counts. */
  readonly oneSilenceClass: boolean
  /** MMI: a frame whose reference pdf is not in the lattice gives no derivative. */
  readonly frameRejection: boolean
  /**
   * MMI numerator: the forced path, or all lattice paths whose word is the aligned one within so many
   * frames. Where the lattice has no such path the forced path stands in: the derivative is that of
   * 'alignment'; the value too, without the graph score of that path, which is not known here.
   */
  readonly numerator: 'alignment' | { readonly toleranceFrames: number }
}

export const criterionDefaults: CriterionOptions = {
  acousticScale: 0.1,
  boost: 0.1,
  boostUnit: 'phone',
  maxSilenceError: 0,
  oneSilenceClass: true,
  frameRejection: true,
  numerator: 'alignment',
}

export interface CriterionInput {
  readonly lattice: Lattice
  /** Of as many frames; need not be a path of the lattice. */
  readonly alignment: Alignment
  readonly pdfs: number
  /** T x pdfs, as in the lattice: what the forced path is scored with. */
  readonly scores: Float32Array | Float64Array
  readonly options: CriterionOptions
}

export interface SequenceLoss {
  /** F: log posterior of the reference (MMI), or expected frame accuracy. Higher is better. */
  readonly value: number
  /**
   * -dF/dScores, T x pdfs: the true derivative, acoustic scale included. (Kaldi stores it without the
   * scale, which its learning rates absorb.) Sums to 0 in every frame, so it may be handed to the
   * activations before or after a log-softmax alike.
   */
  readonly outer: Float64Array
  readonly frames: number
  /** MMI: frames without a derivative, since their reference pdf is not in the lattice. */
  readonly rejectedFrames: number
  /** False: the derivative is zero and the utterance should be counted. */
  readonly finite: boolean
}

type Row = (input: CriterionInput) => Omit<SequenceLoss, 'finite'> | undefined

const rows: { readonly [C in SequenceCriterion]: Row } = {
  mmi: (input) => maximumMutualInformation({ ...input, options: { ...input.options, boost: 0 } }),
  bmmi: maximumMutualInformation,
  mpfe: (input) => expectedAccuracy(input, frameAccuracies.phone(input)),
  mwe: (input) => expectedAccuracy(input, frameAccuracies.word(input)),
  smbr: (input) => expectedAccuracy(input, frameAccuracies.pdf(input)),
}

/** A lattice without paths or with scores that are not finite gives a zero derivative. */
export function sequenceLoss(criterion: SequenceCriterion, input: CriterionInput): SequenceLoss {
  const { alignment, pdfs, scores } = input
  const { frames } = input.lattice
  assert(scores.length === frames * pdfs, 'scores cover exactly the frames of the lattice')
  const { pdfs: targets, phones, words } = alignment
  const isAligned = [targets, phones, words].every(({ length }) => length === frames)
  assert(isAligned, 'the alignment covers exactly the frames of the lattice')
  const made = rows[criterion](input)
  if (made && Number.isFinite(made.value)) return { ...made, finite: true }
  const outer = new Float64Array(frames * pdfs)
  return { value: 0, outer, frames, rejectedFrames: 0, finite: false }
}

/**
 * F-smoothing (Su et al. 2013): adds the derivative of cross-entropy on the same head, weight *
 * (posterior - target), so that the loss is -F + weight * CE, both summed over frames: F keeps its full
 * weight. What mixes -(1 - H) F + H CE instead has our weight H / (1 - H) and, for the same steps, our
 * learning rate over 1 - H; where Kaldi's scale-free derivative is mixed in, our weight is its times
 * `acousticScale`. `logPosteriors`: T x pdfs.
 */
export function addCrossEntropy(
  outer: Float64Array,
  logPosteriors: Float32Array,
  { pdfs: targets }: Alignment,
  weight: number,
): void {
  if (weight === 0) return
  assert(outer.length === logPosteriors.length, 'one log posterior per derivative')
  const pdfs = logPosteriors.length / targets.length
  for (let i = 0; i < outer.length; i++) outer[i] = outer[i]! + weight * Math.exp(logPosteriors[i]!)
  for (let t = 0; t < targets.length; t++) {
    const cell = t * pdfs + targets[t]!
    outer[cell] = outer[cell]! - weight
  }
}
