// Gradients of operators that pick elements and of those that place them.
import type { Builder, Handle } from '../../builder.ts'
import { type Attributes, GraphError, integer, integerOf, textOf } from '../../graph.ts'
import { type GradientRules, type RuleArguments, zerosLike } from '../rule.ts'

const add = { type: 'text', value: 'add' } as const

type Made = readonly (Handle | undefined)[]

export const indexingRules: GradientRules = {
  Gather: (b, args) => {
    const { node, grad, inputs } = args
    const [x, indices] = inputs
    if (!x || !indices || integerOf(node, 'axis', 0) !== 0) return pickRule(b, args)
    // Rows of a table (an embedding): each gets the sum of what was read from it.
    const places = b.node('Unsqueeze', [indices, b.integers([-1])])
    const attributes = { reduction: add }
    return [b.node('ScatterND', [zerosLike(b, x), places, grad], { attributes })]
  },
  GatherElements: (b, { node, grad, inputs: [x, indices] }) => {
    const attributes = { ...node.attributes, reduction: add }
    return [x && b.node('ScatterElements', [zerosLike(b, x), indices, grad], { attributes })]
  },
  GatherND: (b, args) => {
    const [x, indices] = args.inputs
    if (!x || integerOf(args.node, 'batch_dims', 0) !== 0) return pickRule(b, args)
    const attributes = { reduction: add }
    return [b.node('ScatterND', [zerosLike(b, x), indices, args.grad], { attributes })]
  },
  ScatterElements: (b, args) => {
    const { axis } = args.node.attributes
    return placeRule(b, args, 'GatherElements', axis ? { axis } : {})
  },
  ScatterND: (b, args) => placeRule(b, args, 'GatherND', {}),
  Slice: sliceRule,
  TopK: (b, { node, grad, inputs: [x], outputs: [, indices] }) => {
    if (!x || !indices) throw new GraphError(`node ${node.name}: TopK needs its output of indices`)
    const attributes = { axis: integer(integerOf(node, 'axis', -1)), reduction: add }
    return [b.node('ScatterElements', [zerosLike(b, x), indices, grad], { attributes })]
  },
}

/** What was replaced gets no gradient; what was placed gets that of its place. */
function placeRule(
  b: Builder,
  { node, grad, inputs: [, indices, updates], isWanted }: RuleArguments,
  pick: string,
  attributes: Attributes,
): Made {
  const reduction = textOf(node, 'reduction', 'none')
  if (!updates || (reduction !== 'none' && reduction !== 'add')) {
    throw new GraphError(`node ${node.name}: ${node.op} by ${reduction} has no gradient`)
  }
  const cleared = () => b.node(node.op, [grad, indices, zerosLike(b, updates)], { attributes })
  const toData = () => (reduction === 'add' ? grad : cleared())
  const toUpdates = () => b.node(pick, [grad, indices], { attributes })
  return [isWanted(0) ? toData() : undefined, undefined, isWanted(2) ? toUpdates() : undefined]
}

/** A stretch of known bounds is padded with zeros; others tell where their elements came from. */
function sliceRule(b: Builder, args: RuleArguments): Made {
  const [x] = args.inputs
  const [starts, ends, axes, steps] = [1, 2, 3, 4].map((i) => b.literals(args.node.inputs[i] ?? ''))
  if (!x || !starts || !ends || steps?.some((step) => step !== 1)) return pickRule(b, args)
  const rank = x.shape.length
  const pads = new Array<number>(2 * rank).fill(0)
  for (const [i, start] of starts.entries()) {
    const axis = ((axes?.[i] ?? i) + rank) % rank
    const extent = x.shape[axis]
    if (typeof extent !== 'number') return pickRule(b, args)
    const clamp = (value: number) =>
      Math.min(Math.max(value < 0 ? value + extent : value, 0), extent)
    const from = clamp(start)
    pads[axis] = from
    pads[axis + rank] = extent - Math.max(from, clamp(ends[i] ?? extent))
  }
  return [b.node('Pad', [args.grad, b.integers(pads)], { shape: x.shape })]
}

/**
 * Operators that copy elements of their first input: the same node, run on the numbers 0, 1, 2, ... in
 * the place of that input, tells where every element came from; the gradients are added up there.
 */
export function pickRule(b: Builder, { node, grad, inputs: [x, ...others] }: RuleArguments): Made {
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
    attributes: { axis: integer(0), reduction: add },
  })
  return [b.node('Reshape', [sums, xShape], { shape: x.shape })]
}
