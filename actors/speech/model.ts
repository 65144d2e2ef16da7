// The model of a run as files that other tools open: `model.onnx` with everything a decoder needs in
// its metadata, and `model.safetensors` with the same weights by name.
import { acousticModel, acousticNetwork } from '../../models/networks/acoustic.ts'
import { encodeOnnx } from '../../models/onnx-file.ts'
import { layoutOf, viewsOf } from '../../models/parameters.ts'
import { encodeSafetensors } from '../../models/safetensors.ts'
import { formatLexicon } from '../../models/sequence/lexicon.ts'
import type { Disk } from '../../runtime/environment.ts'
import { MODEL_CARD } from '../model-card.ts'
import type { DecodingSetting } from './decoding.ts'
import { lexicon, phones } from './graph.ts'
import { filterbank } from './preparation.ts'
import type { NetworkShape } from './task.ts'

/** What stands in the metadata of `model.onnx`, as JSON under 'troupe'. */
export interface ModelCard {
  readonly task: 'speech'
  /** 'ce' where cross-entropy was kept. */
  readonly criterion: string
  /** Signal-to-noise ratio, in dB, of the strings it was trained on. */
  readonly snr: number
  readonly shape: NetworkShape
  readonly context: number
  readonly features: typeof filterbank
  readonly lexicon: string
  readonly phones: readonly string[]
  readonly logPriors: readonly number[]
  /** Tuned on development strings. */
  readonly decoding: DecodingSetting
}

export function writeModel(
  disk: Disk,
  folder: string,
  model: {
    readonly parameters: Float32Array
    readonly card: Omit<ModelCard, 'task' | 'features' | 'lexicon' | 'phones' | 'context'>
  },
): string {
  const { shape } = model.card
  const options = { ...shape, nonlinearity: 'relu' } as const
  const layout = layoutOf(acousticNetwork(options).parameters)
  const card: ModelCard = {
    task: 'speech',
    ...model.card,
    features: filterbank,
    lexicon: formatLexicon(lexicon),
    phones,
    context: (shape.inputs / filterbank.numMelBins - 1) / 2,
  }
  const metadata = { [MODEL_CARD]: JSON.stringify(card) }
  const weights = { layout, values: model.parameters }
  const path = `${folder}/model.onnx`
  disk.write(path, encodeOnnx(acousticModel(options, weights, metadata)))
  const tensors = new Map(Object.entries(viewsOf(layout, model.parameters)))
  disk.write(`${folder}/model.safetensors`, encodeSafetensors(tensors, metadata))
  return path
}
