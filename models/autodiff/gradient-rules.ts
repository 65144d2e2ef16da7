// One rule per operator: from the gradient of its output to the gradients of its inputs, as further
// nodes of the same graph. Pure: a rule only calls the builder. `undefined`: no gradient flows there.
import type { Builder, Handle } from '../builder.ts'
import {
  type Extent,
  float,
  floatOf,
  integer,
  integerOf,
  integers,
  integersOf,
  type Node,
} from '../graph.ts'

export interface RuleArguments {
  readonly node: Node
  /** undefined = an optional input left out. */
  readonly inputs: readonly (Handle | undefined)[]
  readonly output: Handle
  readonly grad: Handle
  /** Whether input i leads to a wanted parameter: the others need no gradient. */
  readonly isWanted: (input: number) => boolean
}

export type GradientRule = (b: Builder, args: RuleArguments) => readonly (Handle | undefined)[]

/** Sums a gradient over the axes along which its value was broadcast. */
export function unbroadcast(b: Builder, grad: Handle, shape: readonly Extent[]): Handle {
  const lead = grad.shape.length - shape.length
  const axes = grad.shape
    .map((extent, axis) => ({ extent, axis, own: axis < lead ? 1 : shape[axis - lead] }))
    .filter(({ extent, axis, own }) => axis < lead || (own === 1 && extent !== 1))
    .map(({ axis }) => axis)
  if (axes.length === 0) return grad
  const sum = (x: Handle, over: readonly number[], keepdims: number): Handle =>
    b.node('ReduceSum', [x, b.integers(over)], { attributes: { keepdims: integer(keepdims) } })
  const inner = axes.filter((axis) => axis >= lead)
  const outer = axes.filter((axis) => axis < lead)
  const kept = inner.length > 0 ? sum(grad, inner, 1) : grad
  return outer.length > 0 ? sum(kept, outer, 0) : kept
}

const times = (b: Builder, x: Handle, y: Handle): Handle => b.node('Mul', [x, y])
const transposed = (b: Builder, x: Handle): Handle => {
  const { length } = x.shape
  const order = x.shape.map((_, axis) => axis)
  order.splice(length - 2, 2, length - 1, length - 2)
  return b.node('Transpose', [x], { attributes: { perm: integers(order) } })
}

export const gradientRules: Readonly<Record<string, GradientRule>> = {
  Identity: (_b, { grad }) => [grad],
  Add: (b, { grad, inputs: [x, y] }) => [
    x && unbroadcast(b, grad, x.shape),
    y && unbroadcast(b, grad, y.shape),
  ],
  Sub: (b, { grad, inputs: [x, y] }) => [
    x && unbroadcast(b, grad, x.shape),
    y && unbroadcast(b, b.node('Neg', [grad]), y.shape),
  ],
  Mul: (b, { grad, inputs: [x, y], isWanted }) => [
    x && y && isWanted(0) ? unbroadcast(b, times(b, grad, y), x.shape) : undefined,
    x && y && isWanted(1) ? unbroadcast(b, times(b, grad, x), y.shape) : undefined,
  ],
  Div: (b, { grad, inputs: [x, y], output, isWanted }) => {
    if (!x || !y) return []
    const over = b.node('Div', [grad, y])
    const toY = () => unbroadcast(b, b.node('Neg', [times(b, over, output)]), y.shape)
    const toX = () => unbroadcast(b, over, x.shape)
    return [isWanted(0) ? toX() : undefined, isWanted(1) ? toY() : undefined]
  },
  Neg: (b, { grad }) => [b.node('Neg', [grad])],
  // ORT runs Greater + Where slower than Sign: relu's output is 0 or above, so its sign is the mask.
  Relu: (b, { grad, output }) => [times(b, grad, b.node('Sign', [output]))],
  Sigmoid: (b, { grad, output }) => {
    const complement = b.node('Sub', [b.constant([1], []), output])
    return [times(b, grad, times(b, output, complement))]
  },
  Tanh: (b, { grad, output }) => {
    const square = times(b, output, output)
    return [times(b, grad, b.node('Sub', [b.constant([1], []), square]))]
  },
  Exp: (b, { grad, output }) => [times(b, grad, output)],
  Log: (b, { grad, inputs: [x] }) => [b.node('Div', [grad, x])],
  Sqrt: (b, { grad, output }) => [b.node('Div', [times(b, grad, b.constant([0.5], [])), output])],
  Abs: (b, { grad, inputs: [x] }) => [x && times(b, grad, b.node('Sign', [x]))],
  // d x^p / dx = p x^(p-1); d x^p / dp = x^p log x, which is no number where x < 0.
  Pow: (b, { grad, inputs: [x, p], output, isWanted }) => {
    if (!x || !p) return []
    const power = () => b.node('Pow', [x, b.node('Sub', [p, b.constant([1], [])])])
    const toX = () => unbroadcast(b, times(b, grad, times(b, p, power())), x.shape)
    const toP = () => unbroadcast(b, times(b, grad, times(b, output, b.node('Log', [x]))), p.shape)
    return [isWanted(0) ? toX() : undefined, isWanted(1) ? toP() : undefined]
  },
  Clip: (b, { grad, inputs: [x], output }) => {
    if (!x) return []
    const inside = b.node('Cast', [b.node('Equal', [x, output], { dtype: 'bool' })], {
      attributes: { to: integer(1) },
      dtype: 'float32',
    })
    return [times(b, grad, inside), undefined, undefined]
  },
  MatMul: (b, { grad, inputs: [x, w], isWanted }) => {
    if (!x || !w) return []
    const toX = () => unbroadcast(b, b.node('MatMul', [grad, transposed(b, w)]), x.shape)
    const toW = () => unbroadcast(b, b.node('MatMul', [transposed(b, x), grad]), w.shape)
    return [isWanted(0) ? toX() : undefined, isWanted(1) ? toW() : undefined]
  },
  Gemm: gemmRule,
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
  Gather: pickRule,
  GatherElements: pickRule,
  Slice: pickRule,
  Concat: concatRule,
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

/** Y = alpha A' B' + beta C: transposes stay inside Gemm, so no Transpose node is ever run. */
function gemmRule(
  b: Builder,
  { node, grad, inputs: [a, w, c], isWanted }: RuleArguments,
): readonly (Handle | undefined)[] {
  if (!a || !w) return []
  const [transA, transB] = [integerOf(node, 'transA', 0), integerOf(node, 'transB', 0)]
  const alpha = float(floatOf(node, 'alpha', 1))
  const gemm = (x: Handle, y: Handle, tx: number, ty: number): Handle =>
    b.node('Gemm', [x, y], { attributes: { alpha, transA: integer(tx), transB: integer(ty) } })
  const toA = () => (transA ? gemm(w, grad, transB, 1) : gemm(grad, w, 0, transB ? 0 : 1))
  const toB = () => (transB ? gemm(grad, a, 1, transA) : gemm(a, grad, transA ? 0 : 1, 0))
  const toC = (bias: Handle) => {
    const beta = floatOf(node, 'beta', 1)
    const summed = unbroadcast(b, grad, bias.shape)
    return beta === 1 ? summed : times(b, summed, b.constant([beta], []))
  }
  return [
    isWanted(0) ? toA() : undefined,
    isWanted(1) ? toB() : undefined,
    c && isWanted(2) ? toC(c) : undefined,
  ]
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
