// Gradients of operators that move elements and do not change them.
import type { Builder, Handle } from '../../builder.ts'
import { integer, integerOf, integers, integersOf } from '../../graph.ts'
import type { GradientRules, RuleArguments } from '../rule.ts'

export const arrangementRules: GradientRules = {
  Transpose: (b, { node, grad }) => {
    const order =
      integersOf(node, 'perm') ?? grad.shape.map((_, axis, all) => all.length - 1 - axis)
    const inverse = order.map((_, axis) => order.indexOf(axis))
    return [b.node('Transpose', [grad], { attributes: { perm: integers(inverse) } })]
  },
  Reshape: (b, { grad, inputs: [x] }) => {
    if (!x) return []
    const symbols = x.shape.filter((extent) => typeof extent === 'string').length
    const target = x.shape.map((extent) => (typeof extent === 'string' ? -1 : extent))
    const shape = symbols > 1 ? b.node('Shape', [x], { dtype: 'int64' }) : b.integers(target)
    return [b.node('Reshape', [grad, shape], { shape: x.shape }), undefined]
  },
  Gather: pickRule,
  GatherElements: pickRule,
  Slice: pickRule,
  Concat: concatRule,
  // Parts that lead nowhere have no gradient: zeros stand in their place.
  Split: (b, { node, grads, outputs }) => {
    const parts = outputs.map((output, index) => {
      if (!output) return undefined
      const { shape } = output
      const zeros = () => [b.constant([0], []), b.node('Shape', [output], { dtype: 'int64' })]
      return grads[index] ?? b.node('Expand', zeros(), { shape })
    })
    return [b.node('Concat', parts, { attributes: { axis: integer(integerOf(node, 'axis', 0)) } })]
  },
}

/**
 * Operators that copy elements of their first input: the same node, run on the numbers 0, 1, 2, ... in
 * the place of that input, tells where every element came from; the gradients are added up there.
 */
function pickRule(
  b: Builder,
  { node, grad, inputs: [x, ...others] }: RuleArguments,
): readonly (Handle | undefined)[] {
  if (!x) return []
  const dtype = 'int64'
  const size = b.node('Size', [x], { dtype })
  const range = [b.integers([0], []), size, b.integers([1], [])]
  const xShape = b.node('Shape', [x], { dtype })
  const numbers = b.node('Reshape', [b.node('Range', range), xShape], { shape: x.shape })
  const { attributes } = node
  const origins = b.node(node.op, [numbers, ...others], { attributes, shape: grad.shape })
  const flat = (value: Handle) => b.node('Reshape', [value, b.integers([-1])])
  const count = b.node('Reshape', [size, b.integers([1])])
  const zeros = b.node('ConstantOfShape', [count], { dtype: 'float32', shape: ['elements'] })
  const sums = b.node('ScatterElements', [zeros, flat(origins), flat(grad)], {
    attributes: { axis: integer(0), reduction: { type: 'text', value: 'add' } },
  })
  return [b.node('Reshape', [sums, xShape], { shape: x.shape })]
}

/** Each input gets its stretch of the gradient, which begins where the input before it ends. */
function concatRule(
  b: Builder,
  { node, grad, inputs, isWanted }: RuleArguments,
): readonly (Handle | undefined)[] {
  const rank = grad.shape.length
  const axis = (integerOf(node, 'axis', 0) + rank) % rank
  let start = b.integers([0])
  return inputs.map((x, index) => {
    if (!x) return undefined
    const attributes = { start: integer(axis), end: integer(axis + 1) }
    const end = b.node('Add', [start, b.node('Shape', [x], { attributes, dtype: 'int64' })])
    const part = () => b.node('Slice', [grad, start, end, b.integers([axis])], { shape: x.shape })
    const made = isWanted(index) ? part() : undefined
    start = end
    return made
  })
}
