// Shape inference for the operators that the gradient rules emit or differentiate: enough to know which
// axes were broadcast. Symbolic extents (strings) stay symbolic.
import type { DType } from '../../protocol/tensor.ts'
import { type Extent, GraphError, integerOf, integersOf, type Node, type Value } from '../graph.ts'
import type { Literals, OutputsRule, Shape, ShapeRule } from './rule.ts'
import { windowOutputsRules, windowRules } from './windows.ts'

/** One shape per output of the node, left-out outputs included. */
export function inferShapes(
  node: Node,
  inputs: readonly (Value | undefined)[],
  literals: Literals,
): readonly Shape[] {
  const shapes = inputs.map((value) => value?.shape ?? [])
  if (Object.hasOwn(outputsRules, node.op)) {
    return outputsRules[node.op]?.(node, shapes, literals) ?? []
  }
  const rule = Object.hasOwn(rules, node.op) ? rules[node.op] : undefined
  if (!rule) throw new GraphError(`${node.name}: no shape rule for operator ${node.op}`)
  return [rule(node, shapes, literals)]
}

/** ONNX numbers of the dtypes that Cast goes to. */
const castTypes: Readonly<Record<number, DType>> = {
  1: 'float32',
  6: 'int32',
  7: 'int64',
  9: 'bool',
  11: 'float64',
}

/** One dtype per output; where there are fewer than outputs, the first is that of the rest. */
export function inferDTypes(node: Node, inputs: readonly (Value | undefined)[]): readonly DType[] {
  const first = inferDType(node, inputs)
  return node.op === 'MaxPool' ? [first, 'int64'] : [first]
}

function inferDType(node: Node, inputs: readonly (Value | undefined)[]): DType {
  const first = inputs.find((value) => value !== undefined)?.dtype ?? 'float32'
  switch (node.op) {
    case 'Equal':
    case 'Greater':
    case 'Less':
    case 'Not':
      return 'bool'
    case 'ArgMax':
    case 'Shape':
    case 'Size':
      return 'int64'
    case 'Cast':
      return castTypes[integerOf(node, 'to', 1)] ?? first
    case 'OneHot':
      return inputs[2]?.dtype ?? 'float32'
    case 'Where':
      return inputs[1]?.dtype ?? 'float32'
    case 'ConstantOfShape': {
      const { value } = node.attributes
      return value?.type === 'tensor' ? value.value.dtype : 'float32'
    }
    default:
      return first
  }
}

const same: ShapeRule = (_node, [x = []]) => x
const broadcast: ShapeRule = (node, inputs) =>
  inputs.reduce((a, b) => broadcastShapes(a, b, node.name))

const reduce: ShapeRule = (node, [x = []], literals) => {
  const axes = axesOf(node, x.length, literals)
  const keeps = integerOf(node, 'keepdims', 1) === 1
  return keeps
    ? x.map((extent, axis) => (axes.includes(axis) ? 1 : extent))
    : x.filter((_, axis) => !axes.includes(axis))
}

/** Operators of several outputs. */
const outputsRules: Readonly<Record<string, OutputsRule>> = {
  ...windowOutputsRules,
  Split: (node, [x = []], literals) => {
    const axis = (integerOf(node, 'axis', 0) + x.length) % x.length
    return splitLengths(node, x[axis], literals).map((length) => x.with(axis, length))
  },
}

const rules: Readonly<Record<string, ShapeRule>> = {
  ...windowRules,
  Abs: same,
  Cast: same,
  Clip: same,
  Exp: same,
  Identity: same,
  Log: same,
  LogSoftmax: same,
  Neg: same,
  Relu: same,
  Sigmoid: same,
  Sign: same,
  Softmax: same,
  Sqrt: same,
  Tanh: same,
  Not: same,
  Add: broadcast,
  Sub: broadcast,
  Mul: broadcast,
  Div: broadcast,
  Pow: broadcast,
  Equal: broadcast,
  Greater: broadcast,
  Less: broadcast,
  Where: broadcast,
  Max: broadcast,
  Min: broadcast,
  ReduceSum: reduce,
  ReduceMean: reduce,
  ReduceMax: reduce,
  ArgMax: (node, [x = []]) => {
    const axis = integerOf(node, 'axis', 0)
    const keeps = integerOf(node, 'keepdims', 1) === 1
    const isReduced = (index: number) => index === (axis + x.length) % x.length
    return x.flatMap((extent, index) => (isReduced(index) ? (keeps ? [1] : []) : [extent]))
  },
  MatMul: (node, [a = [], b = []]) => {
    if (a.length < 2 || b.length < 2) {
      throw new GraphError(`${node.name}: MatMul of a vector; make it a matrix first`)
    }
    const batch = broadcastShapes(a.slice(0, -2), b.slice(0, -2), node.name)
    return [...batch, a.at(-2) ?? 1, b.at(-1) ?? 1]
  },
  Gemm: (node, [a = [], b = []]) => [
    (integerOf(node, 'transA', 0) ? a[1] : a[0]) ?? 1,
    (integerOf(node, 'transB', 0) ? b[0] : b[1]) ?? 1,
  ],
  Transpose: (node, [x = []]) => {
    const order = integersOf(node, 'perm') ?? x.map((_, axis) => x.length - 1 - axis)
    return order.map((axis) => x[axis] ?? 1)
  },
  Reshape: (node, [x = []], literals) => {
    const target = literals(node.inputs[1] ?? '')
    if (!target) throw new GraphError(`${node.name}: the target of Reshape is not a constant`)
    return reshaped(x, target)
  },
  Size: () => [],
  Unsqueeze: (node, [x = []], literals) => {
    const axes = literals(node.inputs[1] ?? '') ?? []
    const rank = x.length + axes.length
    const added = axes.map((axis) => (axis + rank) % rank)
    const rest = [...x]
    return Array.from({ length: rank }, (_, axis) =>
      added.includes(axis) ? 1 : (rest.shift() ?? 1),
    )
  },
  Shape: (node, [x = []]) => {
    const end = integerOf(node, 'end', x.length)
    return [x.slice(integerOf(node, 'start', 0), end).length]
  },
  Range: (node) => [`${node.name}/count`],
  Slice: sliced,
  Pad: padded,
  Expand: (node, [x = []], literals) => {
    const target = literals(node.inputs[1] ?? '')
    if (!target) throw new GraphError(`${node.name}: the target of Expand is not a constant`)
    return broadcastShapes(x, target, node.name)
  },
  OneHot: (node, [indices = []], literals) => {
    const [depth] = literals(node.inputs[1] ?? '') ?? ['depth']
    return [...indices, depth ?? 'depth']
  },
  Gather: (node, [x = [], indices = []]) => {
    const axis = (integerOf(node, 'axis', 0) + x.length) % x.length
    return [...x.slice(0, axis), ...indices, ...x.slice(axis + 1)]
  },
  GatherElements: (_node, [, indices = []]) => indices,
  ScatterElements: same,
  ConstantOfShape: (node, _inputs, literals) => {
    const target = literals(node.inputs[0] ?? '')
    if (!target) throw new GraphError(`${node.name}: the shape is not a constant`)
    return target
  },
  Concat: (node, inputs) => {
    const [x = []] = inputs
    const axis = (integerOf(node, 'axis', 0) + x.length) % x.length
    const extents = inputs.map((shape) => shape[axis])
    const isKnown = extents.every((extent) => typeof extent === 'number')
    const total = isKnown ? (extents as number[]).reduce((a, b) => a + b, 0) : `${node.name}/sum`
    return x.map((extent, index) => (index === axis ? total : extent))
  },
}

export function broadcastShapes(a: Shape, b: Shape, at: string): Shape {
  const rank = Math.max(a.length, b.length)
  return Array.from({ length: rank }, (_, index) => {
    const x = a[index - rank + a.length] ?? 1
    const y = b[index - rank + b.length] ?? 1
    if (x === y || y === 1) return x
    if (x === 1) return y
    // A symbol may turn out equal at run time; two different numbers may not.
    if (typeof x === 'string' || typeof y === 'string') return typeof x === 'string' ? y : x
    throw new GraphError(`${at}: shapes ${a.join('x')} and ${b.join('x')} do not go together`)
  })
}

export function axesOf(node: Node, rank: number, literals: Literals): number[] {
  const input = node.inputs[1]
  const given = input ? literals(input) : (integersOf(node, 'axes') ?? [])
  if (!given) throw new GraphError(`${node.name}: its axes are not a constant`)
  const isAll = given.length === 0 && integerOf(node, 'noop_with_empty_axes', 0) === 0
  const axes = isAll ? Array.from({ length: rank }, (_, axis) => axis) : given
  return axes.map((axis) => (axis + rank) % rank)
}

/** How long each output of Split is: as given, or equally long. */
function splitLengths(
  node: Node,
  extent: Extent | undefined,
  literals: Literals,
): readonly Extent[] {
  const given = literals(node.inputs[1] ?? '')
  if (given) return given
  const { length } = node.outputs
  const isKnown = typeof extent === 'number' && !node.inputs[1]
  if (!isKnown) throw new GraphError(`${node.name}: the lengths of Split are not known`)
  const part = Math.ceil(extent / length)
  return node.outputs.map((_, index) => Math.min(part, extent - index * part))
}

function padded(node: Node, [x = []]: readonly Shape[], literals: Literals): Shape {
  const pads = literals(node.inputs[1] ?? '')
  if (!pads || node.inputs[3]) throw new GraphError(`${node.name}: its pads are not constants`)
  return x.map((extent, axis) => {
    const added = (pads[axis] ?? 0) + (pads[axis + x.length] ?? 0)
    if (typeof extent === 'number') return extent + added
    return added === 0 ? extent : `${node.name}/${axis}`
  })
}

function sliced(node: Node, [x = []]: readonly Shape[], literals: Literals): Shape {
  const [starts, ends, axes, steps] = [1, 2, 3, 4].map((i) => literals(node.inputs[i] ?? ''))
  const order = node.inputs[3] ? axes : x.map((_, axis) => axis)
  const strides = node.inputs[4] ? steps : order?.map(() => 1)
  if (!order || !strides) throw new GraphError(`${node.name}: its axes or steps are not constants`)
  const shape = [...x]
  strides.forEach((step, i) => {
    const axis = ((order[i] ?? 0) + x.length) % x.length
    const extent = x[axis]
    const [start, end] = [starts?.[i], ends?.[i]]
    const isKnown = typeof extent === 'number' && start !== undefined && end !== undefined
    shape[axis] = isKnown ? slicedExtent(extent, { start, end, step }) : `${node.name}/${axis}`
  })
  return shape
}

function slicedExtent(
  extent: number,
  { start, end, step }: { start: number; end: number; step: number },
): number {
  const clamp = (value: number) => {
    const from = value < 0 ? value + extent : value
    return step > 0 ? Math.min(Math.max(from, 0), extent) : Math.min(Math.max(from, -1), extent - 1)
  }
  return Math.max(0, Math.ceil((clamp(end) - clamp(start)) / step))
}

function reshaped(x: Shape, target: readonly number[]): Shape {
  const resolved = target.map((extent, axis) => (extent === 0 ? (x[axis] ?? 1) : extent))
  const free = resolved.indexOf(-1)
  if (free < 0) return resolved
  const symbols = x.filter((extent) => typeof extent === 'string')
  const rest = resolved.filter((_, axis) => axis !== free)
  const kept = symbols.filter((symbol) => !rest.includes(symbol))
  const product = (shape: Shape) =>
    shape.reduce<number>((all, extent) => all * (typeof extent === 'number' ? extent : 1), 1)
  if (kept.length > 1) return resolved.map((extent, axis) => (axis === free ? 'reshaped' : extent))
  const count = product(x) / product(rest)
  const extent = kept[0] === undefined ? count : count === 1 ? kept[0] : `${kept[0]}*${count}`
  return resolved.map((known, axis) => (axis === free ? extent : known))
}
