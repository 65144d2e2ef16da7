// Against exhaustive search on random small graphs, and against a plain beam search.
import { describe, expect, test } from 'bun:test'
import { type DecodedWord, type DecodeOptions, decoder } from '../../../models/sequence/decoder.ts'
import {
  compileGraph,
  type DecodingGraph,
  withWordBonus,
} from '../../../models/sequence/decoding-graph.ts'
import { wordLoop } from '../../../models/sequence/grammar.ts'
import { checkLattice, type Lattice } from '../../../models/sequence/lattice.ts'
import { digitLexicon, phonesOf, wordsOf } from '../../../models/sequence/lexicon.ts'
import { threeStates } from '../../../models/sequence/topology.ts'
import { randomFor } from '../../../protocol/random.ts'
import { allocatedBytes } from './allocations.ts'

const PDFS = 4
const exact = { acousticScale: 0.5, beam: Number.POSITIVE_INFINITY }
const wide = { ...exact, latticeBeam: Number.POSITIVE_INFINITY }

interface Search {
  readonly graph: DecodingGraph
  readonly scores: Float32Array
  readonly frames: number
}

/** Five states at most, up to four arcs each, words and silence by chance; not always a complete path. */
function randomSearch(seed: number): Search {
  const random = randomFor('search', seed)
  const stateCount = 2 + random.below(4)
  const frames = 1 + random.below(5)
  const counts = Array.from({ length: stateCount }, () => random.below(4) + 1)
  const arcCount = counts.reduce((sum, count) => sum + count, 0)
  const perArc = (make: () => number): Int32Array => Int32Array.from({ length: arcCount }, make)
  const arcOffset = new Int32Array(stateCount + 1)
  counts.forEach((count, state) => {
    arcOffset[state + 1] = arcOffset[state]! + count
  })
  const arcWord = perArc(() => random.below(3))
  const graph = {
    start: random.below(stateCount),
    stateCount,
    arcOffset,
    arcTarget: perArc(() => random.below(stateCount)),
    arcPdf: perArc(() => random.below(PDFS)),
    arcPhone: perArc(() => random.below(3)),
    arcWord,
    arcOutput: arcWord.map((word) => (random.next() < 0.4 ? word : 0)),
    arcScore: Float64Array.from({ length: arcCount }, () => -3 * random.next()),
    finalScore: Float64Array.from({ length: stateCount }, () =>
      random.next() < 0.6 ? -random.next() : Number.NEGATIVE_INFINITY,
    ),
  }
  const scores = Float32Array.from({ length: frames * PDFS }, () => 3 * random.normal())
  return { graph, scores, frames }
}

interface Path {
  /** Of the graph. */
  readonly arcs: readonly number[]
  readonly score: number
}

/** Every complete path, best first. */
function enumerate({ graph, scores, frames }: Search): Path[] {
  const paths: Path[] = []
  const walk = (state: number, arcs: readonly number[], score: number): void => {
    const t = arcs.length
    if (t === frames) {
      const total = score + graph.finalScore[state]!
      if (total > Number.NEGATIVE_INFINITY) paths.push({ arcs, score: total })
      return
    }
    for (let arc = graph.arcOffset[state]!; arc < graph.arcOffset[state + 1]!; arc++) {
      const own = graph.arcScore[arc]! + 0.5 * scores[t * PDFS + graph.arcPdf[arc]!]!
      walk(graph.arcTarget[arc]!, [...arcs, arc], score + own)
    }
  }
  walk(graph.start, [], 0)
  return paths.sort((a, b) => b.score - a.score)
}

/** A word lasts from its output until another word, or the next output. */
function wordsAlong({ graph }: Search, { arcs }: Path): DecodedWord[] {
  return arcs.flatMap((arc, start) => {
    const word = graph.arcOutput[arc]!
    if (word === 0) return []
    const length = arcs
      .slice(start + 1)
      .findIndex((later) => graph.arcOutput[later] || graph.arcWord[later] !== word)
    return [{ word, start, end: length < 0 ? arcs.length : start + 1 + length }]
  })
}

/** What the arcs of a lattice and of a graph have in common. */
type Labels = Pick<DecodingGraph, 'arcPdf' | 'arcPhone' | 'arcWord' | 'arcOutput'>

const labelOf = ({ arcPdf, arcPhone, arcWord, arcOutput }: Labels, arc: number): string =>
  [arcPdf[arc], arcPhone[arc], arcWord[arc], arcOutput[arc]].join(' ')

/** Scores, outputs and labels (pdf, phone, word, output of every arc) of all paths, best first. */
function pathsOf(lattice: Lattice): { score: number; labels: string[]; outputs: number[] }[] {
  const paths: { score: number; labels: string[]; outputs: number[] }[] = []
  const walk = (state: number, score: number, labels: string[], outputs: number[]): void => {
    const total = score + lattice.finalScore[state]!
    if (total > Number.NEGATIVE_INFINITY) paths.push({ score: total, labels, outputs })
    for (let arc = lattice.arcOffset[state]!; arc < lattice.arcOffset[state + 1]!; arc++) {
      const own = lattice.arcGraphScore[arc]! + 0.5 * lattice.arcAcousticScore[arc]!
      const output = lattice.arcOutput[arc]!
      walk(
        lattice.arcTarget[arc]!,
        score + own,
        [...labels, labelOf(lattice, arc)],
        output ? [...outputs, output] : outputs,
      )
    }
  }
  walk(0, 0, [], [])
  return paths.sort((a, b) => b.score - a.score)
}

const closeTo = (actual: number, expected: number): void => {
  expect(Math.abs(actual - expected)).toBeLessThan(1e-9)
}

describe('best path', () => {
  test('is that of exhaustive search on 500 random graphs: words, times and score', () => {
    let found = 0
    for (let seed = 0; seed < 500; seed++) {
      const search = randomSearch(seed)
      const paths = enumerate(search)
      const [best] = paths
      const decoded = decoder(search.graph, PDFS).bestPath(search.scores, exact)
      if (!best) {
        expect(decoded).toBeUndefined()
        continue
      }
      found += 1
      closeTo(decoded!.score, best.score)
      // The same arcs in another order may score the same.
      const ties = paths.filter(({ score }) => score > best.score - 1e-9)
      expect(ties.map((path) => wordsAlong(search, path))).toContainEqual([...decoded!.words])
    }
    expect(found).toBeGreaterThan(300)
  })

  test('with a beam and a limit of active states is that of a plain beam search', () => {
    const limits = [1, 2, 3, 99, undefined]
    let [lost, worse] = [0, 0]
    for (let seed = 0; seed < 500; seed++) {
      const search = randomSearch(seed)
      const maxActive = limits[seed % 5]
      const beam = [2, 5, Number.POSITIVE_INFINITY][seed % 3]!
      const options = { ...exact, beam, ...(maxActive && { maxActive }) }
      const expected = beamSearch(search, options)
      const decoded = decoder(search.graph, PDFS).bestPath(search.scores, options)
      const [best] = enumerate(search)
      if (expected === undefined) {
        expect(decoded).toBeUndefined()
        if (best) lost += 1
        continue
      }
      closeTo(decoded!.score, expected)
      if (best!.score > expected + 1e-6) worse += 1
    }
    // Else nothing was pruned.
    expect(lost).toBeGreaterThan(5)
    expect(worse).toBeGreaterThan(5)
  })

  test('does not depend on what the decoder searched before', () => {
    const { graph } = randomSearch(3)
    const used = decoder(graph, PDFS)
    for (let seed = 0; seed < 60; seed++) {
      const { scores } = randomSearch(seed)
      const fresh = decoder(graph, PDFS)
      expect(used.makeLattice(scores, wide)).toEqual(fresh.makeLattice(scores, wide))
      expect(used.bestPath(scores, exact)).toEqual(fresh.bestPath(scores, exact))
    }
  })

  test('is none where scores are not finite', () => {
    const { graph, scores, pdfs } = digitSearch(1)
    const allFinal = { ...graph, finalScore: new Float64Array(graph.stateCount) }
    for (const shape of [graph, allFinal]) {
      const search = decoder(shape, pdfs)
      expect(search.decode(scores, exact)).toBeDefined()
      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        const spoilt = scores.slice().fill(bad, 5 * pdfs, 6 * pdfs)
        expect(search.decode(spoilt, exact)).toBeUndefined()
        expect(search.makeLattice(spoilt, wide)).toBeUndefined()
      }
    }
  })
})

/** The slow twin: all arcs of the states within the beam and among the best, as a map of scores. */
function beamSearch(
  { graph, scores, frames }: Search,
  { beam, maxActive = graph.stateCount }: DecodeOptions,
): number | undefined {
  let states = new Map([[graph.start, 0]])
  for (let t = 0; t < frames; t++) {
    const best = Math.max(...states.values())
    const kept = [...states]
      .filter(([, score]) => score >= best - beam)
      .sort(([, a], [, b]) => b - a)
      .slice(0, maxActive)
    states = new Map()
    for (const [state, score] of kept) {
      for (let arc = graph.arcOffset[state]!; arc < graph.arcOffset[state + 1]!; arc++) {
        const own = graph.arcScore[arc]! + 0.5 * scores[t * PDFS + graph.arcPdf[arc]!]!
        const target = graph.arcTarget[arc]!
        const before = states.get(target) ?? Number.NEGATIVE_INFINITY
        states.set(target, Math.max(before, score + own))
      }
    }
  }
  const total = Math.max(...[...states].map(([state, score]) => score + graph.finalScore[state]!))
  return Number.isFinite(total) ? total : undefined
}

describe('lattice', () => {
  test('without beams holds exactly all paths: pdfs, phones, words, outputs and scores', () => {
    for (let seed = 0; seed < 300; seed++) {
      const search = randomSearch(seed)
      const expected = enumerate(search)
      const lattice = decoder(search.graph, PDFS).makeLattice(search.scores, wide)
      if (expected.length === 0) {
        expect(lattice).toBeUndefined()
        continue
      }
      checkLattice(lattice!)
      const held = pathsOf(lattice!).map(({ labels, score }) => ({ key: labels.join(), score }))
      const wanted = expected.map(({ arcs, score }) => ({
        key: arcs.map((arc) => labelOf(search.graph, arc)).join(),
        score,
      }))
      expect(held.length).toBe(wanted.length)
      for (const list of [held, wanted]) {
        list.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.score - b.score))
      }
      wanted.forEach(({ key, score }, i) => {
        expect(held[i]!.key).toBe(key)
        closeTo(held[i]!.score, score)
      })
    }
  })

  test('within a lattice beam holds exactly the arcs of paths that near the best', () => {
    let pruned = 0
    for (let seed = 0; seed < 300; seed++) {
      const search = randomSearch(seed)
      const paths = enumerate(search)
      const [best] = paths
      if (!best) continue
      const latticeBeam = 0.5 + (seed % 7)
      const options = { ...exact, latticeBeam }
      const lattice = decoder(search.graph, PDFS).makeLattice(search.scores, options)!
      checkLattice(lattice)
      const near = paths.filter(({ score }) => score >= best.score - latticeBeam)
      const arcs = new Set(near.flatMap((path) => path.arcs.map((arc, t) => `${t} ${arc}`)))
      expect(lattice.arcTarget.length).toBe(arcs.size)
      if (near.length < paths.length) pruned += 1
      const [first] = pathsOf(lattice)
      closeTo(first!.score, best.score)
      const ties = paths.filter(({ score }) => score > best.score - 1e-9)
      const outputs = ties.map((path) => wordsAlong(search, path).map(({ word }) => word))
      expect(outputs).toContainEqual(first!.outputs)
    }
    expect(pruned).toBeGreaterThan(100)
  })

  test('of digits, pruned, holds the decoded words among far fewer arcs', () => {
    for (let seed = 0; seed < 4; seed++) {
      const { graph, scores, pdfs } = digitSearch(seed)
      const digits = decoder(graph, pdfs)
      const all = digits.makeLattice(scores, wide)!
      const pruned = digits.makeLattice(scores, { ...exact, beam: 60, latticeBeam: 10 })!
      checkLattice(all)
      checkLattice(pruned)
      expect(pruned.frames).toBe(scores.length / pdfs)
      expect(pruned.arcTarget.length * 10).toBeLessThan(all.arcTarget.length)
      const best = digits.bestPath(scores, exact)!
      expect(best.words.length).toBeGreaterThan(1)
      for (const lattice of [all, pruned]) {
        const path = bestOf(lattice)
        closeTo(path.score, best.score)
        expect(path.outputs).toEqual(best.words.map(({ word }) => word))
      }
    }
  })
})

/** Strings of digits: a random walk through the graph that ends in silence, and noisy scores of it. */
function digitSearch(seed: number): { graph: DecodingGraph; scores: Float32Array; pdfs: number } {
  const words = wordsOf(digitLexicon).slice(1)
  const shape = { lexicon: digitLexicon, topology: threeStates, silenceProbability: 0.5 }
  const graph = withWordBonus(compileGraph({ ...shape, grammar: wordLoop(words) }), -3)
  const pdfs = 3 * phonesOf(digitLexicon).length
  const random = randomFor('digits', seed)
  const frames = 180
  const scores = Float32Array.from({ length: frames * pdfs }, () => 2 * random.normal())
  let state = graph.start
  for (let t = 0; t < frames; t++) {
    const [first, end] = [graph.arcOffset[state]!, graph.arcOffset[state + 1]!]
    const arc = first + (random.next() < 0.6 && t > 0 ? 0 : random.below(end - first))
    // The last frames are the three states of silence.
    const pdf = t < frames - 15 ? graph.arcPdf[arc]! : Math.floor((t - frames + 15) / 5)
    scores[t * pdfs + pdf]! += 8
    state = graph.arcTarget[arc]!
  }
  return { graph, scores, pdfs }
}

/** Viterbi over a lattice, state by state. */
function bestOf(lattice: Lattice): { score: number; outputs: number[] } {
  const { arcOffset, arcTarget, arcGraphScore, arcAcousticScore, arcOutput, finalScore } = lattice
  const none = { score: Number.NEGATIVE_INFINITY, outputs: [] as number[] }
  const reached = Array.from(finalScore, (_, state) => (state === 0 ? { ...none, score: 0 } : none))
  reached.forEach((_, state) => {
    const { score, outputs } = reached[state]!
    for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
      const total = score + arcGraphScore[arc]! + 0.5 * arcAcousticScore[arc]!
      if (total <= reached[arcTarget[arc]!]!.score) continue
      const output = arcOutput[arc]!
      reached[arcTarget[arc]!] = { score: total, outputs: output ? [...outputs, output] : outputs }
    }
  })
  return reached
    .map(({ score, outputs }, state) => ({ score: score + finalScore[state]!, outputs }))
    .reduce((best, path) => (path.score > best.score ? path : best))
}

test('a graph with a pdf that the network lacks is refused', () => {
  expect(() => decoder(randomSearch(2).graph, 1)).toThrow('pdf')
})

test('options that would prune nothing or everything are a bug of the caller', () => {
  const { graph, scores, pdfs } = digitSearch(0)
  const digits = decoder(graph, pdfs)
  for (const beam of [0, -1, Number.NaN]) {
    expect(() => digits.bestPath(scores, { ...exact, beam })).toThrow(`beam ${beam}`)
    expect(() => digits.makeLattice(scores, { ...wide, beam })).toThrow(`beam ${beam}`)
  }
  for (const maxActive of [0, -5, 2.5, Number.NaN]) {
    expect(() => digits.decode(scores, { ...exact, maxActive })).toThrow(`maxActive ${maxActive}`)
  }
  for (const latticeBeam of [-1, Number.NaN]) {
    const options = { ...exact, latticeBeam }
    expect(() => digits.makeLattice(scores, options)).toThrow(`latticeBeam ${latticeBeam}`)
  }
  const acousticScale = Number.NaN
  expect(() => digits.decode(scores, { ...exact, acousticScale })).toThrow('acousticScale NaN')
})

test('a lattice beam of 0 keeps the best path', () => {
  const { graph, scores, pdfs } = digitSearch(0)
  const lattice = decoder(graph, pdfs).makeLattice(scores, { ...exact, latticeBeam: 0 })!
  expect(lattice.arcTarget.length).toBe(lattice.frames)
})

test('decoding takes 12 bytes a frame and state, and only a lattice 24', () => {
  const { graph, scores, pdfs } = digitSearch(0)
  const digits = decoder(graph, pdfs)
  const cells = (scores.length / pdfs + 1) * graph.stateCount
  expect(allocatedBytes(() => digits.decode(scores, exact))).toBe(12 * cells)
  expect(allocatedBytes(() => digits.decode(scores, exact))).toBe(0)
  const options = { ...exact, beam: 60, latticeBeam: 0 }
  const forLattice = allocatedBytes(() => digits.makeLattice(scores, options))
  expect(forLattice).toBeGreaterThanOrEqual(12 * cells)
  // The lattice itself is one path.
  expect(forLattice).toBeLessThan(13 * cells)
})
