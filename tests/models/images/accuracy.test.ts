import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { accuracyOf, addHits, countHits } from '../../../models/images/accuracy.ts'

const SEED = 41

test('hits equal those of sorting each row, whatever the scores', () => {
  const matrix = fc.integer({ min: 1, max: 9 }).chain((classes) =>
    fc.array(
      fc.tuple(
        fc.uniqueArray(fc.integer({ min: -99, max: 99 }), {
          minLength: classes,
          maxLength: classes,
        }),
        fc.integer({ min: 0, max: classes - 1 }),
      ),
      { minLength: 1, maxLength: 8 },
    ),
  )
  fc.assert(
    fc.property(matrix, (rows) => {
      const logits = Float32Array.from(rows.flatMap(([scores]) => scores))
      const ranks = rows.map(([scores, label]) =>
        [...scores].sort((a, b) => b - a).indexOf(scores[label]!),
      )
      expect(
        countHits(
          logits,
          rows.map(([, label]) => label),
        ),
      ).toEqual({
        images: rows.length,
        top1: ranks.filter((rank) => rank < 1).length,
        top5: ranks.filter((rank) => rank < 5).length,
      })
    }),
    { seed: SEED },
  )
})

test('a network that says the same of every class, or nothing, hits nothing', () => {
  expect(countHits(new Float32Array(20).fill(0.5), [3, 7])).toEqual({ images: 2, top1: 0, top5: 0 })
  expect(countHits(new Float32Array(20).fill(Number.NaN), [3, 7]).top5).toBe(0)
})

test('the interval is Wilson’s: golden values, and within 0 to 100 at the ends', () => {
  const { top1, low, high } = accuracyOf({ images: 1000, top1: 770, top5: 980 })
  expect(top1).toBe(77)
  // Newcombe 1998, method 3, by hand: (p + z2/2n -+ z sqrt(p(1-p)/n + z2/4n2)) / (1 + z2/n).
  expect(low).toBeCloseTo(74.29, 2)
  expect(high).toBeCloseTo(79.5, 1)
  expect(accuracyOf({ images: 10, top1: 10, top5: 10 }).high).toBeCloseTo(100, 10)
  expect(accuracyOf({ images: 10, top1: 0, top5: 0 }).low).toBeCloseTo(0, 10)
})

test('parts add up', () => {
  const part = { images: 3, top1: 1, top5: 2 }
  expect(addHits([part, part])).toEqual({ images: 6, top1: 2, top5: 4 })
  expect(addHits([])).toEqual({ images: 0, top1: 0, top5: 0 })
})
