// Shapes of what moves elements and keeps them all, or repeats them.
import { type Extent, GraphError, integerOf, integersOf, type Node } from '../graph.ts'
import { broadcastShapes } from './elementwise.ts'
import { productOf, quotientOf, sumOf } from './extents.ts'
import { axisOf } from './reductions.ts'
import type { Literals, OutputsRules, Shape, ShapeRules } from './rule.ts'

export const arrangementShapes: ShapeRules = {
  Transpose: (node, [x = []]) => {
    const order = integersOf(node, 'perm') ?? x.map((_, axis) => x.length - 1 - axis)
    return order.map((axis) => x[axis] ?? 1)
  },
  Reshape: (node, [x = [], target], literals) =>
    reshaped(node, x, targetOf(node, target, literals)),
  Flatten: (node, [x = []]) => {
    const axis = integerOf(node, 'axis', 1)
    const split = axis < 0 ? axis + x.length : axis
    return [productOf(x.slice(0, split)), productOf(x.slice(split))]
  },
  Squeeze: (node, [x = []], literals) => {
    const given = givenAxes(node, literals)
    const axes = given?.map((axis) => (axis + x.length) % x.length)
    return x.filter((extent, axis) => (axes ? !axes.includes(axis) : extent !== 1))
  },
  Unsqueeze: (node, [x = []], literals) => {
    const axes = givenAxes(node, literals) ?? []
    const rank = x.length + axes.length
    const added = axes.map((axis) => (axis + rank) % rank)
    const rest = [...x]
    return Array.from({ length: rank }, (_, axis) =>
      added.includes(axis) ? 1 : (rest.shift() ?? 1),
    )
  },
  Expand: (node, [x = [], target], literals) => {
    const known = literals.extents(node.inputs[1] ?? '')
    return broadcastShapes(x, known ?? unknown(node, target), node.name)
  },
  Tile: (node, [x = []], literals) => {
    const repeats = literals.extents(node.inputs[1] ?? '')
    return x.map((extent, axis) =>
      repeats ? productOf([extent, repeats[axis] ?? 1]) : `${node.name}/${axis}`,
    )
  },
  Concat: (node, inputs) => {
    const [x = []] = inputs
    const axis = axisOf(node, x.length, 0)
    return x.map((extent, at) =>
      at === axis ? sumOf(inputs.map((shape) => shape[axis] ?? 1)) : extent,
    )
  },
  Pad: (node, [x = []], literals) => {
    const pads = literals(node.inputs[1] ?? '')
    return x.map((extent, axis) => {
      const total = (pads?.[axis] ?? 0) + (pads?.[axis + x.length] ?? 0)
      return pads ? sumOf([extent, total]) : `${node.name}/${axis}`
    })
  },
  Resize: resized,
  DepthToSpace: (node, [[batch = 1, channels = 1, height = 1, width = 1] = []]) => {
    const size = integerOf(node, 'blocksize', 1)
    const fewer = quotientOf(channels, size * size) ?? channels
    return [batch, fewer, productOf([height, size]), productOf([width, size])]
  },
  SpaceToDepth: (node, [[batch = 1, channels = 1, height = 1, width = 1] = []]) => {
    const size = integerOf(node, 'blocksize', 1)
    const [rows, columns] = [quotientOf(height, size) ?? 1, quotientOf(width, size) ?? 1]
    return [batch, productOf([channels, size * size]), rows, columns]
  },
}

export const arrangementOutputs: OutputsRules = {
  Split: (node, [x = []], literals) => {
    const axis = axisOf(node, x.length, 0)
    const sizes = node.inputs[1] ? literals(node.inputs[1]) : undefined
    if (node.inputs[1] && !sizes) {
      throw new GraphError(`${node.name}: the sizes of Split are not a constant`)
    }
    const equal = quotientOf(x[axis] ?? 1, node.outputs.length) ?? 1
    return node.outputs.map((_, part) =>
      x.map((extent, at) => (at === axis ? (sizes?.[part] ?? equal) : extent)),
    )
  },
}

const givenAxes = (node: Node, literals: Literals): readonly number[] | undefined => {
  if (!node.inputs[1]) return integersOf(node, 'axes')
  const axes = literals(node.inputs[1])
  if (!axes) throw new GraphError(`${node.name}: its axes are not a constant`)
  return axes
}

/** Extents that only the run will tell; how many of them there are has to be known. */
export function unknown(node: Node, target: Shape | undefined): Shape {
  const [rank] = target ?? []
  if (typeof rank === 'number') {
    return Array.from({ length: rank }, (_, axis) => `${node.name}/${axis}`)
  }
  throw new GraphError(`${node.name}: the number of axes that ${node.op} makes is not known`)
}

const targetOf = (node: Node, target: Shape | undefined, literals: Literals): Shape =>
  literals.extents(node.inputs[1] ?? '') ?? unknown(node, target)

function reshaped(node: Node, x: Shape, target: Shape): Shape {
  const isCopied = integerOf(node, 'allowzero', 0) === 0
  const resolved = target.map(
    (extent, axis): Extent => (extent === 0 && isCopied ? (x[axis] ?? 1) : extent),
  )
  const free = resolved.indexOf(-1)
  if (free < 0) return resolved
  const rest = productOf(resolved.filter((_, axis) => axis !== free))
  const extent = quotientOf(productOf(x), rest) ?? `${node.name}/${free}`
  return resolved.map((known, axis) => (axis === free ? extent : known))
}

function resized(node: Node, [x = []]: readonly Shape[], literals: Literals): Shape {
  const sizes = literals.extents(node.inputs[3] ?? '')
  if (sizes && sizes.length > 0) return sizes
  const scales = literals(node.inputs[2] ?? '')
  return x.map((extent, axis) => {
    const scale = scales?.[axis]
    if (scale === 1) return extent
    if (scale === undefined) return `${node.name}/${axis}`
    return typeof extent === 'number' ? Math.floor(extent * scale) : productOf([extent, scale])
  })
}
