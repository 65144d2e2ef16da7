import { expect, test } from 'bun:test'
import { leakyForwardBackward } from '../../../models/sequence/lattice-free.ts'

const arc = (source: number, target: number, probability: number, pdf: number) => ({
  source,
  target,
  probability,
  pdf,
})
const model = {
  stateCount: 2,
  arcs: [arc(0, 0, 0.5, 0), arc(0, 1, 0.5, 1), arc(1, 1, 0.6, 2), arc(1, 0, 0.4, 0)],
  initial: Float64Array.of(0.6, 0.4),
}
const activations = Float64Array.of(0.2, -0.3, 0.5, 1, 0.1, -0.4, -0.2, 0.3, 0.6)

test('the leaky HMM gives the golden log probability and posteriors', () => {
  const { logProbability, posteriors } = leakyForwardBackward(model, activations, {
    pdfs: 3,
    leak: 0.1,
  })
  expect(logProbability).toBeCloseTo(1.2419303136, 9)
  const expected = [
    0.533808, 0.167669, 0.298523, 0.667309, 0.188469, 0.144221, 0.326063, 0.404536, 0.269401,
  ]
  expected.forEach((value, i) => expect(Math.abs(posteriors[i]! - value)).toBeLessThan(1e-6))
})

test('posteriors are the derivative of the log probability', () => {
  const { posteriors } = leakyForwardBackward(model, activations, { pdfs: 3, leak: 0.1 })
  activations.forEach((_, cell) => {
    const at = (by: number): number => {
      const moved = activations.slice()
      moved[cell]! += by
      return leakyForwardBackward(model, moved, { pdfs: 3, leak: 0.1 }).logProbability
    }
    expect((at(1e-5) - at(-1e-5)) / 2e-5).toBeCloseTo(posteriors[cell]!, 6)
  })
})
