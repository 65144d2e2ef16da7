// Shapes of what picks and places elements, and of what makes tensors out of shapes and numbers.
import { type Extent, GraphError, integerOf, type Node } from '../graph.ts'
import { unknown } from './arrangement.ts'
import { same } from './elementwise.ts'
import { axisOf } from './reductions.ts'
import type { Literals, Shape, ShapeRules } from './rule.ts'

export const indexingShapes: ShapeRules = {
  Size: () => [],
  Shape: (node, [x = []]) => {
    const end = integerOf(node, 'end', x.length)
    return [x.slice(integerOf(node, 'start', 0), end).length]
  },
  Constant: constantShape,
  ConstantOfShape: (node, [target], literals) =>
    literals.extents(node.inputs[0] ?? '') ?? unknown(node, target),
  RandomNormalLike: same,
  RandomUniformLike: same,
  Bernoulli: same,
  Range: (node, _inputs, literals) => {
    const [start, limit, step] = [0, 1, 2].map((at) => literals.extents(node.inputs[at] ?? '')?.[0])
    if (start === 0 && step === 1 && limit !== undefined) return [limit]
    const isKnown = [start, limit, step].every((value) => typeof value === 'number')
    if (!isKnown) return [`${node.name}/count`]
    return [Math.max(0, Math.ceil((Number(limit) - Number(start)) / Number(step)))]
  },
  NonZero: (node, [x = []]) => [x.length, `${node.name}/count`],
  Compress: (node, [x = []]) => {
    const axis = node.attributes.axis ? axisOf(node, x.length, 0) : undefined
    const count = `${node.name}/count`
    return axis === undefined ? [count] : x.map((extent, at) => (at === axis ? count : extent))
  },
  OneHot: (node, [indices = []], literals) => {
    const [depth = 'depth'] = literals(node.inputs[1] ?? '') ?? []
    const axis = integerOf(node, 'axis', -1)
    const at = axis < 0 ? axis + indices.length + 1 : axis
    return [...indices.slice(0, at), depth, ...indices.slice(at)]
  },
  Gather: (node, [x = [], indices = []]) => {
    const axis = axisOf(node, x.length, 0)
    return [...x.slice(0, axis), ...indices, ...x.slice(axis + 1)]
  },
  GatherElements: (_node, [, indices = []]) => indices,
  GatherND: (node, [x = [], indices = []]) => {
    const batch = integerOf(node, 'batch_dims', 0)
    const depth = indices.at(-1)
    if (typeof depth !== 'number') throw new GraphError(`${node.name}: how deep it picks is open`)
    return [...indices.slice(0, -1), ...x.slice(batch + depth)]
  },
  ScatterElements: same,
  ScatterND: same,
  Slice: sliced,
}

function constantShape(node: Node): Shape {
  const { value, value_ints: ints, value_floats: floats } = node.attributes
  if (value?.type === 'tensor') return value.value.shape
  if (ints?.type === 'integers') return [ints.value.length]
  return floats?.type === 'floats' ? [floats.value.length] : []
}

function sliced(node: Node, [x = []]: readonly Shape[], literals: Literals): Shape {
  const [starts, ends] = [1, 2].map((i) => literals.extents(node.inputs[i] ?? ''))
  const [axes, steps] = [3, 4].map((i) => literals(node.inputs[i] ?? ''))
  const order = node.inputs[3] ? axes : x.map((_, axis) => axis)
  const strides = node.inputs[4] ? steps : order?.map(() => 1)
  if (!order || !strides) throw new GraphError(`${node.name}: its axes or steps are not constants`)
  const shape = [...x]
  const count = Math.min(strides.length, starts?.length ?? strides.length)
  strides.slice(0, count).forEach((step, i) => {
    const axis = ((order[i] ?? 0) + x.length) % x.length
    shape[axis] =
      slicedExtent(x[axis] ?? 1, { start: starts?.[i], end: ends?.[i], step }) ??
      `${node.name}/${axis}`
  })
  return shape
}

interface Stretch {
  readonly start: Extent | undefined
  readonly end: Extent | undefined
  readonly step: number
}

/** undefined where only the run will tell. */
export function slicedExtent(extent: Extent, { start, end, step }: Stretch): Extent | undefined {
  const isWhole = start === 0 && step === 1 && (end === extent || Number(end) >= 2 ** 31 - 1)
  if (isWhole) return extent
  if (typeof extent === 'string' || typeof start !== 'number' || typeof end !== 'number') {
    // A stretch from the front of something open is as long as it says, or shorter.
    return undefined
  }
  const clamp = (value: number) => {
    const from = value < 0 ? value + extent : value
    return step > 0 ? Math.min(Math.max(from, 0), extent) : Math.min(Math.max(from, -1), extent - 1)
  }
  return Math.max(0, Math.ceil((clamp(end) - clamp(start)) / step))
}
