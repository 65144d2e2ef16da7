// GoogLeNet (Szegedy et al. 2014, table 1) in three builds: the paper's (5 x 5 branches, biases, local
// response normalisation), torchvision's (batch normalisation, 3 x 3 in the place of 5 x 5, weights by its
// names), and a small one for small images.
import type { ImageNetworkOptions } from './image-network.ts'
import {
  adaptiveAverage,
  averagePool,
  concat,
  conv,
  dropout,
  flat,
  globalAverage,
  type Layer,
  linear,
  localResponse,
  maxPool,
  maxPoolingStack,
  named,
  passThrough,
  relu,
  stack,
} from './layers.ts'
import type { ModuleRow, NetworkTable, SubnetworkRow } from './network-of.ts'

/** Channels of a module: #1x1, #3x3 reduce and #3x3, #5x5 reduce and #5x5, pool projection. */
interface InceptionRow {
  readonly name: string
  readonly c1: number
  readonly c3: readonly [reduce: number, channels: number]
  readonly c5: readonly [reduce: number, channels: number]
  readonly pool: number
  /** What follows before the next module. */
  readonly next?: 'pool3' | 'pool2'
  readonly auxiliary?: 'aux1' | 'aux2'
}

// Shapes for images of 224 x 224.
const rows: readonly InceptionRow[] = [
  { name: '3a', c1: 64, c3: [96, 128], c5: [16, 32], pool: 32 }, //                        256 x 28 x 28
  { name: '3b', c1: 128, c3: [128, 192], c5: [32, 96], pool: 64, next: 'pool3' }, //       480 x 14 x 14
  { name: '4a', c1: 192, c3: [96, 208], c5: [16, 48], pool: 64, auxiliary: 'aux1' }, //    512 x 14 x 14
  { name: '4b', c1: 160, c3: [112, 224], c5: [24, 64], pool: 64 }, //                      512 x 14 x 14
  { name: '4c', c1: 128, c3: [128, 256], c5: [24, 64], pool: 64 }, //                      512 x 14 x 14
  { name: '4d', c1: 112, c3: [144, 288], c5: [32, 64], pool: 64, auxiliary: 'aux2' }, //   528 x 14 x 14
  { name: '4e', c1: 256, c3: [160, 320], c5: [32, 128], pool: 128, next: 'pool2' }, //     832 x 7 x 7
  { name: '5a', c1: 256, c3: [160, 320], c5: [32, 128], pool: 128 }, //                    832 x 7 x 7
  { name: '5b', c1: 384, c3: [192, 384], c5: [48, 128], pool: 128 }, //                    1024 x 7 x 7
]

/** Below it the first convolution keeps the extent, and only one pool follows. */
const SMALL_BELOW = 64

export function googlenet(options: ImageNetworkOptions): NetworkTable {
  const isPaper = options.network === 'googlenet'
  const filled = { auxiliary: true, dropout: isPaper ? 0.4 : 0.2, ...options }
  return {
    options: filled,
    style: { isNormalised: !isPaper },
    subnetworks: [
      { name: 'stem', modules: stem(options) },
      ...rows.map((row, index) =>
        subnetworkOf(row, {
          ...filled,
          kernel: isPaper ? 5 : 3,
          isLast: index === rows.length - 1,
        }),
      ),
    ],
  }
}

function stem({ network, size }: ImageNetworkOptions): ModuleRow[] {
  const pool = maxPool({ kernel: 3, stride: 2, ceil: true })
  const isSmall = size < SMALL_BELOW
  const normalise = network === 'googlenet' ? localResponse : stack()
  // Weights keep their shapes, so that a checkpoint fits images of any size.
  const first = conv('conv1', 64, { kernel: 7, stride: isSmall ? 1 : 2, pad: 'same' })
  return [
    { name: 'conv1', layer: first }, //                                       64 x 112 x 112
    { name: 'pool1', layer: stack(pool, normalise) }, //                      64 x 56 x 56
    { name: 'conv2', layer: passThrough('conv2', 64) }, //                    64 x 56 x 56
    { name: 'conv3', layer: conv('conv3', 192, { kernel: 3, pad: 'same' }) }, // 192 x 56 x 56
    { name: 'pool2', layer: isSmall ? normalise : stack(normalise, pool) }, // 192 x 28 x 28
  ]
}

function subnetworkOf(
  { name, next, auxiliary, ...row }: InceptionRow,
  options: Required<ImageNetworkOptions> & { readonly kernel: 3 | 5; readonly isLast: boolean },
): SubnetworkRow {
  const { classes, kernel, isLast, network } = options
  const module = `inception${name}`
  const modules: ModuleRow[] = [{ name: module, layer: named(module, inception(row, kernel)) }]
  // torchvision pools 2 x 2 before 5a, the paper 3 x 3.
  if (next) modules.push({ name: `pool${name}`, layer: poolAfter(next, network) })
  if (isLast) modules.push({ name: 'head', layer: head(options) })
  const layer = auxiliary && named(auxiliary, auxiliaryHead(auxiliary, { classes, network }))
  return { name: module, modules, ...(layer && { auxiliary: { after: module, layer } }) }
}

function poolAfter(next: 'pool3' | 'pool2', network: string): Layer {
  const kernel = next === 'pool2' && network !== 'googlenet' ? 2 : 3
  return maxPool({ kernel, stride: 2, ceil: true })
}

function inception(
  { c1, c3, c5, pool }: Pick<InceptionRow, 'c1' | 'c3' | 'c5' | 'pool'>,
  kernel: 3 | 5,
): Layer {
  return concat(
    passThrough('branch1', c1),
    named('branch2', stack(passThrough('0', c3[0]), conv('1', c3[1], { kernel: 3, pad: 'same' }))),
    named('branch3', stack(passThrough('0', c5[0]), conv('1', c5[1], { kernel, pad: 'same' }))),
    named('branch4', maxPoolingStack('1', pool)),
  )
}

function head({ classes, dropout: rate }: Required<ImageNetworkOptions>): Layer {
  return stack(globalAverage, dropout('fc', rate), linear('fc', classes, { deviation: 0.01 }))
}

/** Small images leave less than 5 x 5. */
const averagesOfFive: Layer = (context, x) => {
  const kernel = Math.min(5, Number(x.shape[2]))
  return averagePool({ kernel, stride: 3, countsPadding: false })(context, x)
}

/** torchvision pools to 4 x 4 whatever comes, the paper 5 x 5 with stride 3. */
function auxiliaryHead(
  name: string,
  { classes, network }: Pick<ImageNetworkOptions, 'classes' | 'network'>,
): Layer {
  const pool = network === 'googlenet' ? averagesOfFive : adaptiveAverage(4)
  return stack(
    pool,
    passThrough('conv', 128),
    flat,
    linear('fc1', 1024, { deviation: 0.01 }),
    relu,
    dropout(name, 0.7),
    linear('fc2', classes, { deviation: 0.01 }),
  )
}

/** Widths of the small network: a quarter, rounded to multiples of 8 (half to even), at least 8. */
function quarter(channels: number): number {
  const eighths = channels / 32
  const isHalf = eighths % 1 === 0.5
  const rounded = isHalf ? 2 * Math.round(eighths / 2) : Math.round(eighths)
  return 8 * Math.max(1, rounded)
}

/** Six of the nine modules, a quarter as wide, behind two convolutions: for images of 32 x 32. */
export function googlenetSmall(options: ImageNetworkOptions): NetworkTable {
  const filled = { dropout: 0, ...options, auxiliary: false }
  const pool = maxPool({ kernel: 3, stride: 2, pad: 1 })
  // Shapes for images of 32 x 32.
  const chosen = [
    { name: '3a' }, //              64 x 16 x 16
    { name: '3b', next: pool }, //  120 x 8 x 8
    { name: '4a' }, //              136 x 8 x 8
    { name: '4c' }, //              128 x 8 x 8
    { name: '4e', next: pool }, //  208 x 4 x 4
    { name: '5b' }, //              256 x 4 x 4
  ]
  return {
    options: filled,
    style: { isNormalised: true },
    subnetworks: [
      {
        name: 'stem',
        modules: [
          { name: 'conv1', layer: conv('conv1', 32, { kernel: 3, pad: 'same' }) }, // 32 x 32 x 32
          { name: 'pool1', layer: pool }, //                                          32 x 16 x 16
          { name: 'conv2', layer: conv('conv2', 48, { kernel: 3, pad: 'same' }) }, // 48 x 16 x 16
        ],
      },
      ...chosen.map(({ name, next }, index): SubnetworkRow => {
        const row = rows.find((each) => each.name === name)
        const module = `inception${name}`
        const layer = named(module, row ? inception(narrowed(row), 3) : stack())
        const modules: ModuleRow[] = [{ name: module, layer }]
        if (next) modules.push({ name: `pool${name}`, layer: next })
        if (index === chosen.length - 1) modules.push({ name: 'head', layer: head(filled) })
        return { name: module, modules }
      }),
    ],
  }
}

function narrowed({ c1, c3, c5, pool }: InceptionRow) {
  return {
    c1: quarter(c1),
    c3: [quarter(c3[0]), quarter(c3[1])],
    c5: [quarter(c5[0]), quarter(c5[1])],
    pool: quarter(pool),
  } as const
}
