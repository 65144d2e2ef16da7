// Gradients of reductions, and of what is normalised over an axis by one.
import type { Builder, Handle } from '../../builder.ts'
import { integer, integerOf, type Node } from '../../graph.ts'
import { castTo, type GradientRules, type RuleArguments, times } from '../rule.ts'

export const reductionRules: GradientRules = {
  ReduceSum: (b, { node, grad, inputs: [x] }) => [x && spread(b, node, grad, x), undefined],
  ReduceMean: (b, { node, grad, inputs: [x], output }) => {
    if (!x) return []
    const whole = spread(b, node, grad, x)
    const count = (value: Handle) => {
      const size = b.node('Size', [value], { dtype: 'int64' })
      return b.node('Cast', [size], { attributes: { to: integer(1) }, dtype: 'float32' })
    }
    return [times(b, whole, b.node('Div', [count(output), count(x)]))]
  },
  ReduceMax: extremeRule,
  ReduceMin: extremeRule,
  // Where no factor is 0.
  ReduceProd: (b, { node, grad, inputs: [x], output }) => [
    x && b.node('Div', [spread(b, node, times(b, grad, output), x), x]),
  ],
  ReduceL1: (b, { node, grad, inputs: [x] }) => [
    x && times(b, spread(b, node, grad, x), b.node('Sign', [x])),
  ],
  ReduceL2: (b, { node, grad, inputs: [x], output }) => [
    x && times(b, x, spread(b, node, b.node('Div', [grad, output]), x)),
  ],
  ReduceSumSquare: (b, { node, grad, inputs: [x] }) => [
    x && times(b, times(b, x, b.constant([2], [])), spread(b, node, grad, x)),
  ],
  // log of the sum: its exponential is the sum again.
  ReduceLogSum: (b, { node, grad, inputs: [x], output }) => [
    x && spread(b, node, b.node('Div', [grad, b.node('Exp', [output])]), x),
  ],
  ReduceLogSumExp: (b, { node, grad, inputs: [x], output }) => {
    if (!x) return []
    const share = b.node('Exp', [b.node('Sub', [x, spread(b, node, output, x)])])
    return [times(b, share, spread(b, node, grad, x))]
  },
  // Each element is in all sums after its own: the sums of the gradient run the other way.
  CumSum: (b, { node, grad, inputs: [, axis] }) => {
    const isReverse = integerOf(node, 'reverse', 0) === 1
    const attributes = { ...node.attributes, reverse: integer(isReverse ? 0 : 1) }
    return [b.node('CumSum', [grad, axis], { attributes }), undefined]
  },
  // x - logsumexp(x): the gradient is g - softmax(x) * sum(g).
  LogSoftmax: (b, { node, grad, output }) => {
    const axis = integerOf(node, 'axis', -1)
    const sum = b.node('ReduceSum', [grad, b.integers([axis])], {
      attributes: { keepdims: integer(1) },
    })
    return [b.node('Sub', [grad, times(b, b.node('Exp', [output]), sum)])]
  },
  Softmax: (b, { node, grad, output }) => {
    const axis = integerOf(node, 'axis', -1)
    const sum = b.node('ReduceSum', [times(b, grad, output), b.integers([axis])], {
      attributes: { keepdims: integer(1) },
    })
    return [times(b, output, b.node('Sub', [grad, sum]))]
  },
}

/** Equal extremes share the gradient, as in PyTorch's amax. */
function extremeRule(
  b: Builder,
  { node, grad, inputs: [x], output }: RuleArguments,
): readonly (Handle | undefined)[] {
  if (!x) return []
  const isExtreme = b.node('Equal', [x, spread(b, node, output, x)], { dtype: 'bool' })
  const mask = castTo(b, isExtreme, 'float32')
  const attributes = { ...node.attributes }
  const { axes: given, ...rest } = attributes
  const over = given?.type === 'integers' ? given.value : x.shape.map((_, axis) => axis)
  const ties = b.node('ReduceSum', [mask, b.integers(over)], { attributes: rest })
  return [times(b, mask, spread(b, node, b.node('Div', [grad, ties]), x))]
}

/** The gradient of a reduction, back over the axes it reduced. */
function spread(b: Builder, node: Node, grad: Handle, x: Handle): Handle {
  const keeps = integerOf(node, 'keepdims', 1) === 1
  const target = b.node('Shape', [x], { dtype: 'int64' })
  const { shape } = x
  if (keeps || grad.shape.length === 0) return b.node('Expand', [grad, target], { shape })
  const axes = b.axesOf(node, shape.length)
  const unsqueezed = b.node('Unsqueeze', [grad, b.integers(axes)])
  return b.node('Expand', [unsqueezed, target], { shape })
}
