// Change of sampling rate by a windowed sinc in polyphase form, with the filter's stopband at the
// lower of the two Nyquist frequencies: what lies above it is removed, not folded back.
import { assert } from '../../protocol/assert.ts'

/**
 * Sample i of the result lies at time i / to: no delay, and silence is assumed beyond both ends.
 */
export function resample(samples: Float32Array, from: number, to: number): Float32Array {
  assert(isRate(from) && isRate(to), 'sampling rates are positive integers')
  if (from === to) return samples
  const divisor = greatestDivisor(from, to)
  // Output i lies at input i * stride / phaseCount; only its remainder decides which taps are used.
  const [phaseCount, stride] = [to / divisor, from / divisor]
  const filter = lowPass(Math.min(1, to / from))
  const phases: Float32Array[] = []
  const resampled = new Float32Array(Math.ceil((samples.length * to) / from))
  for (let i = 0; i < resampled.length; i++) {
    const phase = (i * stride) % phaseCount
    const centre = (i * stride - phase) / phaseCount
    const taps = (phases[phase] ??= filter.taps(phase / phaseCount))
    const first = centre - filter.reach
    const low = Math.max(0, -first)
    const high = Math.min(taps.length, samples.length - first)
    let sum = 0
    for (let tap = low; tap < high; tap++) sum += taps[tap]! * samples[first + tap]!
    resampled[i] = sum
  }
  return resampled
}

/**
 * Zero crossings of the sinc on each side: 96 crossings and 70 dB leave a transition of 9 % of
 * Nyquist.
 */
const CROSSINGS = 48
const ATTENUATION_DB = 70

/**
 * A Kaiser-windowed sinc (Kaiser 1974; Oppenheim and Schafer, section 7.6). `bandwidth` is the
 * lower Nyquist frequency relative to that of the input.
 */
function lowPass(bandwidth: number): { reach: number; taps(fraction: number): Float32Array } {
  const beta = 0.1102 * (ATTENUATION_DB - 8.7)
  const transition = (ATTENUATION_DB - 8) / (2.285 * 2 * CROSSINGS) / Math.PI
  // The middle of the transition: its upper edge, where the stopband begins, is the lower Nyquist.
  const cutoff = bandwidth * (1 - transition / 2)
  const halfWidth = CROSSINGS / bandwidth
  const reach = Math.ceil(halfWidth)
  const peak = besselI0(beta)
  return {
    reach,
    taps(fraction) {
      const taps = new Float64Array(2 * reach + 1)
      let sum = 0
      for (let tap = 0; tap < taps.length; tap++) {
        const time = tap - reach - fraction
        const inside = 1 - (time / halfWidth) ** 2
        if (inside <= 0) continue
        const value = sinc(cutoff * time) * (besselI0(beta * Math.sqrt(inside)) / peak)
        taps[tap] = value
        sum += value
      }
      // Each phase passes a constant unchanged, so that a constant does not become a tone.
      return Float32Array.from(taps, (value) => value / sum)
    },
  }
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x)
}

/** Modified Bessel function of the first kind, order 0, by its power series. */
function besselI0(x: number): number {
  let [sum, term] = [1, 1]
  for (let k = 1; term > 1e-12 * sum; k++) {
    term *= (x / (2 * k)) ** 2
    sum += term
  }
  return sum
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b)
}

function isRate(rate: number): boolean {
  return Number.isInteger(rate) && rate > 0
}
