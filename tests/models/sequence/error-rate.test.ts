import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  countErrors,
  type ErrorCounts,
  errorRate,
  errorsOf,
  pairedBootstrap,
} from '../../../models/sequence/error-rate.ts'
import { type Random, randomFor } from '../../../protocol/random.ts'

const split = (text: string): string[] => text.split(' ').filter((word) => word !== '')

/** `insertions deletions substitutions` */
function kinds(reference: string, hypothesis: string): string {
  const { insertions, deletions, substitutions } = countErrors(split(reference), split(hypothesis))
  return `${insertions} ${deletions} ${substitutions}`
}

/** The slow twin: all alignments. */
function distance(a: readonly number[], b: readonly number[]): number {
  if (a.length === 0 || b.length === 0) return a.length + b.length
  return Math.min(
    distance(a.slice(1), b.slice(1)) + (a[0] === b[0] ? 0 : 1),
    distance(a.slice(1), b) + 1,
    distance(a, b.slice(1)) + 1,
  )
}

/** The tie rule as a recursion over prefixes that carries counts: [insertions, deletions, substitutions]. */
function byPrefixes(reference: readonly number[], hypothesis: readonly number[]): number[] {
  const cost = (counts: readonly number[]) => counts.reduce((sum, count) => sum + count, 0)
  const of = (r: number, h: number): number[] => {
    if (h === 0) return [0, r, 0]
    if (r === 0) return [h, 0, 0]
    const [paired, inserted, deleted] = [of(r - 1, h - 1), of(r, h - 1), of(r - 1, h)]
    const differs = reference[r - 1] === hypothesis[h - 1] ? 0 : 1
    const [pair, insert, remove] = [cost(paired) + differs, cost(inserted) + 1, cost(deleted) + 1]
    if (pair < insert && pair < remove) return [paired[0]!, paired[1]!, paired[2]! + differs]
    if (remove < insert) return [deleted[0]!, deleted[1]! + 1, deleted[2]!]
    return [inserted[0]! + 1, inserted[1]!, inserted[2]!]
  }
  return of(reference.length, hypothesis.length)
}

describe('errors', () => {
  test.each([
    ['', '', '0 0 0'],
    ['one two', 'one two', '0 0 0'],
    ['', 'one two', '2 0 0'],
    ['one two', '', '0 2 0'],
    ['one two three', 'one five three', '0 0 1'],
    ['one two three', 'one three', '0 1 0'],
    ['one three', 'one two three', '1 0 0'],
    ['k i t t e n', 's i t t i n g', '1 0 2'],
    // A tie with two substitutions.
    ['a b', 'b c', '1 1 0'],
    ['a b c d', 'b c d e', '1 1 0'],
    ['a b c', 'x y z', '0 0 3'],
  ])('of %p heard as %p are %p (insertions, deletions, substitutions)', (ref, hyp, expected) => {
    expect(kinds(ref, hyp)).toBe(expected)
    expect(countErrors(split(ref), split(hyp)).words).toBe(split(ref).length)
  })

  const words = fc.array(fc.nat({ max: 2 }), { maxLength: 5 })

  test('are as few as any alignment has, and their kinds account for the lengths', () => {
    fc.assert(
      fc.property(words, words, (reference, hypothesis) => {
        const counts = countErrors(reference, hypothesis)
        expect(errorsOf(counts)).toBe(distance(reference, hypothesis))
        expect(counts.insertions - counts.deletions).toBe(hypothesis.length - reference.length)
      }),
      { seed: 6, numRuns: 300 },
    )
  })

  test('of alignments that tie are those of the stated rule', () => {
    fc.assert(
      fc.property(words, words, (reference, hypothesis) => {
        const { insertions, deletions, substitutions } = countErrors(reference, hypothesis)
        expect([insertions, deletions, substitutions]).toEqual(byPrefixes(reference, hypothesis))
      }),
      { seed: 7, numRuns: 300 },
    )
  })
})

/** Five words, each wrong with this chance. */
function utterance(chance: number, random: Random): ErrorCounts {
  let substitutions = 0
  for (let word = 0; word < 5; word++) substitutions += random.next() < chance ? 1 : 0
  return { insertions: 0, deletions: 0, substitutions, words: 5 }
}

const many = (count: number, make: () => ErrorCounts): ErrorCounts[] =>
  Array.from({ length: count }, make)

describe('the error rate', () => {
  test('sums its utterances', () => {
    const rate = errorRate(
      [
        { insertions: 1, deletions: 0, substitutions: 2, words: 10 },
        { insertions: 0, deletions: 3, substitutions: 0, words: 30 },
      ],
      randomFor(1),
    )
    expect(rate).toMatchObject({ insertions: 1, deletions: 3, substitutions: 2, words: 40 })
    expect(rate.percent).toBe(15)
    expect([rate.low, rate.high]).toEqual([10, 30])
    expect(errorRate([], randomFor(1)).percent).toBe(0)
  })

  test('lies in its interval about 95 times of 100', () => {
    const random = randomFor('coverage')
    let [covered, below] = [0, 0]
    for (let run = 0; run < 200; run++) {
      const { low, high } = errorRate(
        many(80, () => utterance(0.1, random)),
        randomFor(run),
      )
      if (low <= 10 && 10 <= high) covered += 1
      if (high < 10) below += 1
    }
    // Binomial(200, 0.95) is within 181 and 199 but once in a thousand.
    expect(covered).toBeGreaterThanOrEqual(181)
    expect(covered).toBeLessThanOrEqual(199)
    expect(below).toBeGreaterThan(0)
    // 32 million draws: a second on an idle core.
  }, 60_000)

  test('has the same interval for the same seed', () => {
    const random = randomFor('same')
    const utterances = many(50, () => utterance(0.2, random))
    expect(errorRate(utterances, randomFor(3))).toEqual(errorRate(utterances, randomFor(3)))
    expect(errorRate(utterances, randomFor(3))).not.toEqual(errorRate(utterances, randomFor(4)))
  })

  test('of utterances that share recordings has a wider interval, if told so', () => {
    const random = randomFor('groups')
    // 20 recordings, ten copies of each.
    const recordings = many(20, () => utterance(0.2, random))
    const utterances = Array.from({ length: 200 }, (_, index) => recordings[index % 20]!)
    const groups = utterances.map((_, index) => `recording ${index % 20}`)
    const alone = errorRate(utterances, randomFor(5))
    const grouped = errorRate(utterances, randomFor(5), { groups })
    expect(grouped.percent).toBe(alone.percent)
    const ratio = (grouped.high - grouped.low) / (alone.high - alone.low)
    // The square root of ten.
    expect(ratio).toBeGreaterThan(2.6)
    expect(ratio).toBeLessThan(3.8)
    const own = { groups: utterances.map((_, index) => index) }
    expect(errorRate(utterances, randomFor(5), own)).toEqual(alone)
    expect(() => errorRate(utterances, randomFor(5), { groups: ['a'] })).toThrow('its group')
  })
})

describe('a comparison', () => {
  const random = randomFor('paired')
  const before = many(400, () => utterance(0.2, random))
  /** Mends some errors: what `before` got right stays right. */
  const after = before.map((counts) => ({
    ...counts,
    substitutions: counts.substitutions - (counts.substitutions && random.next() < 0.25 ? 1 : 0),
  }))

  test('of a system with itself is zero and no improvement', () => {
    const same = pairedBootstrap(before, before, randomFor(1))
    expect(same).toEqual({ relativePercent: 0, low: 0, high: 0, improvementProbability: 0 })
  })

  test('is the relative change, within its interval, and sure of its sign', () => {
    const total = (counts: readonly ErrorCounts[]) =>
      counts.reduce((sum, one) => sum + errorsOf(one), 0)
    const change = pairedBootstrap(before, after, randomFor(1))
    expect(change.relativePercent).toBeCloseTo(100 * (total(after) / total(before) - 1), 9)
    expect(change.low).toBeLessThan(change.relativePercent)
    expect(change.high).toBeGreaterThan(change.relativePercent)
    expect(change.high).toBeLessThan(0)
    expect(change.improvementProbability).toBe(1)
    expect(pairedBootstrap(after, before, randomFor(1)).improvementProbability).toBe(0)
    expect(pairedBootstrap(before, after, randomFor(1))).toEqual(change)
  })

  test('of equally good systems is doubtful, and pairing makes it narrower', () => {
    const other = many(400, () => utterance(0.2, random))
    const { low, high, improvementProbability } = pairedBootstrap(before, other, randomFor(2))
    expect(low).toBeLessThan(0)
    expect(high).toBeGreaterThan(0)
    expect(improvementProbability).toBeGreaterThan(0.02)
    expect(improvementProbability).toBeLessThan(0.98)
    const paired = pairedBootstrap(before, after, randomFor(2))
    expect(paired.high - paired.low).toBeLessThan(0.6 * (high - low))
  })

  test('of utterances in groups draws the groups', () => {
    const groups = before.map((_, index) => index % 6)
    const grouped = pairedBootstrap(before, after, randomFor(1), { groups })
    const alone = pairedBootstrap(before, after, randomFor(1))
    expect(grouped.relativePercent).toBeCloseTo(alone.relativePercent, 9)
    expect(grouped.low).not.toBe(alone.low)
    expect(() => pairedBootstrap(before, after.slice(1), randomFor(1))).toThrow('same utterances')
  })
})
