// Counts of what an evaluation says of single images.
import { expect, test } from 'bun:test'
import { confusionOf, samplesOf } from '../../../actors/image/predicted.ts'
import { insightLimits } from '../../../actors/insight.ts'
import { countHits, predictedClasses, topClasses } from '../../../models/images/accuracy.ts'
import { randomFor } from '../../../protocol/random.ts'

test('what images count as is their label exactly where top-1 counts them, ties and NaN too', () => {
  const random = randomFor('ties')
  const [rows, classes] = [400, 4]
  const values = [0, 1, 2, Number.NaN, Number.NEGATIVE_INFINITY]
  const logits = Float32Array.from({ length: rows * classes }, () => values[random.below(5)]!)
  const labels = Array.from({ length: rows }, () => random.below(classes))
  const predicted = predictedClasses(logits, labels)
  const hits = labels.filter((label, row) => predicted[row] === label)
  expect(hits.length).toBe(countHits(logits, labels).top1)
  expect(hits.length).toBeGreaterThan(0)
})

test('the likeliest classes come in order, with probabilities', () => {
  const logits = Float32Array.from([0, 3, 1, 2, Math.log(2), 0, 0, 0])
  const { classes, probabilities } = topClasses(logits, 2, 2)
  expect([...classes]).toEqual([1, 3, 0, 1])
  expect(probabilities[2]).toBeCloseTo(0.4, 6)
  expect(probabilities[3]).toBeCloseTo(0.2, 6)
})

test('of many classes the pairs most often confused are shown, and no more than the limit', () => {
  const classes = Array.from({ length: 300 }, (_, index) => `c${index}`)
  const pairs = classes.flatMap((_, label) => [
    { label, predicted: label },
    { label, predicted: (label + 1) % 300 },
  ])
  pairs.push({ label: 7, predicted: 8 })
  const confusion = confusionOf(pairs, { model: 'm', classes })
  if (confusion.type !== 'pairs') throw new Error('a matrix of 300 classes')
  expect(confusion).toMatchObject({ images: 601, correct: 300 })
  expect(confusion.pairs).toHaveLength(insightLimits.pairsMax)
  expect(confusion.pairs[0]).toEqual({ label: 'c7', predicted: 'c8', count: 2 })
})

test('half of the samples are mistakes where there are so many, and all places are filled', () => {
  const { samplesMax } = insightLimits
  const order = Array.from({ length: 500 }, (_, index) => 499 - index)
  for (const [wrong, expected] of [
    [100, samplesMax / 2],
    [5, 5],
    [490, samplesMax - 10],
  ] as const) {
    const all = order.map((index) => ({ index, label: 0, predicted: index < wrong ? 1 : 0 }))
    const samples = samplesOf(all, order)
    expect(samples).toHaveLength(samplesMax)
    const mistakes = samples.filter(({ predicted }) => predicted === 1).length
    expect(mistakes).toBe(expected)
  }
})
