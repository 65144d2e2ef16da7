// Sounds to words, by the model.onnx of a finished run, in this process.
import { threeStates } from '../../models/sequence/topology.ts'
import type { Disk } from '../../runtime/environment.ts'
import { type Transcription, UnreadableError } from '../insight.ts'
import type { ModelCard } from './model.ts'
import { openModel } from './recogniser.ts'
import { FRAMES_MAX, framesOf } from './sound.ts'
import { type UtteranceView, viewUtterance } from './view.ts'

export interface Transcriber {
  readonly card: ModelCard
  /** WAV or FLAC. Rejects with `UnreadableError`. */
  transcribe(audio: Uint8Array): Promise<Transcription>
}

/** Throws `ModelError` where the file is no speech model. */
export async function openTranscriber(options: {
  readonly disk: Pick<Disk, 'read'>
  /** Path of a model.onnx. */
  readonly model: string
}): Promise<Transcriber> {
  const { card, words, decoder, features, scoresOf } = await openModel(options.disk, options.model)
  const rate = card.features.sampleFrequency
  const recogniser = {
    decoder,
    words,
    pdfs: card.shape.outputs,
    phones: card.phones,
    statesPerPhone: threeStates.statesPerPhone,
    acousticScale: card.decoding.scale,
  }
  return {
    card,
    async transcribe(audio) {
      const made = await framesOf(audio, { features, rate, framesMax: FRAMES_MAX })
      if (typeof made === 'string') throw new UnreadableError(made)
      return transcriptionOf(viewUtterance(await scoresOf(made), recogniser))
    },
  }
}

export function transcriptionOf({ words, confidence }: UtteranceView): Transcription {
  return {
    words: words.map(({ word }) => word),
    times: words.map(({ posterior, ...times }) => ({ ...times, confidence: posterior })),
    confidence,
  }
}
