// Gradients of pooling.
import type { Builder, Handle } from '../../builder.ts'
import { integer, integerOf, integersOf, type Node } from '../../graph.ts'
import { type Window, windowOf } from '../../shapes/windows.ts'
import { castTo, type GradientRules, times } from '../rule.ts'
import { spreadBack } from './convolution.ts'
import { extentOf } from './sliding.ts'
import { maxPoolRule } from './max-pooling.ts'

export const poolingRules: GradientRules = {
  MaxPool: maxPoolRule,
  // Every element of a window gets its share, and shares of overlapping windows add up.
  AveragePool(b, { node, grad, inputs: [x] }) {
    if (!x) return []
    const window = windowOf(node, integersOf(node, 'kernel_shape') ?? [], x.shape.slice(2))
    const shares = times(b, grad, sharesOf(b, node, { window, x, y: grad }))
    const channels = extentOf(node, x, 1)
    const size = window.kernel.reduce((product, extent) => product * extent, channels)
    const ones = b.constant(new Array(size).fill(1), [channels, 1, ...window.kernel])
    return [spreadBack(b, shares, ones, { node, groups: channels, window, target: x })]
  },
  GlobalAveragePool(b, { node, grad, inputs: [x] }) {
    if (!x) return []
    const spatial = x.shape.slice(2).map((_, axis) => extentOf(node, x, axis + 2))
    const share = b.constant([1 / spatial.reduce((product, extent) => product * extent, 1)], [])
    return [expandLike(b, times(b, grad, share), x)]
  },
  // Maxima that are equal share the gradient.
  GlobalMaxPool(b, { grad, output, inputs: [x] }) {
    if (!x) return []
    const isMaximum = castTo(b, b.node('Equal', [x, output], { dtype: 'bool' }), 'float32')
    const axes = x.shape.slice(2).map((_, axis) => axis + 2)
    const ties = b.node('ReduceSum', [isMaximum, b.integers(axes)], {
      attributes: { keepdims: integer(1) },
    })
    return [times(b, isMaximum, b.node('Div', [grad, ties]))]
  },
}

/** 1 / how many elements each window averages: constants, since they depend on extents alone. */
function sharesOf(
  b: Builder,
  node: Node,
  { window, x, y }: { readonly window: Window; readonly x: Handle; readonly y: Handle },
): Handle {
  const countsPadding = integerOf(node, 'count_include_pad', 0) === 1
  const perAxis = window.kernel.map((size, axis) => {
    const [stride, dilation] = [window.strides[axis] ?? 1, window.dilations[axis] ?? 1]
    const before = window.pads[axis] ?? 0
    const after = window.pads[axis + window.kernel.length] ?? 0
    const extent = extentOf(node, x, axis + 2)
    // Beyond the padding (ceil mode) nothing is counted.
    const [low, high] = countsPadding ? [-before, extent + after] : [0, extent]
    return Array.from({ length: extentOf(node, y, axis + 2) }, (_, index) => {
      const taps = Array.from(
        { length: size },
        (_, tap) => index * stride - before + tap * dilation,
      )
      return taps.filter((at) => at >= low && at < high).length
    })
  })
  const counts = perAxis.reduce(
    (products, axis) => products.flatMap((product) => axis.map((count) => product * count)),
    [1],
  )
  const shape = [1, 1, ...perAxis.map(({ length }) => length)]
  return b.constant(
    counts.map((count) => 1 / count),
    shape,
  )
}

function expandLike(b: Builder, value: Handle, x: Handle): Handle {
  return b.node('Expand', [value, b.node('Shape', [x], { dtype: 'int64' })], { shape: x.shape })
}
