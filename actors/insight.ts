// What a person looks at in a run. Each task has of it what makes sense for it; values are as the HTTP API
// shows them.
import type {
  Confusion,
  Lattice,
  Predictions,
  Samples,
  Timeline,
  Utterances,
} from '../protocol/control.ts'

export interface RunInsight {
  /** Development strings, with the hypotheses of the last evaluation. */
  utterances?(): Promise<Utterances>
  /** With the present model. Rejects with `UnknownUtteranceError`, `BusyError`. */
  lattice?(utterance: string): Promise<Lattice>
  transcribe?(audio: Uint8Array): Promise<{ readonly words: Words }>
  /** Of the last evaluation. */
  confusion?(): Promise<Confusion>
  samples?(): Promise<Samples>
  /** A test image as a PNG. */
  imagePng?(index: number): Promise<Uint8Array>
  /** With the present model: classes, the likeliest first. */
  classify?(image: Uint8Array): Promise<Classes>
  /** What the stages of pipelines did in the last seconds. */
  timeline?(): Promise<Timeline>
}

type Answer = Predictions['predictions'][number]
export type Words = NonNullable<Answer['words']>
export type Classes = NonNullable<Answer['predictions']>

/** This run has no such thing to look at, or not yet. */
export class NoInsightError extends Error {
  override readonly name = 'NoInsightError'
}

export class UnknownUtteranceError extends Error {
  override readonly name = 'UnknownUtteranceError'
}

/** More wait than are kept waiting. */
export class BusyError extends Error {
  override readonly name = 'BusyError'
}
