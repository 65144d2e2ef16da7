// Gradients of convolutions, pools and normalisations against central differences.
import { describe, expect, test } from 'bun:test'
import { backward } from '../../models/autodiff/backward.ts'
import { convolutionRules } from '../../models/autodiff/rules/convolution.ts'
import { normalisationRules } from '../../models/autodiff/rules/normalisation.ts'
import { poolingRules } from '../../models/autodiff/rules/pooling.ts'
import { type Builder, graphBuilder, type Handle } from '../../models/builder.ts'
import { type Attributes, float, integer, integers } from '../../models/graph.ts'
import { openSession } from '../../models/session.ts'
import { type Random, randomFor } from '../../protocol/random.ts'
import { elementCount, float32View, tensorOf } from '../../protocol/tensor.ts'

interface Case {
  readonly op: string
  readonly what: string
  readonly shapes: readonly (readonly number[])[]
  readonly attributes?: Attributes
  readonly apply?: (b: Builder, inputs: readonly Handle[], attributes: Attributes) => Handle
  readonly draw?: (random: Random, index: number) => number
}

const text = (value: string) => ({ type: 'text', value }) as const

const conv = (what: string, shapes: Case['shapes'], attributes: Attributes = {}): Case => ({
  op: 'Conv',
  what,
  shapes,
  attributes,
})
const transposed = (what: string, shapes: Case['shapes'], attributes: Attributes = {}): Case => ({
  op: 'ConvTranspose',
  what,
  shapes,
  attributes,
})
/** Elements far enough apart that a difference never changes which is the greatest. */
const distinct = (random: Random, index: number) =>
  ((index * 7919) % 211) / 10 + 0.02 * random.next()
const pool = (op: string, what: string, attributes: Attributes = {}): Case => ({
  op,
  what,
  shapes: [[2, 3, 7, 6]],
  attributes,
  draw: distinct,
})
const three = integers([3, 3])
const pads = integers([1, 1, 1, 1])
const strides = integers([2, 2])

const norm = (what: string, training: boolean, momentum = 0): Case => ({
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

const cases: readonly Case[] = [
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
    op: 'LRN',
    what: 'five neighbours',
    shapes: [[2, 7, 2, 2]],
    attributes: { size: integer(5), alpha: float(0.3), beta: float(0.75), bias: float(1) },
  },
]

const STEP = 1e-2
/** Of each input: every element of a small one, a sample of a large one. */
const SAMPLED = 40

describe('the gradient through', () => {
  for (const item of cases) {
    test(`${item.op} equals central differences: ${item.what}`, async () => {
      const random = randomFor('windows', item.op, item.what)
      const { attributes = {}, draw = (r: Random) => r.normal() } = item
      const b = graphBuilder('windows')
      const inputs = item.shapes.map((shape, index) => b.input(`x${index}`, shape))
      const y = (item.apply ?? ((b, given) => b.node(item.op, given, { attributes })))(
        b,
        inputs,
        attributes,
      )
      const shape = y.shape as readonly number[]
      const outer = tensorOf(
        Float32Array.from({ length: elementCount(shape) }, random.normal),
        shape,
      )
      const product = b.node('Mul', [y, b.input('outer', shape)])
      const loss = b.node('ReduceSum', [product], { attributes: { keepdims: integer(0) } })
      const forward = b.build([b.named(loss, 'loss')])
      const names = item.shapes.map((_, index) => `x${index}`)
      const options = { threads: 1 }
      const session = await openSession(backward(forward, 'loss', names), options)
      const lossOnly = await openSession(forward, options)

      const values = item.shapes.map((extents) =>
        Float32Array.from({ length: elementCount(extents) }, (_, index) => draw(random, index)),
      )
      const feeds = (at: readonly Float32Array[]) => ({
        ...Object.fromEntries(at.map((value, i) => [`x${i}`, tensorOf(value, item.shapes[i]!)])),
        outer,
      })
      const lossAt = async (at: readonly Float32Array[]) =>
        float32View((await lossOnly.run(feeds(at))).loss!)[0]!
      const got = await session.run(feeds(values))
      for (const [index, extents] of item.shapes.entries()) {
        const gradient = got[`gradient/x${index}`]!
        expect(gradient.shape).toEqual(extents)
        const all = float32View(gradient)
        for (const i of sample(random, all.length)) {
          const moved = (by: number) =>
            values.map((x, at) => (at === index ? x.with(i, x[i]! + by) : x))
          const [up, down] = [await lossAt(moved(STEP)), await lossAt(moved(-STEP))]
          const difference = (up - down) / (2 * STEP)
          expect(Math.abs(all[i]! - difference)).toBeLessThan(1e-2 * (1 + Math.abs(difference)))
        }
      }
    })
  }

  test('every rule for windows and normalisations is among these cases', () => {
    const rules = { ...convolutionRules, ...poolingRules, ...normalisationRules }
    const tried = new Set(cases.map(({ op }) => op))
    expect(Object.keys(rules).filter((op) => !tried.has(op))).toEqual([])
  })
})

function sample(random: Random, count: number): number[] {
  if (count <= SAMPLED) return Array.from({ length: count }, (_, index) => index)
  return Array.from({ length: SAMPLED }, () => random.below(count))
}
