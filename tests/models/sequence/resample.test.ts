// A change of rate keeps what both rates can hold and removes the rest.
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { resample } from '../../../models/sequence/resample.ts'

const AMPLITUDE = 10_000

function sine(frequency: number, rate: number, seconds: number): Float32Array {
  const angle = (2 * Math.PI * frequency) / rate
  return Float32Array.from({ length: rate * seconds }, (_, n) => AMPLITUDE * Math.sin(angle * n))
}

/** Root mean square away from the edges, where the signal is known on both sides. */
function level(samples: ArrayLike<number>, margin: number): number {
  let [sum, count] = [0, 0]
  for (let i = Math.ceil(margin); i < samples.length - margin; i++, count++) sum += samples[i]! ** 2
  return Math.sqrt(sum / count)
}

const pairs: [number, number][] = [
  [16000, 8000],
  [8000, 16000],
  [44100, 8000],
  [48000, 16000],
  [11025, 8000],
  [8000, 11025],
]

describe('resample', () => {
  test('a tone below 90 % of both Nyquist frequencies is kept, its images below -60 dB', () => {
    for (const [from, to] of pairs) {
      for (const share of [0.05, 0.4, 0.9]) {
        const frequency = (share * Math.min(from, to)) / 2
        const result = resample(sine(frequency, from, 0.25), from, to)
        const expected = sine(frequency, to, 0.25)
        const error = result.map((value, n) => value - (expected[n] ?? 0))
        const decibels = 20 * Math.log10(level(error, to / 20) / (AMPLITUDE / Math.SQRT2))
        if (!(decibels < -60)) throw new Error(`${from} to ${to}, ${frequency} Hz: ${decibels} dB`)
      }
    }
  })

  test('a tone above the lower Nyquist frequency is not folded back above -60 dB', () => {
    for (const [from, to] of pairs.filter(([from, to]) => from > to)) {
      for (let frequency = to / 2 + 1; frequency < from / 2; frequency += (from - to) / 9) {
        const result = resample(sine(frequency, from, 0.25), from, to)
        const decibels = 20 * Math.log10(level(result, to / 20) / (AMPLITUDE / Math.SQRT2))
        if (!(decibels < -60)) throw new Error(`${from} to ${to}, ${frequency} Hz: ${decibels} dB`)
      }
    }
  })

  test('the same rate is the same signal, and lengths follow the ratio', () => {
    const samples = sine(100, 8000, 0.1)
    expect(resample(samples, 8000, 8000)).toBe(samples)
    const rates = fc.integer({ min: 1000, max: 9000 })
    fc.assert(
      fc.property(rates, rates, fc.nat(300), (from, to, length) => {
        const result = resample(new Float32Array(length).fill(5), from, to)
        expect(result.length).toBe(Math.ceil((length * to) / from))
        expect(result.every(Number.isFinite)).toBe(true)
      }),
      { numRuns: 20 },
    )
  })
})
