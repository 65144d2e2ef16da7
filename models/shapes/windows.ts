// Shapes of what slides windows over images: convolutions and pools. Layout N x C x spatial.
import { type Extent, GraphError, integerOf, integersOf, type Node, textOf } from '../graph.ts'
import type { OutputsRule, Shape, ShapeRule } from './rule.ts'

/** How a window moves, with every default of the operator filled in. */
export interface Window {
  readonly kernel: readonly number[]
  readonly strides: readonly number[]
  readonly dilations: readonly number[]
  /** Begins of all spatial axes, then ends, as ONNX has them. */
  readonly pads: readonly number[]
}

/** `spatial`: the input's extents, which `auto_pad` needs. Throws `GraphError` where they are not known. */
export function windowOf(
  node: Node,
  kernel: readonly number[],
  spatial: readonly Extent[],
): Window {
  const ones = kernel.map(() => 1)
  const strides = integersOf(node, 'strides') ?? ones
  const dilations = integersOf(node, 'dilations') ?? ones
  const given = integersOf(node, 'pads') ?? kernel.flatMap(() => [0, 0])
  const window = { kernel, strides, dilations, pads: given }
  const mode = textOf(node, 'auto_pad', 'NOTSET')
  if (mode === 'NOTSET') return window
  if (mode === 'VALID') return { ...window, pads: kernel.flatMap(() => [0, 0]) }
  const totals = kernel.map((_, axis) => {
    const extent = spatial[axis]
    const [stride = 1] = strides.slice(axis)
    if (typeof extent !== 'number') {
      throw new GraphError(`${node.name}: auto_pad of an extent that is not known`)
    }
    const covered = coveredBy(window, axis)
    return Math.max(0, (Math.ceil(extent / stride) - 1) * stride + covered - extent)
  })
  const less = totals.map((total) => Math.floor(total / 2))
  const more = totals.map((total, axis) => total - (less[axis] ?? 0))
  return { ...window, pads: mode === 'SAME_UPPER' ? [...less, ...more] : [...more, ...less] }
}

/** Extent of the input that one window spans. */
function coveredBy({ kernel, dilations }: Window, axis: number): number {
  return (dilations[axis] ?? 1) * ((kernel[axis] ?? 1) - 1) + 1
}

export function slidExtent(
  window: Window,
  axis: number,
  extent: Extent,
  { ceil = false }: { readonly ceil?: boolean } = {},
): Extent {
  if (typeof extent !== 'number') return `${extent}/slid`
  const { kernel, strides, pads } = window
  const stride = strides[axis] ?? 1
  const before = pads[axis] ?? 0
  const padded = extent + before + (pads[axis + kernel.length] ?? 0)
  const free = padded - coveredBy(window, axis)
  if (free < 0) return 0
  const steps = (ceil ? Math.ceil : Math.floor)(free / stride)
  // A window that would begin in the padding at the end is none.
  const isBeyond = ceil && steps * stride >= extent + before
  return steps + (isBeyond ? 0 : 1)
}

const conv: ShapeRule = (node, [x = [], w = []]) => {
  const kernel = w.slice(2).map(Number)
  const window = windowOf(node, kernel, x.slice(2))
  const spatial = x.slice(2).map((extent, axis) => slidExtent(window, axis, extent))
  return [x[0] ?? 1, w[0] ?? 1, ...checked(node, spatial)]
}

const convTranspose: ShapeRule = (node, [x = [], w = []]) => {
  const kernel = w.slice(2).map(Number)
  const groups = integerOf(node, 'group', 1)
  const given = integersOf(node, 'output_shape')
  const window = windowOf({ ...node, attributes: withoutAutoPad(node) }, kernel, x.slice(2))
  const added = integersOf(node, 'output_padding') ?? kernel.map(() => 0)
  const same = textOf(node, 'auto_pad', 'NOTSET').startsWith('SAME')
  const spatial = x.slice(2).map((extent, axis): Extent => {
    if (given) return given.at(axis - kernel.length) ?? 1
    if (typeof extent !== 'number') return `${extent}/spread`
    const stride = window.strides[axis] ?? 1
    if (same) return extent * stride
    const padding = (window.pads[axis] ?? 0) + (window.pads[axis + kernel.length] ?? 0)
    return stride * (extent - 1) + (added[axis] ?? 0) + coveredBy(window, axis) - padding
  })
  return [x[0] ?? 1, Number(w[1] ?? 1) * groups, ...spatial]
}

function withoutAutoPad({ attributes }: Node): Node['attributes'] {
  const { auto_pad: _left, ...others } = attributes
  return others
}

const pool: ShapeRule = (node, [x = []]) => {
  const window = windowOf(node, integersOf(node, 'kernel_shape') ?? [], x.slice(2))
  const ceil = integerOf(node, 'ceil_mode', 0) === 1
  const spatial = x.slice(2).map((extent, axis) => slidExtent(window, axis, extent, { ceil }))
  return [x[0] ?? 1, x[1] ?? 1, ...checked(node, spatial)]
}

const globalPool: ShapeRule = (_node, [x = []]) => [
  x[0] ?? 1,
  x[1] ?? 1,
  ...x.slice(2).map(() => 1),
]

function checked(node: Node, spatial: readonly Extent[]): readonly Extent[] {
  if (!spatial.includes(0)) return spatial
  throw new GraphError(`${node.name}: the image is smaller than the window of ${node.op}`)
}

const same: ShapeRule = (_node, [x = []]) => x

export const windowRules: Readonly<Record<string, ShapeRule>> = {
  Conv: conv,
  ConvTranspose: convTranspose,
  AveragePool: pool,
  LpPool: pool,
  GlobalAveragePool: globalPool,
  GlobalMaxPool: globalPool,
  InstanceNormalization: same,
  LRN: same,
}

export const windowOutputsRules: Readonly<Record<string, OutputsRule>> = {
  MaxPool: (node, inputs, literals) => {
    const shape = pool(node, inputs, literals)
    return [shape, shape]
  },
  BatchNormalization: (_node, [x = [], , , mean = [], variance = []]): readonly Shape[] => [
    x,
    mean,
    variance,
  ],
}
