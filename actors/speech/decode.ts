// Decoding with a finished model: any folder of recordings or Kaldi directory to words and times, with
// the error rate where there are transcripts.
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
import { planStrings, stringCorpus } from '../../models/sequence/digit-strings.ts'
import { countErrors, type ErrorRate, errorRate } from '../../models/sequence/error-rate.ts'
import { decodeAudio } from '../../models/sequence/flac.ts'
import { isKaldiDirectory, openKaldiDirectory } from '../../models/sequence/kaldi-directory.ts'
import {
  loadRecordings,
  openRecordings,
  parseRecordingName,
} from '../../models/sequence/recordings.ts'
import { randomFor } from '../../protocol/random.ts'
import { type Environment, realEnvironment } from '../../runtime/index.ts'
import type { ModelCard } from './model.ts'
import { refusalOf } from './preparation.ts'
import { openModel } from './recogniser.ts'
import { DECODING_BEAM } from './view.ts'

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

const FRAME_SECONDS = 0.01
/** Ten minutes: what the decoder remembers grows with the recording. */
const FRAMES_MAX = 60_000

export async function decodeFolder(options: DecodeFolderOptions): Promise<DecodedFolder> {
  const { disk } = options.environment ?? realEnvironment({ seed: 0 })
  const { card, words: names, decoder, features, scoresOf } = await openModel(disk, options.model)
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
    const options = { acousticScale: card.decoding.scale, beam: DECODING_BEAM }
    const found = decoder.decode(await scoresOf(made), options) ?? []
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
