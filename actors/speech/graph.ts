// The inventory of the digit recogniser (lexicon, phones, words) and its graphs, compiled once a process.
import {
  compileGraph,
  type DecodingGraph,
  withWordBonus,
} from '../../models/sequence/decoding-graph.ts'
import { wordLine, wordLoop } from '../../models/sequence/grammar.ts'
import { digitLexicon, phonesOf, wordsOf } from '../../models/sequence/lexicon.ts'
import { threeStates } from '../../models/sequence/topology.ts'

export const lexicon = digitLexicon
export const phones = phonesOf(lexicon)
/** Word numbers: 0 is silence. */
export const words = wordsOf(lexicon)
export const pdfCount = phones.length * threeStates.statesPerPhone

const shape = { lexicon, topology: threeStates, silenceProbability: 0.5 }
const loop = compileGraph({ ...shape, grammar: wordLoop(words.slice(1)) })
const transcripts = new Map<string, DecodingGraph>()

/** Any digits in any number; `wordBonus` is added where a word begins. */
export function decodingGraph(wordBonus: number): DecodingGraph {
  return withWordBonus(loop, wordBonus)
}

/** Exactly these words, with pauses and variants free. Throws `MissingPronunciationError`. */
export function transcriptGraph(transcript: readonly string[]): DecodingGraph {
  const key = transcript.join(' ')
  const known = transcripts.get(key)
  if (known) return known
  const graph = compileGraph({ ...shape, grammar: wordLine(transcript) })
  if (transcripts.size < TRANSCRIPTS_MAX) transcripts.set(key, graph)
  return graph
}

const TRANSCRIPTS_MAX = 20_000

export function wordNumbers(transcript: readonly string[]): number[] {
  return transcript.map((word) => words.indexOf(word))
}
