// Gradients of the weights of a convolution: the formulation that runs fastest for its shape.
import type { Builder, Handle } from '../../builder.ts'
import { integer, integers } from '../../graph.ts'
import type { Window } from '../../shapes/windows.ts'
import { attributesOf, extentOf, type Sliding } from './sliding.ts'
import { keepInside, reshapeLike, shiftFlat } from './rows.ts'

/** Fewer input channels make products too thin: three, of the first layer. */
const TAP_CHANNELS_MIN = 8

/** dW[o, i, k] = sum over n, p of grad[n, o, p] x[n, i, stride p + dilation k - pad]. */
export function weightGradient(
  b: Builder,
  x: Handle,
  grad: Handle,
  sliding: Sliding & { readonly weight: Handle },
): Handle {
  const { node, groups, window } = sliding
  const isPlane = window.kernel.length === 2 && groups === 1
  const byTaps = isPlane && extentOf(node, x, 1) >= TAP_CHANNELS_MIN
  return byTaps ? weightByTaps(b, x, grad, sliding) : weightByExchange(b, x, grad, sliding)
}

/** A product of matrices for every place of the kernel: grad times the part of x that it saw. */
function weightByTaps(
  b: Builder,
  x: Handle,
  grad: Handle,
  { node, window, weight }: Sliding & { readonly weight: Handle },
): Handle {
  const [height = 1, width = 1] = window.kernel
  const extents = [2, 3].map((axis) => extentOf(node, grad, axis))
  const places = extents.reduce((product, extent) => product * extent, 1)
  const [outputs, channels] = [extentOf(node, grad, 1), extentOf(node, x, 1)]
  const flat = (value: Handle, rows: number): Handle =>
    b.node('Reshape', [value, b.integers([0, rows, places])])
  const rows = flat(grad, outputs)
  const isPointwise = height * width === 1 && window.strides.every((stride) => stride === 1)
  const seenBy = isPointwise
    ? () => x
    : keepsExtent(x, window, extents)
      ? shiftedTaps(b, x, window)
      : slicedTaps(b, x, window, extents)
  const taps: Handle[] = []
  for (let tap = 0; tap < height * width; tap++) {
    const seen = seenBy(Math.floor(tap / width), tap % width)
    const columns = b.node('Transpose', [flat(seen, channels)], {
      attributes: { perm: integers([0, 2, 1]) },
    })
    const product = b.node('MatMul', [rows, columns])
    taps.push(
      b.node('ReduceSum', [product, b.integers([0])], { attributes: { keepdims: integer(0) } }),
    )
  }
  const shape = weight.shape
  const target = b.integers([outputs, channels, height, width])
  const [only] = taps
  if (taps.length === 1 && only) return b.node('Reshape', [only, target], { shape })
  const single = b.integers([outputs, channels, 1])
  const joined = b.node(
    'Concat',
    taps.map((tap) => b.node('Reshape', [tap, single])),
    { attributes: { axis: integer(2) } },
  )
  return b.node('Reshape', [joined, target], { shape })
}

/** What one place of the kernel saw of the image: as large as the output. */
type TapAt = (row: number, column: number) => Handle

function keepsExtent(x: Handle, { strides }: Window, extents: readonly number[]): boolean {
  const isSame = extents.every((extent, axis) => extent === x.shape[axis + 2])
  return isSame && strides.every((stride) => stride === 1)
}

/** Rows are shifted once per column of the kernel; its rows are then slices of whole lines. */
function shiftedTaps(b: Builder, x: Handle, { pads, dilations }: Window): TapAt {
  const [batch = 'N', channels = 1] = x.shape
  const [height = 1, width = 1] = x.shape.slice(2).map(Number)
  const [top = 0, left = 0, bottom = 0] = pads
  const [down = 1, across = 1] = dilations
  const columns = new Map<number, Handle>()
  const columnOf = (column: number): Handle => {
    const by = column * across - left
    // x[i + by] where that is in the row.
    const shifted = keepInside(b, shiftFlat(b, x, by), by)
    const lines = reshapeLike(b, shifted, [batch, channels, height * width])
    if (top + bottom === 0) return lines
    const added = [0, 0, top * width, 0, 0, bottom * width]
    return b.node('Pad', [lines, b.integers(added)])
  }
  return (row, column) => {
    const lines = columns.get(column) ?? columnOf(column)
    columns.set(column, lines)
    const start = row * down * width
    const end = start + height * width
    if (start === 0 && end === lines.shape[2]) return lines
    const inputs = [[start], [end], [2]].map((values) => b.integers(values))
    return b.node('Slice', [lines, ...inputs])
  }
}

function slicedTaps(
  b: Builder,
  x: Handle,
  { pads, dilations, strides }: Window,
  extents: readonly number[],
): TapAt {
  const [top = 0, left = 0, bottom = 0, right = 0] = pads
  const isPadded = pads.some((pad) => pad > 0)
  const added = [0, 0, top, left, 0, 0, bottom, right]
  const padded = isPadded ? b.node('Pad', [x, b.integers(added)]) : x
  const steps = [0, 1].map((axis) => strides[axis] ?? 1)
  return (row, column) => {
    const starts = [row, column].map((at, axis) => at * (dilations[axis] ?? 1))
    const ends = starts.map(
      (start, axis) => start + ((extents[axis] ?? 1) - 1) * (steps[axis] ?? 1) + 1,
    )
    const inputs = [starts, ends, [2, 3], steps].map((values) => b.integers(values))
    return b.node('Slice', [padded, ...inputs])
  }
}

/** A convolution of x with grad in which batch and channels, and stride and dilation, trade places. */
function weightByExchange(
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
