import { describe, expect, test } from 'bun:test'
import {
  addCrossEntropy,
  criterionDefaults,
  type CriterionOptions,
  type SequenceCriterion,
  sequenceLoss,
} from '../../../models/sequence/criterion.ts'
import { accumulate, forwardBackward } from '../../../models/sequence/forward-backward.ts'
import { type Case, caseOf, enumeratePaths, goldenCase, logSum, randomCase } from './lattices.ts'

const criteria: SequenceCriterion[] = ['mmi', 'bmmi', 'mpfe', 'mwe', 'smbr']
const options = (changes: Partial<CriterionOptions> = {}): CriterionOptions => ({
  ...criterionDefaults,
  acousticScale: 0.5,
  frameRejection: false,
  ...changes,
})

function loss(criterion: SequenceCriterion, c: Case, changes: Partial<CriterionOptions> = {}) {
  const { lattice, alignment, pdfs, scores } = c
  return sequenceLoss(criterion, { lattice, alignment, pdfs, scores, options: options(changes) })
}

function expectClose(actual: ArrayLike<number>, expected: readonly number[], tolerance: number) {
  expect(actual.length).toBe(expected.length)
  expected.forEach((value, i) => expect(Math.abs(actual[i]! - value)).toBeLessThan(tolerance))
}

describe('golden lattice', () => {
  const golden = goldenCase()
  test('log total, MMI and sMBR values', () => {
    expect(forwardBackward(golden.lattice, 0.5)!.logTotal).toBeCloseTo(1.0527845807, 9)
    expect(loss('mmi', golden).value).toBeCloseTo(-0.6027845807, 9)
    expect(loss('smbr', golden).value).toBeCloseTo(1.7355968823, 9)
  })

  test('denominator posteriors', () => {
    const gamma = new Float64Array(9)
    accumulate(golden.lattice, forwardBackward(golden.lattice, 0.5)!.arcs, 1, gamma, 3)
    const expected = [
      0.53077, 0.46923, 0, 0.300374, 0.526325, 0.173301, 0.198709, 0.122788, 0.678502,
    ]
    expectClose(gamma, expected, 1e-6)
  })

  test('sMBR posteriors', () => {
    const { outer } = loss('smbr', golden)
    const expected = [
      0.317923, -0.317923, 0, -0.298819, 0.297922, 0.000897, -0.011211, -0.168187, 0.179398,
    ]
    expectClose(
      outer.map((value) => value / -0.5),
      expected,
      1e-6,
    )
  })

  test('boosting by 0.1', () => {
    const boosted = loss('bmmi', golden, { boost: 0.1 })
    expect(boosted.value).toBeCloseTo(0.45 - 1.1832126402, 9)
    expect(boosted.outer[1]! / 0.5).toBeCloseTo(0.501094, 6)
  })
})

/** Reference values by enumeration of every path. */
function byEnumeration(
  criterion: SequenceCriterion,
  c: Case,
  changes: Partial<CriterionOptions>,
): number {
  const { alignment } = c
  const { acousticScale, boost, boostUnit, oneSilenceClass } = options(changes)
  const wrong = (own: number, reference: number) => (own === reference || own === 0 ? 0 : boost)
  if (criterion === 'mmi' || criterion === 'bmmi') {
    const paths = enumeratePaths(c, acousticScale, (arc, t) => {
      if (criterion === 'mmi') return 0
      return boostUnit === 'phone'
        ? wrong(arc.phone!, alignment.phones[t]!)
        : wrong(arc.word!, alignment.words[t]!)
    })
    const reference = alignment.pdfs.reduce((sum, pdf, t) => sum + c.scores[t * c.pdfs + pdf]!, 0)
    return acousticScale * reference - logSum(paths.map(({ score }) => score))
  }
  const paths = enumeratePaths(c, acousticScale)
  const total = logSum(paths.map(({ score }) => score))
  let expected = 0
  for (const { arcs, score } of paths) {
    let right = 0
    arcs.forEach((arc, t) => {
      if (criterion === 'mwe') right += arc.word === alignment.words[t] ? 1 : 0
      else {
        const matches =
          criterion === 'smbr' ? arc.pdf === alignment.pdfs[t] : arc.phone === alignment.phones[t]
        const silent = arc.phone === 0
        const both = silent && alignment.phones[t] === 0
        right += (oneSilenceClass ? matches || both : matches && !silent) ? 1 : 0
      }
    })
    expected += Math.exp(score - total) * right
  }
  return expected
}

const variants: Partial<CriterionOptions>[] = [
  {},
  { oneSilenceClass: false, boost: 0.3, boostUnit: 'word' },
  { acousticScale: 1.7 },
]

for (const criterion of criteria) {
  test(`${criterion}: value equals enumeration of all paths on 300 random lattices`, () => {
    for (let seed = 0; seed < 300; seed++) {
      const c = randomCase(seed)
      const changes = variants[seed % 3]!
      expect(
        Math.abs(loss(criterion, c, changes).value - byEnumeration(criterion, c, changes)),
      ).toBeLessThan(1e-9)
    }
  })

  test(`${criterion}: derivative equals central differences, and sums to 0 in every frame`, () => {
    for (let seed = 0; seed < 100; seed++) {
      const c = randomCase(seed)
      const changes = variants[seed % 3]!
      const { outer } = loss(criterion, c, changes)
      const step = 2 ** -10
      const moved = (cell: number, by: number): number => {
        const scores = c.scores.slice()
        scores[cell]! += by
        return byEnumeration(criterion, caseOf(c, scores, c.alignment, c.pdfs), changes)
      }
      for (let cell = 0; cell < outer.length; cell += 3) {
        const [up, down] = [
          Math.fround(c.scores[cell]! + step),
          Math.fround(c.scores[cell]! - step),
        ]
        const numeric = (moved(cell, step) - moved(cell, -step)) / (up - down)
        expect(Math.abs(-outer[cell]! - numeric)).toBeLessThan(2e-6)
      }
      for (let t = 0; t < c.lattice.frames; t++) {
        const row = outer.subarray(t * c.pdfs, (t + 1) * c.pdfs)
        expect(Math.abs(row.reduce((sum, value) => sum + value, 0))).toBeLessThan(1e-12)
      }
    }
  })
}

test('MMI with a numerator within a tolerance equals enumeration of the allowed paths', () => {
  for (let seed = 0; seed < 200; seed++) {
    const c = randomCase(seed)
    const numerator = { toleranceFrames: 1 }
    const { words } = c.alignment
    const allowed = enumeratePaths(c, 0.5).filter(({ arcs }) =>
      arcs.every((arc, t) => [words[t - 1], words[t], words[t + 1]].includes(arc.word)),
    )
    if (allowed.length === 0) continue
    const total = logSum(enumeratePaths(c, 0.5).map(({ score }) => score))
    const expected = logSum(allowed.map(({ score }) => score)) - total
    expect(loss('mmi', c, { numerator }).value).toBeCloseTo(expected, 9)
  }
})

test('a frame whose reference is not in the lattice is rejected only where asked', () => {
  const golden = goldenCase()
  const alignment = { ...golden.alignment, pdfs: Int32Array.of(2, 1, 2) }
  const kept = loss('mmi', { ...golden, alignment })
  const rejected = loss('mmi', { ...golden, alignment }, { frameRejection: true })
  expect(kept.rejectedFrames).toBe(0)
  expect(kept.outer[2]).toBeCloseTo(-0.5, 12)
  expect(rejected.rejectedFrames).toBe(1)
  expect([...rejected.outer.subarray(0, 3)]).toEqual([0, 0, 0])
  expect(rejected.outer.subarray(3)).toEqual(kept.outer.subarray(3))
})

test('scores that are not finite give a zero derivative and say so', () => {
  const golden = goldenCase()
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const scores = golden.scores.slice()
    scores.fill(bad, 3, 6)
    const c = caseOf(golden, scores, golden.alignment, 3)
    for (const criterion of criteria) {
      const { finite, outer } = loss(criterion, c)
      expect(finite).toBe(false)
      expect(outer.every((value) => value === 0)).toBe(true)
    }
  }
})

test('cross-entropy smoothing adds weight * (posterior - target)', () => {
  const outer = new Float64Array(4)
  const logPosteriors = Float32Array.of(
    Math.log(0.25),
    Math.log(0.75),
    Math.log(0.5),
    Math.log(0.5),
  )
  const pdfs = Int32Array.of(1, 0)
  addCrossEntropy(outer, logPosteriors, { pdfs, phones: pdfs, words: pdfs }, 0.1)
  expectClose(outer, [0.025, -0.025, -0.05, 0.05], 1e-8)
})
