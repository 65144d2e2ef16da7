// What happens to features between extraction and network: normalisation, deltas, splicing,
// subsampling.
import { assert } from '../../protocol/assert.ts'
import type { Features } from './features.ts'

/** Sums over frames, per dimension: of one utterance, or of all of a speaker. */
export interface FeatureSums {
  frames: number
  readonly sums: Float64Array
  readonly squares: Float64Array
}

export function featureSums(dims: number): FeatureSums {
  return { frames: 0, sums: new Float64Array(dims), squares: new Float64Array(dims) }
}

export function addToSums(total: FeatureSums, { rows, frames, dims }: Features): void {
  assert(dims === total.sums.length, 'sums have the dimension of the features')
  total.frames += frames
  for (let frame = 0, at = 0; frame < frames; frame++) {
    for (let dim = 0; dim < dims; dim++, at++) {
      const value = rows[at]!
      total.sums[dim]! += value
      total.squares[dim]! += value * value
    }
  }
}

/**
 * Least variance that is divided by (Kaldi's ApplyCmvn): a constant dimension becomes 0, not NaN.
 */
const VARIANCE_MIN = 1e-20

/** In place: mean 0, and variance 1 unless `variance` is false. */
export function normalize(
  { rows, frames, dims }: Features,
  total: FeatureSums,
  { variance: isScaled = true }: { readonly variance?: boolean } = {},
): void {
  if (frames === 0) return
  const mean = total.sums.map((sum) => sum / total.frames)
  const scale = total.squares.map((square, dim) => {
    const variance = square / total.frames - mean[dim]! * mean[dim]!
    return isScaled ? 1 / Math.sqrt(Math.max(variance, VARIANCE_MIN)) : 1
  })
  for (let frame = 0, at = 0; frame < frames; frame++) {
    for (let dim = 0; dim < dims; dim++, at++) rows[at] = (rows[at]! - mean[dim]!) * scale[dim]!
  }
}

/** In place, each utterance by its own statistics. */
export function normalizeUtterance(features: Features, options?: { variance?: boolean }): void {
  const total = featureSums(features.dims)
  addToSums(total, features)
  normalize(features, total, options)
}

/** In place, every utterance by the statistics of all utterances of its speaker. */
export function normalizeSpeakers(
  utterances: readonly { readonly speaker: string; readonly features: Features }[],
  options?: { variance?: boolean },
): void {
  const totals = new Map<string, FeatureSums>()
  for (const { speaker, features } of utterances) {
    const total = totals.get(speaker) ?? featureSums(features.dims)
    addToSums(total, features)
    totals.set(speaker, total)
  }
  for (const { speaker, features } of utterances) normalize(features, totals.get(speaker)!, options)
}

/**
 * Appends the derivatives over time of order 1 to `order`: a regression over +-`window` frames,
 * edge frames repeated. As Kaldi's DeltaFeatures: the filters are convolved, not the edges repeated
 * anew.
 */
export function addDeltas(
  { rows, frames, dims }: Features,
  { order = 2, window = 2 }: { readonly order?: number; readonly window?: number } = {},
): Features {
  assert(isCount(order) && isCount(window - 1), `deltas of order ${order} over +-${window} frames`)
  const filters = deltaFilters(order, window)
  const wide = new Float32Array(frames * dims * (order + 1))
  for (let frame = 0; frame < frames; frame++) {
    filters.forEach((filter, degree) => {
      const reach = (filter.length - 1) / 2
      const into = (frame * (order + 1) + degree) * dims
      for (let tap = 0; tap < filter.length; tap++) {
        const weight = filter[tap]!
        const from = clamp(frame + tap - reach, frames) * dims
        for (let dim = 0; dim < dims; dim++) wide[into + dim]! += weight * rows[from + dim]!
      }
    })
  }
  return { rows: wide, frames, dims: dims * (order + 1) }
}

/**
 * Filter of degree d: that of degree d - 1 convolved with j / (2 sum of j^2), j = -window to
 * window.
 */
function deltaFilters(order: number, window: number): Float64Array[] {
  let norm = 0
  for (let j = -window; j <= window; j++) norm += j * j
  const filters = [Float64Array.of(1)]
  for (let degree = 1; degree <= order; degree++) {
    const before = filters[degree - 1]!
    const filter = new Float64Array(before.length + 2 * window)
    for (let j = -window; j <= window; j++) {
      for (let i = 0; i < before.length; i++) filter[i + j + window]! += (j / norm) * before[i]!
    }
    filters.push(filter)
  }
  return filters
}

/** Row t becomes rows t - left to t + right side by side, edge frames repeated. */
export function splice(
  { rows, frames, dims }: Features,
  { left, right }: { readonly left: number; readonly right: number },
): Features {
  assert(isCount(left) && isCount(right), `${left} + 1 + ${right} frames are spliced`)
  const width = (left + 1 + right) * dims
  const wide = new Float32Array(frames * width)
  for (let frame = 0, into = 0; frame < frames; frame++) {
    for (let shift = -left; shift <= right; shift++, into += dims) {
      const from = clamp(frame + shift, frames) * dims
      wide.set(rows.subarray(from, from + dims), into)
    }
  }
  return { rows: wide, frames, dims: width }
}

/** Every `factor`-th frame, starting with frame `offset`. */
export function subsample(
  { rows, frames, dims }: Features,
  { factor, offset = 0 }: { readonly factor: number; readonly offset?: number },
): Features {
  assert(isCount(factor - 1) && isCount(offset), `every ${factor}-th frame from frame ${offset} on`)
  const kept = Math.max(0, Math.ceil((frames - offset) / factor))
  const fewer = new Float32Array(kept * dims)
  for (let frame = 0; frame < kept; frame++) {
    const from = (offset + frame * factor) * dims
    fewer.set(rows.subarray(from, from + dims), frame * dims)
  }
  return { rows: fewer, frames: kept, dims }
}

function isCount(value: number): boolean {
  return Number.isInteger(value) && value >= 0
}

function clamp(frame: number, frames: number): number {
  return Math.max(0, Math.min(frames - 1, frame))
}
