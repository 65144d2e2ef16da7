// Where the frames of a signal begin, and the windowed samples of each: Kaldi's feature-window.cc
// with dither 0. What is computed of a frame: features.ts.

export interface WindowOptions {
  /** Samples per second. */
  readonly sampleFrequency?: number
  readonly frameLengthMs?: number
  readonly frameShiftMs?: number
  readonly preemphasisCoefficient?: number
  readonly removeDcOffset?: boolean
  readonly windowType?: WindowType
  readonly blackmanCoeff?: number
  /** True: only frames that fit. False: length / shift frames, the signal reflected at its ends. */
  readonly snipEdges?: boolean
}

type FramingSettings = Required<WindowOptions>

export interface Framing {
  readonly lengthSamples: number
  readonly fourierSize: number
  frameCount(sampleCount: number): number
  /** First sample of a frame; may be negative, and the last beyond the end, without `snipEdges`. */
  firstSample(frame: number): number
}

export function framesOf({
  sampleFrequency,
  frameLengthMs,
  frameShiftMs,
  snipEdges,
}: FramingSettings): Framing {
  const length = Math.trunc(sampleFrequency * 0.001 * frameLengthMs)
  const shift = Math.trunc(sampleFrequency * 0.001 * frameShiftMs)
  const centre = Math.trunc(shift / 2) - Math.trunc(length / 2)
  return {
    lengthSamples: length,
    fourierSize: 2 ** Math.ceil(Math.log2(length)),
    frameCount: snipEdges
      ? (count) => (count < length ? 0 : 1 + Math.trunc((count - length) / shift))
      : (count) => Math.trunc((count + Math.trunc(shift / 2)) / shift),
    firstSample: (frame) => frame * shift + (snipEdges ? 0 : centre),
  }
}

export type WindowType = keyof typeof windows

/** Over the angle 2 pi i / (length - 1). Povey: like Hamming, but zero at the edges. */
export const windows = {
  rectangular: () => 1,
  hanning: (angle: number) => 0.5 - 0.5 * Math.cos(angle),
  hamming: (angle: number) => 0.54 - 0.46 * Math.cos(angle),
  povey: (angle: number) => (0.5 - 0.5 * Math.cos(angle)) ** 0.85,
  sine: (angle: number) => Math.sin(0.5 * angle),
  blackman: (angle: number, a: number) =>
    a - 0.5 * Math.cos(angle) + (0.5 - a) * Math.cos(2 * angle),
} as const

/** Writes a windowed frame, padded with zeros; its result is the energy before pre-emphasis. */
export function frameCutter(
  { removeDcOffset, preemphasisCoefficient, windowType, blackmanCoeff }: FramingSettings,
  { lengthSamples, firstSample }: Framing,
): (samples: Float32Array, frame: number, window: Float64Array) => number {
  const weights = Float64Array.from({ length: lengthSamples }, (_, i) =>
    windows[windowType]((2 * Math.PI * i) / (lengthSamples - 1), blackmanCoeff),
  )
  return (samples, frame, window) => {
    copyReflected(samples, firstSample(frame), lengthSamples, window)
    if (removeDcOffset) {
      let sum = 0
      for (let i = 0; i < lengthSamples; i++) sum += window[i]!
      const mean = sum / lengthSamples
      for (let i = 0; i < lengthSamples; i++) window[i]! -= mean
    }
    const energy = sumOfSquares(window, lengthSamples)
    // The first sample has no predecessor in the frame: Kaldi takes itself.
    let previous = window[0]!
    for (let i = 0; i < lengthSamples; i++) {
      const sample = window[i]!
      window[i] = (sample - preemphasisCoefficient * previous) * weights[i]!
      previous = sample
    }
    window.fill(0, lengthSamples)
    return energy
  }
}

/** Beyond its ends the signal is mirrored (..., 1, 0, 0, 1, ...), as often as it takes. */
function copyReflected(
  samples: Float32Array,
  start: number,
  length: number,
  into: Float64Array,
): void {
  const count = samples.length
  if (start >= 0 && start + length <= count) {
    for (let i = 0; i < length; i++) into[i] = samples[start + i]!
    return
  }
  for (let i = 0; i < length; i++) {
    let at = start + i
    while (at < 0 || at >= count) at = at < 0 ? -at - 1 : 2 * count - 1 - at
    into[i] = samples[at]!
  }
}

export function sumOfSquares(values: Float64Array, count: number): number {
  let sum = 0
  for (let i = 0; i < count; i++) sum += values[i]! * values[i]!
  return sum
}
