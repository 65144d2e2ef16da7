// Gradients of the losses that ONNX has as operators. Scores: N x classes x places, labels: N x places.
import type { Builder, Handle } from '../../builder.ts'
import { integer, integerOf, type Node, textOf } from '../../graph.ts'
import { castTo, type GradientRules, type RuleArguments, times } from '../rule.ts'

export const lossRules: GradientRules = {
  // softmax - 1 at the label, times what the label counts.
  SoftmaxCrossEntropyLoss(b, args) {
    const {
      inputs: [scores],
    } = args
    if (!scores) return []
    const { picked, weights, factor } = partsOf(b, args, scores)
    const chances = b.node('Softmax', [scores], { attributes: { axis: integer(1) } })
    return [times(b, b.node('Sub', [times(b, chances, weights), picked]), factor)]
  },
  NegativeLogLikelihoodLoss(b, args) {
    const {
      inputs: [scores],
    } = args
    if (!scores) return []
    const { picked, factor } = partsOf(b, args, scores)
    return [b.node('Neg', [times(b, picked, factor)])]
  },
}

/** `picked`: the weight of the label, at the label. `weights`: the same, for every class of its place. */
function partsOf(
  b: Builder,
  { node, grad, inputs: [, labels, given] }: RuleArguments,
  scores: Handle,
): { readonly picked: Handle; readonly weights: Handle; readonly factor: Handle } {
  const classes = Number(scores.shape[1])
  const attributes = { axis: integer(1) }
  const ends = b.constant([0, 1], [2])
  // An ignored label may be no class: then it picks nothing.
  const oneHot = b.node('OneHot', [clamped(b, node, labels), b.integers([classes]), ends], {
    attributes,
    dtype: 'float32',
    shape: scores.shape,
  })
  const shape = scores.shape.map((_, axis) => (axis === 1 ? classes : 1))
  const weighed = given ? times(b, oneHot, b.node('Reshape', [given, b.integers(shape)])) : oneHot
  const counted = countedMask(b, node, labels, scores)
  const picked = counted ? times(b, weighed, counted) : weighed
  const keeps = { attributes: { keepdims: integer(1) } }
  const weights = b.node('ReduceSum', [picked, b.integers([1])], keeps)
  return { picked, weights, factor: factorOf(b, { node, grad, weights }) }
}

function factorOf(
  b: Builder,
  { node, grad, weights }: { readonly node: Node; readonly grad: Handle; readonly weights: Handle },
): Handle {
  switch (textOf(node, 'reduction', 'mean')) {
    case 'none':
      return b.node('Unsqueeze', [grad, b.integers([1])])
    case 'sum':
      return grad
    default: {
      const total = b.node('ReduceSum', [weights], { attributes: { keepdims: integer(0) } })
      return b.node('Div', [grad, total])
    }
  }
}

const isIgnoring = (node: Node): boolean => node.attributes.ignore_index !== undefined

function clamped(b: Builder, node: Node, labels: Handle | undefined): Handle | undefined {
  if (!labels || !isIgnoring(node)) return labels
  const mask = notIgnored(b, node, labels)
  return b.node('Mul', [labels, castTo(b, mask, 'int64')])
}

function countedMask(
  b: Builder,
  node: Node,
  labels: Handle | undefined,
  scores: Handle,
): Handle | undefined {
  if (!labels || !isIgnoring(node)) return undefined
  const mask = castTo(b, notIgnored(b, node, labels), 'float32')
  const shape = scores.shape.map((extent, axis) => (axis === 1 ? 1 : extent))
  return b.node('Unsqueeze', [mask, b.integers([1])], { shape })
}

function notIgnored(b: Builder, node: Node, labels: Handle): Handle {
  const ignored = b.integers([integerOf(node, 'ignore_index', -1)], [])
  return b.node('Not', [b.node('Equal', [labels, ignored], { dtype: 'bool' })], { dtype: 'bool' })
}
