// What the parts of a network for inference say: a batch goes from part to part, its answer straight back
// to whoever asked.
import { type Infer, list, replyTo, tensor, union } from './schema.ts'
import type { Tensor } from './tensor.ts'

export const PredictMessage = union({
  /** Several where the network is cut through the branches of a module. */
  predict: { values: list(tensor), replyTo: replyTo<readonly Tensor[]>() },
})
export type PredictMessage = Infer<typeof PredictMessage>
