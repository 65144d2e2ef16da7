// The decoding graph: an epsilon-free state machine whose every arc consumes one frame. Built from a
// lexicon, a topology and a word grammar; read by alignment, decoding and lattices.

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
