// A finished speech model that transcribes: a recording to words and their times.
import { decodeOnnx } from '../../models/onnx-file.ts'
import { decoder } from '../../models/sequence/decoder.ts'
import { compileGraph, withWordBonus } from '../../models/sequence/decoding-graph.ts'
import { splice } from '../../models/sequence/feature-transforms.ts'
import { decodeAudio } from '../../models/sequence/flac.ts'
import { wordLoop } from '../../models/sequence/grammar.ts'
import { parseLexicon, wordsOf } from '../../models/sequence/lexicon.ts'
import { resample } from '../../models/sequence/resample.ts'
import { threeStates } from '../../models/sequence/topology.ts'
import { openSession } from '../../models/session.ts'
import { float32View, tensorOf } from '../../protocol/tensor.ts'
import type { Disk } from '../../runtime/environment.ts'
import { MODEL_CARD } from '../model-card.ts'
import type { ModelCard } from './model.ts'
import { networkFeatures, refusalOf } from './preparation.ts'

export class ModelError extends Error {
  override readonly name = 'ModelError'
}

/** The recording has nothing that can be recognised. */
export class RecordingError extends Error {
  override readonly name = 'RecordingError'
}

/** In seconds. */
export interface TimedWord {
  readonly word: string
  readonly start: number
  readonly duration: number
}

export interface Transcriber {
  readonly card: ModelCard
  /** Samples at the rate of the card, or why there is nothing to recognise. */
  recognise(samples: Float32Array): Promise<readonly TimedWord[] | string>
  /** A WAV or FLAC file. Rejects with `RecordingError`, `AudioError`. */
  transcribe(
    audio: Uint8Array,
  ): Promise<{ readonly words: { word: string; from: number; to: number }[] }>
}

const FRAME_SECONDS = 0.01
const BEAM = 60
/** Ten minutes: what the decoder remembers grows with the recording. */
const FRAMES_MAX = 60_000

/** Throws `ModelError` where the file is no speech model of this project. */
export async function openTranscriber(options: {
  readonly disk: Disk
  /** Path of its model.onnx. */
  readonly model: string
}): Promise<Transcriber> {
  const model = options.disk.read(options.model)
  const card = readCard(model, options.model)
  const session = await openSession(model, { threads: 1 })
  const lexicon = parseLexicon(card.lexicon)
  const names = wordsOf(lexicon)
  const grammar = wordLoop(names.slice(1))
  const shape = { lexicon, topology: threeStates, silenceProbability: 0.5 }
  const graph = withWordBonus(compileGraph({ ...shape, grammar }), card.decoding.bonus)
  const { outputs } = card.shape
  const search = decoder(graph, outputs)
  const features = networkFeatures()

  async function recognise(samples: Float32Array): Promise<readonly TimedWord[] | string> {
    const made = features(samples)
    const reason = refusalOf(made, FRAMES_MAX)
    if (reason !== undefined) return reason
    const spliced = splice(made, { left: card.context, right: card.context })
    const input = tensorOf(spliced.rows, [spliced.frames, spliced.dims])
    const { logPosteriors } = await session.run({ features: input })
    if (!logPosteriors) throw new ModelError(`${options.model}: has no output logPosteriors`)
    const scores = float32View(logPosteriors).map(
      (value, i) => value - (card.logPriors[i % outputs] ?? 0),
    )
    const found = search.decode(scores, { acousticScale: card.decoding.scale, beam: BEAM }) ?? []
    return found.map(({ word, start, end }) => ({
      word: names[word] ?? '',
      start: start * FRAME_SECONDS,
      duration: (end - start) * FRAME_SECONDS,
    }))
  }

  return {
    card,
    recognise,
    async transcribe(audio) {
      const words = await recognise(await samplesOf(audio, card.features.sampleFrequency))
      if (typeof words === 'string') throw new RecordingError(words)
      return {
        words: words.map(({ word, start, duration }) => ({
          word,
          from: start,
          to: start + duration,
        })),
      }
    },
  }
}

/** Decoded, and resampled to the rate of the model. */
async function samplesOf(audio: Uint8Array, rate: number): Promise<Float32Array> {
  const sound = await decodeAudio(audio, 'the recording')
  return resample(sound.samples, sound.rate, rate)
}

function readCard(model: Uint8Array, path: string): ModelCard {
  const foreign = `${path}: not a speech model of this project; give model.onnx of a run`
  const json = attempt(path, () => decodeOnnx(model).metadata?.[MODEL_CARD])
  if (!json) throw new ModelError(foreign)
  const card = attempt(foreign, () => JSON.parse(json) as Partial<ModelCard> | null)
  const { shape, lexicon, decoding, logPriors, features, snr } = card ?? {}
  const isWhole = shape && lexicon && decoding && logPriors && features && snr !== undefined
  if (!isWhole) throw new ModelError(foreign)
  return card as ModelCard
}

function attempt<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new ModelError(`${path}: ${cause instanceof Error ? cause.message : cause}`, { cause })
  }
}
