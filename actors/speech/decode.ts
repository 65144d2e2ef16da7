// Decoding with a finished model: any folder of recordings or Kaldi directory to words and times, with
// the error rate where there are transcripts.
import { decodeOnnx } from '../../models/onnx-file.ts'
import { decodeWav } from '../../models/sequence/audio.ts'
import { type CorpusFiles, loadUtterances, type Skipped } from '../../models/sequence/corpus.ts'
import { decoder } from '../../models/sequence/decoder.ts'
import { compileGraph, withWordBonus } from '../../models/sequence/decoding-graph.ts'
import { countErrors, type ErrorRate, errorRate } from '../../models/sequence/error-rate.ts'
import { splice } from '../../models/sequence/feature-transforms.ts'
import { wordLoop } from '../../models/sequence/grammar.ts'
import { isKaldiDirectory, openKaldiDirectory } from '../../models/sequence/kaldi-directory.ts'
import { parseLexicon, wordsOf } from '../../models/sequence/lexicon.ts'
import { openRecordings } from '../../models/sequence/recordings.ts'
import { threeStates } from '../../models/sequence/topology.ts'
import { openSession } from '../../models/session.ts'
import { randomFor } from '../../protocol/random.ts'
import { float32View, tensorOf } from '../../protocol/tensor.ts'
import { type Environment, realEnvironment } from '../../runtime/index.ts'
import { MODEL_CARD, type ModelCard } from './model.ts'
import { networkFeatures, refusalOf } from './preparation.ts'

export interface DecodeFolderOptions {
  /** `model.onnx` of a run. */
  readonly model: string
  /** Recordings, as they are, or a Kaldi directory. */
  readonly data: string
  readonly environment?: Environment
}

export interface DecodedUtterance {
  readonly id: string
  readonly words: readonly string[]
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
  readonly errorRate: ErrorRate
  readonly skipped: readonly Skipped[]
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
  const { utterances, skipped } = openFolder(options.data, {
    readFile: disk.read,
    listFiles: disk.list,
  })
  const decoded: DecodedUtterance[] = []
  const left: Skipped[] = [...skipped]
  const rate = card.features.sampleFrequency
  const skip = (one: Skipped) => void left.push(one)
  for await (const { utterance, samples } of loadUtterances(utterances, { rate, skip })) {
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
  const counts = decoded.map(({ reference, words }) => countErrors(reference, words))
  return {
    utterances: decoded,
    errorRate: errorRate(counts, randomFor('bootstrap')),
    skipped: left,
  }
}

function readCard(model: Uint8Array, path: string): ModelCard {
  const json = attempt(path, () => decodeOnnx(model).metadata?.[MODEL_CARD])
  if (!json) throw new ModelError(`${path}: not a speech model of this project: it has no metadata`)
  return JSON.parse(json) as ModelCard
}

function openFolder(folder: string, files: CorpusFiles) {
  if (isKaldiDirectory(folder, files)) return openKaldiDirectory(folder, files)
  const { recordings, skipped } = openRecordings(folder, files)
  const utterances = recordings.map(({ id, speaker, word, path }) => ({
    id,
    speaker,
    words: [word],
    load: async () => decodeWav(files.readFile(path), path),
  }))
  return { utterances, skipped }
}

function attempt<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new ModelError(`${path}: ${cause instanceof Error ? cause.message : cause}`, { cause })
  }
}
