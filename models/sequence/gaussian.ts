// One diagonal Gaussian per pdf: the model of the flat start. Enough to find out where the words are;
// the network takes over from its alignments.
import { viterbiAligner } from './alignment.ts'
import type { DecodingGraph } from './decoding-graph.ts'

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
export function uniformAlignment(graph: DecodingGraph, frameCount: number): Int32Array {
  const path = firstPath(graph)
  return Int32Array.from(
    { length: frameCount },
    (_, t) => path[Math.floor((t * path.length) / frameCount)] ?? 0,
  )
}

/**
 * Flat start: uniform cut, then `passes` times estimate and realign. Returns the model; utterances that
 * cannot be aligned keep out of it.
 */
export function flatStart(
  utterances: readonly FlatStartUtterance[],
  options: { readonly pdfs: number; readonly dimensions: number; readonly passes: number },
): GaussianModel {
  const align = viterbiAligner()
  let aligned = utterances.map(({ frames, graph }) => ({
    frames,
    pdfs: uniformAlignment(graph, frames.length / options.dimensions),
  }))
  let model = estimateGaussians(aligned, options)
  for (let pass = 0; pass < options.passes; pass++) {
    aligned = []
    for (const { frames, graph } of utterances) {
      const values = scoreFrames(model, frames)
      const outcome = align(graph, { values, pdfs: options.pdfs, scale: 1 })
      if (outcome.aligned) aligned.push({ frames, pdfs: outcome.alignment.pdfs })
    }
    model = estimateGaussians(aligned, options)
  }
  return model
}

/** pdfs along a path that takes silence at both ends and at every pause, self-loops left out. */
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
    path.push(graph.arcPdf[next]!)
    state = graph.arcTarget[next]!
    visited.add(state)
  }
}
