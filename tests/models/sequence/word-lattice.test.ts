// Word posteriors of lattices: whole at every frame, and those of all paths counted one by one.
import { expect, test } from 'bun:test'
import { decodingGraph, pdfCount, words } from '../../../actors/speech/graph.ts'
import { decoder } from '../../../models/sequence/decoder.ts'
import { arcScores } from '../../../models/sequence/forward-backward.ts'
import { type Lattice, latticeFromArcs } from '../../../models/sequence/lattice.ts'
import { type WordArc, wordArcs } from '../../../models/sequence/word-lattice.ts'
import { randomFor } from '../../../protocol/random.ts'

/** The obvious way: every path, cut into words, weighted by its probability. */
function byEnumeration(lattice: Lattice, scale: number): Map<string, number> {
  const { arcOffset, arcTarget, arcWord, arcOutput, finalScore, frames, timeOffset } = lattice
  const scores = arcScores(lattice, scale)
  const paths: { arcs: number[]; score: number }[] = []
  const walk = (state: number, arcs: number[], score: number): void => {
    if (arcs.length === frames) {
      if (finalScore[state]! > -Infinity) paths.push({ arcs, score: score + finalScore[state]! })
      return
    }
    for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
      walk(arcTarget[arc]!, [...arcs, arc], score + scores[arc]!)
    }
  }
  for (let state = 0; state < timeOffset[1]!; state++) walk(state, [], 0)
  const total = paths.reduce((sum, { score }) => sum + Math.exp(score), 0)
  const posteriors = new Map<string, number>()
  for (const { arcs, score } of paths) {
    let start = 0
    arcs.forEach((arc, time) => {
      const next = arcs[time + 1]
      const isEnd = next === undefined || arcOutput[next] !== 0 || arcWord[next] !== arcWord[arc]
      if (!isEnd) return
      const key = `${arcWord[arc]} ${start}-${time + 1}`
      posteriors.set(key, (posteriors.get(key) ?? 0) + Math.exp(score) / total)
      start = time + 1
    })
  }
  return posteriors
}

const keyOf = ({ word, start, end }: WordArc): string => `${word} ${start}-${end}`

test('posteriors are those of all paths, counted one by one', () => {
  // Words 1 and 2, silence before and between, and word 1 twice in a row.
  const lattice = latticeFromArcs({
    times: [0, 1, 1, 2, 2, 3, 3, 4],
    arcs: [
      { source: 0, target: 1, pdf: 0, graphScore: -1, word: 1, output: 1 },
      { source: 0, target: 2, pdf: 0, graphScore: -0.5, word: 0 },
      { source: 1, target: 3, pdf: 0, graphScore: -0.2, word: 1 },
      { source: 1, target: 4, pdf: 0, graphScore: -0.7, word: 1, output: 1 },
      { source: 2, target: 3, pdf: 0, graphScore: -0.3, word: 2, output: 2 },
      { source: 2, target: 4, pdf: 0, graphScore: -1.1, word: 0 },
      { source: 3, target: 5, pdf: 0, graphScore: -0.4, word: 0 },
      { source: 4, target: 6, pdf: 0, graphScore: -0.1, word: 1, output: 1 },
      { source: 4, target: 5, pdf: 0, graphScore: -0.9, word: 0 },
      { source: 5, target: 7, pdf: 0, graphScore: -0.6, word: 0 },
      { source: 6, target: 7, pdf: 0, graphScore: -0.8, word: 1 },
      { source: 5, target: 7, pdf: 0, graphScore: -0.25, word: 2, output: 2 },
    ],
    finals: new Map([[7, 0]]),
  })
  const expected = byEnumeration(lattice, 1)
  const made = wordArcs(lattice, 1)
  expect(new Set(made.map(keyOf))).toEqual(new Set(expected.keys()))
  for (const arc of made) expect(arc.posterior).toBeCloseTo(expected.get(keyOf(arc))!, 10)
})

test('at every frame the words of a lattice sum to 1', () => {
  const random = randomFor('word lattice')
  for (let round = 0; round < 5; round++) {
    const frames = 40
    const scores = Float32Array.from({ length: frames * pdfCount }, () => 3 * random.normal())
    const options = { acousticScale: 0.3, beam: 60, latticeBeam: 8 }
    const lattice = decoder(decodingGraph(-3), pdfCount).makeLattice(scores, options)!
    const arcs = wordArcs(lattice, 0.3)
    for (let frame = 0; frame < frames; frame++) {
      const there = arcs.filter(({ start, end }) => start <= frame && frame < end)
      const sum = there.reduce((all, { posterior }) => all + posterior, 0)
      expect(sum).toBeGreaterThan(0.98)
      expect(sum).toBeLessThan(1 + 1e-9)
    }
    for (const { word } of arcs) expect(words[word]).toBeDefined()
  }
})
