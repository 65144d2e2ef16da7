// Lattices for tests: the golden one of the reference, and random ones.
import type { Alignment } from '../../../models/sequence/decoding-graph.ts'
import {
  type Lattice,
  type LatticeArc,
  latticeFromArcs,
  rescore,
} from '../../../models/sequence/lattice.ts'
import { type Random, randomFor } from '../../../protocol/random.ts'

export interface Case {
  readonly lattice: Lattice
  readonly scores: Float64Array
  readonly alignment: Alignment
  readonly pdfs: number
  readonly arcs: readonly LatticeArc[]
  readonly times: readonly number[]
  readonly finals: ReadonlyMap<number, number>
}

export function caseOf(
  graph: Pick<Case, 'arcs' | 'times' | 'finals'>,
  scores: Float64Array,
  alignment: Alignment,
  pdfs: number,
): Case {
  const lattice = latticeFromArcs(graph)
  rescore(lattice, scores, pdfs)
  return { ...graph, lattice, scores, alignment, pdfs }
}

const arc = (source: number, target: number, pdf: number, graphScore: number): LatticeArc => ({
  source,
  target,
  pdf,
  graphScore,
  phone: pdf + 1,
  word: pdf + 1,
})

/** Eight paths over three frames; values computed elsewhere by enumeration. */
export function goldenCase(): Case {
  const pdfs = Int32Array.of(0, 1, 2)
  const phones = pdfs.map((pdf) => pdf + 1)
  return caseOf(
    {
      times: [0, 1, 1, 2, 2, 3],
      finals: new Map([[5, 0]]),
      arcs: [
        arc(0, 1, 0, -0.1),
        arc(0, 2, 1, -0.5),
        arc(1, 3, 1, -0.2),
        arc(1, 4, 2, -0.9),
        arc(2, 3, 1, -0.3),
        arc(2, 4, 0, -0.4),
        arc(3, 5, 2, -0.6),
        arc(3, 5, 0, -0.7),
        arc(4, 5, 2, -0.2),
        arc(4, 5, 1, -1.1),
      ],
    },
    Float64Array.of(0.2, -0.3, 0.5, 1, 0.1, -0.4, -0.2, 0.3, 0.6),
    { pdfs, phones, words: phones },
    3,
  )
}

/**
 * A small random lattice: state counts, arcs, dead ends, states that nothing reaches, and silence by
 * chance. Pdf, phone and word of an arc tell nothing of each other, nor do those of the alignment. The first states of all times make a path, so there is always one.
 */
export function randomCase(seed: number): Case {
  const random = randomFor('lattice', seed)
  const frames = 2 + random.below(4)
  const pdfs = 4
  const times = [0]
  for (let t = 1; t <= frames; t++) {
    for (let n = 1 + random.below(3); n > 0; n--) times.push(t)
  }
  const statesAt = (t: number) => times.flatMap((time, state) => (time === t ? [state] : []))
  const arcs: LatticeArc[] = []
  for (let t = 0; t < frames; t++) {
    const targets = statesAt(t + 1)
    statesAt(t).forEach((source, index) => {
      const count = index === 0 ? 1 + random.below(3) : random.below(4)
      for (let n = 0; n < count; n++) {
        const pdf = random.below(pdfs)
        const target = targets[index + n === 0 ? 0 : random.below(targets.length)]!
        const graphScore = -2 * random.next()
        const [phone, word] = [random.below(PHONES), random.below(WORDS)]
        arcs.push({ source, target, pdf, graphScore, phone, word })
      }
    })
  }
  const ends = statesAt(frames).filter((_, index) => index === 0 || random.next() < 0.7)
  const finals = new Map(ends.map((state) => [state, -random.next()]))
  const scores = Float64Array.from({ length: frames * pdfs }, () => random.normal())
  return caseOf({ times, arcs, finals }, scores, alignmentBy(random, frames, pdfs), pdfs)
}

/** Silence among them. */
const [PHONES, WORDS] = [3, 2]

function alignmentBy(random: Random, frames: number, pdfCount: number): Alignment {
  const labels = (limit: number) => Int32Array.from({ length: frames }, () => random.below(limit))
  return { pdfs: labels(pdfCount), phones: labels(PHONES), words: labels(WORDS) }
}

export interface Path {
  readonly arcs: readonly LatticeArc[]
  readonly score: number
}

/** Every path by depth-first search: the slow twin of forward-backward. */
export function enumeratePaths(
  { arcs, finals, scores, pdfs, times }: Case,
  acousticScale: number,
  bonus: (arc: LatticeArc, t: number) => number = () => 0,
): Path[] {
  const paths: Path[] = []
  const walk = (state: number, soFar: readonly LatticeArc[], score: number): void => {
    const final = finals.get(state)
    if (final !== undefined) paths.push({ arcs: soFar, score: score + final })
    for (const next of arcs) {
      if (next.source !== state) continue
      const t = times[state]!
      const own = acousticScale * scores[t * pdfs + next.pdf]! + next.graphScore + bonus(next, t)
      walk(next.target, [...soFar, next], score + own)
    }
  }
  walk(0, [], 0)
  return paths
}

/** f'(0) by two central differences that cancel each other's error of order 2 (Richardson). */
export function centralDifference(f: (by: number) => number, step = 2e-3): number {
  return (8 * (f(step) - f(-step)) - (f(2 * step) - f(-2 * step))) / (12 * step)
}

export function logSum(values: readonly number[]): number {
  const largest = Math.max(...values)
  return largest + Math.log(values.reduce((sum, value) => sum + Math.exp(value - largest), 0))
}
