// Decoding and realigning with a trained network, in a compute thread of the control process: error
// counts of every utterance for a grid of decoding settings, and forced alignments for the next phase.
import { viterbiAlign } from '../models/sequence/alignment.ts'
import { decoder } from '../models/sequence/decoder.ts'
import type { Alignment } from '../models/sequence/decoding-graph.ts'
import { countErrors } from '../models/sequence/error-rate.ts'
import { type FeatureStore, openFeatureStore } from '../models/sequence/feature-store.ts'
import { assert } from '../protocol/assert.ts'
import { logPriorsOf, type ComputeWorld } from './speech-compute.ts'
import { decodingGraph, transcriptGraph, wordsOf } from './speech-graph.ts'
import { type SpeechNetwork, speechNetwork } from './speech-network.ts'
import {
  encodeAlignments,
  featuresPath,
  openAlignments,
  type SetName,
  type SpeechTask,
} from './speech-task.ts'

/** Acoustic scale and word bonus. */
export interface DecodingSetting {
  readonly scale: number
  readonly bonus: number
}

export interface DecodeRequest {
  readonly set: SetName
  readonly from: number
  readonly to: number
  readonly parameters: Float32Array
  readonly alignments: string
  readonly settings: readonly DecodingSetting[]
}

/** Per utterance, per setting: insertions, deletions, substitutions, words of the reference. */
export type ErrorTable = Int32Array

export const ERROR_COLUMNS = 4

export interface AlignRequest {
  readonly from: number
  readonly to: number
  readonly parameters: Float32Array
  readonly alignments: string
  readonly scale: number
}

export interface SpeechDecoding {
  openDecoding(task: SpeechTask): void
  decode(request: DecodeRequest): Promise<ErrorTable>
  /** Encoded alignments of a part of the training set, and the utterances that kept their old one. */
  align(request: AlignRequest): Promise<{ alignments: Uint8Array; refused: string[] }>
}
