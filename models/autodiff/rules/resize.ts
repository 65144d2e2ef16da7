// The gradient of Resize. It is linear and works axis by axis: resizing an identity matrix along one axis
// gives that axis's matrix M (out x in) in every mode, and the gradient is multiplied by its transpose.
import type { Builder, Handle } from '../../builder.ts'
import { GraphError, integers, type Node, textOf } from '../../graph.ts'
import type { GradientRules } from '../rule.ts'

export const resizeRules: GradientRules = {
  Resize: (b, { node, grad, inputs: [x], output }) => {
    if (!x) return []
    if (textOf(node, 'coordinate_transformation_mode', '') === 'tf_crop_and_resize') {
      throw new GraphError(`node ${node.name}: Resize of a cropped region has no gradient`)
    }
    const scales = node.inputs[2] ? b.literals(node.inputs[2]) : undefined
    let made = grad
    for (const [axis, extent] of x.shape.entries()) {
      const size = output.shape[axis]
      const scale = scales?.[axis]
      if (extent === size && (scale === undefined || scale === 1)) continue
      if (typeof extent !== 'number' || typeof size !== 'number') {
        throw new GraphError(`node ${node.name}: Resize of an open extent has no gradient`)
      }
      made = along(b, made, { axis, matrix: matrixOf(b, { node, extent, size, scale }) })
    }
    return [made]
  },
}

interface Axis {
  readonly node: Node
  readonly extent: number
  readonly size: number
  readonly scale: number | undefined
}

/** M, size x extent. */
function matrixOf(b: Builder, { node, extent, size, scale }: Axis): Handle {
  const identity = Array.from({ length: extent * extent }, (_, i) => (i % (extent + 1) ? 0 : 1))
  const eye = b.constant(identity, [1, 1, extent, extent])
  const by = scale
    ? [undefined, b.constant([1, 1, scale, 1], [4])]
    : [undefined, undefined, b.integers([1, 1, size, extent])]
  const { attributes } = node
  const made = b.node('Resize', [eye, ...by], { attributes, shape: [1, 1, size, extent] })
  return b.node('Reshape', [made, b.integers([size, extent])])
}

/** The gradient times M along one axis, which goes last for the product and back. */
function along(b: Builder, grad: Handle, { axis, matrix }: { axis: number; matrix: Handle }) {
  const order = grad.shape.map((_, at) => at)
  const last = order.length - 1
  order.splice(last, 1, axis)
  order.splice(axis, 1, last)
  const swap = (value: Handle) =>
    axis === last ? value : b.node('Transpose', [value], { attributes: { perm: integers(order) } })
  return swap(b.node('MatMul', [swap(grad), matrix]))
}
