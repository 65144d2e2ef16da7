// Gradients of convolutions of any rank, stride, dilation, padding and grouping.
import type { Builder, Handle } from '../../builder.ts'
import { integer, integerOf, integers, type Node } from '../../graph.ts'
import { type Window, windowOf } from '../../shapes/windows.ts'
import type { GradientRules } from '../rule.ts'
import { weightGradient } from './convolution-weights.ts'
import { attributesOf, extentOf, type Sliding } from './sliding.ts'

export const convolutionRules: GradientRules = {
  Conv(b, { node, grad, inputs: [x, w, bias], isWanted }) {
    if (!x || !w) return []
    const sliding: Sliding = {
      node,
      groups: integerOf(node, 'group', 1),
      window: convWindow(node, x, w),
    }
    return [
      isWanted(0) ? inputGradient(b, grad, w, { ...sliding, target: x }) : undefined,
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

/** Without strides a convolution by the mirrored weights, which runs faster than a transposed one. */
function inputGradient(
  b: Builder,
  grad: Handle,
  w: Handle,
  options: Sliding & { readonly target: Handle },
): Handle {
  const { groups, window, target } = options
  const { kernel, strides, dilations, pads } = window
  const reach = kernel.map((size, axis) => (dilations[axis] ?? 1) * (size - 1))
  const ends = [...reach, ...reach].map((span, at) => span - (pads[at] ?? 0))
  const isPlain = groups === 1 && strides.every((stride) => stride === 1)
  if (!isPlain || ends.some((end) => end < 0)) return spreadBack(b, grad, w, options)
  const axes = kernel.map((_, axis) => axis + 2)
  const perm = integers([1, 0, ...axes])
  const exchanged = b.node('Transpose', [w], { attributes: { perm } })
  const isPoint = kernel.every((size) => size === 1)
  const weights = isPoint ? exchanged : mirrored(b, exchanged, axes)
  const attributes = attributesOf({ groups, window: { ...window, pads: ends } })
  return b.node('Conv', [grad, weights], { attributes, shape: target.shape })
}

function mirrored(b: Builder, w: Handle, axes: readonly number[]): Handle {
  const all = (value: number) => b.integers(axes.map(() => value))
  const inputs = [w, all(-1), all(-(2 ** 31)), b.integers(axes), all(-1)]
  return b.node('Slice', inputs, { shape: w.shape })
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

export function sumOverAllBut(b: Builder, x: Handle, kept: number): Handle {
  const axes = x.shape.map((_, axis) => axis).filter((axis) => axis !== kept)
  return b.node('ReduceSum', [x, b.integers(axes)], { attributes: { keepdims: integer(0) } })
}
