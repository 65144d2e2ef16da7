import { expect, test } from 'bun:test'
import {
  arcScores,
  forwardBackward,
  logForwardBackward,
  type Posteriors,
  scaledForwardBackward,
} from '../../../models/sequence/forward-backward.ts'
import { type Lattice, latticeFromArcs } from '../../../models/sequence/lattice.ts'
import { randomFor } from '../../../protocol/random.ts'
import { type Case, caseOf, enumeratePaths, logSum, randomCase } from './lattices.ts'

const closeTo = (actual: number, expected: number, tolerance: number): void => {
  expect(Math.abs(actual - expected)).toBeLessThan(tolerance)
}

/** Arcs in the order of the lattice: by source. */
function byEnumeration(c: Case, acousticScale: number): Posteriors {
  const paths = enumeratePaths(c, acousticScale)
  const logTotal = logSum(paths.map(({ score }) => score))
  const sorted = [...c.arcs].sort((a, b) => a.source - b.source)
  const arcs = sorted.map((arc) =>
    paths.reduce(
      (sum, path) => sum + (path.arcs.includes(arc) ? Math.exp(path.score - logTotal) : 0),
      0,
    ),
  )
  return { logTotal, arcs: Float64Array.from(arcs) }
}

function expectSame(actual: Posteriors | undefined, expected: Posteriors, tolerance: number): void {
  expect(actual).toBeDefined()
  closeTo(actual!.logTotal, expected.logTotal, tolerance * Math.max(1, Math.abs(expected.logTotal)))
  expected.arcs.forEach((value, arc) => closeTo(actual!.arcs[arc]!, value, tolerance))
}

test('posteriors equal enumeration of all paths, and the sums of logs, on 400 random lattices', () => {
  for (let seed = 0; seed < 400; seed++) {
    const c = randomCase(seed)
    const scale = [0.1, 0.5, 3][seed % 3]!
    const expected = byEnumeration(c, scale)
    const scores = arcScores(c.lattice, scale)
    expectSame(scaledForwardBackward(c.lattice, scores), expected, 1e-9)
    expectSame(logForwardBackward(c.lattice, scores), expected, 1e-9)
  }
})

test('scores of any range give the posteriors of enumeration', () => {
  let [within, beyond] = [0, 0]
  for (let seed = 0; seed < 1_000; seed++) {
    const c = randomCase(seed)
    const scale = [100, 300, 1000, 10_000][seed % 4]!
    const expected = byEnumeration(c, scale)
    if (scaledForwardBackward(c.lattice, arcScores(c.lattice, scale))) within += 1
    else beyond += 1
    expectSame(forwardBackward(c.lattice, scale), expected, 1e-9)
  }
  // Else the sums of logs, or those of probabilities, were never needed.
  expect(Math.min(within, beyond)).toBeGreaterThan(100)
})

test('the best path is found though its beginning lies below float64', () => {
  const arc = (source: number, target: number, graphScore: number) => ({
    source,
    target,
    pdf: 0,
    graphScore,
  })
  const lattice = latticeFromArcs({
    times: [0, 1, 1, 2, 2, 3],
    arcs: [
      arc(0, 1, -800),
      arc(0, 2, 0),
      arc(1, 3, 0),
      arc(2, 4, -600),
      arc(3, 5, 0),
      arc(4, 5, -600),
    ],
    finals: new Map([[5, 0]]),
  })
  expect(scaledForwardBackward(lattice, arcScores(lattice, 1))).toBeUndefined()
  const { logTotal, arcs } = forwardBackward(lattice, 1)!
  closeTo(logTotal, -800, 1e-9)
  expect([...arcs].map(Math.round)).toEqual([1, 0, 1, 0, 1, 0])
})

/** One state a time, one arc a frame. */
function chainOf(scores: readonly number[]): Lattice {
  return latticeFromArcs({
    times: [...scores.keys(), scores.length],
    arcs: scores.map((graphScore, t) => ({ source: t, target: t + 1, pdf: 0, graphScore })),
    finals: new Map([[scores.length, 0]]),
  })
}

test('sums of logs whose totals differ by more than 1e-8 give nothing: rounding has spoilt them', () => {
  const summed = (scores: readonly number[]) => {
    const lattice = chainOf(scores)
    return logForwardBackward(lattice, arcScores(lattice, 1))
  }
  // Forward 0.1234 is added to 1e12 and loses its last digits, backward it is not.
  expect(summed([0.1234, 1e12, -1e12])).toBeUndefined()
  expect(summed([0.1234, 1e10, -1e10])).toBeUndefined()
  expect(summed([0.1234, 1e6, -1e6])!.logTotal).toBeCloseTo(0.1234, 8)
})

test('the rounding of 20,000 frames is no disagreement, for either kind of sums', () => {
  const random = randomFor('long')
  const frames = 20_000
  const arcs = Array.from({ length: frames }, (_, t) =>
    [0, 1].flatMap((own) =>
      [0, 1].map((to) => ({
        source: t === 0 ? 0 : 2 * t - 1 + own,
        target: 2 * t + 1 + to,
        pdf: 0,
        graphScore: -5 * random.next(),
      })),
    ),
  ).flat()
  const times = [0, ...Array.from({ length: 2 * frames }, (_, state) => 1 + (state >> 1))]
  const finals = new Map([
    [2 * frames - 1, 0],
    [2 * frames, -1],
  ])
  const lattice = latticeFromArcs({ times, arcs, finals })
  const scores = arcScores(lattice, 1)
  const fast = scaledForwardBackward(lattice, scores)
  const slow = logForwardBackward(lattice, scores)
  expectSame(fast, slow!, 1e-9)
})

test('the best path is found though a dead end hides it for three frames, and a worse path lasts', () => {
  const walk = (states: readonly number[], scores: readonly number[]) =>
    scores.map((graphScore, i) => ({
      source: states[i]!,
      target: states[i + 1]!,
      pdf: 0,
      graphScore,
    }))
  const lattice = latticeFromArcs({
    times: [0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5],
    arcs: [
      ...walk([0, 1, 4, 7, 10, 12], [-300, -300, -300, 0, 0]),
      ...walk([0, 2, 5, 8, 11, 12], [-130, -130, -130, -300, -300]),
      ...walk([0, 3, 6, 9], [0, 0, 0]),
    ],
    finals: new Map([[12, 0]]),
  })
  expect(scaledForwardBackward(lattice, arcScores(lattice, 1))).toBeUndefined()
  closeTo(forwardBackward(lattice, 1)!.logTotal, -900, 1e-9)
})

test('an end far below that of a state that nothing reaches keeps its score and posteriors', () => {
  for (const far of [-300, -720, -740, -5_000]) {
    const arc = (target: number, graphScore: number) => ({ source: 0, target, pdf: 0, graphScore })
    const lattice = latticeFromArcs({
      times: [0, 1, 1, 1],
      arcs: [arc(1, -0.25), arc(2, -1)],
      finals: new Map([
        [1, far],
        [2, far + 1],
        [3, 0],
      ]),
    })
    const made = scaledForwardBackward(lattice, arcScores(lattice, 1))
    expectSame(made, logForwardBackward(lattice, arcScores(lattice, 1))!, 1e-9)
    closeTo(made!.logTotal, far + Math.log(Math.exp(-0.25) + 1), 1e-9)
  }
})

test('posteriors of each frame sum to 1', () => {
  for (let seed = 0; seed < 100; seed++) {
    const { lattice } = randomCase(seed)
    const { arcs } = forwardBackward(lattice, 1)!
    for (let t = 0; t < lattice.frames; t++) {
      const [start, end] = [t, t + 1].map((time) => lattice.arcOffset[lattice.timeOffset[time]!]!)
      closeTo(
        arcs.subarray(start, end).reduce((sum, value) => sum + value, 0),
        1,
        1e-12,
      )
    }
  }
})

test('a bonus of -Infinity removes an arc, and no path at all gives nothing', () => {
  for (let seed = 0; seed < 100; seed++) {
    const c = randomCase(seed)
    const sorted = [...c.arcs].sort((a, b) => a.source - b.source)
    const bonus = Float64Array.from(sorted, ({ pdf }) => (pdf === 1 ? Number.NEGATIVE_INFINITY : 0))
    const arcs = c.arcs.filter(({ pdf }) => pdf !== 1)
    const paths = enumeratePaths(caseOf({ ...c, arcs }, c.scores, c.alignment, c.pdfs), 0.5)
    const made = forwardBackward(c.lattice, 0.5, bonus)
    if (paths.length === 0) expect(made).toBeUndefined()
    else closeTo(made!.logTotal, logSum(paths.map(({ score }) => score)), 1e-9)
  }
})

test('a score that is not finite gives nothing', () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const c = randomCase(1)
    c.lattice.arcAcousticScore[0] = bad
    expect(forwardBackward(c.lattice, 0.5)).toBeUndefined()
  }
})
