// The flat start on synthetic frames, whose boundaries are known.
import { describe, expect, test } from 'bun:test'
import {
  compileTranscript,
  compileWordLoop,
  type DecodingGraph,
} from '../../../models/sequence/decoding-graph.ts'
import {
  estimateGaussians,
  FlatStartError,
  flatStart,
  flatStartPasses,
  scoreFrames,
  uniformAlignment,
} from '../../../models/sequence/gaussian.ts'
import { parseLexicon, phonesOf } from '../../../models/sequence/lexicon.ts'
import { threeStates } from '../../../models/sequence/topology.ts'
import { type Random, randomFor } from '../../../protocol/random.ts'

const lexicon = parseLexicon('ada A D A\nbob B O B\nbada B A D A\n')
const shape = { lexicon, topology: threeStates, silenceProbability: 0.5 }
const pdfs = 3 * phonesOf(lexicon).length
const dimensions = 6

interface Spoken {
  readonly frames: Float32Array
  readonly graph: DecodingGraph
  readonly words: readonly number[]
  readonly pdfs: readonly number[]
}

/** A walk through the transcript's graph; every pdf has a mean of its own, silence is quiet. */
function speak(means: Float64Array, random: Random): Spoken {
  const names = [...lexicon.keys()]
  const words = Array.from({ length: 2 + random.below(3) }, () => names[random.below(3)]!)
  const graph = compileTranscript(words, shape)
  const path: { pdf: number; word: number }[] = []
  let state = graph.start
  for (;;) {
    const [first, end] = [graph.arcOffset[state]!, graph.arcOffset[state + 1]!]
    let left = random.next() - Math.exp(graph.finalScore[state]!)
    if (left < 0) break
    let arc = first
    while (arc < end - 1 && (left -= Math.exp(graph.arcScore[arc]!)) >= 0) arc += 1
    path.push({ pdf: graph.arcPdf[arc]!, word: graph.arcWord[arc]! })
    state = graph.arcTarget[arc]!
  }
  const frames = Float32Array.from({ length: path.length * dimensions }, (_, i) => {
    const { pdf } = path[Math.floor(i / dimensions)]!
    return means[pdf * dimensions + (i % dimensions)]! + random.normal()
  })
  return { frames, graph, words: path.map(({ word }) => word), pdfs: path.map(({ pdf }) => pdf) }
}

function corpus(count: number): Spoken[] {
  const random = randomFor('speech')
  const means = Float64Array.from({ length: pdfs * dimensions }, (_, i) =>
    i < 3 * dimensions ? -4 : 3 * random.normal(),
  )
  return Array.from({ length: count }, () => speak(means, random))
}

describe('flat start', () => {
  const spoken = corpus(80)

  test('finds word boundaries that the uniform cut does not', () => {
    const agreement = (alignments: readonly { readonly words: ArrayLike<number> }[]): number => {
      let [same, all] = [0, 0]
      alignments.forEach(({ words }, index) => {
        spoken[index]!.words.forEach((word, t) => {
          same += words[t] === word ? 1 : 0
          all += 1
        })
      })
      return same / all
    }
    const uniform = spoken.map(({ graph, words }) => uniformAlignment(graph, words.length))
    const passes = [...flatStartPasses(spoken, { pdfs, dimensions, passes: 8 })]
    const last = passes.at(-1)!.outcomes.map((outcome) => {
      if (!outcome.aligned) throw new Error(outcome.reason)
      return outcome.alignment
    })
    expect(passes.length).toBe(8)
    expect(agreement(uniform)).toBeLessThan(0.75)
    expect(agreement(last)).toBeGreaterThan(0.97)
  })

  test('raises the likelihood with every pass', () => {
    const totals = [...flatStartPasses(spoken, { pdfs, dimensions, passes: 8 })].map(
      ({ outcomes }) =>
        outcomes.reduce((sum, outcome) => sum + (outcome.aligned ? outcome.score : 0), 0),
    )
    totals.slice(1).forEach((total, pass) => {
      expect(total).toBeGreaterThan(totals[pass]! - 1e-6 * Math.abs(total))
    })
    expect(totals.at(-1)!).toBeGreaterThan(totals[0]! + 100)
  })

  test('returns the model of its last pass, and is the same every time', () => {
    const options = { pdfs, dimensions, passes: 3 }
    const model = flatStart(spoken, options)
    expect(model).toEqual([...flatStartPasses(spoken, options)].at(-1)!.model)
    expect(model).toEqual(flatStart(spoken, options))
    expect([...model.means, ...model.constants].every(Number.isFinite)).toBe(true)
  })

  test('leaves out an utterance that is too short, and refuses if all are', () => {
    const short = { ...spoken[0]!, frames: new Float32Array(5 * dimensions) }
    const options = { pdfs, dimensions, passes: 1 }
    const [pass] = [...flatStartPasses([...spoken, short], options)]
    expect(pass!.outcomes.filter(({ aligned }) => !aligned).length).toBe(1)
    expect(() => flatStart([short], options)).toThrow(FlatStartError)
    expect(() => flatStart([short], options)).toThrow('shorter than its graph')
    expect(() => flatStart([], options)).toThrow(FlatStartError)
  })

  test('begins with silences, words and pauses of even parts', () => {
    const graph = compileTranscript(['ada', 'bob'], shape)
    // 3 x 3 silence states and 2 x 9 word states, two frames each.
    const { words, pdfs: cut } = uniformAlignment(graph, 54)
    const parts = [...words].map((word, t) => (word === words[t - 1] ? '' : word)).join('')
    expect(parts).toBe('01020')
    expect([...words].filter((word) => word === 0).length).toBe(18)
    expect(new Set(cut.subarray(0, 6))).toEqual(new Set([0, 1, 2]))
  })

  test('begins with silences and pauses whatever the order of arcs', () => {
    const graph = compileTranscript(['ada', 'bob'], shape)
    expect(uniformAlignment(withArcsReversed(graph), 54)).toEqual(uniformAlignment(graph, 54))
  })
})

/** The same graph, the arcs of every state in reverse. */
function withArcsReversed(graph: DecodingGraph): DecodingGraph {
  const order = Array.from({ length: graph.stateCount }, (_, state) => {
    const [first, end] = [graph.arcOffset[state]!, graph.arcOffset[state + 1]!]
    return Array.from({ length: end - first }, (_, i) => end - 1 - i)
  }).flat()
  const reordered = <T extends Int32Array | Float64Array>(values: T): T =>
    values.map((_, at) => values[order[at]!]!) as T
  return {
    ...graph,
    arcTarget: reordered(graph.arcTarget),
    arcPdf: reordered(graph.arcPdf),
    arcPhone: reordered(graph.arcPhone),
    arcWord: reordered(graph.arcWord),
    arcOutput: reordered(graph.arcOutput),
    arcScore: reordered(graph.arcScore),
  }
}

describe('a Gaussian', () => {
  test('scores a frame with its log density', () => {
    const random = randomFor('density')
    const frames = Float32Array.from({ length: 400 * 3 }, () => 2 + 3 * random.normal())
    const aligned = Int32Array.from({ length: 400 }, () => random.below(4))
    const model = estimateGaussians([{ frames, pdfs: aligned }], { pdfs: 4, dimensions: 3 })
    const scores = scoreFrames(model, frames)
    for (let pdf = 0; pdf < 4; pdf++) {
      const rows = [...aligned.keys()].filter((t) => aligned[t] === pdf)
      const column = (d: number) => rows.map((t) => frames[t * 3 + d]!)
      const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length
      const moments = [0, 1, 2].map((d) => {
        const center = mean(column(d))
        return { center, variance: mean(column(d).map((value) => (value - center) ** 2)) }
      })
      for (const t of [0, 17, 399]) {
        const density = moments.reduce((sum, { center, variance }, d) => {
          const distance = (frames[t * 3 + d]! - center) ** 2 / variance
          return sum - 0.5 * (Math.log(2 * Math.PI * variance) + distance)
        }, 0)
        expect(scores[t * 4 + pdf]!).toBeCloseTo(density, 4)
      }
    }
  })

  test('has a floor under its variance, and all frames if it has none of its own', () => {
    const frames = Float32Array.of(1, 1, 1, 5, 9, 7)
    const model = estimateGaussians([{ frames, pdfs: Int32Array.of(0, 0, 0, 1, 1, 1) }], {
      pdfs: 3,
      dimensions: 1,
    })
    const global = [1, 1, 1, 5, 9, 7].reduce((sum, x) => sum + (x - 4) ** 2, 0) / 6
    expect(model.inverseVariances[0]).toBeCloseTo(1 / (0.01 * global), 9)
    expect(model.inverseVariances[1]).toBeCloseTo(1 / (8 / 3), 9)
    expect(model.means[2]).toBe(4)
    expect(model.inverseVariances[2]).toBeCloseTo(1 / global, 9)
  })
})

test('a loop of words has a first path too, and every frame its label', () => {
  const { pdfs: labels, words } = uniformAlignment(compileWordLoop(shape), 30)
  expect([labels.length, words.length]).toEqual([30, 30])
})
