// Inception-v3 (Szegedy et al. 2015) as torchvision builds it, weights by its names.
import type { ImageNetworkOptions } from './image-network.ts'
import {
  averagePool,
  averagePoolingStack,
  concat,
  conv,
  dropout,
  globalAverage,
  type Layer,
  linear,
  maxPool,
  named,
  passThrough,
  stack,
} from './layers.ts'
import type { ModuleRow, NetworkTable, SubnetworkRow } from './network-of.ts'

/** Below it no convolution of the stem loses its border, and only one layer halves the extent. */
export const SMALL_BELOW = 96

const pool = maxPool({ kernel: 3, stride: 2 })
// torchvision counts the padding in the averages of this network.
const pooled = (channels: number) =>
  averagePoolingStack('branch_pool', channels, { countsPadding: true })

export function inceptionV3(options: ImageNetworkOptions): NetworkTable {
  const filled = { auxiliary: true, dropout: 0.5, ...options }
  const { classes, size } = filled
  const auxiliary = { after: 'Mixed_6e', layer: named('AuxLogits', auxiliaryHead(classes)) }
  return {
    options: filled,
    style: { isNormalised: true },
    // Shapes for images of 299 x 299.
    subnetworks: [
      { name: 'stem', modules: stem(size) }, //    192 x 35 x 35
      one('Mixed_5b', moduleA(32)), //             256 x 35 x 35
      one('Mixed_5c', moduleA(64)), //             288 x 35 x 35
      one('Mixed_5d', moduleA(64)), //             288 x 35 x 35
      one('Mixed_6a', moduleB), //                 768 x 17 x 17
      one('Mixed_6b', moduleC(128)), //            768 x 17 x 17
      one('Mixed_6c', moduleC(160)), //            768 x 17 x 17
      one('Mixed_6d', moduleC(160)), //            768 x 17 x 17
      { ...one('Mixed_6e', moduleC(192)), auxiliary }, // 768 x 17 x 17
      one('Mixed_7a', moduleD), //                 1280 x 8 x 8
      one('Mixed_7b', moduleE), //                 2048 x 8 x 8
      withHead(one('Mixed_7c', moduleE), head(filled)), // 2048 x 8 x 8
    ],
  }
}

/** A subnetwork of one module, which gives its name to its parameters. */
export function one(name: string, layer: Layer): SubnetworkRow {
  return { name, modules: [{ name, layer: named(name, layer) }] }
}

export function withHead({ name, modules }: SubnetworkRow, layer: Layer): SubnetworkRow {
  return { name, modules: [...modules, { name: 'head', layer }] }
}

function stem(size: number): ModuleRow[] {
  const isSmall = size < SMALL_BELOW
  const pad = isSmall ? 'same' : 'valid'
  const stride = isSmall ? 1 : 2
  const row = (name: string, channels: number, options: Parameters<typeof conv>[2]): ModuleRow => ({
    name,
    layer: conv(name, channels, options),
  })
  return [
    row('Conv2d_1a_3x3', 32, { kernel: 3, stride, pad }), //        32 x 149 x 149
    row('Conv2d_2a_3x3', 32, { kernel: 3, pad }), //                32 x 147 x 147
    row('Conv2d_2b_3x3', 64, { kernel: 3, pad: 'same' }), //        64 x 147 x 147
    ...(isSmall ? [] : [{ name: 'maxpool1', layer: pool }]), //     64 x 73 x 73
    row('Conv2d_3b_1x1', 80, {}), //                                80 x 73 x 73
    row('Conv2d_4a_3x3', 192, { kernel: 3, pad }), //               192 x 71 x 71
    { name: 'maxpool2', layer: pool }, //                           192 x 35 x 35
  ]
}

const moduleA = (poolChannels: number): Layer =>
  concat(
    passThrough('branch1x1', 64),
    stack(passThrough('branch5x5_1', 48), conv('branch5x5_2', 64, { kernel: 5, pad: 'same' })),
    stack(
      passThrough('branch3x3dbl_1', 64),
      conv('branch3x3dbl_2', 96, { kernel: 3, pad: 'same' }),
      conv('branch3x3dbl_3', 96, { kernel: 3, pad: 'same' }),
    ),
    pooled(poolChannels),
  )

const moduleB: Layer = concat(
  conv('branch3x3', 384, { kernel: 3, stride: 2 }),
  stack(
    passThrough('branch3x3dbl_1', 64),
    conv('branch3x3dbl_2', 96, { kernel: 3, pad: 'same' }),
    conv('branch3x3dbl_3', 96, { kernel: 3, stride: 2 }),
  ),
  pool,
)

const across = { kernel: [1, 7], pad: 'same' } as const
const down = { kernel: [7, 1], pad: 'same' } as const

const moduleC = (c7: number): Layer =>
  concat(
    passThrough('branch1x1', 192),
    stack(
      passThrough('branch7x7_1', c7),
      conv('branch7x7_2', c7, across),
      conv('branch7x7_3', 192, down),
    ),
    stack(
      passThrough('branch7x7dbl_1', c7),
      conv('branch7x7dbl_2', c7, down),
      conv('branch7x7dbl_3', c7, across),
      conv('branch7x7dbl_4', c7, down),
      conv('branch7x7dbl_5', 192, across),
    ),
    pooled(192),
  )

const moduleD: Layer = concat(
  stack(passThrough('branch3x3_1', 192), conv('branch3x3_2', 320, { kernel: 3, stride: 2 })),
  stack(
    passThrough('branch7x7x3_1', 192),
    conv('branch7x7x3_2', 192, across),
    conv('branch7x7x3_3', 192, down),
    conv('branch7x7x3_4', 192, { kernel: 3, stride: 2 }),
  ),
  pool,
)

/** One value through a 1 x 3 and a 3 x 1 convolution, side by side. */
function split(first: string, second: string, channels: number): Layer {
  return concat(
    conv(first, channels, { kernel: [1, 3], pad: 'same' }),
    conv(second, channels, { kernel: [3, 1], pad: 'same' }),
  )
}

const moduleE: Layer = concat(
  passThrough('branch1x1', 320),
  stack(passThrough('branch3x3_1', 384), split('branch3x3_2a', 'branch3x3_2b', 384)),
  stack(
    passThrough('branch3x3dbl_1', 448),
    conv('branch3x3dbl_2', 384, { kernel: 3, pad: 'same' }),
    split('branch3x3dbl_3a', 'branch3x3dbl_3b', 384),
  ),
  pooled(192),
)

/** The second convolution spans all that the pool leaves: 5 x 5 of an image of 299 x 299. */
function auxiliaryHead(classes: number): Layer {
  return (context, x) => {
    const kernel = Math.min(5, Number(x.shape[2]))
    const pooling = averagePool({ kernel, stride: 3, countsPadding: false })
    const y = stack(pooling, passThrough('conv0', 128))(context, x)
    const [height = 1, width = 1] = y.shape.slice(2).map(Number)
    return stack(
      conv('conv1', 768, { kernel: [height, width] }),
      globalAverage,
      linear('fc', classes, { deviation: 0.001 }),
    )(context, y)
  }
}

function head({ classes, dropout: rate }: Required<ImageNetworkOptions>): Layer {
  return stack(globalAverage, dropout('fc', rate), linear('fc', classes, { deviation: 0.01 }))
}
