// Word grammars: a weighted acceptor of words. A loop for decoding, a line for a transcript.

export interface WordGrammar {
  readonly start: number
  readonly stateCount: number
  readonly arcs: readonly GrammarArc[]
  /** Log probability of ending, per state; -Infinity where it may not end. */
  readonly ends: readonly number[]
}

export interface GrammarArc {
  readonly from: number
  readonly to: number
  readonly word: string
  readonly score: number
}

/** Any words in any number, all as likely as each other and as the end. */
export function wordLoop(words: readonly string[]): WordGrammar {
  const score = -Math.log(words.length + 1)
  const arcs = words.map((word) => ({ from: 0, to: 0, word, score }))
  return { start: 0, stateCount: 1, arcs, ends: [score] }
}

/** Exactly these words. */
export function wordLine(words: readonly string[]): WordGrammar {
  const arcs = words.map((word, from) => ({ from, to: from + 1, word, score: 0 }))
  const ends = [...words.map(() => Number.NEGATIVE_INFINITY), 0]
  return { start: 0, stateCount: words.length + 1, arcs, ends }
}
