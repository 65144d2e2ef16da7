// Decoding with a finished model: any folder of recordings or Kaldi directory to words and times, with
// the error rate where there are transcripts.
import { decodeOnnx } from '../../models/onnx-file.ts'
import {
  type Corpus,
  CorpusError,
  type CorpusFiles,
  describeSounds,
  listNames,
  loadUtterances,
  readBytes,
  type Skipped,
  type SoundCounts,
  type Utterance,
} from '../../models/sequence/corpus.ts'
import { decoder } from '../../models/sequence/decoder.ts'
import { compileGraph, withWordBonus } from '../../models/sequence/decoding-graph.ts'
import { planStrings, stringCorpus } from '../../models/sequence/digit-strings.ts'
import { countErrors, type ErrorRate, errorRate } from '../../models/sequence/error-rate.ts'
import { splice } from '../../models/sequence/feature-transforms.ts'
import { decodeAudio } from '../../models/sequence/flac.ts'
import { wordLoop } from '../../models/sequence/grammar.ts'
import { isKaldiDirectory, openKaldiDirectory } from '../../models/sequence/kaldi-directory.ts'
import { parseLexicon, wordsOf } from '../../models/sequence/lexicon.ts'
import {
  loadRecordings,
  openRecordings,
  parseRecordingName,
} from '../../models/sequence/recordings.ts'
import { threeStates } from '../../models/sequence/topology.ts'
import { openSession } from '../../models/session.ts'
import { randomFor } from '../../protocol/random.ts'
import { float32View, tensorOf } from '../../protocol/tensor.ts'
import { type Environment, realEnvironment } from '../../runtime/index.ts'
import { MODEL_CARD } from '../model-card.ts'
import type { ModelCard } from './model.ts'
import { networkFeatures, refusalOf } from './preparation.ts'

export interface DecodeFolderOptions {
  /** `model.onnx` of a run. */
  readonly model: string
  /** Recordings, or a Kaldi directory; without transcripts there is no error rate. */
  readonly data: string
  /**
   * `{digit}_{speaker}_{index}.wav` recordings are joined into so many strings, as training does: the model
   * has heard nothing else. Default: a fifth of the recordings, so that each is used about once. 0: each
   * recording by itself, as it is.
   */
  readonly strings?: number
  /** Signal-to-noise ratio of those strings, in dB. Default: that of training. */
  readonly snr?: number
  /** Of those strings. Default 1. */
  readonly seed?: number
  readonly environment?: Environment
}

export interface DecodedUtterance {
  readonly id: string
  readonly words: readonly string[]
  /** Empty where there is no transcript. */
  readonly reference: readonly string[]
  /** In seconds. */
  readonly times: readonly {
    readonly word: string
    readonly start: number
    readonly duration: number
  }[]
}

export interface DecodedFolder {
  readonly utterances: readonly DecodedUtterance[]
  /** Absent where there are no transcripts. */
  readonly errorRate?: ErrorRate
  readonly skipped: readonly Skipped[]
  /** What was done to the recordings, a sentence each. */
  readonly notes: readonly string[]
}

export class ModelError extends Error {
  override readonly name = 'ModelError'
}

const FRAME_SECONDS = 0.01
const BEAM = 60
/** Ten minutes: what the decoder remembers grows with the recording. */
const FRAMES_MAX = 60_000

export async function decodeFolder(options: DecodeFolderOptions): Promise<DecodedFolder> {
  const { disk } = options.environment ?? realEnvironment({ seed: 0 })
  const model = disk.read(options.model)
  const card = readCard(model, options.model)
  const session = await openSession(model, { threads: 1 })
  const lexicon = parseLexicon(card.lexicon)
  const names = wordsOf(lexicon)
  const grammar = wordLoop(names.slice(1))
  const shape = { lexicon, topology: threeStates, silenceProbability: 0.5 }
  const graph = withWordBonus(compileGraph({ ...shape, grammar }), card.decoding.bonus)
  const search = decoder(graph, card.shape.outputs)
  const features = networkFeatures()
  const files = { readFile: disk.read, listFiles: disk.list }
  const rate = card.features.sampleFrequency
  const { utterances, skipped, hasText, notes } = openFolder(options, card, files)
  const decoded: DecodedUtterance[] = []
  const left: Skipped[] = [...skipped]
  const sounds: SoundCounts = {}
  const skip = (one: Skipped) => void left.push(one)
  for await (const { utterance, samples } of loadUtterances(utterances, {
    rate,
    skip,
    counts: sounds,
  })) {
    const made = features(samples)
    const reason = refusalOf(made, FRAMES_MAX)
    if (reason !== undefined) {
      skip({ name: utterance.id, reason })
      continue
    }
    const spliced = splice(made, { left: card.context, right: card.context })
    const input = tensorOf(spliced.rows, [spliced.frames, spliced.dims])
    const { logPosteriors } = await session.run({ features: input })
    if (!logPosteriors) throw new ModelError(`${options.model}: has no output logPosteriors`)
    const scores = float32View(logPosteriors).map(
      (value, i) => value - (card.logPriors[i % card.shape.outputs] ?? 0),
    )
    const found = search.decode(scores, { acousticScale: card.decoding.scale, beam: BEAM }) ?? []
    const times = found.map(({ word, start, end }) => ({
      word: names[word] ?? '',
      start: start * FRAME_SECONDS,
      duration: (end - start) * FRAME_SECONDS,
    }))
    const { id, words: reference } = utterance
    decoded.push({ id, words: times.map(({ word }) => word), reference, times })
  }
  if (decoded.length === 0) {
    const [first] = left
    const why = first
      ? `${left.length} skipped, first ${first.name}: ${first.reason}`
      : 'it is empty'
    throw new CorpusError(`${options.data}: nothing to decode (${why})`)
  }
  const counts = decoded.map(({ reference, words }) => countErrors(reference, words))
  return {
    utterances: decoded,
    ...(hasText && { errorRate: errorRate(counts, randomFor('bootstrap')) }),
    skipped: left,
    notes: [...notes, ...describeSounds(sounds, rate)],
  }
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

interface OpenedFolder extends Corpus {
  readonly hasText: boolean
  readonly notes: readonly string[]
}

function openFolder(
  { data, strings, snr, seed = 1 }: DecodeFolderOptions,
  card: ModelCard,
  files: CorpusFiles,
): OpenedFolder {
  const names = listNames(files, data)
  if (isKaldiDirectory(data, files)) {
    const hasText = names.includes('text')
    return { ...openKaldiDirectory(data, files, { needsText: false }), hasText, notes: [] }
  }
  if (!names.some((name) => parseRecordingName(name))) return openSounds(data, names, files)
  const { recordings, skipped } = openRecordings(data, files)
  if (strings === 0) {
    const utterances = recordings.map(({ id, speaker, word, path }) => ({
      ...soundAt(path, files),
      id,
      speaker,
      words: [word],
    }))
    return { utterances, skipped, hasText: true, notes: [] }
  }
  const rate = card.features.sampleFrequency
  const sounds = loadRecordings(recordings, { files, rate })
  const count = strings ?? Math.ceil(sounds.recordings.length / 5)
  const noise = snr ?? card.snr
  const manifest = planStrings(sounds.recordings, { set: 'string', seed, count, rate, snr: noise })
  const corpus = stringCorpus(manifest, sounds)
  return {
    utterances: corpus.utterances,
    skipped: [...skipped, ...corpus.skipped],
    hasText: true,
    notes: [
      `${sounds.recordings.length} recordings joined into ${count} strings in noise (${noise} dB)`,
      ...describeSounds(sounds.counts, rate),
    ],
  }
}

/** Any audio files, of which nobody says what was spoken. */
function openSounds(folder: string, names: readonly string[], files: CorpusFiles): OpenedFolder {
  const sounds = names.filter((name) => /\.(wav|flac)$/i.test(name)).sort()
  const utterances = sounds.map((name) => soundAt(`${folder}/${name}`, files))
  if (utterances.length === 0) {
    throw new CorpusError(`${folder}: no .wav or .flac in it; name the folder of the recordings`)
  }
  return { utterances, skipped: [], hasText: false, notes: [] }
}

function soundAt(path: string, files: CorpusFiles): Utterance {
  const id = path.slice(path.lastIndexOf('/') + 1).replace(/\.\w+$/, '')
  const load = async () => await decodeAudio(readBytes(files, path), path)
  return { id, speaker: id, words: [], load }
}

function attempt<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new ModelError(`${path}: ${cause instanceof Error ? cause.message : cause}`, { cause })
  }
}
