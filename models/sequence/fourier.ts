// The discrete Fourier transform of real signals whose length is a power of two.
import { assert } from '../../protocol/assert.ts'

export interface RealFourier {
  readonly size: number
  /** Bins 0 to size / 2 of the last transform. */
  readonly real: Float64Array
  readonly imaginary: Float64Array
  /** X[k] = sum over n of x[n] exp(-2 pi i k n / size), for the first `size` values of `signal`. */
  transform(signal: Float64Array): void
}

/**
 * The even and odd samples are the real and imaginary part of a complex signal of half the length,
 * whose transform then separates by symmetry (Press et al., Numerical Recipes, section 12.3).
 */
export function realFourier(size: number): RealFourier {
  assert(size >= 2 && Number.isInteger(Math.log2(size)), 'a transform length is a power of two')
  const half = size / 2
  const [real, imaginary] = [new Float64Array(half + 1), new Float64Array(half + 1)]
  const cosines = Float64Array.from({ length: half + 1 }, (_, k) =>
    Math.cos((2 * Math.PI * k) / size),
  )
  const sines = Float64Array.from(
    { length: half + 1 },
    (_, k) => -Math.sin((2 * Math.PI * k) / size),
  )
  const reversed = bitReversal(half)
  return {
    size,
    real,
    imaginary,
    transform(signal) {
      for (let i = 0; i < half; i++) {
        const source = 2 * reversed[i]!
        real[i] = signal[source]!
        imaginary[i] = signal[source + 1]!
      }
      butterflies(real, imaginary, half, cosines, sines)
      separate(real, imaginary, half, cosines, sines)
    },
  }
}

/**
 * Decimation in time, input in bit-reversed order; twiddles are those of a transform twice as long.
 */
function butterflies(
  real: Float64Array,
  imaginary: Float64Array,
  count: number,
  cosines: Float64Array,
  sines: Float64Array,
): void {
  for (let span = 1; span < count; span *= 2) {
    const twiddleStep = count / span
    for (let k = 0; k < span; k++) {
      const c = cosines[k * twiddleStep]!
      const s = sines[k * twiddleStep]!
      for (let i = k; i < count; i += 2 * span) {
        const j = i + span
        const re = real[j]! * c - imaginary[j]! * s
        const im = real[j]! * s + imaginary[j]! * c
        real[j] = real[i]! - re
        imaginary[j] = imaginary[i]! - im
        real[i]! += re
        imaginary[i]! += im
      }
    }
  }
}

/**
 * X[k] = (Z[k] + Z*[half - k]) / 2 + exp(-2 pi i k / size) (Z[k] - Z*[half - k]) / 2i, two bins at
 * a time.
 */
function separate(
  real: Float64Array,
  imaginary: Float64Array,
  half: number,
  cosines: Float64Array,
  sines: Float64Array,
): void {
  real[half] = real[0]!
  imaginary[half] = imaginary[0]!
  for (let k = 0; 2 * k <= half; k++) {
    const mirror = half - k
    const evenRe = (real[k]! + real[mirror]!) / 2
    const evenIm = (imaginary[k]! - imaginary[mirror]!) / 2
    const oddRe = (imaginary[k]! + imaginary[mirror]!) / 2
    const oddIm = (real[mirror]! - real[k]!) / 2
    const re = oddRe * cosines[k]! - oddIm * sines[k]!
    const im = oddRe * sines[k]! + oddIm * cosines[k]!
    real[k] = evenRe + re
    imaginary[k] = evenIm + im
    real[mirror] = evenRe - re
    imaginary[mirror] = im - evenIm
  }
}

function bitReversal(count: number): Uint32Array {
  const reversed = new Uint32Array(count)
  for (let i = 1; i < count; i++) {
    reversed[i] = (reversed[i >> 1]! >> 1) | (i % 2 === 1 ? count / 2 : 0)
  }
  return reversed
}
