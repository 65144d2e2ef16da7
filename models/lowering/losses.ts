// Losses over classes, as ONNX defines them: log-softmax, then the (weighted) mean of what is picked.
import type { Builder, Handle } from '../builder.ts'
import { integer, integerOf, type Node, textOf } from '../graph.ts'

type Inputs = readonly (Handle | undefined)[]

export const lossLowerings = {
  SoftmaxCrossEntropyLoss: (b: Builder, node: Node, inputs: Inputs) => {
    const [scores, labels, weights] = inputs
    const chances = b.node('LogSoftmax', [scores], { attributes: { axis: integer(1) } })
    return [pickedLoss(b, node, { chances, labels, weights }), chances]
  },
  NegativeLogLikelihoodLoss: (b: Builder, node: Node, [chances, labels, weights]: Inputs) => [
    chances && pickedLoss(b, node, { chances, labels, weights }),
  ],
}

interface Picked {
  /** Logarithms: batch x classes x ... */
  readonly chances: Handle
  /** batch x ... */
  readonly labels: Handle | undefined
  readonly weights: Handle | undefined
}

function pickedLoss(b: Builder, node: Node, { chances, labels, weights }: Picked): Handle {
  const ignored = b.integers([integerOf(node, 'ignore_index', -1)], [])
  const label = b.node('Cast', [labels], { attributes: { to: integer(7) } })
  const isIgnored = b.node('Equal', [label, ignored])
  const safe = b.node('Where', [isIgnored, b.integers([0], []), label])
  const places = b.node('Unsqueeze', [safe, b.integers([1])])
  const along = { attributes: { axis: integer(1) } }
  const found = b.node('GatherElements', [chances, places], along)
  const picked = b.node('Squeeze', [found, b.integers([1])])
  const one = b.constant([1], [])
  const weight = weights ? b.node('Gather', [weights, safe]) : one
  const counted = b.node('Where', [isIgnored, b.constant([0], []), weight])
  const losses = b.node('Neg', [b.node('Mul', [picked, counted])])
  const reduction = textOf(node, 'reduction', 'mean')
  if (reduction === 'none') return losses
  const sum = (x: Handle) => b.node('ReduceSum', [x], { attributes: { keepdims: integer(0) } })
  return reduction === 'sum' ? sum(losses) : b.node('Div', [sum(losses), sum(counted)])
}
