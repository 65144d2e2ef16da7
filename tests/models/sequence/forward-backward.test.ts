import { expect, test } from 'bun:test'
import {
  arcScores,
  forwardBackward,
  logForwardBackward,
  type Posteriors,
  scaledForwardBackward,
} from '../../../models/sequence/forward-backward.ts'
import { latticeFromArcs } from '../../../models/sequence/lattice.ts'
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
  let beyond = 0
  for (let seed = 0; seed < 400; seed++) {
    const c = randomCase(seed)
    const scale = [300, 1000, 10_000][seed % 3]!
    const expected = byEnumeration(c, scale)
    if (!scaledForwardBackward(c.lattice, arcScores(c.lattice, scale))) beyond += 1
    expectSame(forwardBackward(c.lattice, scale), expected, 1e-9)
  }
  // Else the sums of logs were never needed.
  expect(beyond).toBeGreaterThan(10)
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
