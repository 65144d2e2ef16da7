// The gradient of Resize: an axis that is resized is multiplied by a matrix of weights, which extents and
// attributes alone determine; the gradient is multiplied by its transpose.
import type { Builder, Handle } from '../../builder.ts'
import { GraphError, integers, type Node, textOf } from '../../graph.ts'
import type { GradientRules, RuleArguments } from '../rule.ts'

export const resizeRules: GradientRules = {
  Resize(b, { node, grad, inputs: [x, , scales] }: RuleArguments) {
    if (!x) return []
    const given = scales && b.known(scales)
    const mode = textOf(node, 'mode', 'nearest')
    if (mode !== 'nearest' && mode !== 'linear') {
      throw new GraphError(`node ${node.name}: Resize ${mode} has no gradient rule`)
    }
    const moved = x.shape.reduce<Handle>((d, from, axis) => {
      const to = grad.shape[axis]
      if (from === to) return d
      if (typeof from !== 'number' || typeof to !== 'number') {
        throw new GraphError(`node ${node.name}: Resize of an extent that is not known`)
      }
      const scale = given?.[axis] ?? to / from
      return multiplyAxis(b, d, axis, weightsOf(node, { from, to, scale }))
    }, grad)
    return [moved]
  },
}

/** to x from: what each output takes of each input. */
function weightsOf(
  node: Node,
  { from, to, scale }: { readonly from: number; readonly to: number; readonly scale: number },
): number[][] {
  const isLinear = textOf(node, 'mode', 'nearest') === 'linear'
  const clamp = (at: number) => Math.min(from - 1, Math.max(0, at))
  return Array.from({ length: to }, (_, index) => {
    const place = placeOf(node, { index, from, to, scale })
    const row = new Array<number>(from).fill(0)
    const add = (at: number, weight: number) => {
      row[clamp(at)] = (row[clamp(at)] ?? 0) + weight
    }
    if (isLinear) {
      const at = clamp(place)
      const low = Math.floor(at)
      add(low, 1 - (at - low))
      add(low + 1, at - low)
    } else {
      add(nearest(node, place), 1)
    }
    return row
  })
}

function placeOf(
  node: Node,
  {
    index,
    from,
    to,
    scale,
  }: { readonly index: number; readonly from: number; readonly to: number; readonly scale: number },
): number {
  const mode = textOf(node, 'coordinate_transformation_mode', 'half_pixel')
  switch (mode) {
    case 'half_pixel':
      return (index + 0.5) / scale - 0.5
    case 'pytorch_half_pixel':
      return to > 1 ? (index + 0.5) / scale - 0.5 : 0
    case 'align_corners':
      return to > 1 ? (index * (from - 1)) / (to - 1) : 0
    case 'asymmetric':
      return index / scale
    default:
      throw new GraphError(`node ${node.name}: Resize with ${mode} has no gradient rule`)
  }
}

function nearest(node: Node, place: number): number {
  switch (textOf(node, 'nearest_mode', 'round_prefer_floor')) {
    case 'floor':
      return Math.floor(place)
    case 'ceil':
      return Math.ceil(place)
    case 'round_prefer_ceil':
      return Math.floor(place + 0.5)
    default:
      return Math.ceil(place - 0.5)
  }
}

/** Along one axis: sum over outputs of d[output] weights[output][input]. */
function multiplyAxis(b: Builder, d: Handle, axis: number, weights: readonly number[][]): Handle {
  const [to, from] = [weights.length, weights[0]?.length ?? 0]
  const last = d.shape.length - 1
  const order = d.shape.map((_, at) => (at === axis ? last : at === last ? axis : at))
  const swap = { attributes: { perm: integers(order) } }
  const isLast = axis === last
  const turned = isLast ? d : b.node('Transpose', [d], swap)
  const product = b.node('MatMul', [turned, b.constant(weights.flat(), [to, from])])
  return isLast ? product : b.node('Transpose', [product], swap)
}
