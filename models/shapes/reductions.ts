// Shapes of what gathers an axis into one number, or into its largest few.
import { GraphError, integerOf, integersOf, type Node } from '../graph.ts'
import type { Literals, OutputsRules, Shape, ShapeRule, ShapeRules } from './rule.ts'

const reduce: ShapeRule = (node, [x = []], literals) => {
  const axes = axesOf(node, x.length, literals)
  const keeps = integerOf(node, 'keepdims', 1) === 1
  return keeps
    ? x.map((extent, axis) => (axes.includes(axis) ? 1 : extent))
    : x.filter((_, axis) => !axes.includes(axis))
}

const reduceOne: ShapeRule = (node, [x = []]) => {
  const axis = axisOf(node, x.length, 0)
  const kept = integerOf(node, 'keepdims', 1) === 1 ? [1] : []
  return x.flatMap((extent, index) => (index === axis ? kept : [extent]))
}

const lossShape = (node: Node, labels: Shape): Shape => {
  const reduction = node.attributes.reduction
  return reduction?.type === 'text' && reduction.value === 'none' ? labels : []
}

const reducing =
  'ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare'

export const reductionShapes: ShapeRules = {
  ...Object.fromEntries(reducing.split(' ').map((op) => [op, reduce])),
  ArgMax: reduceOne,
  ArgMin: reduceOne,
  NegativeLogLikelihoodLoss: (node, [, labels = []]) => lossShape(node, labels),
}

export const reductionOutputs: OutputsRules = {
  SoftmaxCrossEntropyLoss: (node, [scores = [], labels = []]) => [lossShape(node, labels), scores],
  TopK: (node, [x = []], literals) => {
    const axis = axisOf(node, x.length, -1)
    const [count = `${node.name}/count`] = literals.extents(node.inputs[1] ?? '') ?? []
    const shape = x.map((extent, index) => (index === axis ? count : extent))
    return [shape, shape]
  },
  LayerNormalization: (node, [x = []]) => {
    const first = axisOf(node, x.length, -1)
    const statistics = x.map((extent, axis) => (axis < first ? extent : 1))
    return [x, statistics, statistics]
  },
}

/** Attribute `axis`, counted from the front. */
export function axisOf(node: Node, rank: number, fallback: number): number {
  const axis = integerOf(node, 'axis', fallback)
  if (axis < -rank || axis >= rank) {
    throw new GraphError(`${node.name}: axis ${axis} of a value of ${rank} axes`)
  }
  return (axis + rank) % rank
}

/** Axes of a reduction: of its second input or of its attribute, all where it names none. */
export function axesOf(node: Node, rank: number, literals: Literals): number[] {
  const input = node.inputs[1]
  const given = input ? literals(input) : (integersOf(node, 'axes') ?? [])
  if (!given) throw new GraphError(`${node.name}: its axes are not a constant`)
  const isAll = given.length === 0 && integerOf(node, 'noop_with_empty_axes', 0) === 0
  const axes = isAll ? Array.from({ length: rank }, (_, axis) => axis) : given
  return axes.map((axis) => (axis + rank) % rank)
}
