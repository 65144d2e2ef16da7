// Inception-v4 (Szegedy et al. 2016; US11062181B2) with the names of timm: `features.0` to `features.21`.
import type { ImageNetworkOptions } from './image-network.ts'
import { one, SMALL_BELOW, withHead } from './inception-v3.ts'
import {
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
import type { NetworkTable } from './network-of.ts'

const pool = maxPool({ kernel: 3, stride: 2 })
const across = { kernel: [1, 7], pad: 'same' } as const
const down = { kernel: [7, 1], pad: 'same' } as const
const same = { kernel: 3, pad: 'same' } as const
const halved = { kernel: 3, stride: 2 } as const

/** Layers of one branch: `branch1.0`, `branch1.1`, ... */
function branch(name: string, ...layers: readonly ((name: string) => Layer)[]): Layer {
  return named(name, stack(...layers.map((layer, index) => layer(`${index}`))))
}

type ConvOptions = Parameters<typeof conv>[2]
const of =
  (channels: number, options: ConvOptions = {}) =>
  (name: string): Layer =>
    conv(name, channels, options)

// timm leaves the padding out of the averages.
const pooled = (channels: number): Layer =>
  named('branch3', averagePoolingStack('1', channels, { countsPadding: false }))

export function inceptionV4(options: ImageNetworkOptions): NetworkTable {
  const filled = { auxiliary: false, dropout: 0.2, ...options }
  const rows: readonly Layer[] = [
    ...stem(filled.size),
    ...new Array<Layer>(4).fill(moduleA), //  384 x 35 x 35
    reductionA, //                            1024 x 17 x 17
    ...new Array<Layer>(7).fill(moduleB), //  1024 x 17 x 17
    reductionB, //                            1536 x 8 x 8
    ...new Array<Layer>(3).fill(moduleC), //  1536 x 8 x 8
  ]
  const named = rows.map((layer, index) => one(`features.${index}`, layer))
  const stemRows = named.slice(0, STEM_ROWS).flatMap(({ modules }) => modules)
  const [last] = named.slice(-1)
  return {
    options: filled,
    style: { isNormalised: true },
    subnetworks: [
      { name: 'stem', modules: stemRows }, // 384 x 35 x 35
      ...named.slice(STEM_ROWS, -1),
      ...(last ? [withHead(last, head(filled))] : []),
    ],
  }
}

const STEM_ROWS = 6

function head({ classes, dropout: rate }: Required<ImageNetworkOptions>): Layer {
  const last = linear('last_linear', classes, { deviation: 0.01 })
  return stack(globalAverage, dropout('last_linear', rate), last)
}

/** Shapes for images of 299 x 299. */
function stem(size: number): readonly Layer[] {
  const isSmall = size < SMALL_BELOW
  const pad = isSmall ? 'same' : 'valid'
  // A small image is halved once, by the last layer.
  const keeping = { kernel: 3, pad: 'same' } as const
  const thinning = isSmall ? maxPool({ kernel: 3, stride: 1, pad: 1 }) : pool
  return [
    bare(32, isSmall ? keeping : halved), //          32 x 149 x 149
    bare(32, { kernel: 3, pad }), //                  32 x 147 x 147
    bare(64, same), //                                64 x 147 x 147
    concat(thinning, conv('conv', 96, isSmall ? keeping : halved)), // 160 x 73 x 73
    concat(
      branch('branch0', of(64), of(96, { kernel: 3, pad })),
      branch('branch1', of(64), of(64, across), of(64, down), of(96, { kernel: 3, pad })),
    ), //                                             192 x 71 x 71
    concat(conv('conv', 192, halved), pool), //       384 x 35 x 35
  ]
}

/** A convolution that is a feature by itself: `features.0.conv.weight`. */
function bare(channels: number, options: ConvOptions): Layer {
  return (context, x) =>
    // Its name is the feature's, whose trailing dot the convolution writes itself.
    conv(context.prefix.slice(0, -1), channels, options)({ ...context, prefix: '' }, x)
}

const moduleA: Layer = concat(
  conv('branch0', 96),
  branch('branch1', of(64), of(96, same)),
  branch('branch2', of(64), of(96, same), of(96, same)),
  pooled(96),
)

const reductionA: Layer = concat(
  conv('branch0', 384, halved),
  branch('branch1', of(192), of(224, same), of(256, halved)),
  pool,
)

const moduleB: Layer = concat(
  conv('branch0', 384),
  branch('branch1', of(192), of(224, across), of(256, down)),
  branch('branch2', of(192), of(192, down), of(224, across), of(224, down), of(256, across)),
  pooled(128),
)

const reductionB: Layer = concat(
  branch('branch0', of(192), of(192, halved)),
  branch('branch1', of(256), of(256, across), of(320, down), of(320, halved)),
  pool,
)

const moduleC: Layer = concat(
  conv('branch0', 256),
  stack(passThrough('branch1_0', 384), sideBySide('branch1_1a', 'branch1_1b')),
  stack(
    passThrough('branch2_0', 384),
    conv('branch2_1', 448, { kernel: [3, 1], pad: 'same' }),
    conv('branch2_2', 512, { kernel: [1, 3], pad: 'same' }),
    sideBySide('branch2_3a', 'branch2_3b'),
  ),
  pooled(256),
)

function sideBySide(first: string, second: string): Layer {
  return concat(
    conv(first, 256, { kernel: [1, 3], pad: 'same' }),
    conv(second, 256, { kernel: [3, 1], pad: 'same' }),
  )
}
