// Features equal an independent computation (tests/golden/features.py, numpy) and obvious twins.
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  addDeltas,
  addToSums,
  featureSums,
  normalize,
  normalizeSpeakers,
  normalizeUtterance,
  splice,
  subsample,
} from '../../../models/sequence/feature-transforms.ts'
import {
  FeatureError,
  type FeatureOptions,
  type Features,
  featureExtractor,
} from '../../../models/sequence/features.ts'
import { randomFor } from '../../../protocol/random.ts'
import golden from '../../golden/features.json'

/** The formula of `signal` in features.py. */
function signal(rate: number, count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, n) => {
    if (n >= 0.45 * count && n < 0.6 * count) return 7
    const t = n / rate
    const chirp = 6000 * Math.sin(2 * Math.PI * (200 * t + 4000 * t * t))
    return Math.floor(chirp + 900 * Math.sin(2 * Math.PI * 1234.5 * t) + 150)
  })
}

function expectRows(
  { rows, frames, dims }: Features,
  expected: readonly (readonly number[])[],
): void {
  expect(frames).toBe(expected.length)
  expected.forEach((row, frame) => {
    expect(dims).toBe(row.length)
    row.forEach((value, dim) => {
      const difference = Math.abs(rows[frame * dims + dim]! - value)
      if (!(difference <= 1e-5 * Math.max(1, Math.abs(value)))) {
        throw new Error(`frame ${frame} dim ${dim}: ${rows[frame * dims + dim]}, not ${value}`)
      }
    })
  })
}

describe('an extractor computes what Kaldi defines', () => {
  for (const { name, samples, options, rows } of golden.cases) {
    test(name, () => {
      const extractor = featureExtractor(options as FeatureOptions)
      const features = extractor.extract(signal(options.sampleFrequency, samples))
      expectRows(features, rows)
      expect(extractor.frameCount(samples)).toBe(features.frames)
    })
  }

  test('an extractor holds nothing over from one utterance to the next', () => {
    const extractor = featureExtractor({ type: 'mfcc', sampleFrequency: 8000 })
    const alone = extractor.extract(signal(8000, 900))
    extractor.extract(signal(16000, 1500))
    expect(extractor.extract(signal(8000, 900))).toEqual(alone)
  })

  test('silence and no signal at all yield finite features', () => {
    for (const snipEdges of [true, false]) {
      for (const type of ['fbank', 'mfcc'] as const) {
        const extractor = featureExtractor({ type, sampleFrequency: 8000, snipEdges })
        const { rows, frames } = extractor.extract(new Float32Array(800))
        expect(frames).toBeGreaterThan(0)
        expect(rows.every(Number.isFinite)).toBe(true)
        // The floor of every logarithm is the epsilon of float32.
        expect(rows[0]).toBeCloseTo(Math.log(2 ** -23), 4)
        expect(extractor.extract(new Float32Array(0)).frames).toBe(0)
      }
    }
  })

  test('options that cannot be computed are refused by name', () => {
    const refused: [FeatureOptions, RegExp][] = [
      [{ type: 'fbank', sampleFrequency: 8000, numMelBins: 128 }, /numMelBins 128/],
      [{ type: 'fbank', sampleFrequency: 8000, highFreq: 7000 }, /7000 Hz/],
      [{ type: 'fbank', lowFreq: -1 }, /-1 to 8000 Hz/],
      [{ type: 'mfcc', numCeps: 24 }, /numCeps 24/],
      [{ type: 'fbank', frameLengthMs: 0.1 }, /frameLengthMs 0.1/],
      [{ type: 'fbank', frameShiftMs: 0.01 }, /frameShiftMs 0.01/],
      [{ type: 'fbank', frameLengthMs: 1e9 }, /frameLengthMs 1000000000/],
      [{ type: 'fbank', sampleFrequency: 1e300 }, /more than 65536 samples/],
      [{ type: 'fbank', windowType: 'toString' as 'povey' }, /windowType toString/],
    ]
    for (const [options, message] of refused) {
      expect(() => featureExtractor(options)).toThrow(FeatureError)
      expect(() => featureExtractor(options)).toThrow(message)
    }
  })

  const { NaN: nan, POSITIVE_INFINITY: infinity } = Number
  const unusable: { readonly [option: string]: readonly number[] } = {
    sampleFrequency: [nan, infinity, 0, -8000],
    frameLengthMs: [nan, infinity, 0, -25],
    frameShiftMs: [nan, infinity, 0, -10],
    preemphasisCoefficient: [nan, infinity, -0.1, 1.1],
    blackmanCoeff: [nan, infinity],
    numMelBins: [nan, infinity, 2, 12.5, 1e9],
    lowFreq: [nan, infinity],
    highFreq: [nan, infinity],
    energyFloor: [nan, infinity],
    numCeps: [nan, infinity, 0, 12.5, -1],
    cepstralLifter: [nan, infinity],
  }
  test.each(Object.entries(unusable))('%s is refused by name and value unless usable', (...row) => {
    const [option, values] = row
    for (const value of values) {
      const extractor = () => featureExtractor({ type: 'mfcc', [option]: value })
      expect(extractor).toThrow(FeatureError)
      expect(extractor).toThrow(`${option} ${value} is not `)
    }
  })
})

const shapes = fc.record({
  seed: fc.nat(),
  frames: fc.integer({ min: 0, max: 9 }),
  dims: fc.integer({ min: 1, max: 4 }),
})

function randomFeatures(seed: number, frames: number, dims: number): Features {
  const random = randomFor(seed, 'features')
  const rows = Float32Array.from({ length: frames * dims }, () => 3 + 2 * random.normal())
  return { rows, frames, dims }
}

describe('transforms', () => {
  const { utterances, normalized, speakers, spliced, subsampled } = golden.transforms
  const featuresOf = (rows: readonly (readonly number[])[]): Features => ({
    rows: Float32Array.from(rows.flat()),
    frames: rows.length,
    dims: rows[0]!.length,
  })

  test('cepstral mean and variance of an utterance are those of numpy', () => {
    const features = featuresOf(utterances[0]!.rows)
    normalizeUtterance(features)
    expectRows(features, normalized)
  })

  test('cepstral mean and variance of a speaker are those of numpy', () => {
    const spoken = utterances.map(({ speaker, rows }) => ({ speaker, features: featuresOf(rows) }))
    normalizeSpeakers(spoken)
    spoken.forEach(({ features }, index) => expectRows(features, speakers[index]!))
  })

  test('splicing and subsampling are those of numpy', () => {
    const wide = splice(featuresOf(utterances[0]!.rows), { left: 2, right: 1 })
    expectRows(wide, spliced)
    expectRows(subsample(wide, { factor: 3, offset: 1 }), subsampled)
  })

  test('of no whole number of frames are a bug of the caller', () => {
    const features = randomFeatures(1, 6, 2)
    for (const factor of [1.5, 0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => subsample(features, { factor })).toThrow(`every ${factor}-th frame`)
    }
    expect(() => subsample(features, { factor: 2, offset: 0.5 })).toThrow('from frame 0.5 on')
    expect(() => splice(features, { left: 0.5, right: 1 })).toThrow('0.5 + 1 + 1 frames')
    expect(() => splice(features, { left: 1, right: -1 })).toThrow('1 + 1 + -1 frames')
    expect(() => addDeltas(features, { window: 0 })).toThrow('over +-0 frames')
    expect(() => addDeltas(features, { order: 1.5 })).toThrow('deltas of order 1.5')
  })

  test('deltas equal those of Kaldi, edges included', () => {
    const { rows, expected } = golden.deltas
    const features = { rows: Float32Array.from(rows.flat()), frames: rows.length, dims: 2 }
    expectRows(addDeltas(features), expected)
  })

  test('a normalised utterance has mean 0 and variance 1; a constant dimension becomes 0', () => {
    const features = randomFeatures(1, 200, 3)
    for (let frame = 0; frame < 200; frame++) features.rows[3 * frame + 2] = 8
    normalizeUtterance(features)
    const total = featureSums(3)
    addToSums(total, features)
    for (const dim of [0, 1]) {
      expect(Math.abs(total.sums[dim]! / 200)).toBeLessThan(1e-6)
      expect(total.squares[dim]! / 200).toBeCloseTo(1, 5)
    }
    expect(total.squares[2]).toBe(0)
    normalizeUtterance(randomFeatures(1, 0, 3))
  })

  test('a speaker is normalised over all its utterances, and only those', () => {
    const speakers = ['a', 'b', 'a']
    const make = () =>
      speakers.map((speaker, i) => ({ speaker, features: randomFeatures(i, 5 + i, 2) }))
    const normalized = make()
    normalizeSpeakers(normalized)
    const [first, second, third] = make().map(({ features }) => features)
    normalizeUtterance(second!)
    expect(normalized[1]!.features.rows).toEqual(second!.rows)
    const joined = { rows: new Float32Array([...first!.rows, ...third!.rows]), frames: 12, dims: 2 }
    normalizeUtterance(joined)
    const both = [...normalized[0]!.features.rows, ...normalized[2]!.features.rows]
    expect(both).toEqual([...joined.rows])
  })

  test('without variance only the mean is taken away', () => {
    const features = randomFeatures(3, 50, 1)
    const before = features.rows.slice()
    const total = featureSums(1)
    addToSums(total, features)
    normalize(features, total, { variance: false })
    const mean = total.sums[0]! / 50
    for (const [i, value] of before.entries()) {
      expect(features.rows[i]!).toBeCloseTo(value - mean, 5)
    }
  })

  test('splicing repeats edge frames and subsampling keeps every n-th frame', () => {
    fc.assert(
      fc.property(
        shapes,
        fc.nat(4),
        fc.nat(4),
        fc.integer({ min: 1, max: 4 }),
        ({ seed, frames, dims }, left, right, factor) => {
          const features = randomFeatures(seed, frames, dims)
          const row = (frame: number): number[] => {
            const inside = Math.max(0, Math.min(frames - 1, frame))
            return [...features.rows.slice(inside * dims, inside * dims + dims)]
          }
          const spliced: number[][] = []
          for (let t = 0; t < frames; t++) {
            const wide: number[] = []
            for (let shift = -left; shift <= right; shift++) wide.push(...row(t + shift))
            spliced.push(wide)
          }
          const result = splice(features, { left, right })
          expect([...result.rows]).toEqual(spliced.flat())
          expect(result.dims).toBe((left + 1 + right) * dims)
          const offset = left
          const kept = spliced.filter((_, t) => t >= offset && (t - offset) % factor === 0)
          expect([...subsample(result, { factor, offset }).rows]).toEqual(kept.flat())
        },
      ),
    )
  })
})
