// What the processes of a speech run know in common: where the prepared files lie, what the network
// looks like, and the configuration of each phase. Plain data: it crosses the wire and is kept on disk.

import type { CriterionOptions, SequenceCriterion } from '../../models/sequence/criterion.ts'
import type { Alignment } from '../../models/sequence/decoding-graph.ts'

export interface SpeechTask {
  /** Folder of the prepared files. */
  readonly folder: string
  readonly seed: number
  readonly network: NetworkShape
  /** Threads that ONNX Runtime may use in one process. */
  readonly threads: number
  /** What the network computes on; absent: the CPU. */
  readonly device?: string
}

export interface NetworkShape {
  /** Spliced: (2 context + 1) x feature dimension. */
  readonly inputs: number
  readonly hidden: readonly number[]
  /** pdfs. */
  readonly outputs: number
}

/** A phase of cross-entropy: frames of the whole corpus in a new order each epoch. */
export interface FramesPhase {
  readonly alignments: string
  readonly batchFrames: number
}

/** A phase of sequence training: utterances of similar length, a lattice each. */
export interface SequencesPhase {
  readonly alignments: string
  readonly batchUtterances: number
  readonly criterion: SequenceCriterion
  readonly options: CriterionOptions
  /** Log probability added where the graph enters a word. */
  readonly wordBonus: number
  /** Weight of cross-entropy beside the criterion (F-smoothing). */
  readonly crossEntropyWeight: number
  readonly beam: number
  readonly latticeBeam: number
}

export type SetName = 'train' | 'development' | 'test'

export function featuresPath(folder: string, set: SetName): string {
  return `${folder}/${set}.features`
}

/** Alignments of a corpus in one file: three planes (pdfs, phones, words) of all its frames. */
export function encodeAlignments(alignments: readonly Alignment[]): Uint8Array {
  const frames = alignments.reduce((sum, { pdfs }) => sum + pdfs.length, 0)
  const planes = new Int32Array(3 * frames)
  let at = 0
  for (const { pdfs, phones, words } of alignments) {
    planes.set(pdfs, at)
    planes.set(phones, frames + at)
    planes.set(words, 2 * frames + at)
    at += pdfs.length
  }
  return new Uint8Array(planes.buffer)
}

/** The planes as views: frame numbers are those of the feature store. */
export function openAlignments(bytes: Uint8Array): Alignment {
  const frames = bytes.byteLength / 12
  const plane = (index: number): Int32Array =>
    new Int32Array(bytes.buffer, bytes.byteOffset + index * 4 * frames, frames)
  return { pdfs: plane(0), phones: plane(1), words: plane(2) }
}

export function alignmentOf(all: Alignment, offset: number, frames: number): Alignment {
  const end = offset + frames
  return {
    pdfs: all.pdfs.subarray(offset, end),
    phones: all.phones.subarray(offset, end),
    words: all.words.subarray(offset, end),
  }
}
