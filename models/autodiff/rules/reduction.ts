// Gradients of reductions, and of what is normalised over an axis by one.
import type { Builder, Handle } from '../../builder.ts'
import { integer, integerOf, integers, type Node } from '../../graph.ts'
import { type GradientRules, maskOf, number, type RuleArguments, times } from '../rule.ts'

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
  ReduceMax: extreme,
  ReduceMin: extreme,
  // The product of the others, also where one of them or this one is 0.
  ReduceProd: (b, { node, grad, inputs: [x] }) => {
    if (!x) return []
    const zeros = maskOf(b, 'Equal', x, number(b, 0))
    const safe = b.node('Add', [x, zeros])
    const axes = b.axesOf(node, x.shape.length)
    const product = b.node('ReduceProd', [safe], { attributes: { axes: integers(axes) } })
    const otherZeros = b.node('Sub', [summed(b, node, zeros), zeros])
    const isWhole = maskOf(b, 'Equal', otherZeros, number(b, 0))
    const others = times(b, b.node('Div', [product, safe]), isWhole)
    return [times(b, kept(b, node, grad, x), others)]
  },
  ReduceL1: (b, { node, grad, inputs: [x] }) => [
    x && times(b, kept(b, node, grad, x), b.node('Sign', [x])),
  ],
  ReduceL2: (b, { node, grad, inputs: [x], output }) => {
    // Where the length is 0, so is x: its gradient is 0 and not 0 / 0.
    const length = b.node('Add', [output, maskOf(b, 'Equal', output, number(b, 0))])
    return [x && times(b, x, kept(b, node, b.node('Div', [grad, length]), x))]
  },
  ReduceLogSum: (b, { node, grad, inputs: [x], output }) => [
    x && spread(b, node, b.node('Div', [grad, b.node('Exp', [output])]), x),
  ],
  ReduceLogSumExp: (b, { node, grad, inputs: [x], output }) => {
    if (!x) return []
    const share = b.node('Exp', [b.node('Sub', [x, kept(b, node, output, x)])])
    return [times(b, kept(b, node, grad, x), share)]
  },
  ReduceSumSquare: (b, { node, grad, inputs: [x] }) => [
    x && times(b, kept(b, node, grad, x), times(b, x, number(b, 2))),
  ],
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

/** Elements that are equally large (or small) share the gradient. */
function extreme(b: Builder, { node, grad, inputs: [x], output }: RuleArguments) {
  if (!x) return []
  const mask = maskOf(b, 'Equal', x, kept(b, node, output, x))
  const share = b.node('Div', [kept(b, node, grad, x), summed(b, node, mask)])
  return [times(b, share, mask)]
}

const summed = (b: Builder, node: Node, value: Handle): Handle =>
  b.node('ReduceSum', [value, b.integers(b.axesOf(node, value.shape.length))])

/** What a reduction made, with the axes that it reduced as axes of 1. */
function kept(b: Builder, node: Node, value: Handle, x: Handle): Handle {
  const axes = b.axesOf(node, x.shape.length)
  if (integerOf(node, 'keepdims', 1) === 1 || axes.length === 0) return value
  return b.node('Unsqueeze', [value, b.integers(axes)])
}

/** The gradient of a reduction, back over the axes it reduced. */
function spread(b: Builder, node: Node, grad: Handle, x: Handle): Handle {
  const target = b.node('Shape', [x], { dtype: 'int64' })
  return b.node('Expand', [kept(b, node, grad, x), target], { shape: x.shape })
}
