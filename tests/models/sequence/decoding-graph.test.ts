// Compiled graphs against the process they stand for: words from the grammar, silences by chance, frames
// per state as the self-loop says.
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  ArpaError,
  compileGraph,
  compileTranscript,
  compileWordLoop,
  type DecodingGraph,
  parseArpa,
  withWordBonus,
} from '../../../models/sequence/decoding-graph.ts'
import { type WordGrammar, wordLoop } from '../../../models/sequence/grammar.ts'
import {
  digitLexicon,
  type Lexicon,
  MissingPronunciationError,
  parseLexicon,
  wordsOf,
} from '../../../models/sequence/lexicon.ts'
import { threeStates } from '../../../models/sequence/topology.ts'

const small = {
  lexicon: parseLexicon('a X\nb Y\nb X Y\n'),
  topology: { statesPerPhone: 1, selfLoop: 0.6 },
  silenceProbability: 0.3,
}
const digits = { lexicon: digitLexicon, topology: threeStates, silenceProbability: 0.5 }

/** Probability of every word sequence over exactly `frames` frames, path by path. */
function byEnumeration(graph: DecodingGraph, frames: number): Map<string, number> {
  const found = new Map<string, number>()
  const walk = (state: number, t: number, words: readonly number[], score: number): void => {
    if (t === frames) {
      const probability = Math.exp(score + graph.finalScore[state]!)
      const key = words.join(' ')
      if (probability > 0) found.set(key, (found.get(key) ?? 0) + probability)
      return
    }
    for (let arc = graph.arcOffset[state]!; arc < graph.arcOffset[state + 1]!; arc++) {
      const output = graph.arcOutput[arc]!
      const next = output ? [...words, output] : words
      walk(graph.arcTarget[arc]!, t + 1, next, score + graph.arcScore[arc]!)
    }
  }
  walk(graph.start, 0, [], 0)
  return found
}

/** The same without a graph: `prior` of the words, times every choice of silences and variants. */
function byFormula(
  words: readonly string[],
  { frames, prior, shape }: { frames: number; prior: number; shape: typeof small },
): number {
  const { lexicon, topology, silenceProbability } = shape
  // [HMM states, probability] of the slots silence? word silence? word ... silence?
  const pause: [number, number][] = [
    [topology.statesPerPhone, silenceProbability],
    [0, 1 - silenceProbability],
  ]
  const slots = [pause]
  for (const word of words) {
    const variants = lexicon.get(word)!
    slots.push(
      variants.map((phones) => [phones.length * topology.statesPerPhone, 1 / variants.length]),
      pause,
    )
  }
  const over = (slot: number, states: number): number =>
    slot === slots.length
      ? durations(states, frames, topology.selfLoop)
      : slots[slot]!.reduce((sum, [own, chance]) => sum + chance * over(slot + 1, states + own), 0)
  return prior * over(0, 0)
}

/** That `states` states with geometric durations last `frames` frames in all: negative binomial. */
function durations(states: number, frames: number, selfLoop: number): number {
  if (states === 0 || frames < states) return states === frames ? 1 : 0
  let choices = 1
  for (let i = 1; i < states; i++) choices = (choices * (frames - i)) / i
  return choices * (1 - selfLoop) ** states * selfLoop ** (frames - states)
}

function sequences(words: readonly string[], length: number): string[][] {
  if (length === 0) return [[]]
  return sequences(words, length - 1).flatMap((rest) => words.map((word) => [...rest, word]))
}

/** What leaves a state, end included. */
function leaving(graph: DecodingGraph, state: number): number {
  let sum = Math.exp(graph.finalScore[state]!)
  for (let arc = graph.arcOffset[state]!; arc < graph.arcOffset[state + 1]!; arc++) {
    sum += Math.exp(graph.arcScore[arc]!)
  }
  return sum
}

/** Probability of all paths of up to `frames` frames. */
function totalWithin(graph: DecodingGraph, frames: number): number {
  let now = new Float64Array(graph.stateCount)
  now[graph.start] = 1
  let total = 0
  for (let t = 0; t <= frames; t++) {
    const later = new Float64Array(graph.stateCount)
    now.forEach((probability, state) => {
      total += probability * Math.exp(graph.finalScore[state]!)
      for (let arc = graph.arcOffset[state]!; arc < graph.arcOffset[state + 1]!; arc++) {
        later[graph.arcTarget[arc]!]! += probability * Math.exp(graph.arcScore[arc]!)
      }
    })
    now = later
  }
  return total
}

describe('a word loop', () => {
  test('of digits has 111 states and a start', () => {
    const graph = compileWordLoop(digits)
    expect(graph.stateCount).toBe(111 + 1)
    expect(graph).toEqual(
      compileGraph({ ...digits, grammar: wordLoop(wordsOf(digitLexicon).slice(1)) }),
    )
  })

  test('gives every word sequence over every number of frames its probability', () => {
    const graph = compileWordLoop(small)
    for (let frames = 0; frames <= 6; frames++) {
      const found = byEnumeration(graph, frames)
      let sum = 0
      for (let length = 0; length <= frames; length++) {
        for (const words of sequences(['a', 'b'], length)) {
          const expected = byFormula(words, { frames, prior: 3 ** -(length + 1), shape: small })
          const key = words.map((word) => (word === 'a' ? 1 : 2)).join(' ')
          expect(found.get(key) ?? 0).toBeCloseTo(expected, 12)
          sum += expected
        }
      }
      const all = [...found.values()].reduce((total, value) => total + value, 0)
      expect(all).toBeCloseTo(sum, 12)
      expect(all).toBeGreaterThan(0)
    }
    expect(totalWithin(graph, 400)).toBeCloseTo(1, 9)
  })
})

describe('every graph', () => {
  const phones = fc.array(fc.constantFrom('P', 'Q', 'R'), { minLength: 1, maxLength: 3 })
  const lexicons = fc
    .array(fc.array(phones, { minLength: 1, maxLength: 2 }), { minLength: 1, maxLength: 4 })
    .map((words): Lexicon => new Map(words.map((variants, index) => [`w${index}`, variants])))
  const shapes = fc.record({
    lexicon: lexicons,
    topology: fc.record({
      statesPerPhone: fc.integer({ min: 1, max: 3 }),
      selfLoop: fc.double({ min: 0.05, max: 0.95, noNaN: true }),
    }),
    silenceProbability: fc.oneof(
      fc.constantFrom(0, 1),
      fc.double({ min: 0.01, max: 0.99, noNaN: true }),
    ),
  })
  const graphs = fc.oneof(
    shapes.map((shape) => compileWordLoop(shape)),
    fc.tuple(shapes, fc.array(fc.nat(), { maxLength: 4 })).map(([shape, picks]) =>
      compileTranscript(
        picks.map((pick) => `w${pick % shape.lexicon.size}`),
        shape,
      ),
    ),
  )

  test('leaves each state with probability one', () => {
    fc.assert(
      fc.property(graphs, (graph) => {
        for (let state = 0; state < graph.stateCount; state++) {
          expect(leaving(graph, state)).toBeCloseTo(1, 9)
        }
      }),
      { seed: 2 },
    )
  })

  test('consumes with an arc the frame of the state that it enters', () => {
    fc.assert(
      fc.property(graphs, (graph) => {
        const labels = new Map<number, string>()
        graph.arcTarget.forEach((target, arc) => {
          const label = [graph.arcPdf[arc], graph.arcPhone[arc], graph.arcWord[arc]].join()
          expect(labels.get(target) ?? label).toBe(label)
          labels.set(target, label)
          if (graph.arcOutput[arc]) expect(graph.arcOutput[arc]).toBe(graph.arcWord[arc]!)
          if (graph.arcPhone[arc] === 0) expect(graph.arcWord[arc]).toBe(0)
          expect(graph.arcScore[arc]).toBeGreaterThan(Number.NEGATIVE_INFINITY)
        })
        expect(labels.has(graph.start)).toBe(false)
      }),
      { seed: 3 },
    )
  })
})

describe('a transcript', () => {
  test('has only its words, in all variants and with all silences', () => {
    for (const words of [[], ['b'], ['a', 'b'], ['a', 'a', 'b']]) {
      const graph = compileTranscript(words, small)
      const key = words.map((word) => (word === 'a' ? 1 : 2)).join(' ')
      for (let frames = 0; frames <= 6; frames++) {
        const found = byEnumeration(graph, frames)
        const expected = byFormula(words, { frames, prior: 1, shape: small })
        expect([...found.keys()].filter((found) => found !== key)).toEqual([])
        expect(found.get(key) ?? 0).toBeCloseTo(expected, 12)
      }
      expect(totalWithin(graph, 200)).toBeCloseTo(1, 9)
    }
  })

  test('with a word that has no pronunciation is refused by its name', () => {
    expect(() => compileTranscript(['one', 'ten'], digits)).toThrow(MissingPronunciationError)
    expect(() => compileTranscript(['one', 'ten'], digits)).toThrow("'ten'")
  })
})

test('probabilities that are none are a bug of the caller', () => {
  for (const silenceProbability of [2, -0.1, Number.NaN]) {
    const shape = { ...small, silenceProbability }
    const message = `silenceProbability ${silenceProbability}`
    expect(() => compileWordLoop(shape)).toThrow(message)
    expect(() => compileTranscript(['a'], shape)).toThrow(message)
  }
  for (const selfLoop of [0, 1, 1.5, Number.NaN]) {
    const topology = { ...small.topology, selfLoop }
    expect(() => compileWordLoop({ ...small, topology })).toThrow(`selfLoop ${selfLoop}`)
  }
})

test('a word bonus counts once a word, and everything else is shared', () => {
  const graph = compileWordLoop(small)
  const rewarded = withWordBonus(graph, -2)
  const { arcScore: before, ...rest } = graph
  const { arcScore: after, ...restAfter } = rewarded
  for (const key of Object.keys(rest) as (keyof typeof rest)[]) {
    expect(restAfter[key]).toBe(rest[key])
  }
  expect(before).not.toBe(after)
  const plain = byEnumeration(graph, 5)
  for (const [words, probability] of byEnumeration(rewarded, 5)) {
    const count = words === '' ? 0 : words.split(' ').length
    expect(probability).toBeCloseTo(plain.get(words)! * Math.exp(-2 * count), 12)
  }
})

// Normalised: P(x | h) of the listed bigrams, and back-off weights that give the rest to the unigrams.
const BIGRAM = `a comment before

\\data\\
ngram 1=4
ngram 2=3

\\1-grams:
-99 <s> ${Math.log10(0.4 / 0.5)}
${Math.log10(0.5)} a ${Math.log10(0.3 / 0.5)}
${Math.log10(0.3)} b
${Math.log10(0.2)} </s>

\\2-grams:
${Math.log10(0.6)} <s> a
${Math.log10(0.1)} a </s>
${Math.log10(0.6)} a b

\\end\\
`

const TRIGRAM = `\\data\\
ngram 1=6
ngram 2=4
ngram 3=3
\\1-grams:
-99 <s> -0.1
-0.5 a -0.2
-0.7 b -0.3
-0.6 </s>
-2 <unk>
-99 never
\\2-grams:
-0.4 <s> a -0.15
-0.3 a b -0.25
-0.9 b </s>
-0.8 b a
\\3-grams:
-0.2 <s> a b
-0.35 a b a
-0.45 b a b
\\end\\
`

/** The definition, read from the lines: the longest listed n-gram, with the weights of what is skipped. */
function log10ByDefinition(text: string, words: readonly string[]): number {
  const lines = text.split('\n').map((line) => line.trim().split(/\s+/))
  const find = (ngram: readonly string[]) =>
    lines.find((line) => ngram.join(' ') === line.slice(1, ngram.length + 1).join(' '))
  const order = text.includes('3-grams') ? 3 : 2
  const of = (ngram: readonly string[]): number => {
    const listed = find(ngram)
    if (listed) return Number(listed[0])
    const history = ngram.slice(0, -1)
    return Number(find(history)?.[history.length + 1] ?? 0) + of(ngram.slice(1))
  }
  const sentence = ['<s>', ...words, '</s>']
  let sum = 0
  for (let i = 1; i < sentence.length; i++) {
    sum += of(sentence.slice(Math.max(0, i + 1 - order), i + 1))
  }
  return sum
}

function scoreOf(grammar: WordGrammar, words: readonly string[]): number {
  let [state, score] = [grammar.start, 0]
  for (const word of words) {
    const arcs = grammar.arcs.filter((arc) => arc.from === state && arc.word === word)
    expect(arcs.length).toBe(1)
    state = arcs[0]!.to
    score += arcs[0]!.score
  }
  return score + grammar.ends[state]!
}

describe('an n-gram grammar', () => {
  test('gives each sentence the probability that its definition gives', () => {
    for (const text of [BIGRAM, TRIGRAM]) {
      const grammar = parseArpa(text)
      for (const length of [0, 1, 2, 3, 4, 5]) {
        for (const words of sequences(['a', 'b'], length)) {
          const expected = Math.LN10 * log10ByDefinition(text, words)
          expect(scoreOf(grammar, words)).toBeCloseTo(expected, 10)
        }
      }
    }
    // Neither the impossible nor the unknown word has an arc.
    expect(new Set(parseArpa(TRIGRAM).arcs.map(({ word }) => word))).toEqual(new Set(['a', 'b']))
    expect(Math.exp(scoreOf(parseArpa(BIGRAM), ['a']))).toBeCloseTo(0.6 * 0.1, 12)
  })

  test('that is normalised makes a graph that is', () => {
    const grammar = parseArpa(BIGRAM)
    const graph = compileWordLoop({ ...small, grammar })
    for (let frames = 0; frames <= 5; frames++) {
      for (const [key, probability] of byEnumeration(graph, frames)) {
        const words = key === '' ? [] : key.split(' ').map((word) => (word === '1' ? 'a' : 'b'))
        const prior = Math.exp(scoreOf(grammar, words))
        expect(probability).toBeCloseTo(byFormula(words, { frames, prior, shape: small }), 12)
      }
    }
    expect(totalWithin(graph, 1_500)).toBeCloseTo(1, 9)
  })

  test('shares the chains of a word between its histories', () => {
    const names = wordsOf(digitLexicon).slice(1)
    const unigrams = ['<s>', ...names].map((word) => `-1.1 ${word} 0`)
    const bigrams = ['<s>', ...names].map((word) => `-0.5 ${word} one`)
    const text = ['\\data\\', 'ngram 1=12', 'ngram 2=11', '\\1-grams:', ...unigrams, '-1.1 </s>']
    const grammar = parseArpa([...text, '\\2-grams:', ...bigrams, '\\end\\'].join('\n'))
    // The empty history, <s> and the ten words; a silence each, and the chains of the loop.
    expect(grammar.stateCount).toBe(12)
    expect(compileWordLoop({ ...digits, grammar }).stateCount).toBe(1 + 12 * 3 + 108)
  })

  test('that is not well formed is refused with its line', () => {
    const cases: [string, string, string][] = [
      ['-99 <s>', 'x <s>', 'arpa line 8: a log probability is none'],
      ['<s> a', '<s> c', "arpa line 14: 'c' is not among the 1-grams"],
      ['ngram 2=3', 'ngram 2=4', '3 2-grams where 4 are announced'],
      ['ngram 2=3', 'ngram two', "arpa line 5: 'ngram two' is not 'ngram ORDER=COUNT'"],
      ['<s> a\n', '<s> a b c\n', 'arpa line 14: an entry of order 2 has'],
      ['a b\n', '<s> a\n', "arpa line 16: '<s> a' is listed twice"],
      ['\\end\\', '', "no '\\end\\'"],
    ]
    for (const [from, to, message] of cases) {
      expect(BIGRAM).toContain(from)
      expect(() => parseArpa(BIGRAM.replace(from, () => to))).toThrow(ArpaError)
      expect(() => parseArpa(BIGRAM.replace(from, () => to))).toThrow(message)
    }
  })
})
