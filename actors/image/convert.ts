// Checkpoints of other tools into a model, and models out as checkpoints.
import {
  CheckpointError,
  classesOfCheckpoint,
  readCheckpoint,
  writeCheckpoint,
} from '../../models/checkpoint.ts'
import type { Graph } from '../../models/graph.ts'
import type { ImageParameter, NetworkName } from '../../models/networks/image-network.ts'
import { imageNetwork, publishedSizeOf, servingGraph } from '../../models/networks/networks.ts'
import { decodeOnnx, encodeOnnx } from '../../models/onnx-file.ts'
import { initialise, layoutOf } from '../../models/parameters.ts'
import { SafetensorsError } from '../../models/safetensors.ts'
import { randomFor } from '../../protocol/random.ts'
import { alignedFloat32 } from '../../protocol/tensor.ts'
import type { Disk } from '../../runtime/environment.ts'
import { MODEL_CARD } from '../model-card.ts'
import { OptionError } from '../run/options.ts'
import { type ImageCard, imageCardOf } from './card.ts'

export interface ImportOptions {
  readonly disk: Disk
  /** safetensors with torchvision's or timm's names. */
  readonly weights: string
  readonly network: NetworkName
  /** Default: as published. */
  readonly size?: number
  /** A class a line; default: their numbers. */
  readonly labels?: string
  /** Where `model.onnx` goes. */
  readonly out: string
}

/** torchvision and timm feed these networks (value - 0.5) / 0.5. */
const HALF = [0.5, 0.5, 0.5]

/** Throws `CheckpointError` naming what does not fit; writes nothing then. Answers the count of classes. */
export function importCheckpoint(options: ImportOptions): number {
  try {
    return importWeights(options)
  } catch (cause) {
    if (!(cause instanceof SafetensorsError)) throw cause
    throw new CheckpointError(`${options.weights}: no safetensors file: ${cause.message}`, {
      cause,
    })
  }
}

function importWeights(options: ImportOptions): number {
  const { disk, weights, network: name, size = publishedSizeOf(options.network), out } = options
  const file = disk.read(weights)
  const asPublished = imageNetwork({ network: name, size, classes: 1_000 })
  const classes = classesOfCheckpoint(asPublished, file)
  if (classes === undefined) {
    throw new CheckpointError(`${weights}: not a checkpoint of ${name}: its last layer is missing`)
  }
  const network = imageNetwork({ network: name, size, classes })
  const layout = layoutOf(network.parameters)
  const values = readCheckpoint(network, file, initialise(layout, randomFor('import')))
  const card: ImageCard = {
    task: 'image',
    network: name,
    size,
    classes: labelsOf(options, classes),
    mean: HALF,
    deviation: HALF,
  }
  const metadata = { [MODEL_CARD]: JSON.stringify(card) }
  disk.write(out, encodeOnnx(servingGraph(network, { layout, values }, metadata)))
  return classes
}

function labelsOf({ disk, labels }: ImportOptions, classes: number): readonly string[] {
  if (labels === undefined) return Array.from({ length: classes }, (_, index) => `${index}`)
  const lines = new TextDecoder().decode(disk.read(labels)).split('\n')
  const names = lines.map((line) => line.trim()).filter((line) => line !== '')
  if (names.length === classes) return names
  throw new OptionError(`labels: ${labels} names ${names.length} classes; the model has ${classes}`)
}

/** A model of `troupe train image` or `import` as safetensors, or as .onnx again. */
export function exportModel(options: {
  readonly disk: Disk
  readonly model: string
  readonly out: string
}): void {
  const { disk, model, out } = options
  const graph = decodeOnnx(disk.read(model))
  const card = imageCardOf(graph, model)
  if (out.endsWith('.onnx')) return disk.write(out, encodeOnnx(graph))
  if (!out.endsWith('.safetensors')) {
    throw new OptionError(`out: ${out}; give a name that ends in .safetensors or .onnx`)
  }
  const { network: name, size, classes } = card
  const network = imageNetwork({ network: name as NetworkName, size, classes: classes.length })
  const { [MODEL_CARD]: text = '' } = graph.metadata ?? {}
  disk.write(
    out,
    writeCheckpoint(network, weightsOf(network.parameters, graph), { [MODEL_CARD]: text }),
  )
}

function weightsOf(parameters: readonly ImageParameter[], { initializers }: Graph): Float32Array {
  const layout = layoutOf(parameters)
  const values = new Float32Array(layout.count)
  layout.slices.forEach(({ name, offset, length }, index) => {
    const tensor = initializers.get(name)
    // Auxiliary heads are not in a model for serving.
    if (!tensor && parameters[index]?.isAuxiliary) return
    const found = tensor ? alignedFloat32(tensor.bytes) : undefined
    if (found?.length !== length) throw new CheckpointError(`the model has no whole ${name}`)
    values.set(found, offset)
  })
  return values
}
