// Dropout masks: which features of which image of a minibatch are left out follows from the seed, the step
// and the name of the mask, wherever the minibatch is computed and in however many pieces.
import type { Graph } from '../../models/graph.ts'
import { randomFor } from '../../protocol/random.ts'
import { type Tensor, tensorOf } from '../../protocol/tensor.ts'

const DROPOUT = 'dropout/'

export interface MaskOptions {
  readonly seed: number
  readonly sequence: number
  /** Images of the minibatch. */
  readonly from: number
  readonly to: number
}

/** Of every `dropout/NAME` input: 0, or 1 / kept so that sums keep their mean (inverted dropout). */
export function masksOf({ inputs, metadata }: Graph, options: MaskOptions): Record<string, Tensor> {
  const { seed, sequence, from, to } = options
  return Object.fromEntries(
    inputs.flatMap(({ name, shape }) => {
      if (!name.startsWith(DROPOUT)) return []
      const features = shape.slice(1).reduce<number>((count, extent) => count * Number(extent), 1)
      const dropped = Number(metadata?.[name] ?? 0)
      const random = randomFor(seed, DROPOUT, sequence, name)
      const mask = Float32Array.from({ length: to * features }, () =>
        random.next() < dropped ? 0 : 1 / (1 - dropped),
      )
      const extents = [to - from, ...(shape.slice(1) as readonly number[])]
      return [[name, tensorOf(mask.slice(from * features), extents)] as const]
    }),
  )
}
