// Weights of image networks as safetensors, by the names of torchvision and timm, in and out.
import type { DType, Tensor } from '../protocol/tensor.ts'
import { alignedFloat32, bytesOf, elementCount } from '../protocol/tensor.ts'
import { decodeHalf } from './half.ts'
import type { ImageNetwork, ImageParameter } from './networks/image-network.ts'
import { layoutOf, viewsOf } from './parameters.ts'
import { decodeSafetensors, encodeSafetensors } from './safetensors.ts'

export class CheckpointError extends Error {
  override readonly name = 'CheckpointError'
}

/** PyTorch counts the minibatches that a running statistic has seen; nothing reads it. */
const COUNTER = 'num_batches_tracked'
const NAMED_MAX = 10

/**
 * The flat vector of a checkpoint. Auxiliary heads may be absent, where the network has them, or there where
 * it has none; the counters of batch normalisation likewise. `initial` stands where nothing is loaded.
 * Throws `CheckpointError` naming every tensor that is missing, unknown or of another shape.
 */
export function readCheckpoint(
  network: ImageNetwork,
  file: Uint8Array,
  initial: Float32Array,
): Float32Array {
  const { tensors } = decodeSafetensors(file)
  const layout = layoutOf(network.parameters)
  const values = initial.slice()
  const wrong: string[] = []
  layout.slices.forEach(({ name, shape, offset }, index) => {
    const tensor = tensors.get(name)
    tensors.delete(name)
    if (!tensor) {
      if (!network.parameters[index]?.isAuxiliary) wrong.push(`${name} is missing`)
      return
    }
    const problem = problemOf(tensor, shape)
    if (problem) wrong.push(`${name} is ${problem}`)
    else values.set(floatsOf(tensor), offset)
  })
  for (const name of tensors.keys()) {
    if (!name.endsWith(COUNTER) && !isAuxiliary(name)) wrong.push(`${name} is unknown`)
  }
  if (wrong.length === 0) return values
  const more = wrong.length > NAMED_MAX ? `, and ${wrong.length - NAMED_MAX} more` : ''
  const { network: name, classes } = network.options
  throw new CheckpointError(
    `not a checkpoint of ${name} with ${classes} classes: ` +
      `${wrong.slice(0, NAMED_MAX).join(', ')}${more}`,
  )
}

/** As many classes as the last layer of a checkpoint tells apart; undefined where it has none. */
export function classesOfCheckpoint(network: ImageNetwork, file: Uint8Array): number | undefined {
  const head = network.parameters.findLast(({ shape, isAuxiliary }) => {
    return shape.length === 2 && !isAuxiliary
  })
  return decodeSafetensors(file).tensors.get(head?.name ?? '')?.shape[0]
}

/** Loads strictly in PyTorch: with the counters that it expects. */
export function writeCheckpoint(
  { parameters }: ImageNetwork,
  values: Float32Array,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const tensors = new Map<string, Tensor>(Object.entries(viewsOf(layoutOf(parameters), values)))
  for (const { name } of parameters.filter(isRunningVariance)) {
    const counter = name.replace(/running_var$/, COUNTER)
    tensors.set(counter, { dtype: 'int64', shape: [], bytes: bytesOf(new BigInt64Array(1)) })
  }
  return encodeSafetensors(tensors, { format: 'pt', ...metadata })
}

const isRunningVariance = ({ name, role }: ImageParameter): boolean =>
  role === 'statistics' && name.endsWith('running_var')

const isAuxiliary = (name: string): boolean => /^(aux\d|AuxLogits)\./.test(name)

const readable: readonly DType[] = ['float32', 'float16']

function problemOf({ dtype, shape }: Tensor, wanted: readonly number[]): string | undefined {
  if (!readable.includes(dtype)) return `${dtype}, not float32 or float16`
  if (shape.join() === wanted.join()) return undefined
  return `${shape.join('x') || 'one number'}, not ${wanted.join('x')}`
}

function floatsOf({ dtype, shape, bytes }: Tensor): Float32Array {
  if (dtype === 'float32') return alignedFloat32(bytes)
  const values = new Float32Array(elementCount(shape))
  // A copy: its bytes may lie at an odd place in the file.
  decodeHalf(new Uint16Array(new Uint8Array(bytes).buffer), values)
  return values
}
