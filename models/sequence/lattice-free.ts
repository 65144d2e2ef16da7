// Lattice-free MMI: the forced path against forward-backward over one HMM shared by all utterances, in
// the probability domain, kept from dying out by a leak (Povey et al. 2016; Kaldi, chain-denominator.cc).
import { assert } from '../../protocol/assert.ts'

/** A hidden Markov model with pdfs on arcs; every state may end with probability 1. */
export interface DenominatorModel {
  readonly stateCount: number
  readonly arcs: readonly {
    readonly source: number
    readonly target: number
    readonly probability: number
    readonly pdf: number
  }[]
  /** Probability of starting, and of being leaked into, each state. */
  readonly initial: Float64Array
}

export interface DenominatorPosteriors {
  readonly logProbability: number
  /** T x pdfs; rows sum to 1. */
  readonly posteriors: Float64Array
}

/** Activations are limited to this range before they are exponentiated. */
const ACTIVATION_MAX = 30

export function leakyForwardBackward(
  model: DenominatorModel,
  activations: Float32Array | Float64Array,
  { pdfs, leak }: { readonly pdfs: number; readonly leak: number },
): DenominatorPosteriors {
  const { stateCount, arcs, initial } = model
  assert(initial.length === stateCount, 'a starting probability per state')
  const frames = activations.length / pdfs
  const x = (t: number, pdf: number): number => Math.exp(limited(activations[t * pdfs + pdf]!))
  const alphas: Float64Array[] = []
  const sums: number[] = []
  let alpha = initial.slice()
  for (let t = 0; t <= frames; t++) {
    const sum = total(alpha)
    sums.push(sum)
    alphas.push(alpha.map((value, state) => value + leak * sum * initial[state]!))
    if (t === frames) break
    const next = new Float64Array(stateCount)
    for (const { source, target, probability, pdf } of arcs) {
      next[target] = next[target]! + (alphas[t]![source]! * probability * x(t, pdf)) / sum
    }
    alpha = next
  }
  const end = total(alphas[frames]!)
  let logProbability = Math.log(end)
  for (let t = 0; t < frames; t++) logProbability += Math.log(sums[t]!)

  const posteriors = new Float64Array(frames * pdfs)
  let beta = leaked(new Float64Array(stateCount).fill(1 / end), initial, leak)
  for (let t = frames - 1; t >= 0; t--) {
    const before = new Float64Array(stateCount)
    for (const { source, target, probability, pdf } of arcs) {
      const part = (beta[target]! * probability * x(t, pdf)) / sums[t]!
      before[source] = before[source]! + part
      const cell = t * pdfs + pdf
      posteriors[cell] = posteriors[cell]! + alphas[t]![source]! * part
    }
    beta = leaked(before, initial, leak)
  }
  return { logProbability, posteriors }
}

/** Weight of the penalty on activations beyond the limit (Kaldi, out_of_range_regularize). */
const RANGE_PENALTY = 0.01

export interface LatticeFreeLoss {
  /** F: log probability of the forced path - that of the denominator - penalty. Higher is better. */
  readonly value: number
  /** -dF/dActivations, T x pdfs. */
  readonly outer: Float64Array
  readonly frames: number
  readonly finite: boolean
}

/**
 * F = sum of the aligned activations - log probability of the denominator, both of limited activations,
 * - RANGE_PENALTY / 2 * (excess over the limit)^2. Transition scores of the path are left out: a constant.
 * The derivative is the true one, so beyond the limit only the penalty acts. (Kaldi lets posteriors
 * through there, and applies the penalty to a random half of the minibatches, doubled.)
 */
export function latticeFreeLoss(
  model: DenominatorModel,
  activations: Float32Array | Float64Array,
  options: { readonly pdfs: number; readonly leak: number; readonly aligned: Int32Array },
): LatticeFreeLoss {
  const { pdfs, leak, aligned } = options
  const frames = aligned.length
  assert(activations.length === frames * pdfs, 'the alignment covers exactly the activations')
  const { logProbability, posteriors } = leakyForwardBackward(model, activations, { pdfs, leak })
  const outer = posteriors.slice()
  let value = -logProbability
  aligned.forEach((pdf, t) => {
    const cell = t * pdfs + pdf
    value += limited(activations[cell]!)
    outer[cell] = outer[cell]! - 1
  })
  for (let cell = 0; cell < outer.length; cell++) {
    const excess = activations[cell]! - limited(activations[cell]!)
    if (excess === 0) continue
    value -= (RANGE_PENALTY / 2) * excess * excess
    outer[cell] = RANGE_PENALTY * excess
  }
  if (Number.isFinite(value)) return { value, outer, frames, finite: true }
  return { value: 0, outer: outer.fill(0), frames, finite: false }
}

function limited(activation: number): number {
  return Math.max(-ACTIVATION_MAX, Math.min(ACTIVATION_MAX, activation))
}

function leaked(beta: Float64Array, initial: Float64Array, leak: number): Float64Array {
  const into = beta.reduce((sum, value, state) => sum + initial[state]! * value, 0)
  return beta.map((value) => value + leak * into)
}

function total(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0)
}
