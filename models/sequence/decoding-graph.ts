// The decoding graph: an epsilon-free state machine whose every arc consumes one frame. Built from a
// lexicon, a topology and a word grammar; read by alignment, decoding and lattices.

import { assert } from '../../protocol/assert.ts'
import { type WordGrammar, wordLine, wordLoop } from './grammar.ts'
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
  /** Of silence before a word and at the end; 0 to 1. */
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
  const { selfLoop } = topology
  assert(selfLoop > 0 && selfLoop < 1, `selfLoop ${selfLoop} is a probability between 0 and 1`)
  const isProbability = silenceProbability >= 0 && silenceProbability <= 1
  assert(isProbability, `silenceProbability ${silenceProbability} is within 0 to 1`)
  const phones = new Map(phonesOf(lexicon).map((phone, index) => [phone, index]))
  const words = new Map(wordsOf(lexicon).map((word, index) => [word, index]))
  const loop = Math.log(selfLoop)
  const leave = Math.log(1 - selfLoop)
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
  const chainsOf = new Map<string, readonly { first: number; last: number }[]>()
  const entries: { first: number; word: number; score: number }[][] = silences.map(() => [])
  const exits: { last: number; to: number }[] = []
  for (const { from, to, word, score } of grammar.arcs) {
    const variants = lexicon.get(word)
    const number = words.get(word)
    if (!variants || number === undefined) throw new MissingPronunciationError(word)
    // Arcs with the same word into the same grammar state share its chains: an n-gram grammar needs no more.
    const key = `${number} ${to}`
    const known = chainsOf.get(key)
    const chains =
      known ??
      variants.map((variant) =>
        addChain(
          variant.map((phone) => phones.get(phone) ?? 0),
          number,
        ),
      )
    chainsOf.set(key, chains)
    if (!known) exits.push(...chains.map(({ last }) => ({ last, to })))
    const share = score - Math.log(variants.length)
    entries[from]?.push(...chains.map(({ first }) => ({ first, word: number, score: share })))
  }
  // What may follow in a grammar state, from HMM state `source` that is left with `score`.
  const connect = (source: number, at: number, score: number, afterSilence: boolean): void => {
    const state = states[source]
    const pause = silences[at]
    if (!state || !pause) return
    const add = (arc: ArcDraft): void => {
      if (arc.score > Number.NEGATIVE_INFINITY) state.arcs.push(arc)
    }
    const direct = afterSilence ? score : score + noSilence
    if (!afterSilence) add({ to: pause.first, score: score + silence, output: 0 })
    for (const entry of entries[at] ?? []) {
      add({ to: entry.first, score: direct + entry.score, output: entry.word })
    }
    state.final = direct + (grammar.ends[at] ?? Number.NEGATIVE_INFINITY)
  }
  silences.forEach(({ last }, at) => connect(last, at, leave, true))
  for (const { last, to } of exits) connect(last, to, leave, false)
  connect(0, grammar.start, 0, false)
  return packGraph(states)
}

/** Any words of the lexicon, or those of an n-gram grammar, with silences between them. */
export function compileWordLoop({
  grammar,
  ...shape
}: Omit<GraphOptions, 'grammar'> & { readonly grammar?: WordGrammar }): DecodingGraph {
  return compileGraph({ ...shape, grammar: grammar ?? wordLoop([...shape.lexicon.keys()]) })
}

/** Exactly these words, each in any of its variants, with silences between them. */
export function compileTranscript(
  words: readonly string[],
  shape: Omit<GraphOptions, 'grammar'>,
): DecodingGraph {
  return compileGraph({ ...shape, grammar: wordLine(words) })
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

export class ArpaError extends Error {
  override readonly name = 'ArpaError'
}

/** A dense expansion of more is no grammar for an exact search. */
const GRAMMAR_ARCS_MAX = 1_000_000
const SENTENCE_START = '<s>'
const SENTENCE_END = '</s>'
/** Never in a lexicon: its share of the probability is lost. */
const UNKNOWN_WORDS = ['<unk>', '<UNK>']

/**
 * An n-gram model of any order in the ARPA form, as a grammar without back-off arcs: a state per history
 * that the model knows, from it an arc per word. Where the n-gram is not listed,
 * P(w | h) = backoff(h) P(w | h without its first word) (Katz 1987), so every word sequence has one path
 * with exactly its probability.
 */
export function parseArpa(text: string): WordGrammar {
  const model = readArpa(text)
  const histories = [...model.histories]
  const numbers = new Map(histories.map((history, index) => [history, index]))
  const words = model.words.filter((word) => word !== SENTENCE_START && word !== SENTENCE_END)
  if (words.length * histories.length > GRAMMAR_ARCS_MAX) {
    throw new ArpaError(
      `arpa: ${histories.length} histories x ${words.length} words are more than ${GRAMMAR_ARCS_MAX} arcs: prune the model`,
    )
  }
  const scoreOf = (history: string, word: string): number => {
    const listed = model.scores.get(history === '' ? word : `${history} ${word}`)
    if (listed !== undefined) return listed
    if (history === '') return Number.NEGATIVE_INFINITY
    return (model.backoffs.get(history) ?? 0) + scoreOf(withoutFirst(history), word)
  }
  const stateAfter = (words: string): number => {
    const known = numbers.get(words)
    return known ?? (words === '' ? 0 : stateAfter(withoutFirst(words)))
  }
  const arcs = histories.flatMap((history, from) =>
    words
      .map((word) => {
        const score = scoreOf(history, word)
        return { from, to: stateAfter(history === '' ? word : `${history} ${word}`), word, score }
      })
      .filter(({ score }) => score > Number.NEGATIVE_INFINITY),
  )
  return {
    start: stateAfter(SENTENCE_START),
    stateCount: histories.length,
    arcs,
    ends: histories.map((history) => scoreOf(history, SENTENCE_END)),
  }
}

function withoutFirst(words: string): string {
  const space = words.indexOf(' ')
  return space < 0 ? '' : words.slice(space + 1)
}

interface ArpaModel {
  readonly words: readonly string[]
  /** ln P of an n-gram's last word after the others, by the n-gram. */
  readonly scores: ReadonlyMap<string, number>
  readonly backoffs: ReadonlyMap<string, number>
  /** Every history with a back-off weight or a listed successor, the empty one first. */
  readonly histories: ReadonlySet<string>
}

function readArpa(text: string): ArpaModel {
  const scores = new Map<string, number>()
  const backoffs = new Map<string, number>()
  const histories = new Set([''])
  const [announced, found] = [new Map<number, number>(), new Map<number, number>()]
  let section = 'before' as 'before' | 'counts' | number | 'end'
  text.split('\n').forEach((line, index) => {
    const wrong = (what: string) => new ArpaError(`arpa line ${index + 1}: ${what}`)
    const fields = line.trim().split(/\s+/)
    const [first = ''] = fields
    if (first === '' || section === 'end') return
    const heading = /^\\(\d+)-grams:$/.exec(first)
    if (first === '\\data\\') section = 'counts'
    else if (section === 'before') return
    else if (first === '\\end\\') section = 'end'
    else if (heading) section = Number(heading[1])
    else if (section === 'counts') {
      const count = /^ngram\s+(\d+)\s*=\s*(\d+)$/.exec(line.trim())
      if (!count) throw wrong(`'${line.trim()}' is not 'ngram ORDER=COUNT'`)
      announced.set(Number(count[1]), Number(count[2]))
    } else {
      const order: number = section
      if (fields.length < order + 1 || fields.length > order + 2) {
        throw wrong(
          `an entry of order ${order} has a log probability, ${order} words, perhaps a back-off`,
        )
      }
      found.set(order, (found.get(order) ?? 0) + 1)
      const words = fields.slice(1, order + 1)
      if (words.some((word) => UNKNOWN_WORDS.includes(word))) return
      const unlisted = order > 1 ? words.find((word) => !scores.has(word)) : undefined
      if (unlisted !== undefined) throw wrong(`'${unlisted}' is not among the 1-grams`)
      const key = words.join(' ')
      if (scores.has(key)) throw wrong(`'${key}' is listed twice`)
      const score = naturalLog(first)
      const backoff = naturalLog(fields[order + 1] ?? '0')
      if (Number.isNaN(score + backoff) || score > 0) throw wrong('a log probability is none')
      scores.set(key, score)
      for (let length = 1; length < order; length++) {
        histories.add(words.slice(0, length).join(' '))
      }
      if (fields.length === order + 1 || words.at(-1) === SENTENCE_END) return
      backoffs.set(key, backoff)
      histories.add(key)
    }
  })
  if (section !== 'end') throw new ArpaError("arpa: no '\\end\\': is the file complete?")
  for (const [order, count] of announced) {
    if (found.get(order) === count || count === 0) continue
    throw new ArpaError(
      `arpa: ${found.get(order) ?? 0} ${order}-grams where ${count} are announced`,
    )
  }
  if (!scores.has(SENTENCE_END))
    throw new ArpaError(`arpa: '${SENTENCE_END}' is not among the 1-grams`)
  const words = [...scores.keys()].filter((key) => !key.includes(' '))
  return { words, scores, backoffs, histories }
}

/** The form has decimal logarithms; -99 stands for the logarithm of zero. */
function naturalLog(field: string): number {
  const value = Number(field)
  return value <= -99 ? Number.NEGATIVE_INFINITY : value * Math.LN10
}
