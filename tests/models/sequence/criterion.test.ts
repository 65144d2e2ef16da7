import { describe, expect, test } from 'bun:test'
import {
  addCrossEntropy,
  type CriterionOptions,
  criterionDefaults,
  type SequenceCriterion,
  sequenceLoss,
} from '../../../models/sequence/criterion.ts'
import { accumulate, forwardBackward } from '../../../models/sequence/forward-backward.ts'
import { latticeFromArcs } from '../../../models/sequence/lattice.ts'
import {
  type Case,
  caseOf,
  centralDifference,
  enumeratePaths,
  goldenCase,
  logSum,
  randomCase,
} from './lattices.ts'

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
    expect(boosted.outer[0]! / 0.5).toBeCloseTo(0.498906 - 1, 6)
  })

  test('posteriors by enumeration of its eight paths, beyond the printed digits', () => {
    const paths = enumeratePaths(golden, 0.5)
    expect(paths.length).toBe(8)
    const total = logSum(paths.map(({ score }) => score))
    const value = 1.7355968823
    const gamma = new Float64Array(9)
    const risk = new Float64Array(9)
    for (const { arcs, score } of paths) {
      const probability = Math.exp(score - total)
      const right = arcs.filter(({ pdf }, t) => pdf === golden.alignment.pdfs[t]).length
      arcs.forEach(({ pdf }, t) => {
        gamma[3 * t + pdf]! += probability
        risk[3 * t + pdf]! += probability * (right - value)
      })
    }
    const denominator = new Float64Array(9)
    accumulate(golden.lattice, forwardBackward(golden.lattice, 0.5)!.arcs, 1, denominator, 3)
    expectClose(denominator, [...gamma], 1e-12)
    const { outer } = loss('smbr', golden)
    expectClose(
      outer.map((derivative) => derivative / -0.5),
      [...risk],
      1e-9,
    )
  })
})

/** Reference values by enumeration of every path. */
function byEnumeration(
  criterion: SequenceCriterion,
  c: Case,
  changes: Partial<CriterionOptions>,
): number {
  const { alignment } = c
  const { acousticScale, boost, boostUnit, maxSilenceError, oneSilenceClass } = options(changes)
  const wrong = (own: number, reference: number): number => {
    if (own === reference) return 0
    return own === 0 ? boost * maxSilenceError! : boost
  }
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
  { acousticScale: 1.7, maxSilenceError: 0.4 },
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
    for (let seed = 0; seed < 300; seed++) {
      const c = randomCase(seed)
      const changes = variants[seed % 3]!
      const { outer, frames } = loss(criterion, c, changes)
      expect(frames).toBe(c.lattice.frames)
      expectDerivative(outer, c, (moved) => byEnumeration(criterion, moved, changes))
      expectZeroSums(outer, c.pdfs)
    }
  })
}

/** `outer` is -dF/dScores; differences of F at every cell. */
function expectDerivative(outer: Float64Array, c: Case, value: (moved: Case) => number): void {
  outer.forEach((derivative, cell) => {
    const numeric = centralDifference((by) => {
      const scores = c.scores.slice()
      scores[cell]! += by
      return value(caseOf(c, scores, c.alignment, c.pdfs))
    })
    expect(Math.abs(-derivative - numeric)).toBeLessThan(1e-9)
  })
}

function expectZeroSums(outer: Float64Array, pdfs: number): void {
  for (let row = 0; row < outer.length; row += pdfs) {
    const sum = outer.subarray(row, row + pdfs).reduce((total, value) => total + value, 0)
    expect(Math.abs(sum)).toBeLessThan(1e-12)
  }
}

test('MMI with a numerator within a tolerance equals enumeration of the allowed paths', () => {
  let [compared, none] = [0, 0]
  for (let seed = 0; seed < 300; seed++) {
    const c = randomCase(seed)
    const { words } = c.alignment
    const toleranceFrames = seed % 3
    const value = (moved: Case): number => {
      const paths = enumeratePaths(moved, 0.5)
      const allowed = paths.filter(({ arcs }) =>
        arcs.every(({ word }, t) =>
          words.subarray(Math.max(0, t - toleranceFrames), t + toleranceFrames + 1).includes(word!),
        ),
      )
      return logSum(allowed.map(({ score }) => score)) - logSum(paths.map(({ score }) => score))
    }
    const expected = value(c)
    const made = loss('mmi', c, { numerator: { toleranceFrames } })
    if (!Number.isFinite(expected)) {
      none += 1
      expect(made).toEqual(loss('mmi', c))
      continue
    }
    compared += 1
    expect(Math.abs(made.value - expected)).toBeLessThan(1e-9)
    expectDerivative(made.outer, c, value)
    expectZeroSums(made.outer, c.pdfs)
  }
  expect(compared).toBeGreaterThan(100)
  expect(none).toBeGreaterThan(20)
})

test('where no path lies within the tolerance the forced path is the numerator', () => {
  const golden = goldenCase()
  const words = Int32Array.of(9, 9, 9)
  const c = { ...golden, alignment: { ...golden.alignment, words } }
  for (const frameRejection of [true, false]) {
    const restricted = loss('mmi', c, { numerator: { toleranceFrames: 1 }, frameRejection })
    expect(restricted).toEqual(loss('mmi', golden, { frameRejection }))
  }
})

test('boosting wrong frames by b and lowering right ones by b give the same derivative', () => {
  for (let seed = 0; seed < 100; seed++) {
    const c = randomCase(seed)
    const changes = { boost: 0.3, boostUnit: 'word', maxSilenceError: 1 } as const
    const lowered = {
      ...c,
      arcs: c.arcs.map((arc) => {
        const isRight = arc.word === c.alignment.words[c.times[arc.source]!]
        return isRight ? { ...arc, graphScore: arc.graphScore - 0.3 } : arc
      }),
    }
    const plain = loss('mmi', caseOf(lowered, c.scores, c.alignment, c.pdfs))
    const boosted = loss('bmmi', c, changes)
    expectClose(boosted.outer, [...plain.outer], 1e-12)
    expect(Math.abs(plain.value - boosted.value - 0.3 * c.lattice.frames)).toBeLessThan(1e-9)
  }
})

test('silence against silence is right only with one silence class, and never counts as MWE error', () => {
  const golden = goldenCase()
  // pdf 0 becomes a state of silence; the reference is silent in the first frame, in another state.
  const silent = {
    ...golden,
    arcs: golden.arcs.map((arc) => (arc.pdf === 0 ? { ...arc, phone: 0, word: 0 } : arc)),
  }
  const reference = {
    pdfs: Int32Array.of(3, 1, 2),
    phones: Int32Array.of(0, 2, 3),
    words: Int32Array.of(0, 2, 3),
  }
  const c = caseOf(silent, golden.scores, reference, 3)
  const gamma = new Float64Array(9)
  accumulate(c.lattice, forwardBackward(c.lattice, 0.5)!.arcs, 1, gamma, 3)
  const spoken = gamma[4]! + gamma[8]!
  const value = (criterion: SequenceCriterion, oneSilenceClass: boolean): number =>
    loss(criterion, c, { oneSilenceClass }).value
  expect(value('smbr', true)).toBeCloseTo(gamma[0]! + spoken, 12)
  expect(value('smbr', false)).toBeCloseTo(spoken, 12)
  expect(value('mpfe', true)).toBeCloseTo(gamma[0]! + spoken, 12)
  expect(value('mpfe', false)).toBeCloseTo(spoken, 12)
  for (const one of [true, false]) {
    expect(value('mwe', one)).toBeCloseTo(gamma[0]! + spoken, 12)
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

test('exactly the frames whose reference is in no path are rejected, each frame by its own pdf', () => {
  let [kept, dropped, rare] = [0, 0, 0]
  for (let seed = 0; seed < 300; seed++) {
    const c = randomCase(seed)
    // The larger scale makes posteriors far below 1 of references that are there.
    const acousticScale = [0.5, 6][seed % 2]!
    const paths = enumeratePaths(c, acousticScale)
    const total = logSum(paths.map(({ score }) => score))
    const gamma = new Float64Array(c.lattice.frames * c.pdfs)
    for (const { arcs, score } of paths) {
      arcs.forEach(({ pdf }, t) => (gamma[t * c.pdfs + pdf]! += Math.exp(score - total)))
    }
    const made = loss('mmi', c, { acousticScale, frameRejection: true })
    const expected: number[] = []
    c.alignment.pdfs.forEach((pdf, t) => {
      const row = [...gamma.subarray(t * c.pdfs, (t + 1) * c.pdfs)]
      const isKept = row[pdf]! > 0
      if (!isKept) dropped += 1
      else if (row[pdf]! < 1e-4) rare += 1
      else kept += 1
      const targets = row.map((_, own) => (own === pdf ? 1 : 0))
      expected.push(
        ...row.map((value, own) => (isKept ? acousticScale * (value - targets[own]!) : 0)),
      )
    })
    expectClose(made.outer, expected, 1e-9)
  }
  // Else a branch was never taken.
  for (const count of [kept, dropped, rare]) expect(count).toBeGreaterThan(30)
})

test('a frame is rejected below a posterior of 1e-20, whatever the acoustic scale', () => {
  for (const acousticScale of [0.1, 1, 10]) {
    for (const [posterior, rejected] of [
      [2e-20, 0],
      [0.5e-20, 1],
    ] as const) {
      const lattice = latticeFromArcs({
        times: [0, 1],
        arcs: [
          { source: 0, target: 1, pdf: 0, graphScore: Math.log(posterior) },
          { source: 0, target: 1, pdf: 1, graphScore: 0 },
        ],
        finals: new Map([[1, 0]]),
      })
      const zero = Int32Array.of(0)
      const alignment = { pdfs: zero, phones: zero, words: zero }
      const input = { lattice, alignment, pdfs: 2, scores: new Float64Array(2) }
      const made = sequenceLoss('mmi', {
        ...input,
        options: options({ acousticScale, frameRejection: true }),
      })
      expect(made.rejectedFrames).toBe(rejected)
    }
  }
})

test('a forced path whose own scores are not finite gives a zero derivative, rejected or not', () => {
  const golden = goldenCase()
  // No arc of the first frame has pdf 2: the denominator does not see its score.
  const alignment = { ...golden.alignment, pdfs: Int32Array.of(2, 1, 2) }
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    const scores = golden.scores.slice()
    scores[2] = bad
    const c = caseOf(golden, scores, alignment, 3)
    expect(forwardBackward(c.lattice, 0.5)).toBeDefined()
    for (const frameRejection of [true, false]) {
      const { value, outer, finite } = loss('mmi', c, { frameRejection })
      expect({ value, finite }).toEqual({ value: 0, finite: false })
      expect([...outer]).toEqual(new Array(9).fill(0))
    }
  }
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

test('scores and alignments of another length are refused', () => {
  const golden = goldenCase()
  const short = golden.alignment.pdfs.subarray(1)
  const alignment = { pdfs: short, phones: short, words: short }
  expect(() => loss('smbr', { ...golden, alignment })).toThrow('alignment')
  expect(() => loss('smbr', { ...golden, scores: golden.scores.subarray(3) })).toThrow('scores')
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
