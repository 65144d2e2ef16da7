// A finished speech model, opened from its file: everything that it says of itself, and the scores of sounds.
import { decodeOnnx } from '../../models/onnx-file.ts'
import { type Decoder, decoder } from '../../models/sequence/decoder.ts'
import { compileGraph, withWordBonus } from '../../models/sequence/decoding-graph.ts'
import { splice } from '../../models/sequence/feature-transforms.ts'
import type { Features } from '../../models/sequence/features.ts'
import { wordLoop } from '../../models/sequence/grammar.ts'
import { parseLexicon, wordsOf } from '../../models/sequence/lexicon.ts'
import { threeStates } from '../../models/sequence/topology.ts'
import { openSession } from '../../models/session.ts'
import { float32View, tensorOf } from '../../protocol/tensor.ts'
import type { Disk } from '../../runtime/environment.ts'
import { MODEL_CARD } from '../model-card.ts'
import type { ModelCard } from './model.ts'
import { networkFeatures } from './preparation.ts'

export interface OpenedModel {
  readonly card: ModelCard
  /** By number: 0 is silence. */
  readonly words: readonly string[]
  readonly decoder: Decoder
  readonly features: (samples: Float32Array) => Features
  /** Acoustic scores, frames x pdfs. */
  scoresOf(features: Features): Promise<Float32Array>
}

export class ModelError extends Error {
  override readonly name = 'ModelError'
}

/** Throws `ModelError` where the file is no speech model. */
export async function openModel(disk: Pick<Disk, 'read'>, path: string): Promise<OpenedModel> {
  const model = disk.read(path)
  const card = readCard(model, path)
  const session = await openSession(model, { threads: 1 })
  const lexicon = parseLexicon(card.lexicon)
  const words = wordsOf(lexicon)
  const grammar = wordLoop(words.slice(1))
  const shape = { lexicon, topology: threeStates, silenceProbability: 0.5 }
  const graph = withWordBonus(compileGraph({ ...shape, grammar }), card.decoding.bonus)
  const { context, logPriors } = card
  const { outputs } = card.shape
  return {
    card,
    words,
    decoder: decoder(graph, outputs),
    features: networkFeatures(),
    async scoresOf(features) {
      const spliced = splice(features, { left: context, right: context })
      const input = tensorOf(spliced.rows, [spliced.frames, spliced.dims])
      const { logPosteriors } = await session.run({ features: input })
      if (!logPosteriors) throw new ModelError(`${path}: has no output logPosteriors`)
      return float32View(logPosteriors).map((value, i) => value - (logPriors[i % outputs] ?? 0))
    },
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

function attempt<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new ModelError(`${path}: ${cause instanceof Error ? cause.message : cause}`, { cause })
  }
}
