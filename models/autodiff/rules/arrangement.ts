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
import {
  type GradientRules,
  type RuleArguments,
  shapedLike,
  unbroadcast,
  zerosLike,
} from '../rule.ts'
import { pickRule } from './indexing.ts'

export const arrangementRules: GradientRules = {
  Transpose: (b, { node, grad }) => {
    const order =
      integersOf(node, 'perm') ?? grad.shape.map((_, axis, all) => all.length - 1 - axis)
    const inverse = order.map((_, axis) => order.indexOf(axis))
    return [b.node('Transpose', [grad], { attributes: { perm: integers(inverse) } })]
  },
  Reshape: likeInput,
  Flatten: likeInput,
  Squeeze: likeInput,
  Unsqueeze: likeInput,
  Expand: (b, { grad, inputs: [x] }) => [x && unbroadcast(b, grad, x.shape), undefined],
  Tile: tileRule,
  Concat: concatRule,
  // A part that the loss does not depend on counts as zeros.
  Split: (b, { node, outputs, grads }) => {
    const parts = outputs.map((part, index) => grads[index] ?? (part && zerosLike(b, part)))
    const attributes = { axis: integer(integerOf(node, 'axis', 0)) }
    return [b.node('Concat', parts, { attributes }), undefined]
  },
  // Constant padding is undone by the opposite pads; the other modes copy elements.
  Pad: (b, args) => {
    const { node, grad, inputs } = args
    const [x, pads] = inputs
    if (!x || !pads) return []
    if (textOf(node, 'mode', 'constant') !== 'constant') return pickRule(b, args)
    return [b.node('Pad', [grad, b.node('Neg', [pads])], { shape: x.shape })]
  },
  DepthToSpace: (b, args) => {
    const { node, grad } = args
    if (textOf(node, 'mode', 'DCR') === 'DCR') return [opposite(b, 'SpaceToDepth', node, grad)]
    const size = integerOf(node, 'blocksize', 1)
    const x = args.inputs[0]
    const [, channels, height, width] = x?.shape ?? []
    if (
      !x ||
      typeof channels !== 'number' ||
      typeof height !== 'number' ||
      typeof width !== 'number'
    ) {
      throw new GraphError(`node ${node.name}: DepthToSpace of open extents has no gradient`)
    }
    const blocks = [-1, channels / size / size, height, size, width, size]
    const cut = b.node('Reshape', [grad, b.integers(blocks)])
    const perm = integers([0, 1, 3, 5, 2, 4])
    return [shapedLike(b, b.node('Transpose', [cut], { attributes: { perm } }), x)]
  },
  SpaceToDepth: (b, { node, grad }) => [opposite(b, 'DepthToSpace', node, grad)],
  Trilu: (b, { node, grad, inputs: [, diagonal] }) => [
    b.node('Trilu', [grad, diagonal], { attributes: node.attributes }),
  ],
  ReverseSequence: (b, { node, grad, inputs: [, lengths] }) => [
    b.node('ReverseSequence', [grad, lengths], { attributes: node.attributes }),
  ],
}

const opposite = (b: Builder, op: string, node: Node, grad: Handle): Handle =>
  b.node(op, [grad], { attributes: { blocksize: integer(integerOf(node, 'blocksize', 1)) } })

function likeInput(b: Builder, { grad, inputs: [x] }: RuleArguments) {
  return [x && shapedLike(b, grad, x), undefined]
}

/** Every axis becomes (repeats, extent), and the repeats are added up. */
function tileRule(b: Builder, args: RuleArguments): readonly (Handle | undefined)[] {
  const [x] = args.inputs
  const repeats = b.literals(args.node.inputs[1] ?? '')
  const symbols = x?.shape.filter((extent) => typeof extent === 'string').length ?? 0
  if (!x || !repeats || symbols > 1) return pickRule(b, args)
  const blocks = x.shape.flatMap((extent, axis) => [
    repeats[axis] ?? 1,
    typeof extent === 'string' ? -1 : extent,
  ])
  const cut = b.node('Reshape', [args.grad, b.integers(blocks)])
  const axes = b.integers(x.shape.map((_, axis) => 2 * axis))
  return [
    b.node('ReduceSum', [cut, axes], { attributes: { keepdims: integer(0) }, shape: x.shape }),
  ]
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
