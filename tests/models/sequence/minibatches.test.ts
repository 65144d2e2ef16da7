import { expect, test } from 'bun:test'
import { frameBatches, utteranceBatches } from '../../../models/sequence/minibatches.ts'

test('an epoch of frame minibatches holds every frame once, in another order each epoch', () => {
  const batches = frameBatches({ seed: 7, frameCount: 103, batchFrames: 10 })
  const epoch = (number: number) =>
    Array.from({ length: batches.stepsPerEpoch }, (_, step) => [
      ...batches.framesOf(number * batches.stepsPerEpoch + step),
    ]).flat()
  const [first, second] = [epoch(0), epoch(1)]
  expect(batches.stepsPerEpoch).toBe(11)
  for (const order of [first, second]) {
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 103 }, (_, i) => i))
  }
  expect(first).not.toEqual(second)
})

test('a step is the same step for whoever computes it, whatever was asked before', () => {
  const straight = frameBatches({ seed: 3, frameCount: 50, batchFrames: 8 })
  const jumping = frameBatches({ seed: 3, frameCount: 50, batchFrames: 8 })
  jumping.framesOf(40)
  expect([...jumping.framesOf(9)]).toEqual([...straight.framesOf(9)])
})

test('an epoch of utterance batches holds every utterance once, neighbours in length together', () => {
  const lengths = Array.from({ length: 64 }, (_, i) => 100 + 10 * i)
  const batches = utteranceBatches({ seed: 1, lengths, batchUtterances: 8 })
  const seen: number[] = []
  for (let step = 0; step < batches.stepsPerEpoch; step++) {
    const batch = batches.utterancesOf(step)
    const frames = batch.map((index) => lengths[index]!)
    expect(Math.max(...frames) / Math.min(...frames)).toBeLessThan(2)
    seen.push(...batch)
  }
  expect(seen.sort((a, b) => a - b)).toEqual(lengths.map((_, i) => i))
  expect(batches.utterancesOf(0)).not.toEqual(batches.utterancesOf(batches.stepsPerEpoch))
})
