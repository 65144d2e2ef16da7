// What the parts of a network for inference say: a batch goes from part to part, its answer straight back
// to whoever asked.
import { type Infer, list, optional, replyTo, struct, tensor, text, u32, union } from './schema.ts'
import type { Tensor } from './tensor.ts'

/** Where a float32 tensor lies: in a file that both processes map, on the machine that they share. */
export const Place = struct({ path: text, shape: list(u32) })
export type Place = Infer<typeof Place>

export const PredictMessage = union({
  /** Several where the network is cut through the branches of a module. Places instead, where there are some. */
  predict: {
    values: list(tensor),
    places: optional(list(Place)),
    replyTo: replyTo<readonly Tensor[]>(),
  },
})
export type PredictMessage = Infer<typeof PredictMessage>
