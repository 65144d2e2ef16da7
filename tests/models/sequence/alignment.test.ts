// Forced alignment against the enumeration of all paths.
import { describe, expect, test } from 'bun:test'
import {
  type AlignmentOutcome,
  alignmentLimits,
  arcSources,
  framesMin,
  pdfPriors,
  viterbiAligner,
} from '../../../models/sequence/alignment.ts'
import { compileTranscript, type DecodingGraph } from '../../../models/sequence/decoding-graph.ts'
import { digitLexicon, phonesOf } from '../../../models/sequence/lexicon.ts'
import { threeStates } from '../../../models/sequence/topology.ts'
import { type Random, randomFor } from '../../../protocol/random.ts'
import { allocatedBytes } from './allocations.ts'

const PDFS = 3

/** Up to four states with up to three arcs each; phones number the arcs, so labels tell the path. */
function randomGraph(random: Random): DecodingGraph {
  const stateCount = 2 + random.below(3)
  const arcOffset = new Int32Array(stateCount + 1)
  for (let state = 0; state < stateCount; state++) {
    arcOffset[state + 1] = arcOffset[state]! + random.below(4)
  }
  const arcs = arcOffset[stateCount]!
  const fill = (limit: number) => Int32Array.from({ length: arcs }, () => random.below(limit))
  return {
    start: random.below(stateCount),
    stateCount,
    arcOffset,
    arcTarget: fill(stateCount),
    arcPdf: fill(PDFS),
    arcPhone: Int32Array.from({ length: arcs }, (_, arc) => arc),
    arcWord: fill(3),
    arcOutput: new Int32Array(arcs),
    arcScore: Float64Array.from({ length: arcs }, () => -2 * random.next()),
    finalScore: Float64Array.from({ length: stateCount }, () =>
      random.next() < 0.5 ? -random.next() : Number.NEGATIVE_INFINITY,
    ),
  }
}

const scoresOf = (values: Float32Array, scale = 0.7) => ({ values, pdfs: PDFS, scale })

/** Arcs and score of every complete path. */
function enumerate(
  graph: DecodingGraph,
  { values, scale }: { values: Float32Array; scale: number },
): { arcs: number[]; score: number }[] {
  const paths: { arcs: number[]; score: number }[] = []
  const walk = (state: number, arcs: number[], score: number): void => {
    if (arcs.length * PDFS === values.length) {
      const total = score + graph.finalScore[state]!
      if (total > Number.NEGATIVE_INFINITY) paths.push({ arcs, score: total })
      return
    }
    for (let arc = graph.arcOffset[state]!; arc < graph.arcOffset[state + 1]!; arc++) {
      const own = scale * values[arcs.length * PDFS + graph.arcPdf[arc]!]!
      walk(graph.arcTarget[arc]!, [...arcs, arc], score + graph.arcScore[arc]! + own)
    }
  }
  walk(graph.start, [], 0)
  return paths
}

describe('the best alignment', () => {
  test('is that of enumeration on 600 random graphs, or a refusal where there is none', () => {
    const align = viterbiAligner()
    const seen: Record<string, number> = {}
    for (let seed = 0; seed < 600; seed++) {
      const random = randomFor('alignment', seed)
      const graph = randomGraph(random)
      const frames = random.below(6)
      const values = Float32Array.from({ length: frames * PDFS }, () => 2 * random.normal())
      const paths = enumerate(graph, scoresOf(values))
      const outcome = align(graph, scoresOf(values))
      const kind = outcome.aligned ? 'aligned' : outcome.reason
      seen[kind] = (seen[kind] ?? 0) + 1
      if (!outcome.aligned) {
        expect(paths).toEqual([])
        expect(kind).toBe(reasonByEnumeration(graph, frames))
        continue
      }
      const best = paths.reduce((a, b) => (b.score > a.score ? b : a))
      expect(outcome.score).toBeCloseTo(best.score, 9)
      const { pdfs, phones, words } = outcome.alignment
      expect([...phones]).toEqual(best.arcs)
      expect([...pdfs]).toEqual(best.arcs.map((arc) => graph.arcPdf[arc]!))
      expect([...words]).toEqual(best.arcs.map((arc) => graph.arcWord[arc]!))
    }
    // Else a branch was never taken.
    expect(seen.aligned).toBeGreaterThan(200)
    expect(seen['no path']).toBeGreaterThan(30)
    expect(seen['utterance shorter than its graph']).toBeGreaterThan(10)
  })

  test('does not depend on what the aligner did before', () => {
    const used = viterbiAligner()
    for (const words of [['zero', 'one', 'two'], ['one'], ['six', 'seven'], []]) {
      const random = randomFor('used', words.length)
      const graph = compileTranscript(words, digits)
      const values = Float32Array.from({ length: 60 * 60 }, () => 2 * random.normal())
      const request = { values, pdfs: 60, scale: 1 }
      expect(used(graph, request)).toEqual(viterbiAligner()(graph, request))
    }
  })
})

const digits = { lexicon: digitLexicon, topology: threeStates, silenceProbability: 0.5 }

/** Whether more frames would do: four states are left after three at most. */
function reasonByEnumeration(graph: DecodingGraph, frames: number): string {
  const shortest = [0, 1, 2, 3].find(
    (length) => enumerate(graph, scoresOf(new Float32Array(length * PDFS))).length > 0,
  )
  expect(framesMin(graph)).toBe(shortest ?? Number.POSITIVE_INFINITY)
  return frames < (shortest ?? 0) ? 'utterance shorter than its graph' : 'no path'
}

describe('an utterance', () => {
  const graph = compileTranscript(['one', 'eight'], digits)
  const refusal = (values: Float32Array): string => {
    const outcome: AlignmentOutcome = viterbiAligner()(graph, { values, pdfs: 60, scale: 1 })
    return outcome.aligned ? 'aligned' : outcome.reason
  }

  test('of fewer frames than states is refused, of as many is aligned', () => {
    expect(framesMin(graph)).toBe(15)
    expect(refusal(new Float32Array(0))).toBe('utterance shorter than its graph')
    expect(refusal(new Float32Array(14 * 60))).toBe('utterance shorter than its graph')
    expect(refusal(new Float32Array(15 * 60))).toBe('aligned')
  })

  test('with one score that is not finite is refused, used or not', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      for (const at of [0, 59, 777, 40 * 60 - 1]) {
        expect(refusal(new Float32Array(40 * 60).fill(bad, at, at + 1))).toBe('non-finite scores')
      }
    }
    const opposite = new Float32Array(40 * 60)
    opposite[3] = Number.POSITIVE_INFINITY
    opposite[4] = Number.NEGATIVE_INFINITY
    expect(refusal(opposite)).toBe('non-finite scores')
    expect(refusal(new Float32Array(40 * 60).fill(3e38))).toBe('aligned')
  })

  test('takes 4 bytes a frame and state, once for all that are no longer', () => {
    const align = viterbiAligner()
    const of = (frames: number): number => {
      const values = new Float32Array(frames * 60)
      return allocatedBytes(() => align(graph, { values, pdfs: 60, scale: 1 }))
    }
    // Two rows of scores, and three labels a frame with the source of every arc.
    const besides = (frames: number): number =>
      16 * graph.stateCount + 12 * frames + 4 * graph.arcTarget.length
    expect(of(500)).toBe(4 * 500 * graph.stateCount + besides(500))
    expect(of(400)).toBe(besides(400))
  })

  test('of more frames x states than the limit is refused before memory is taken', () => {
    const stateCount = 1 << 21
    const frames = alignmentLimits.cellsMax / stateCount
    const large: DecodingGraph = {
      ...graph,
      stateCount,
      arcOffset: new Int32Array(stateCount + 1),
      finalScore: new Float64Array(stateCount),
    }
    const align = viterbiAligner()
    const request = { values: new Float32Array((frames + 1) * 60), pdfs: 60, scale: 1 }
    let outcome: AlignmentOutcome | undefined
    const bytes = allocatedBytes(() => {
      outcome = align(large, request)
    })
    expect(bytes).toBe(0)
    const reason = 'utterance too long to align: cut it into shorter ones'
    expect(outcome).toEqual({ aligned: false, reason })
  })

  test('with scores of too few pdfs is a bug of the caller', () => {
    const align = viterbiAligner()
    const zero = compileTranscript(['zero'], digits)
    const values = new Float32Array(590)
    expect(() => align(zero, { values, pdfs: 59, scale: 1 })).toThrow('a column for every pdf')
    expect(() => align(zero, { values, pdfs: 60, scale: 1 })).toThrow('frames x pdfs')
  })

  test('speaks its words in order, each in one of its pronunciations', () => {
    const phones = phonesOf(digitLexicon)
    const spoken = compileTranscript(['zero', 'two', 'two'], digits)
    const random = randomFor('order')
    for (let seed = 0; seed < 20; seed++) {
      const values = Float32Array.from({ length: 90 * 60 }, () => 4 * random.normal())
      const outcome = viterbiAligner()(spoken, { values, pdfs: 60, scale: 1 })
      if (!outcome.aligned) throw new Error(outcome.reason)
      const { pdfs, words } = outcome.alignment
      const states = [...pdfs].filter((pdf, t) => pdf > 2 && pdf !== pdfs[t - 1])
      const heard = states.filter((pdf) => pdf % 3 === 0).map((pdf) => phones[pdf / 3])
      expect(heard.join(' ')).toMatch(/^Z I[HY] R OW T UW T UW$/)
      expect([...new Set(words)].filter((word) => word !== 0)).toEqual([1, 3])
    }
  })
})

test('sources are the states that the offsets say', () => {
  const graph = compileTranscript(['one'], digits)
  const sources = arcSources(graph)
  sources.forEach((state, arc) => {
    expect(graph.arcOffset[state]!).toBeLessThanOrEqual(arc)
    expect(graph.arcOffset[state + 1]!).toBeGreaterThan(arc)
  })
})

test('priors are relative frequencies, and a pdf without frames keeps a part of one', () => {
  const priors = pdfPriors(Int32Array.of(0, 0, 0, 2, 2, 0), 4)
  expect([...priors]).toEqual([4 / 7, 0.5 / 7, 2 / 7, 0.5 / 7])
  expect(priors.reduce((sum, prior) => sum + prior, 0)).toBeCloseTo(1, 12)
})
