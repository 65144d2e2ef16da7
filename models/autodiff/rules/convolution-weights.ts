// Gradients of the weights of a convolution: the formulation that runs fastest for its shape.
import type { Builder, Handle } from '../../builder.ts'
import { integer, integers } from '../../graph.ts'
import type { Window } from '../../shapes/windows.ts'
import { attributesOf, extentOf, type Sliding } from './convolution.ts'

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
  const padded = padPlane(b, x, window)
  const taps: Handle[] = []
  for (let tap = 0; tap < height * width; tap++) {
    const seen = isPointwise ? padded : tapOf(b, padded, { window, extents, tap })
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

function padPlane(b: Builder, x: Handle, { pads }: Window): Handle {
  if (pads.every((pad) => pad === 0)) return x
  const [top = 0, left = 0, bottom = 0, right = 0] = pads
  return b.node('Pad', [x, b.integers([0, 0, top, left, 0, 0, bottom, right])])
}

/** What one place of the kernel saw of the padded image: as large as the output. */
function tapOf(
  b: Builder,
  padded: Handle,
  options: { readonly window: Window; readonly extents: readonly number[]; readonly tap: number },
): Handle {
  const { window, extents, tap } = options
  const [, width = 1] = window.kernel
  const starts = [Math.floor(tap / width), tap % width].map(
    (at, axis) => at * (window.dilations[axis] ?? 1),
  )
  const steps = [0, 1].map((axis) => window.strides[axis] ?? 1)
  const ends = starts.map(
    (start, axis) => start + ((extents[axis] ?? 1) - 1) * (steps[axis] ?? 1) + 1,
  )
  const inputs = [starts, ends, [2, 3], steps].map((values) => b.integers(values))
  return b.node('Slice', [padded, ...inputs])
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
