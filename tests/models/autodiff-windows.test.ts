// Gradients of convolutions, pools and normalisations against central differences.
import { describe, expect, test } from 'bun:test'
import { backward } from '../../models/autodiff/backward.ts'
import { convolutionRules } from '../../models/autodiff/rules/convolution.ts'
import { normalisationRules } from '../../models/autodiff/rules/normalisation.ts'
import { poolingRules } from '../../models/autodiff/rules/pooling.ts'
import { graphBuilder } from '../../models/builder.ts'
import { type Attributes, float, integer, integers } from '../../models/graph.ts'
import { openSession } from '../../models/session.ts'
import { checkGradient, type GradientCase } from './gradient-check.ts'
import { type Random, randomFor } from '../../protocol/random.ts'
import { elementCount, float32View, tensorOf } from '../../protocol/tensor.ts'

const text = (value: string) => ({ type: 'text', value }) as const

const conv = (
  what: string,
  shapes: GradientCase['shapes'],
  attributes: Attributes = {},
): GradientCase => ({
  op: 'Conv',
  what,
  shapes,
  attributes,
})
const transposed = (
  what: string,
  shapes: GradientCase['shapes'],
  attributes: Attributes = {},
): GradientCase => ({
  op: 'ConvTranspose',
  what,
  shapes,
  attributes,
})
/** Elements far enough apart that a difference never changes which is the greatest. */
const distinct = (random: Random, index: number) =>
  ((index * 7919) % 211) / 10 + 0.02 * random.next()
const pool = (op: string, what: string, attributes: Attributes = {}): GradientCase => ({
  op,
  what,
  shapes: [[2, 3, 7, 6]],
  attributes,
  draw: distinct,
})
const three = integers([3, 3])
const pads = integers([1, 1, 1, 1])
const strides = integers([2, 2])

const norm = (what: string, training: boolean, momentum = 0): GradientCase => ({
  op: 'BatchNormalization',
  what,
  shapes: training ? [[3, 2, 3, 2], [2], [2]] : [[3, 2, 3, 2], [2], [2], [2], [2]],
  attributes: {
    epsilon: float(1e-3),
    ...(training && { training_mode: integer(1), momentum: float(momentum) }),
  },
  apply(b, inputs, attributes) {
    if (!training) return b.node('BatchNormalization', inputs, { attributes })
    const zeros = b.initializer('zeros', tensorOf(new Float32Array(2)))
    const ones = b.initializer('ones', tensorOf(new Float32Array(2).fill(1)))
    const [y] = b.nodes('BatchNormalization', [...inputs, zeros, ones], { attributes, outputs: 3 })
    return y!
  },
  // Variances are positive; so are scales here.
  draw: (random) => 0.5 + random.next(),
})

const cases: readonly GradientCase[] = [
  conv('3x3, padded, with a bias', [[2, 3, 5, 4], [4, 3, 3, 3], [4]], { pads }),
  conv('1x1', [
    [2, 3, 3, 4],
    [5, 3, 1, 1],
  ]),
  conv(
    'a stride that does not reach the end',
    [
      [2, 2, 6, 7],
      [3, 2, 3, 3],
    ],
    { strides },
  ),
  conv(
    '7x7 with stride and padding',
    [
      [1, 2, 9, 9],
      [2, 2, 7, 7],
    ],
    {
      strides,
      pads: integers([3, 3, 3, 3]),
    },
  ),
  conv(
    '1x7, padded',
    [
      [2, 2, 3, 8],
      [2, 2, 1, 7],
    ],
    { pads: integers([0, 3, 0, 3]) },
  ),
  conv(
    'dilated, uneven padding',
    [
      [1, 2, 7, 6],
      [2, 2, 3, 2],
    ],
    {
      dilations: integers([2, 3]),
      pads: integers([1, 0, 2, 3]),
    },
  ),
  conv(
    'two groups, strided',
    [
      [2, 4, 5, 5],
      [6, 2, 3, 3],
    ],
    { group: integer(2), strides, pads },
  ),
  conv(
    'depthwise',
    [
      [2, 3, 4, 5],
      [3, 1, 3, 3],
    ],
    { group: integer(3), pads },
  ),
  conv(
    'many channels, padded',
    [
      [2, 8, 5, 4],
      [3, 8, 3, 3],
    ],
    { pads },
  ),
  conv(
    'many channels, strided',
    [
      [2, 9, 6, 7],
      [3, 9, 3, 3],
    ],
    { strides },
  ),
  conv(
    'many channels, 1x1 with a stride',
    [
      [2, 8, 5, 4],
      [3, 8, 1, 1],
    ],
    { strides },
  ),
  conv(
    'many channels, 1x7',
    [
      [2, 8, 3, 8],
      [2, 8, 1, 7],
    ],
    { pads: integers([0, 3, 0, 3]) },
  ),
  conv(
    'many channels, dilated',
    [
      [1, 8, 7, 6],
      [2, 8, 3, 2],
    ],
    {
      dilations: integers([2, 3]),
      pads: integers([1, 0, 2, 3]),
    },
  ),
  conv(
    'one axis',
    [
      [2, 3, 8],
      [4, 3, 3],
    ],
    { strides: integers([2]), pads: integers([1, 1]) },
  ),
  conv('three axes', [
    [1, 2, 3, 4, 3],
    [2, 2, 2, 2, 2],
  ]),
  conv(
    'SAME_UPPER with a stride',
    [
      [1, 2, 5, 6],
      [2, 2, 3, 3],
    ],
    {
      auto_pad: text('SAME_UPPER'),
      strides,
    },
  ),
  conv(
    'SAME_LOWER, even kernel',
    [
      [1, 2, 5, 6],
      [2, 2, 2, 2],
    ],
    { auto_pad: text('SAME_LOWER') },
  ),
  transposed('stride and output padding, with a bias', [[2, 3, 3, 4], [3, 2, 3, 3], [2]], {
    strides,
    pads,
    output_padding: integers([1, 0]),
  }),
  transposed(
    'two groups, dilated',
    [
      [1, 4, 3, 3],
      [4, 2, 2, 2],
    ],
    {
      group: integer(2),
      dilations: integers([2, 1]),
    },
  ),
  pool('MaxPool', '3x3, stride 1, padded', { kernel_shape: three, pads }),
  pool('MaxPool', '3x3, stride 2, ceil', { kernel_shape: three, strides, ceil_mode: integer(1) }),
  pool('MaxPool', '3x3, stride 2, padded', { kernel_shape: three, strides, pads }),
  pool('MaxPool', '2x3, dilated', {
    kernel_shape: integers([2, 3]),
    dilations: integers([2, 1]),
    pads: integers([1, 0, 0, 1]),
  }),
  pool('MaxPool', '1x1 with a stride', { kernel_shape: integers([1, 1]), strides }),
  pool('MaxPool', '2x2, stride 3', {
    kernel_shape: integers([2, 2]),
    strides: integers([3, 3]),
  }),
  pool('MaxPool', '2x2', { kernel_shape: integers([2, 2]), strides }),
  pool('AveragePool', '3x3, padding not counted', { kernel_shape: three, pads }),
  pool('AveragePool', '3x3, padding counted', {
    kernel_shape: three,
    pads,
    count_include_pad: integer(1),
  }),
  pool('AveragePool', '3x3, stride 2', { kernel_shape: three, strides }),
  pool('AveragePool', '3x3, stride 2, ceil', {
    kernel_shape: three,
    strides,
    ceil_mode: integer(1),
  }),
  pool('AveragePool', '5x5, stride 3', {
    kernel_shape: integers([5, 5]),
    strides: integers([3, 3]),
  }),
  pool('GlobalAveragePool', 'an image'),
  pool('GlobalMaxPool', 'an image'),
  norm('statistics of the minibatch', true),
  norm('statistics of the minibatch, momentum 0.9', true, 0.9),
  norm('given statistics', false),
  {
    op: 'InstanceNormalization',
    what: 'each image by itself',
    shapes: [[2, 3, 3, 4], [3], [3]],
    attributes: { epsilon: float(1e-3) },
  },
  {
    op: 'LayerNormalization',
    what: 'the last axis',
    shapes: [[2, 3, 4], [4], [4]],
    attributes: { epsilon: float(1e-3) },
  },
  {
    op: 'LayerNormalization',
    what: 'two axes, no bias',
    shapes: [
      [2, 3, 4],
      [3, 4],
    ],
    attributes: { axis: integer(1), epsilon: float(1e-3) },
  },
  {
    op: 'LRN',
    what: 'five neighbours',
    shapes: [[2, 7, 2, 2]],
    attributes: { size: integer(5), alpha: float(0.3), beta: float(0.75), bias: float(1) },
  },
]

describe('the gradient through', () => {
  for (const item of cases) {
    test(`${item.op} equals central differences: ${item.what}`, () => checkGradient(item))
  }

  test('MaxPool goes to the first of equal maxima, row by row, as the Indices of the operator say', async () => {
    const random = randomFor('ties')
    const shape = [2, 3, 7, 6]
    // Few values: most windows have several maxima, as behind another pool.
    const x = Float32Array.from({ length: elementCount(shape) }, () => random.below(3))
    const poolings: readonly Attributes[] = [
      { kernel_shape: three, pads },
      { kernel_shape: three, strides, pads },
      { kernel_shape: three, strides, ceil_mode: integer(1) },
      { kernel_shape: integers([2, 2]), strides },
      { kernel_shape: integers([3, 2]), dilations: integers([1, 2]) },
    ]
    for (const attributes of poolings) {
      const b = graphBuilder('ties')
      const [y, indices] = b.nodes('MaxPool', [b.input('x', shape)], { attributes, outputs: 2 })
      const graph = b.build([y!, indices!])
      const count = elementCount(y!.shape as readonly number[])
      const outer = Float32Array.from({ length: count }, random.normal)
      const session = await openSession(backward(graph, y!.name, ['x'], { seed: 'outer' }), {
        threads: 1,
      })
      const got = await session.run({
        x: tensorOf(x, shape),
        outer: tensorOf(outer, y!.shape as readonly number[]),
      })
      const expected = new Float32Array(x.length)
      const chosen = got[indices!.name]!.bytes.slice()
      new BigInt64Array(chosen.buffer).forEach((at, index) => {
        expected[Number(at)]! += outer[index]!
      })
      float32View(got['gradient/x']!).forEach((value, at) => {
        expect(value).toBeCloseTo(expected[at]!, 5)
      })
    }
  })

  test('every rule for windows and normalisations is among these cases', () => {
    const rules = { ...convolutionRules, ...poolingRules, ...normalisationRules }
    const tried = new Set(cases.map(({ op }) => op))
    expect(Object.keys(rules).filter((op) => !tried.has(op))).toEqual([])
  })
})
