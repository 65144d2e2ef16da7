import { expect, test } from 'bun:test'
import {
  type DenominatorModel,
  latticeFreeLoss,
  leakyForwardBackward,
} from '../../../models/sequence/lattice-free.ts'
import { randomFor } from '../../../protocol/random.ts'
import { centralDifference } from './lattices.ts'

const arc = (source: number, target: number, probability: number, pdf: number) => ({
  source,
  target,
  probability,
  pdf,
})
const model: DenominatorModel = {
  stateCount: 2,
  arcs: [arc(0, 0, 0.5, 0), arc(0, 1, 0.5, 1), arc(1, 1, 0.6, 2), arc(1, 0, 0.4, 0)],
  initial: Float64Array.of(0.6, 0.4),
}
const activations = Float64Array.of(0.2, -0.3, 0.5, 1, 0.1, -0.4, -0.2, 0.3, 0.6)
const options = { pdfs: 3, leak: 0.1 }

/**
 * The slow twin: the leak as an extra move before each frame and at the end (stay, or with `leak` go
 * to a state by `initial`), and the sum over every sequence of moves.
 */
function logProbabilityByEnumeration(
  { stateCount, arcs, initial }: DenominatorModel,
  y: Float64Array,
  pdfs: number,
  leak: number,
): number {
  const frames = y.length / pdfs
  const moves = (from: number): { to: number; weight: number }[] => [
    { to: from, weight: 1 },
    ...Array.from(initial, (weight, to) => ({ to, weight: leak * weight })),
  ]
  const sumFrom = (state: number, t: number): number => {
    let sum = 0
    for (const { to, weight } of moves(state)) {
      if (t === frames) sum += weight
      else {
        for (const { source, target, probability, pdf } of arcs) {
          if (source !== to) continue
          sum += weight * probability * Math.exp(y[t * pdfs + pdf]!) * sumFrom(target, t + 1)
        }
      }
    }
    return sum
  }
  let total = 0
  for (let state = 0; state < stateCount; state++) total += initial[state]! * sumFrom(state, 0)
  return Math.log(total)
}

test('the leaky HMM gives the golden log probability and posteriors', () => {
  const { logProbability, posteriors } = leakyForwardBackward(model, activations, options)
  expect(logProbability).toBeCloseTo(1.2419303136, 9)
  const expected = [
    0.533808, 0.167669, 0.298523, 0.667309, 0.188469, 0.144221, 0.326063, 0.404536, 0.269401,
  ]
  expected.forEach((value, i) => expect(Math.abs(posteriors[i]! - value)).toBeLessThan(1e-6))
  expectDerivatives(posteriors, model, { y: activations, leak: options.leak })
})

/** Posteriors are the derivative of the log probability, beyond the printed digits. */
function expectDerivatives(
  posteriors: Float64Array,
  made: DenominatorModel,
  { y, leak }: { y: Float64Array; leak: number },
): void {
  expect(posteriors.length).toBe(y.length)
  y.forEach((_, cell) => {
    const numeric = centralDifference((by) => {
      const moved = y.slice()
      moved[cell]! += by
      return logProbabilityByEnumeration(made, moved, 3, leak)
    })
    expect(Math.abs(posteriors[cell]! - numeric)).toBeLessThan(1e-10)
  })
}

test('log probability and posteriors equal enumeration of paths and leaks on random models', () => {
  for (let seed = 0; seed < 60; seed++) {
    const { random, made, y } = randomModel(seed)
    const leak = random.next() / 2
    const { logProbability, posteriors } = leakyForwardBackward(made, y, { pdfs: 3, leak })
    const expected = logProbabilityByEnumeration(made, y, 3, leak)
    expect(Math.abs(logProbability - expected)).toBeLessThan(1e-12)
    expectDerivatives(posteriors, made, { y, leak })
    for (let row = 0; row < y.length; row += 3) {
      const sum = posteriors.subarray(row, row + 3).reduce((a, b) => a + b, 0)
      expect(Math.abs(sum - 1)).toBeLessThan(1e-12)
    }
  }
})

function randomModel(seed: number) {
  const random = randomFor('leaky', seed)
  const stateCount = 1 + random.below(3)
  const arcs = Array.from({ length: 2 * stateCount }, (_, index) =>
    arc(index >> 1, random.below(stateCount), 0.1 + random.next(), random.below(3)),
  )
  const initial = Float64Array.from({ length: stateCount }, () => 0.1 + random.next())
  const y = Float64Array.from({ length: 3 * (1 + random.below(3)) }, () => random.normal())
  return { random, made: { stateCount, arcs, initial }, y }
}

test('the derivative of the loss equals central differences, also beyond the limit', () => {
  for (let seed = 0; seed < 60; seed++) {
    const { random, made, y } = randomModel(seed)
    if (seed % 2) y[random.below(y.length)] = random.next() < 0.5 ? 31.5 : -42
    const aligned = Int32Array.from({ length: y.length / 3 }, () => random.below(3))
    const { outer, value, frames, finite } = latticeFreeLoss(made, y, { ...options, aligned })
    expect({ frames, finite }).toEqual({ frames: aligned.length, finite: true })
    if (seed % 2 === 0) {
      const forced = aligned.reduce((sum, pdf, t) => sum + y[3 * t + pdf]!, 0)
      const expected = forced - logProbabilityByEnumeration(made, y, 3, options.leak)
      expect(Math.abs(value - expected)).toBeLessThan(1e-9)
    }
    y.forEach((_, cell) => {
      const at = (by: number): number => {
        const moved = y.slice()
        moved[cell]! += by
        return latticeFreeLoss(made, moved, { ...options, aligned }).value
      }
      expect(Math.abs(-outer[cell]! - centralDifference(at))).toBeLessThan(1e-9)
    })
  }
})

test('within the limit the derivative sums to 0 in every frame', () => {
  const aligned = Int32Array.of(0, 1, 2)
  const { outer } = latticeFreeLoss(model, activations, { ...options, aligned })
  for (let row = 0; row < 9; row += 3) {
    expect(Math.abs(outer[row]! + outer[row + 1]! + outer[row + 2]!)).toBeLessThan(1e-12)
  }
})

test('activations that are not finite give a zero derivative and say so', () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const spoilt = activations.slice().fill(bad, 3, 4)
    const aligned = Int32Array.of(0, 1, 2)
    const { outer, finite } = latticeFreeLoss(model, spoilt, { ...options, aligned })
    expect(finite).toBe(false)
    expect(outer.every((value) => value === 0)).toBe(true)
  }
})
