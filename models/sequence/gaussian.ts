// One diagonal Gaussian per pdf: the model of the flat start. Enough to find out where the words are;
// the network takes over from its alignments.
import { type AlignmentOutcome, viterbiAligner } from './alignment.ts'
import type { Alignment, DecodingGraph } from './decoding-graph.ts'

export interface GaussianModel {
  readonly pdfs: number
  readonly dimensions: number
  /** pdfs x dimensions. */
  readonly means: Float64Array
  readonly inverseVariances: Float64Array
  /** -0.5 (D ln 2 pi + ln |variance|), per pdf. */
  readonly constants: Float64Array
}

/** One utterance of the flat start: its frames (T x dimensions) and the graph of its transcript. */
export interface FlatStartUtterance {
  readonly frames: Float32Array
  readonly graph: DecodingGraph
}

export class FlatStartError extends Error {
  override readonly name = 'FlatStartError'
}

const VARIANCE_FLOOR = 0.01

/** Log likelihoods T x pdfs. */
export function scoreFrames(model: GaussianModel, frames: Float32Array): Float32Array {
  const { pdfs, dimensions, means, inverseVariances, constants } = model
  const count = frames.length / dimensions
  const scores = new Float32Array(count * pdfs)
  for (let t = 0; t < count; t++) {
    const frame = t * dimensions
    for (let pdf = 0; pdf < pdfs; pdf++) {
      const row = pdf * dimensions
      let distance = 0
      for (let d = 0; d < dimensions; d++) {
        const difference = frames[frame + d]! - means[row + d]!
        distance += difference * difference * inverseVariances[row + d]!
      }
      scores[t * pdfs + pdf] = constants[pdf]! - 0.5 * distance
    }
  }
  return scores
}

/** Maximum likelihood from alignments; variances are floored at a part of the global variance. */
export function estimateGaussians(
  utterances: readonly { readonly frames: Float32Array; readonly pdfs: Int32Array }[],
  size: { readonly pdfs: number; readonly dimensions: number },
): GaussianModel {
  const { pdfs, dimensions } = size
  const counts = new Float64Array(pdfs + 1)
  const sums = new Float64Array((pdfs + 1) * dimensions)
  const squares = new Float64Array((pdfs + 1) * dimensions)
  for (const { frames, pdfs: aligned } of utterances) {
    aligned.forEach((pdf, t) => {
      for (const row of [pdf, pdfs]) {
        counts[row]! += 1
        for (let d = 0; d < dimensions; d++) {
          const value = frames[t * dimensions + d]!
          sums[row * dimensions + d]! += value
          squares[row * dimensions + d]! += value * value
        }
      }
    })
  }
  const moment = (row: number, d: number): [number, number] => {
    // A pdf without frames is modelled by all frames.
    const used = counts[row]! > 1 ? row : pdfs
    const mean = sums[used * dimensions + d]! / counts[used]!
    return [mean, squares[used * dimensions + d]! / counts[used]! - mean * mean]
  }
  const model = {
    pdfs,
    dimensions,
    means: new Float64Array(pdfs * dimensions),
    inverseVariances: new Float64Array(pdfs * dimensions),
    constants: new Float64Array(pdfs),
  }
  for (let pdf = 0; pdf < pdfs; pdf++) {
    let constant = -0.5 * dimensions * Math.log(2 * Math.PI)
    for (let d = 0; d < dimensions; d++) {
      const [mean, own] = moment(pdf, d)
      const [, global] = moment(pdfs, d)
      const variance = Math.max(own, VARIANCE_FLOOR * global, 1e-10)
      model.means[pdf * dimensions + d] = mean
      model.inverseVariances[pdf * dimensions + d] = 1 / variance
      constant -= 0.5 * Math.log(variance)
    }
    model.constants[pdf] = constant
  }
  return model
}

/** Every utterance cut evenly over the states of its graph's first path: where the passes begin. */
export function uniformAlignment(graph: DecodingGraph, frameCount: number): Alignment {
  const path = firstPath(graph)
  const arcs = Int32Array.from(
    { length: frameCount },
    (_, t) => path[Math.floor((t * path.length) / frameCount)] ?? 0,
  )
  return {
    pdfs: arcs.map((arc) => graph.arcPdf[arc]!),
    phones: arcs.map((arc) => graph.arcPhone[arc]!),
    words: arcs.map((arc) => graph.arcWord[arc]!),
  }
}

export interface FlatStartOptions {
  readonly pdfs: number
  readonly dimensions: number
  readonly passes: number
}

export interface FlatStartPass {
  /** Estimated from the alignments of this pass. */
  readonly model: GaussianModel
  /** One per utterance. */
  readonly outcomes: readonly AlignmentOutcome[]
}

/**
 * Flat start: uniform cut, then `passes` times estimate and realign. Returns the model; utterances that
 * cannot be aligned keep out of it.
 */
export function flatStart(
  utterances: readonly FlatStartUtterance[],
  options: FlatStartOptions,
): GaussianModel {
  let last: GaussianModel | undefined
  for (const { model } of flatStartPasses(utterances, options)) last = model
  return last ?? uniformModel(utterances, options)
}

/** The same pass by pass, with the alignments. Throws `FlatStartError` if a pass aligns nothing. */
export function* flatStartPasses(
  utterances: readonly FlatStartUtterance[],
  options: FlatStartOptions,
): Generator<FlatStartPass, void> {
  const align = viterbiAligner()
  let model = uniformModel(utterances, options)
  for (let pass = 0; pass < options.passes; pass++) {
    const outcomes = utterances.map(({ frames, graph }) =>
      align(graph, { values: scoreFrames(model, frames), pdfs: options.pdfs, scale: 1 }),
    )
    const aligned = utterances.flatMap(({ frames }, index) => {
      const outcome = outcomes[index]
      return outcome?.aligned ? [{ frames, pdfs: outcome.alignment.pdfs }] : []
    })
    if (aligned.length === 0) {
      const reasons = outcomes.map((outcome) => (outcome.aligned ? '' : outcome.reason))
      throw new FlatStartError(
        `flat start: none of ${utterances.length} utterances could be aligned (${reasons[0] ?? 'there is none'}): check transcripts and recordings`,
      )
    }
    model = estimateGaussians(aligned, options)
    yield { model, outcomes }
  }
}

function uniformModel(
  utterances: readonly FlatStartUtterance[],
  options: FlatStartOptions,
): GaussianModel {
  const aligned = utterances.map(({ frames, graph }) => {
    const { pdfs } = uniformAlignment(graph, frames.length / options.dimensions)
    return { frames, pdfs }
  })
  return estimateGaussians(aligned, options)
}

/** Arcs of a path that takes silence at both ends and at every pause, self-loops left out. */
function firstPath(graph: DecodingGraph): number[] {
  const path: number[] = []
  let state = graph.start
  const visited = new Set<number>()
  for (;;) {
    let next = -1
    let best = -1
    for (let arc = graph.arcOffset[state]!; arc < graph.arcOffset[state + 1]!; arc++) {
      const target = graph.arcTarget[arc]!
      if (target === state || visited.has(target)) continue
      const isSilence = graph.arcPhone[arc] === 0 ? 1 : 0
      if (isSilence > best) [best, next] = [isSilence, arc]
    }
    if (next < 0) return path
    path.push(next)
    state = graph.arcTarget[next]!
    visited.add(state)
  }
}
