// Further operators for the comparison with central differences, as data.
import type { Builder, Handle } from '../../models/builder.ts'
import { type Attribute, type Attributes, float, integer, integers } from '../../models/graph.ts'
import type { Random } from '../../protocol/random.ts'

export interface MoreCase {
  readonly op: string
  readonly what: string
  readonly shapes: readonly (readonly number[])[]
  readonly apply: (b: Builder, inputs: readonly Handle[]) => Handle
  readonly draw?: (random: Random) => number
}

type Draw = (random: Random) => number

const text = (value: string): Attribute => ({ type: 'text', value })
const between =
  (low: number, high: number): Draw =>
  (random) =>
    low + (high - low) * random.next()
const normal: Draw = (random) => random.normal()
/** Away from 0 and from the halves and wholes, where something is bent or jumps. */
const smooth: Draw = (random) =>
  (random.below(2) * 2 - 1) * (random.below(2) + 0.1 + 0.3 * random.next())
/** No two of a few draws are within a step of each other but by bad luck that the seed excludes. */
const spread: Draw = (random) => random.below(1000) / 20 - 25 + 0.001 * random.next()

const one = (
  op: string,
  draw: Draw = normal,
  attributes: Attributes = {},
  shape: readonly number[] = [3, 4],
): MoreCase => ({
  op,
  what: `${shape.join('x')} ${Object.keys(attributes).join(' ')}`,
  shapes: [shape],
  apply: (b, [x]) => b.node(op, [x], { attributes }),
  draw,
})

const several = (
  op: string,
  shapes: MoreCase['shapes'],
  draw = normal,
  attributes = {},
): MoreCase => ({
  op,
  what: `${shapes.map((shape) => shape.join('x')).join(' and ')}`,
  shapes,
  apply: (b, inputs) => b.node(op, inputs, { attributes }),
  draw,
})

/** Further inputs are integers. */
const withIntegers = (
  op: string,
  what: string,
  shapes: MoreCase['shapes'],
  given: readonly (readonly number[] | undefined)[],
  attributes: Attributes = {},
  draw = normal,
): MoreCase => ({
  op,
  what,
  shapes,
  apply: (b, inputs) =>
    b.node(op, [...inputs, ...given.map((values) => values && b.integers(values))], { attributes }),
  draw,
})

const reducing =
  'ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare'
const reductions = reducing.split(' ').flatMap((op) => {
  const draw = op === 'ReduceLogSum' ? between(0.5, 2) : /Max|Min/.test(op) ? spread : smooth
  return [
    one(op, draw, { keepdims: integer(0) }, [2, 3, 2]),
    one(op, draw, { axes: integers([-1, 0]) }, [2, 3, 2]),
    one(op, draw, { axes: integers([1]), keepdims: integer(0) }, [2, 3, 2]),
  ]
})

const einsums: readonly (readonly [string, MoreCase['shapes']])[] = [
  [
    'ij,jk->ik',
    [
      [2, 3],
      [3, 4],
    ],
  ],
  [
    'bhqd,bhkd->bhqk',
    [
      [2, 2, 3, 2],
      [2, 2, 2, 2],
    ],
  ],
  ['ij->j', [[2, 3]]],
  ['i,j->ij', [[2], [3]]],
  [
    '...ij,jk->...ik',
    [
      [2, 2, 3],
      [3, 2],
    ],
  ],
  [
    'ij,ik,il->jkl',
    [
      [2, 2],
      [2, 3],
      [2, 2],
    ],
  ],
]

/** Recurrent layers: steps 3, batch 2, inputs 2, hidden 2. */
const recurrent = (
  op: string,
  gates: number,
  direction: string,
  attributes: Attributes = {},
): MoreCase => {
  const ways = direction === 'bidirectional' ? 2 : 1
  const states = op === 'LSTM' ? 2 : 1
  return {
    op,
    what: `${direction} ${Object.keys(attributes)}`,
    shapes: [
      [3, 2, 2],
      [ways, gates * 2, 2],
      [ways, gates * 2, 2],
      [ways, gates * 4],
      ...new Array<number[]>(states).fill([ways, 2, 2]),
    ],
    apply: (b, [x, w, r, bias, h, c]) => {
      const [y, last] = b.nodes(op, [x, w, r, bias, undefined, h, c].slice(0, 5 + states), {
        attributes: { hidden_size: integer(2), direction: text(direction), ...attributes },
        outputs: 2,
      })
      return b.node('Add', [y, last])
    },
  }
}

const lowered: readonly MoreCase[] = [
  recurrent('LSTM', 4, 'forward'),
  recurrent('LSTM', 4, 'bidirectional'),
  recurrent('GRU', 3, 'reverse'),
  recurrent('GRU', 3, 'bidirectional', { linear_before_reset: integer(1) }),
  recurrent('RNN', 1, 'forward'),
  ...['mean', 'sum', 'none'].map(
    (reduction): MoreCase => ({
      op: 'SoftmaxCrossEntropyLoss',
      what: reduction,
      shapes: [[3, 4], [4]],
      apply: (b, [scores, weights]) =>
        b.node('SoftmaxCrossEntropyLoss', [scores, b.integers([1, -1, 3]), weights], {
          attributes: { ignore_index: integer(-1), reduction: text(reduction) },
        }),
      draw: between(0.5, 2),
    }),
  ),
  {
    op: 'NegativeLogLikelihoodLoss',
    what: 'an axis behind the classes',
    shapes: [[2, 3, 2]],
    apply: (b, [chances]) =>
      b.node('NegativeLogLikelihoodLoss', [chances, b.integers([0, 2, 1, 1], [2, 2])]),
  },
]

export const moreCases: readonly MoreCase[] = [
  ...'Erf Sin Cos Atan Sinh Cosh Asinh Softplus'.split(' ').map((op) => one(op)),
  one('Reciprocal', between(0.5, 2)),
  one('Tan', between(-1, 1)),
  ...['Asin', 'Acos', 'Atanh'].map((op) => one(op, between(-0.8, 0.8))),
  one('Acosh', between(1.5, 3)),
  ...'Floor Ceil Round Sign LeakyRelu Elu Selu Celu Softsign ThresholdedRelu Shrink'
    .split(' ')
    .map((op) => one(op, smooth)),
  ...['LeakyRelu', 'Elu', 'Celu'].map((op) => one(op, smooth, { alpha: float(0.7) })),
  one('ThresholdedRelu', smooth, { alpha: float(0.6) }),
  one('HardSigmoid', (random) => 4 * smooth(random)),
  one('HardSwish', (random) => 4 * smooth(random)),
  one('Cast', normal, { to: integer(1) }),
  one('Dropout'),
  several('PRelu', [[3, 4], [4]], smooth),
  several(
    'PRelu',
    [
      [2, 3, 2],
      [3, 1],
    ],
    smooth,
  ),
  ...['Max', 'Min'].map((op) => several(op, [[3, 4], [4], []], spread)),
  ...['Sum', 'Mean'].map((op) => several(op, [[3, 4], [4], [3, 1]])),
  several('Mod', [[3, 4], [4]], between(1.1, 1.9), { fmod: integer(1) }),
  {
    op: 'Where',
    what: 'both sides broadcast',
    shapes: [[3, 1], [4]],
    apply: (b, inputs) =>
      b.node('Where', [
        b.node('Greater', [b.constant([1, -1, 1], [3, 1]), b.constant([0, 0, 2, -2], [4])]),
        ...inputs,
      ]),
  },
  ...[0, 1].flatMap((exclusive) =>
    [0, 1].map(
      (reverse): MoreCase => ({
        op: 'CumSum',
        what: `exclusive ${exclusive}, reverse ${reverse}`,
        shapes: [[3, 4]],
        apply: (b, [x]) =>
          b.node('CumSum', [x, b.integers([1], [])], {
            attributes: { exclusive: integer(exclusive), reverse: integer(reverse) },
          }),
      }),
    ),
  ),
  ...reductions,
  {
    op: 'ReduceProd',
    what: 'zeros among the factors',
    shapes: [[2, 3]],
    apply: (b, [x]) =>
      b.node('ReduceProd', [b.node('Mul', [x, b.constant([0, 1, 1, 0, 0, 1], [2, 3])])], {
        attributes: { axes: integers([1]) },
      }),
  },
  ...einsums.map(
    ([equation, shapes]): MoreCase => ({
      ...several('Einsum', shapes, normal, { equation: text(equation) }),
      what: equation,
    }),
  ),
  several('MatMul', [[3], [3, 2]]),
  several('MatMul', [[2, 2, 3], [3]]),
  several('MatMul', [[3], [3]]),
  several('MatMul', [[3], [2, 3, 2]]),
  one('Flatten', normal, { axis: integer(2) }, [2, 3, 2]),
  withIntegers('Squeeze', 'an axis', [[2, 1, 3]], [[1]]),
  withIntegers('Unsqueeze', 'two axes', [[2, 3]], [[0, -1]]),
  withIntegers('Expand', 'inner and outer axes', [[3, 1]], [[2, 3, 4]]),
  withIntegers('Tile', 'two axes', [[2, 3]], [[2, 3]]),
  {
    op: 'Split',
    what: 'one part unused',
    shapes: [[2, 5]],
    apply: (b, [x]) => {
      const [first, , third] = b.nodes('Split', [x, b.integers([1, 2, 2])], {
        attributes: { axis: integer(1) },
        outputs: 3,
      })
      return b.node('Mul', [first, third])
    },
  },
  withIntegers('Pad', 'constant, and cropped', [[3, 4]], [[1, -1, 0, 2]]),
  withIntegers('Pad', 'reflected', [[3, 4]], [[1, 2, 1, 1]], { mode: text('reflect') }),
  withIntegers('Pad', 'edges repeated', [[3, 4]], [[1, 2, 1, 0]], { mode: text('edge') }),
  ...['DCR', 'CRD'].map((mode) =>
    one('DepthToSpace', normal, { blocksize: integer(2), mode: text(mode) }, [1, 8, 2, 1]),
  ),
  one('SpaceToDepth', normal, { blocksize: integer(2) }, [1, 1, 4, 2]),
  ...[0, 1].map((upper) => ({
    ...withIntegers('Trilu', `upper ${upper}`, [[3, 4]], [], { upper: integer(upper) }),
  })),
  withIntegers('ReverseSequence', 'two lengths', [[3, 2]], [[2, 3]]),
  {
    op: 'GatherND',
    what: 'rows and elements',
    shapes: [[3, 2]],
    apply: (b, [x]) => b.node('GatherND', [x, b.integers([0, 1, 2, 0, 0, 1], [3, 2])]),
  },
  ...['none', 'add'].flatMap((reduction): MoreCase[] => [
    {
      op: 'ScatterElements',
      what: reduction,
      shapes: [
        [3, 2],
        [2, 2],
      ],
      apply: (b, [x, updates]) =>
        b.node('ScatterElements', [x, b.integers([0, 2, 2, 1], [2, 2]), updates], {
          attributes: { axis: integer(0), reduction: text(reduction) },
        }),
    },
    {
      op: 'ScatterND',
      what: reduction,
      shapes: [
        [3, 2],
        [2, 2],
      ],
      apply: (b, [x, updates]) =>
        b.node('ScatterND', [x, b.integers([2, 0], [2, 1]), updates], {
          attributes: { reduction: text(reduction) },
        }),
    },
  ]),
  {
    op: 'TopK',
    what: 'the largest two',
    shapes: [[2, 4]],
    apply: (b, [x]) => {
      const [largest] = b.nodes('TopK', [x, b.integers([2])], { outputs: 2 })
      return b.node('Identity', [largest])
    },
    draw: spread,
  },
  several('LayerNormalization', [[2, 3, 4], [4], [4]]),
  several(
    'LayerNormalization',
    [
      [2, 3, 2],
      [3, 2],
    ],
    normal,
    { axis: integer(1) },
  ),
  ...['nearest', 'linear', 'cubic'].map(
    (mode): MoreCase => ({
      op: 'Resize',
      what: `${mode}, scales`,
      shapes: [[1, 2, 3, 2]],
      apply: (b, [x]) =>
        b.node('Resize', [x, undefined, b.constant([1, 1, 2, 2.5], [4])], {
          attributes: { mode: text(mode) },
        }),
    }),
  ),
  {
    op: 'Resize',
    what: 'linear, sizes, corners aligned',
    shapes: [[1, 1, 4, 3]],
    apply: (b, [x]) =>
      b.node('Resize', [x, undefined, undefined, b.integers([1, 1, 3, 5])], {
        attributes: {
          mode: text('linear'),
          coordinate_transformation_mode: text('align_corners'),
        },
      }),
  },
  ...lowered,
]
