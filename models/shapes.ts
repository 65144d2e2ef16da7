// Shape inference for the operators that the gradient rules emit or differentiate: enough to know which
// axes were broadcast. Symbolic extents (strings) stay symbolic.
import { type Extent, GraphError, integerOf, integersOf, type Node, type Value } from './graph.ts'

type Shape = readonly Extent[]
type Literals = (name: string) => number[] | undefined
type Rule = (node: Node, inputs: readonly Shape[], literals: Literals) => Shape

export function inferShape(
  node: Node,
  inputs: readonly (Value | undefined)[],
  literals: Literals,
): Shape {
  const rule = rules[node.op]
  if (!rule) throw new GraphError(`${node.name}: no shape rule for operator ${node.op}`)
  return rule(
    node,
    inputs.map((value) => value?.shape ?? []),
    literals,
  )
}

const same: Rule = (_node, [x = []]) => x
const broadcast: Rule = (node, inputs) => inputs.reduce((a, b) => broadcastShapes(a, b, node.name))

const reduce: Rule = (node, [x = []], literals) => {
  const axes = axesOf(node, x.length, literals)
  const keeps = integerOf(node, 'keepdims', 1) === 1
  return keeps
    ? x.map((extent, axis) => (axes.includes(axis) ? 1 : extent))
    : x.filter((_, axis) => !axes.includes(axis))
}

const rules: Readonly<Record<string, Rule>> = {
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
    return x.filter((_, index) => index !== (axis + x.length) % x.length)
  },
  MatMul: (node, [a = [], b = []]) => {
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
  Shape: (_node, [x = []]) => [x.length],
  Expand: (node, [x = []], literals) => {
    const target = literals(node.inputs[1] ?? '')
    return target ? broadcastShapes(x, target, node.name) : x
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
  ConstantOfShape: (node, _inputs, literals) => literals(node.inputs[0] ?? '') ?? [],
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
  const given = literals(node.inputs[1] ?? '') ?? integersOf(node, 'axes')
  const axes = given ?? Array.from({ length: rank }, (_, axis) => axis)
  return axes.map((axis) => (axis + rank) % rank)
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
