// Gradients of operators that move elements and do not change them.
import type { Builder, Handle } from '../../builder.ts'
import {
  GraphError,
  integer,
  integerOf,
  integers,
  integersOf,
  type Node,
  textOf,
} from '../../graph.ts'
import { type GradientRules, type RuleArguments, unbroadcast } from '../rule.ts'

export const arrangementRules: GradientRules = {
  Transpose: (b, { node, grad }) => {
    const order =
      integersOf(node, 'perm') ?? grad.shape.map((_, axis, all) => all.length - 1 - axis)
    const inverse = order.map((_, axis) => order.indexOf(axis))
    return [b.node('Transpose', [grad], { attributes: { perm: integers(inverse) } })]
  },
  Reshape: backToShape,
  Flatten: backToShape,
  Squeeze: backToShape,
  Unsqueeze: backToShape,
  Expand: (b, { grad, inputs: [x] }) => [x && unbroadcast(b, grad, x.shape), undefined],
  Tile: pickRule,
  Pad: padRule,
  Trilu: (b, { node, grad, inputs: [, diagonal] }) => [
    b.node('Trilu', [grad, diagonal], { attributes: node.attributes }),
    undefined,
  ],
  ReverseSequence: (b, { node, grad, inputs: [, lengths] }) => [
    b.node('ReverseSequence', [grad, lengths], { attributes: node.attributes }),
    undefined,
  ],
  SpaceToDepth: (b, { node, grad, inputs: [x] }) => [
    x && b.node('DepthToSpace', [grad], { attributes: node.attributes, shape: x.shape }),
  ],
  DepthToSpace: depthRule,
  GatherND: pickRule,
  // What was overwritten has no gradient; what was added has all of it.
  ScatterElements: (b, { node, grad, inputs: [, indices, updates], isWanted }) => {
    const { axis = integer(0) } = node.attributes
    const isAdded = textOf(node, 'reduction', 'none') === 'add'
    refuseReduction(node)
    const picked = () => b.node('GatherElements', [grad, indices], { attributes: { axis } })
    const kept = () =>
      b.node('ScatterElements', [grad, indices, zerosLike(b, updates)], { attributes: { axis } })
    const toX = () => (isAdded ? grad : kept())
    return [isWanted(0) ? toX() : undefined, undefined, isWanted(2) ? picked() : undefined]
  },
  ScatterND: (b, { node, grad, inputs: [, indices, updates], isWanted }) => {
    const isAdded = textOf(node, 'reduction', 'none') === 'add'
    refuseReduction(node)
    const picked = () => b.node('GatherND', [grad, indices])
    const kept = () => b.node('ScatterND', [grad, indices, zerosLike(b, updates)])
    const toX = () => (isAdded ? grad : kept())
    return [isWanted(0) ? toX() : undefined, undefined, isWanted(2) ? picked() : undefined]
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

function backToShape(
  b: Builder,
  { grad, inputs: [x] }: RuleArguments,
): readonly (Handle | undefined)[] {
  if (!x) return []
  const symbols = x.shape.filter((extent) => typeof extent === 'string').length
  const target = x.shape.map((extent) => (typeof extent === 'string' ? -1 : extent))
  const shape = symbols > 1 ? b.node('Shape', [x], { dtype: 'int64' }) : b.integers(target)
  return [b.node('Reshape', [grad, shape], { shape: x.shape }), undefined]
}

/** A constant border is cut off again: a border of as much, but negative. Others repeat elements. */
function padRule(b: Builder, args: RuleArguments): readonly (Handle | undefined)[] {
  const {
    node,
    grad,
    inputs: [x, pads, fill],
    isWanted,
  } = args
  const known = pads && b.known(pads)
  if (textOf(node, 'mode', 'constant') !== 'constant' || !known || !x) return pickRule(b, args)
  if (fill && isWanted(2)) {
    throw new GraphError(`node ${node.name}: Pad has no gradient for its fill ${fill.name}`)
  }
  const cut = b.integers(known.map((pad) => -pad))
  return [b.node('Pad', [grad, cut], { shape: x.shape }), undefined]
}

/** Channels in one of two orders (DCR, CRD) became places: back by the same steps. */
function depthRule(
  b: Builder,
  { node, grad, inputs: [x] }: RuleArguments,
): readonly (Handle | undefined)[] {
  if (!x) return []
  const size = integerOf(node, 'blocksize', 1)
  const [height, width] = x.shape.slice(2).map(Number)
  const channels = Number(x.shape[1]) / size ** 2
  const split = [0, channels, height ?? 1, size, width ?? 1, size]
  const parts = b.node('Reshape', [grad, b.integers(split)])
  const isColumns = textOf(node, 'mode', 'DCR') === 'CRD'
  const perm = isColumns ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4]
  const moved = b.node('Transpose', [parts], { attributes: { perm: integers(perm) } })
  const target = x.shape.map((extent, axis) => (axis === 0 ? 0 : Number(extent)))
  return [b.node('Reshape', [moved, b.integers(target)], { shape: x.shape })]
}

function refuseReduction(node: Node): void {
  const reduction = textOf(node, 'reduction', 'none')
  if (reduction === 'none' || reduction === 'add') return
  throw new GraphError(
    `node ${node.name}: ${node.op} with reduction ${reduction} has no gradient rule`,
  )
}

function zerosLike(b: Builder, x: Handle | undefined): Handle | undefined {
  if (!x) return undefined
  const target = b.node('Shape', [x], { dtype: 'int64' })
  return b.node('Expand', [b.constant([0], []), target], { shape: x.shape })
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
