// The decoding graph: an epsilon-free state machine whose every arc consumes one frame. Built from a
// lexicon, a topology and a word grammar; read by alignment, decoding and lattices.

import type { WordGrammar } from './grammar.ts'
import { type Lexicon, MissingPronunciationError, phonesOf, wordsOf } from './lexicon.ts'
import { pdfOf, type Topology } from './topology.ts'

/**
 * Arcs are stored by source state: those of state s are `arcOffset[s]` to `arcOffset[s + 1]` (exclusive).
 * All scores are natural-log probabilities. Per arc: the pdf its frame is scored with, the phone and the
 * word that frame belongs to (word 0 = silence), and the word it outputs when it enters one (0 = none).
 */
export interface DecodingGraph {
  readonly start: number
  readonly stateCount: number
  readonly arcOffset: Int32Array
  readonly arcTarget: Int32Array
  readonly arcPdf: Int32Array
  readonly arcPhone: Int32Array
  readonly arcWord: Int32Array
  readonly arcOutput: Int32Array
  readonly arcScore: Float64Array
  /** Log probability of ending in a state; -Infinity where the state is not final. */
  readonly finalScore: Float64Array
}

/** Per frame: pdf, phone, and word (0 = silence). All of length T. */
export interface Alignment {
  readonly pdfs: Int32Array
  readonly phones: Int32Array
  readonly words: Int32Array
}

export interface GraphOptions {
  readonly lexicon: Lexicon
  readonly topology: Topology
  readonly grammar: WordGrammar
  /** Of silence before a word and at the end. */
  readonly silenceProbability: number
}

/**
 * Expands a grammar into HMM states. An arc consumes the frame of the state it enters. Between words:
 * silence with its probability, else none; then a word or the end. Self-loop and exit probabilities
 * are the topology's; variants of a word share its probability equally.
 */
export function compileGraph({
  lexicon,
  topology,
  grammar,
  silenceProbability,
}: GraphOptions): DecodingGraph {
  const phones = new Map(phonesOf(lexicon).map((phone, index) => [phone, index]))
  const words = new Map(wordsOf(lexicon).map((word, index) => [word, index]))
  const loop = Math.log(topology.selfLoop)
  const leave = Math.log(1 - topology.selfLoop)
  const silence = Math.log(silenceProbability)
  const noSilence = Math.log(1 - silenceProbability)
  const states: StateDraft[] = [
    { pdf: -1, phone: 0, word: 0, arcs: [], final: Number.NEGATIVE_INFINITY },
  ]

  const addChain = (chain: readonly number[], word: number): { first: number; last: number } => {
    const first = states.length
    for (const phone of chain) {
      for (let state = 0; state < topology.statesPerPhone; state++) {
        const own = states.length
        const isLast = own === first + chain.length * topology.statesPerPhone - 1
        const arcs: ArcDraft[] = [{ to: own, score: loop, output: 0 }]
        if (!isLast) arcs.push({ to: own + 1, score: leave, output: 0 })
        const pdf = pdfOf(topology, phone, state)
        states.push({ pdf, phone, word, arcs, final: Number.NEGATIVE_INFINITY })
      }
    }
    return { first, last: states.length - 1 }
  }

  const silences = Array.from({ length: grammar.stateCount }, () => addChain([0], 0))
  const entries: {
    first: number
    last: number
    word: number
    from: number
    to: number
    score: number
  }[] = []
  for (const { from, to, word, score } of grammar.arcs) {
    const variants = lexicon.get(word)
    const number = words.get(word)
    if (!variants || number === undefined) throw new MissingPronunciationError(word)
    for (const variant of variants) {
      const chain = variant.map((phone) => phones.get(phone) ?? 0)
      const share = score - Math.log(variants.length)
      entries.push({ ...addChain(chain, number), word: number, from, to, score: share })
    }
  }
  // What may follow in a grammar state, from HMM state `source` that is left with `score`.
  const connect = (source: number, at: number, score: number, afterSilence: boolean): void => {
    const state = states[source]
    const pause = silences[at]
    const direct = afterSilence ? score : score + noSilence
    if (!state || !pause) return
    if (!afterSilence) state.arcs.push({ to: pause.first, score: score + silence, output: 0 })
    for (const entry of entries) {
      if (entry.from !== at) continue
      state.arcs.push({ to: entry.first, score: direct + entry.score, output: entry.word })
    }
    state.final = direct + (grammar.ends[at] ?? Number.NEGATIVE_INFINITY)
  }
  silences.forEach(({ last }, at) => connect(last, at, leave, true))
  for (const { last, to } of entries) connect(last, to, leave, false)
  connect(0, grammar.start, 0, false)
  return packGraph(states)
}

interface StateDraft {
  readonly pdf: number
  readonly phone: number
  readonly word: number
  readonly arcs: ArcDraft[]
  final: number
}

interface ArcDraft {
  readonly to: number
  readonly score: number
  readonly output: number
}

function packGraph(states: readonly StateDraft[]): DecodingGraph {
  const count = states.reduce((sum, { arcs }) => sum + arcs.length, 0)
  const graph = {
    start: 0,
    stateCount: states.length,
    arcOffset: new Int32Array(states.length + 1),
    arcTarget: new Int32Array(count),
    arcPdf: new Int32Array(count),
    arcPhone: new Int32Array(count),
    arcWord: new Int32Array(count),
    arcOutput: new Int32Array(count),
    arcScore: new Float64Array(count),
    finalScore: Float64Array.from(states, ({ final }) => final),
  }
  let at = 0
  states.forEach(({ arcs }, index) => {
    for (const { to, score, output } of arcs) {
      const target = states[to]
      graph.arcTarget[at] = to
      graph.arcPdf[at] = target?.pdf ?? 0
      graph.arcPhone[at] = target?.phone ?? 0
      graph.arcWord[at] = target?.word ?? 0
      graph.arcOutput[at] = output
      graph.arcScore[at] = score
      at += 1
    }
    graph.arcOffset[index + 1] = at
  })
  return graph
}

/** The same graph with an additive log bonus on every arc that enters a word (negative: a penalty). */
export function withWordBonus(graph: DecodingGraph, bonus: number): DecodingGraph {
  const arcScore = graph.arcScore.map((score, arc) =>
    graph.arcOutput[arc] ? score + bonus : score,
  )
  return { ...graph, arcScore }
}
