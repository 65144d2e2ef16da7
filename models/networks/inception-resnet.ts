// Inception-ResNet (Szegedy et al. 2016): v1 as the paper has it, v2 as it was released (slim, timm), with
// the stem of Inception-v3. Residuals are scaled down, or wide networks die early in training.
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
  residualScale,
  stack,
} from './layers.ts'
import type { ModuleRow, NetworkTable, SubnetworkRow } from './network-of.ts'

type ConvOptions = NonNullable<Parameters<typeof conv>[2]>
/** Channels, then how the convolution is shaped. */
type BranchRow = readonly (readonly [channels: number, options?: ConvOptions])[]

const pool = maxPool({ kernel: 3, stride: 2 })
const same = { kernel: 3, pad: 'same' } as const
const halved = { kernel: 3, stride: 2 } as const
const line = (height: number, width: number) => ({ kernel: [height, width], pad: 'same' }) as const

/** A branch of one convolution has no number in its names. */
function branch(name: string, row: BranchRow): Layer {
  const [first] = row
  if (row.length === 1 && first) return conv(name, ...first)
  return named(name, stack(...row.map((layer, index) => conv(`${index}`, ...layer))))
}

const branches = (...rows: readonly BranchRow[]): Layer[] =>
  rows.map((row, index) => branch(`branch${index}`, row))

interface Variant {
  readonly stem: (size: number) => ModuleRow[]
  /** Between stem and the first blocks. */
  readonly before: readonly SubnetworkRow[]
  readonly block35: readonly BranchRow[]
  readonly block17: readonly BranchRow[]
  readonly block8: readonly BranchRow[]
  readonly counts: readonly [block35: number, block17: number, block8: number]
  readonly names: readonly [string, string, string]
  readonly reductionA: readonly BranchRow[]
  readonly reductionB: readonly BranchRow[]
  readonly after: readonly SubnetworkRow[]
  readonly head: string
}

// Shapes for images of 299 x 299.
const v2: Variant = {
  stem: (size) => stem(size, []), //                                                   192 x 35 x 35
  before: [
    one(
      'mixed_5b',
      concat(
        ...branches(
          [[96]],
          [[48], [64, { kernel: 5, pad: 'same' }]],
          [[64], [96, same], [96, same]],
        ),
        named('branch3', averagePoolingStack('1', 64, { countsPadding: false })),
      ),
    ), //                                                                              320 x 35 x 35
  ],
  block35: [[[32]], [[32], [32, same]], [[32], [48, same], [64, same]]], //            320 x 35 x 35
  reductionA: [[[384, halved]], [[256], [256, same], [384, halved]]], //               1088 x 17 x 17
  block17: [[[192]], [[128], [160, line(1, 7)], [192, line(7, 1)]]], //                1088 x 17 x 17
  reductionB: [
    [[256], [384, halved]],
    [[256], [288, halved]],
    [[256], [288, same], [320, halved]],
  ], //                                                                                2080 x 8 x 8
  block8: [[[192]], [[192], [224, line(1, 3)], [256, line(3, 1)]]], //                 2080 x 8 x 8
  counts: [10, 20, 9],
  names: ['repeat', 'repeat_1', 'repeat_2'],
  after: [
    one('block8', residual([[[192]], [[192], [224, line(1, 3)], [256, line(3, 1)]]], 1, true)),
    { name: 'conv2d_7b', modules: [{ name: 'conv2d_7b', layer: passThrough('conv2d_7b', 1536) }] },
  ],
  head: 'classif',
}

const v1: Variant = {
  stem: (size) => stem(size, [['conv2d_4b', 256, halved]]), //                         256 x 35 x 35
  before: [],
  block35: [[[32]], [[32], [32, same]], [[32], [32, same], [32, same]]], //            256 x 35 x 35
  reductionA: [[[384, halved]], [[192], [192, same], [256, halved]]], //               896 x 17 x 17
  block17: [[[128]], [[128], [128, line(1, 7)], [128, line(7, 1)]]], //                896 x 17 x 17
  reductionB: [
    [[256], [384, halved]],
    [[256], [256, halved]],
    [[256], [256, same], [256, halved]],
  ], //                                                                                1792 x 8 x 8
  block8: [[[192]], [[192], [192, line(1, 3)], [192, line(3, 1)]]], //                 1792 x 8 x 8
  counts: [5, 10, 5],
  names: ['repeat_1', 'repeat_2', 'repeat_3'],
  after: [],
  head: 'last_linear',
}

/** Of the blocks at 35, 17 and 8. */
const SCALES = [0.17, 0.1, 0.2] as const

export function inceptionResnet(options: ImageNetworkOptions): NetworkTable {
  const filled = { dropout: 0.2, ...options, auxiliary: false }
  const variant = options.network === 'inception-resnet-v1' ? v1 : v2
  const repeated = (at: 0 | 1 | 2, rows: readonly BranchRow[]): SubnetworkRow[] =>
    Array.from({ length: variant.counts[at] }, (_, index) =>
      one(`${variant.names[at]}.${index}`, residual(rows, SCALES[at])),
    )
  const subnetworks = [
    { name: 'stem', modules: variant.stem(filled.size) },
    ...variant.before,
    ...repeated(0, variant.block35),
    one('mixed_6a', concat(...branches(...variant.reductionA), pool)),
    ...repeated(1, variant.block17),
    one('mixed_7a', concat(...branches(...variant.reductionB), pool)),
    ...repeated(2, variant.block8),
    ...variant.after,
  ]
  const last = subnetworks.at(-1)
  return {
    options: filled,
    style: { isNormalised: true },
    subnetworks: [
      ...subnetworks.slice(0, -1),
      ...(last ? [withHead(last, head(variant.head, filled))] : []),
    ],
  }
}

function residual(rows: readonly BranchRow[], scale: number, isLinear = false): Layer {
  return residualScale(concat(...branches(...rows)), { name: 'conv2d', scale, isLinear })
}

function head(name: string, { classes, dropout: rate }: Required<ImageNetworkOptions>): Layer {
  return stack(globalAverage, dropout(name, rate), linear(name, classes, { deviation: 0.01 }))
}

function stem(
  size: number,
  more: readonly (readonly [name: string, channels: number, options: ConvOptions])[],
): ModuleRow[] {
  const isSmall = size < SMALL_BELOW
  const pad = isSmall ? 'same' : 'valid'
  const row = (name: string, channels: number, options: ConvOptions = {}): ModuleRow => ({
    name,
    layer: conv(name, channels, options),
  })
  const thinning = { name: 'maxpool_3a', layer: pool }
  // v1 ends with a strided convolution, v2 with a pool.
  const last = more.length > 0 ? [] : [{ name: 'maxpool_5a', layer: pool }]
  return [
    row('conv2d_1a', 32, isSmall ? same : halved), //  32 x 149 x 149
    row('conv2d_2a', 32, { kernel: 3, pad }), //       32 x 147 x 147
    row('conv2d_2b', 64, same), //                     64 x 147 x 147
    ...(isSmall ? [] : [thinning]), //                 64 x 73 x 73
    row('conv2d_3b', 80), //                           80 x 73 x 73
    row('conv2d_4a', 192, { kernel: 3, pad }), //      192 x 71 x 71
    ...more.map((layer) => row(...layer)),
    ...last,
  ]
}
