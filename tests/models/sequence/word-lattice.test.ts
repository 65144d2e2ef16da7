// Lattices of words beside the lattices of states that they stand for.
import { describe, expect, test } from 'bun:test'
import { compileWordLoop, withWordBonus } from '../../../models/sequence/decoding-graph.ts'
import { decoder } from '../../../models/sequence/decoder.ts'
import { arcScores, forwardBackward } from '../../../models/sequence/forward-backward.ts'
import type { Lattice } from '../../../models/sequence/lattice.ts'
import { parseLexicon } from '../../../models/sequence/lexicon.ts'
import { threeStates } from '../../../models/sequence/topology.ts'
import { bestArcs, type WordLattice, wordLattice } from '../../../models/sequence/word-lattice.ts'
import { randomFor } from '../../../protocol/random.ts'

const lexicon = parseLexicon('a A\nb B\nab A B\n')
const PDFS = 9
const FRAMES = 24
const SCALE = 0.7
const graph = compileWordLoop({ lexicon, topology: threeStates, silenceProbability: 0.5 })
const search = decoder(withWordBonus(graph, -1), PDFS)
const all = { arcsMax: 1e6, segmentsMax: 1e6 }

function scoresOf(seed: number): Float32Array {
  const random = randomFor('word-lattice', seed)
  return Float32Array.from({ length: FRAMES * PDFS }, () => 3 * random.normal())
}

function latticeOf(seed: number, latticeBeam = 6): Lattice {
  const options = { acousticScale: SCALE, beam: 1_000, latticeBeam }
  return search.makeLattice(scoresOf(seed), options)!
}

/** Of words, per frame. */
function perFrame({ times, arcs }: WordLattice, of = (_: number) => true): number[] {
  return Array.from({ length: FRAMES }, (_, t) =>
    arcs
      .filter(({ from, to, word }) => times[from]! <= t && t < times[to]! && of(word))
      .reduce((sum, { posterior }) => sum + posterior, 0),
  )
}

const seeds = [1, 2, 3, 4, 5]

describe.each(seeds)('the words of lattice %p', (seed) => {
  const lattice = latticeOf(seed)
  const whole = wordLattice(lattice, SCALE, all)!

  test('have, frame by frame, the posteriors that the states have', () => {
    const { arcs: posteriors } = forwardBackward(lattice, SCALE)!
    for (const word of [0, 1, 2, 3]) {
      const expected = Array.from({ length: FRAMES }, (_, t) => {
        let sum = 0
        const end = lattice.arcOffset[lattice.timeOffset[t + 1]!]!
        for (let arc = lattice.arcOffset[lattice.timeOffset[t]!]!; arc < end; arc++) {
          if (lattice.arcWord[arc] === word) sum += posteriors[arc]!
        }
        return sum
      })
      const found = perFrame(whole, (each) => each === word)
      found.forEach((value, t) => expect(value).toBeCloseTo(expected[t]!, 9))
    }
  })

  test('pruned to a few arcs still sum to 1 at each time, and keep the best path', () => {
    for (const arcsMax of [1, 10, 30]) {
      const pruned = wordLattice(lattice, SCALE, { ...all, arcsMax })!
      expect(pruned.arcs.length).toBeLessThanOrEqual(Math.max(arcsMax, pruned.best.length))
      for (const sum of perFrame(pruned)) expect(sum).toBeCloseTo(1, 9)
      expect(wordsOf(pruned)).toEqual(wordsOf(whole))
    }
  })

  test('have the decoded words as their best path, with times and score', () => {
    const best = search.bestPath(scoresOf(seed), { acousticScale: SCALE, beam: 1_000 })!
    expect(wordsOf(whole)).toEqual([...best.words])
    const score = whole.best.reduce((sum, index) => sum + whole.arcs[index]!.score, 0)
    expect(score).toBeCloseTo(best.score, 6)
    const states = bestArcs(lattice, SCALE)
    const scores = arcScores(lattice, SCALE)
    const last = lattice.arcTarget[states.at(-1)!]!
    const sum = states.reduce((total, arc) => total + scores[arc]!, lattice.finalScore[last]!)
    expect(sum).toBeCloseTo(best.score, 6)
  })
})

test('a lattice with more ways than may be looked at gives nothing', () => {
  expect(wordLattice(latticeOf(1, 30), SCALE, { arcsMax: 10, segmentsMax: 20 })).toBeUndefined()
})

function wordsOf({ times, arcs, best }: WordLattice) {
  return best
    .map((index) => arcs[index]!)
    .filter(({ word }) => word > 0)
    .map(({ word, from, to }) => ({ word, start: times[from]!, end: times[to]! }))
}
