// Triangular filters on the mel scale, as Kaldi's mel-computations.cc lays them out.

/**
 * Filter b weighs bins `first[b]`, `first[b] + 1`, ... with `weights[offset[b]]` to
 * `weights[offset[b + 1] - 1]`.
 */
export interface MelFilters {
  readonly first: Int32Array
  readonly offset: Int32Array
  readonly weights: Float64Array
}

export interface MelFilterOptions {
  readonly sampleFrequency: number
  readonly fourierSize: number
  readonly numMelBins: number
  readonly lowFreq: number
  readonly highFreq: number
}

/** The filters, or one line saying why there are none. */
export function melFilters(options: MelFilterOptions): MelFilters | string {
  const { sampleFrequency, fourierSize, numMelBins, lowFreq: low } = options
  const nyquist = sampleFrequency / 2
  const high = options.highFreq > 0 ? options.highFreq : nyquist + options.highFreq
  if (!(low >= 0 && low < high && high <= nyquist)) {
    return `mel filters from ${low} to ${high} Hz do not fit below ${nyquist} Hz; move their limits`
  }
  const step = (mel(high) - mel(low)) / (numMelBins + 1)
  const first = new Int32Array(numMelBins)
  const offset = new Int32Array(numMelBins + 1)
  const weights: number[] = []
  for (let filter = 0; filter < numMelBins; filter++) {
    const left = mel(low) + filter * step
    // The bin at the Nyquist frequency belongs to no filter.
    for (let bin = 0; bin < fourierSize / 2; bin++) {
      const weight = triangle(mel((sampleFrequency / fourierSize) * bin), left, step)
      if (weight <= 0) continue
      if (weights.length === offset[filter]) first[filter] = bin
      weights.push(weight)
    }
    if (weights.length === offset[filter]) {
      return `numMelBins ${numMelBins} is too many: filter ${filter} holds no frequency; take fewer`
    }
    offset[filter + 1] = weights.length
  }
  return { first, offset, weights: Float64Array.from(weights) }
}

export function filterEnergies(
  { first, offset, weights }: MelFilters,
  spectrum: Float64Array,
  into: Float64Array,
): void {
  for (let filter = 0; filter < into.length; filter++) {
    const [start, end] = [offset[filter]!, offset[filter + 1]!]
    const shift = first[filter]! - start
    let sum = 0
    for (let i = start; i < end; i++) sum += weights[i]! * spectrum[i + shift]!
    into[filter] = sum
  }
}

function mel(frequency: number): number {
  return 1127 * Math.log(1 + frequency / 700)
}

/** Rises from `left` to 1 at `left + step`, falls to 0 at `left + 2 step`. */
function triangle(at: number, left: number, step: number): number {
  return Math.min((at - left) / step, (left + 2 * step - at) / step)
}
