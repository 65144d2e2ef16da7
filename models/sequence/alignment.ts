// Forced alignment: the best path through the graph of a transcript, and priors counted from it.
import { assert } from '../../protocol/assert.ts'
import type { Alignment, DecodingGraph } from './decoding-graph.ts'

export type AlignmentRefusal =
  | 'utterance shorter than its graph'
  /** Frames x states above `alignmentLimits.cellsMax`. */
  | 'utterance too long to align: cut it into shorter ones'
  /** Long enough, but no path has this many frames. */
  | 'no path'
  | 'non-finite scores'

export type AlignmentOutcome =
  | { readonly aligned: true; readonly alignment: Alignment; readonly score: number }
  | { readonly aligned: false; readonly reason: AlignmentRefusal }

/** A back pointer of 4 bytes a cell: 256 MiB. Two minutes of 300 digits have 47 Mi cells. */
export const alignmentLimits = { cellsMax: 64 << 20 } as const

/**
 * Exact Viterbi. `scores`: T x pdfs log likelihoods, scaled by `scale`. Scratch memory is kept between
 * calls, so one aligner serves a whole corpus.
 */
export function viterbiAligner(): (
  graph: DecodingGraph,
  scores: { readonly values: Float32Array; readonly pdfs: number; readonly scale: number },
) => AlignmentOutcome {
  let pointers = new Int32Array(0)
  return (graph, { values, pdfs, scale }) => {
    const frames = values.length / pdfs
    assert(Number.isInteger(frames), 'scores are frames x pdfs')
    assert(
      graph.arcPdf.every((pdf) => pdf < pdfs),
      'the scores have a column for every pdf of the graph',
    )
    if (!areFinite(values)) return { aligned: false, reason: 'non-finite scores' }
    const { stateCount, arcOffset, arcTarget, arcPdf, arcScore } = graph
    const cells = frames * stateCount
    if (cells > alignmentLimits.cellsMax) return { aligned: false, reason: TOO_LONG }
    if (pointers.length < cells) pointers = new Int32Array(cells)
    let now = new Float64Array(stateCount).fill(Number.NEGATIVE_INFINITY)
    let later = new Float64Array(stateCount)
    now[graph.start] = 0
    for (let t = 0; t < frames; t++) {
      later.fill(Number.NEGATIVE_INFINITY)
      const row = t * pdfs
      const base = t * stateCount
      for (let state = 0; state < stateCount; state++) {
        const score = now[state]!
        if (score === Number.NEGATIVE_INFINITY) continue
        for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
          const target = arcTarget[arc]!
          const reached = score + arcScore[arc]! + scale * values[row + arcPdf[arc]!]!
          if (reached > later[target]!) {
            later[target] = reached
            pointers[base + target] = arc
          }
        }
      }
      ;[now, later] = [later, now]
    }
    return traceBack(graph, { frames, now, pointers })
  }
}

const TOO_LONG = 'utterance too long to align: cut it into shorter ones'

/** A sum of single-precision numbers is finite in double precision exactly if all of them are. */
function areFinite(values: Float32Array): boolean {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]!
  return Number.isFinite(sum)
}

function traceBack(
  graph: DecodingGraph,
  {
    frames,
    now,
    pointers,
  }: { readonly frames: number; readonly now: Float64Array; readonly pointers: Int32Array },
): AlignmentOutcome {
  let best = Number.NEGATIVE_INFINITY
  let state = -1
  for (let s = 0; s < graph.stateCount; s++) {
    const total = now[s]! + graph.finalScore[s]!
    if (total > best) [best, state] = [total, s]
  }
  if (state < 0) {
    const shortest = framesMin(graph)
    const isShort = frames < shortest && shortest < Number.POSITIVE_INFINITY
    return { aligned: false, reason: isShort ? 'utterance shorter than its graph' : 'no path' }
  }
  const alignment = {
    pdfs: new Int32Array(frames),
    phones: new Int32Array(frames),
    words: new Int32Array(frames),
  }
  const sources = arcSources(graph)
  for (let t = frames - 1; t >= 0; t--) {
    const arc = pointers[t * graph.stateCount + state]!
    alignment.pdfs[t] = graph.arcPdf[arc]!
    alignment.phones[t] = graph.arcPhone[arc]!
    alignment.words[t] = graph.arcWord[arc]!
    state = sources[arc]!
  }
  return { aligned: true, alignment, score: best }
}

/** Frames of the shortest path; Infinity if no final state can be reached. */
export function framesMin(graph: DecodingGraph): number {
  const reached = new Set([graph.start])
  let frames = 0
  for (let front = [graph.start]; front.length > 0; frames++) {
    const next: number[] = []
    for (const state of front) {
      if (graph.finalScore[state]! > Number.NEGATIVE_INFINITY) return frames
      for (let arc = graph.arcOffset[state]!; arc < graph.arcOffset[state + 1]!; arc++) {
        const target = graph.arcTarget[arc]!
        if (graph.arcScore[arc]! > Number.NEGATIVE_INFINITY && !reached.has(target)) {
          reached.add(target)
          next.push(target)
        }
      }
    }
    front = next
  }
  return Number.POSITIVE_INFINITY
}

/** The source state of every arc. */
export function arcSources({ arcOffset, arcTarget, stateCount }: DecodingGraph): Int32Array {
  const sources = new Int32Array(arcTarget.length)
  for (let state = 0; state < stateCount; state++) {
    sources.fill(state, arcOffset[state]!, arcOffset[state + 1]!)
  }
  return sources
}

/** Relative frequency of each pdf; one that never occurs gets a part of a frame. */
export function pdfPriors(pdfs: Int32Array, pdfCount: number): Float64Array {
  const counts = new Float64Array(pdfCount)
  for (const pdf of pdfs) counts[pdf] = counts[pdf]! + 1
  for (let pdf = 0; pdf < pdfCount; pdf++) counts[pdf] = Math.max(counts[pdf]!, 0.5)
  const total = counts.reduce((sum, count) => sum + count, 0)
  return counts.map((count) => count / total)
}
