// What the processes of a fine-tuning run know in common, and the model that each of them makes of it.
import { dirname } from 'node:path'
import { backward } from '../../models/autodiff/backward.ts'
import type { Graph } from '../../models/graph.ts'
import { decodeOnnx } from '../../models/onnx-file.ts'
import { layoutOf, type ParameterLayout } from '../../models/parameters.ts'
import { type FineTuningOptions, fineTuning, type Trainable } from '../../models/trainable.ts'
import { alignedFloat32 } from '../../protocol/tensor.ts'
import type { Disk } from '../../runtime/environment.ts'

export interface ModelTask {
  /** Path of the .onnx file. */
  readonly model: string
  /** Rows of tensors, or a store of images. */
  readonly examples: string
  readonly tuning: FineTuningOptions
  readonly seed: number
  readonly batch: number
  readonly threads: number
  readonly device?: string
}

export interface TunedModel {
  readonly model: Graph
  /** Loss and output; trainable tensors are inputs. */
  readonly forward: Graph
  readonly trainable: readonly Trainable[]
  readonly layout: ParameterLayout
}

/** Throws `OnnxFileError`, and `GraphError` naming every node without a gradient. */
export function openTunedModel(
  disk: Disk,
  { model: path, tuning }: Pick<ModelTask, 'model' | 'tuning'>,
): TunedModel {
  const model = readModel(disk, path)
  const { graph, trainable } = fineTuning(model, tuning)
  const specs = trainable.map(({ name, shape }) => ({ name, shape, deviation: 0 }))
  return { model, forward: graph, trainable, layout: layoutOf(specs) }
}

export function readModel(disk: Disk, path: string): Graph {
  return decodeOnnx(disk.read(path), {
    external: (location) => disk.read(`${dirname(path)}/${location}`),
  })
}

export function gradientsOf({ forward, trainable }: TunedModel): Graph {
  return backward(
    forward,
    'loss',
    trainable.map(({ name }) => name),
  )
}

export function initialOf({ trainable, layout }: TunedModel): Float32Array {
  const values = new Float32Array(layout.count)
  layout.slices.forEach(({ offset }, index) => {
    const tensor = trainable[index]?.tensor
    if (tensor) values.set(alignedFloat32(tensor.bytes), offset)
  })
  return values
}
