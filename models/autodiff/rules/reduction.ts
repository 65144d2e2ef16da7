// Gradients of reductions, and of what is normalised over an axis by one.
import type { Builder, Handle } from '../../builder.ts'
import { integer, integerOf, type Node } from '../../graph.ts'
import { type GradientRules, times } from '../rule.ts'

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
