// Gradients of convolutions of any rank, stride, dilation, padding and grouping.
import type { Builder, Handle } from '../../builder.ts'
import {
  type Attributes,
  GraphError,
  integer,
  integerOf,
  integers,
  type Node,
} from '../../graph.ts'
import { type Window, windowOf } from '../../shapes/windows.ts'
import type { GradientRules } from '../rule.ts'

export const convolutionRules: GradientRules = {
  Conv(b, { node, grad, inputs: [x, w, bias], isWanted }) {
    if (!x || !w) return []
    const sliding: Sliding = {
      node,
      groups: integerOf(node, 'group', 1),
      window: convWindow(node, x, w),
    }
    return [
      isWanted(0) ? spreadBack(b, grad, w, { ...sliding, target: x }) : undefined,
      isWanted(1) ? weightGradient(b, x, grad, { ...sliding, weight: w }) : undefined,
      bias && isWanted(2) ? sumOverAllBut(b, grad, 1) : undefined,
    ]
  },
  // y is what a convolution by w would spread back to: the two gradients trade places.
  ConvTranspose(b, { node, grad, output, inputs: [x, w, bias], isWanted }) {
    if (!x || !w) return []
    const groups = integerOf(node, 'group', 1)
    const window = transposedWindow(node, { x, w, y: output })
    const sliding: Sliding = { node, groups, window }
    return [
      isWanted(0)
        ? b.node('Conv', [grad, w], { attributes: attributesOf(sliding), shape: x.shape })
        : undefined,
      isWanted(1) ? weightGradient(b, grad, x, { ...sliding, weight: w }) : undefined,
      bias && isWanted(2) ? sumOverAllBut(b, grad, 1) : undefined,
    ]
  },
}

interface Sliding {
  readonly node: Node
  readonly groups: number
  readonly window: Window
}

function convWindow(node: Node, x: Handle, w: Handle): Window {
  return windowOf(node, w.shape.slice(2).map(Number), x.shape.slice(2))
}

/** With the padding that makes its output as large as it is. */
function transposedWindow(
  node: Node,
  { x, w, y }: { readonly x: Handle; readonly w: Handle; readonly y: Handle },
): Window {
  const kernel = w.shape.slice(2).map(Number)
  const { auto_pad: mode, ...attributes } = node.attributes
  const window = windowOf({ ...node, attributes }, kernel, y.shape.slice(2))
  const isUpper = mode?.type === 'text' && mode.value === 'SAME_UPPER'
  const isGiven = attributes.pads !== undefined && attributes.output_shape === undefined
  if (isGiven || (mode === undefined && attributes.output_shape === undefined)) return window
  const totals = kernel.map((size, axis) => {
    const [from, to] = [extentOf(node, x, axis + 2), extentOf(node, y, axis + 2)]
    const covered = (window.dilations[axis] ?? 1) * (size - 1) + 1
    return Math.max(0, (from - 1) * (window.strides[axis] ?? 1) + covered - to)
  })
  const less = totals.map((total) => Math.floor(total / 2))
  const more = totals.map((total, axis) => total - (less[axis] ?? 0))
  return { ...window, pads: isUpper ? [...less, ...more] : [...more, ...less] }
}

export function extentOf(node: Node, { name, shape }: Handle, axis: number): number {
  const extent = shape[axis]
  if (typeof extent === 'number') return extent
  throw new GraphError(`node ${node.name}: ${name} has the open extent ${extent} at axis ${axis}`)
}

function attributesOf({ groups, window }: Omit<Sliding, 'node'>): Attributes {
  const { kernel, strides, dilations, pads } = window
  return {
    group: integer(groups),
    kernel_shape: integers(kernel),
    strides: integers(strides),
    dilations: integers(dilations),
    pads: integers(pads),
  }
}

/** The transposed convolution from the shape of an output back to that of the input. */
export function spreadBack(
  b: Builder,
  grad: Handle,
  w: Handle,
  { node, groups, window, target }: Sliding & { readonly target: Handle },
): Handle {
  const { kernel, strides, dilations, pads } = window
  const ends: number[] = []
  const added: number[] = []
  kernel.forEach((size, axis) => {
    const before = pads[axis] ?? 0
    const covered = (dilations[axis] ?? 1) * (size - 1) + 1
    const reached = (extentOf(node, grad, axis + 2) - 1) * (strides[axis] ?? 1) + covered - before
    const extent = extentOf(node, target, axis + 2)
    // A last window may reach beyond the input (ceil mode), or the last stride may not reach its end.
    ends.push(Math.max(0, reached - extent))
    added.push(Math.max(0, extent - reached))
  })
  const spread = { ...window, pads: [...pads.slice(0, kernel.length), ...ends] }
  const attributes = {
    ...attributesOf({ groups, window: spread }),
    output_padding: integers(added),
  }
  return b.node('ConvTranspose', [grad, w], { attributes, shape: target.shape })
}

/**
 * dW[o, i, k] = sum over n, p of grad[n, o, p] x[n, i, stride p + dilation k - pad]: a convolution of x with
 * grad in which batch and channels, and stride and dilation, have traded places.
 */
function weightGradient(
  b: Builder,
  x: Handle,
  grad: Handle,
  { node, groups, window, weight }: Sliding & { readonly weight: Handle },
): Handle {
  const { kernel, strides, dilations, pads } = window
  const spatial = kernel.map((_, axis) => extentOf(node, x, axis + 2))
  const channels = extentOf(node, x, 1) / groups
  const rest = spatial.map((_, axis) => axis + 3)
  const grouped = b.node('Reshape', [x, b.integers([0, groups, channels, ...spatial])])
  const exchanged = b.node('Transpose', [grouped], {
    attributes: { perm: integers([2, 1, 0, ...rest]) },
  })
  const images = b.node('Reshape', [exchanged, b.integers([channels, -1, ...spatial])])
  const exchange = integers([1, 0, ...spatial.map((_, axis) => axis + 2)])
  const kernels = b.node('Transpose', [grad], { attributes: { perm: exchange } })
  const sliding = {
    groups,
    window: {
      kernel: kernel.map((_, axis) => extentOf(node, grad, axis + 2)),
      strides: dilations,
      dilations: strides,
      pads,
    },
  }
  const outputs = extentOf(node, weight, 0)
  const surplus = kernel.map((_, axis) => slid(sliding.window, axis, spatial[axis] ?? 1))
  const made = b.node('Conv', [images, kernels], {
    attributes: attributesOf(sliding),
    shape: [channels, outputs, ...surplus],
  })
  const axes = kernel.map((_, axis) => axis + 2)
  const cropped = surplus.every((extent, axis) => extent === kernel[axis])
    ? made
    : b.node('Slice', [made, b.integers(axes.map(() => 0)), b.integers(kernel), b.integers(axes)])
  return b.node('Transpose', [cropped], { attributes: { perm: exchange }, shape: weight.shape })
}

function slid({ kernel, strides, dilations, pads }: Window, axis: number, extent: number): number {
  const covered = (dilations[axis] ?? 1) * ((kernel[axis] ?? 1) - 1) + 1
  const padded = extent + (pads[axis] ?? 0) + (pads[axis + kernel.length] ?? 0)
  return Math.floor((padded - covered) / (strides[axis] ?? 1)) + 1
}

export function sumOverAllBut(b: Builder, x: Handle, kept: number): Handle {
  const axes = x.shape.map((_, axis) => axis).filter((axis) => axis !== kept)
  return b.node('ReduceSum', [x, b.integers(axes)], { attributes: { keepdims: integer(0) } })
}
