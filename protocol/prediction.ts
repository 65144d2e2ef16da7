// What the parts of a network for inference say: a batch goes from part to part, its answer straight back
// to whoever asked.
import { type Infer, replyTo, tensor, union } from './schema.ts'
import type { Tensor } from './tensor.ts'

export const PredictMessage = union({
  predict: { values: tensor, replyTo: replyTo<Tensor>() },
})
export type PredictMessage = Infer<typeof PredictMessage>
