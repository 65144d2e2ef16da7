// Gradients of the operators that exported models are made of, against central differences.
import { describe, expect, test } from 'bun:test'
import { gradientRules } from '../../models/autodiff/gradient-rules.ts'
import { convolutionRules } from '../../models/autodiff/rules/convolution.ts'
import { normalisationRules } from '../../models/autodiff/rules/normalisation.ts'
import { poolingRules } from '../../models/autodiff/rules/pooling.ts'
import type { Builder, Handle } from '../../models/builder.ts'
import { type Attributes, float, integer, integers } from '../../models/graph.ts'
import type { Random } from '../../protocol/random.ts'
import { cases as firstCases } from './autodiff-first-cases.ts'
import { checkGradient, type GradientCase } from './gradient-check.ts'

const text = (value: string) => ({ type: 'text', value }) as const
const between =
  (low: number, high: number) =>
  (random: Random): number =>
    low + (high - low) * random.next()
/** Away from kinks at whole numbers, which a difference of 0.01 must not straddle. */
const smooth = (random: Random): number => random.below(5) - 3 + 0.1 + 0.8 * random.next()
/** Far enough apart that a difference never changes which is the greatest. */
const distinct = (random: Random, index: number): number =>
  ((index * 37) % 23) / 4 - 2 + 0.1 * random.next()

const of = (
  op: string,
  draw?: GradientCase['draw'],
  attributes: Attributes = {},
): GradientCase => ({
  op,
  what: Object.keys(attributes).join(' ') || 'a matrix',
  shapes: [[3, 4]],
  attributes,
  ...(draw && { draw }),
})

const built = (
  op: string,
  what: string,
  shapes: GradientCase['shapes'],
  apply: (b: Builder, inputs: readonly Handle[]) => Handle,
  draw?: GradientCase['draw'],
): GradientCase => ({ op, what, shapes, apply, ...(draw && { draw }) })

const reduced = (op: string, draw?: GradientCase['draw']): GradientCase[] =>
  [
    { axes: integers([1]), keepdims: integer(0) },
    { axes: integers([0, 2]), keepdims: integer(1) },
    {},
  ].map((attributes, index) => ({
    op,
    what: ['an inner axis', 'outer axes, kept', 'all'][index]!,
    shapes: [[2, 3, 4]],
    attributes,
    ...(draw && { draw }),
  }))

const several = (op: string): GradientCase[] => [
  { op, what: 'three, broadcast', shapes: [[2, 3], [3], [2, 1]] },
]

const int64 = (b: Builder, values: readonly number[], shape: readonly number[]): Handle =>
  b.integers(values, shape)

const cases: readonly GradientCase[] = [
  ...['Reciprocal', 'Acosh'].map((op) => of(op, between(1.5, 3))),
  ...['Asin', 'Acos', 'Atanh'].map((op) => of(op, between(-0.8, 0.8))),
  ...'Erf Sin Cos Atan Sinh Cosh Asinh Softplus Tanh'.split(' ').map((op) => of(op)),
  of('Tan', between(-1, 1)),
  ...'Softsign Elu Selu Celu LeakyRelu'.split(' ').map((op) => of(op, smooth)),
  of('Elu', smooth, { alpha: float(0.7) }),
  of('Celu', smooth, { alpha: float(0.7) }),
  of('LeakyRelu', smooth, { alpha: float(0.2) }),
  of('ThresholdedRelu', smooth, { alpha: float(1) }),
  of('HardSigmoid', smooth, { alpha: float(0.25), beta: float(0.5) }),
  of('HardSwish', smooth),
  ...'Floor Ceil Round Sign'.split(' ').map((op) => of(op, between(0.1, 0.4))),
  ...'Max Min Sum Mean'.split(' ').flatMap(several),
  { op: 'PRelu', what: 'a slope per column', shapes: [[3, 4], [4]], draw: smooth },
  built('Where', 'broadcast', [[2, 3], [3]], (b, [x, y]) => {
    const bytes = Uint8Array.of(1, 0, 1, 0, 0, 1)
    const condition = b.initializer('condition', { dtype: 'bool', shape: [2, 3], bytes })
    return b.node('Where', [condition, x, y], { dtype: 'float32' })
  }),
  built('Dropout', 'at inference', [[3, 4]], (b, [x]) => b.node('Dropout', [x])),
  built('Cast', 'to double and back', [[3, 4]], (b, [x]) => {
    const wide = b.node('Cast', [x], { attributes: { to: integer(11) } })
    return b.node('Cast', [wide], { attributes: { to: integer(1) } })
  }),
  ...['ReduceMax', 'ReduceMin'].flatMap((op) => reduced(op, distinct)),
  ...['ReduceL1'].flatMap((op) => reduced(op, smooth)),
  ...['ReduceL2', 'ReduceSumSquare', 'ReduceLogSumExp'].flatMap((op) => reduced(op)),
  ...['ReduceProd', 'ReduceLogSum'].flatMap((op) => reduced(op, between(0.5, 1.5))),
  built('CumSum', 'along rows', [[3, 4]], (b, [x]) => b.node('CumSum', [x, int64(b, [1], [])])),
  built('CumSum', 'exclusive, from the end', [[3, 4]], (b, [x]) =>
    b.node('CumSum', [x, int64(b, [0], [])], {
      attributes: { exclusive: integer(1), reverse: integer(1) },
    }),
  ),
  of('Flatten', undefined, { axis: integer(1) }),
  built('Squeeze', 'two axes', [[1, 3, 1, 2]], (b, [x]) =>
    b.node('Squeeze', [x, b.integers([0, 2])]),
  ),
  built('Unsqueeze', 'two axes', [[3, 2]], (b, [x]) =>
    b.node('Unsqueeze', [x, b.integers([0, -1])]),
  ),
  built('Expand', 'an inner and an outer axis', [[3, 1]], (b, [x]) =>
    b.node('Expand', [x, b.integers([2, 3, 4])]),
  ),
  built('Tile', 'both axes', [[2, 3]], (b, [x]) => b.node('Tile', [x, b.integers([2, 3])])),
  ...['constant', 'reflect', 'edge'].map((mode) =>
    built('Pad', mode, [[3, 4]], (b, [x]) =>
      b.node('Pad', [x, b.integers([1, 2, 0, 1])], { attributes: { mode: text(mode) } }),
    ),
  ),
  built('Pad', 'cut at one side', [[3, 4]], (b, [x]) =>
    b.node('Pad', [x, b.integers([1, -1, 0, 2])]),
  ),
  built('Trilu', 'upper', [[3, 4]], (b, [x]) => b.node('Trilu', [x])),
  built('Trilu', 'lower, moved', [[3, 4]], (b, [x]) =>
    b.node('Trilu', [x, int64(b, [1], [])], { attributes: { upper: integer(0) } }),
  ),
  built('ReverseSequence', 'of two lengths', [[4, 2]], (b, [x]) =>
    b.node('ReverseSequence', [x, b.integers([4, 2])]),
  ),
  built('GatherND', 'rows and elements', [[3, 4, 2]], (b, [x]) =>
    b.node('GatherND', [x, int64(b, [0, 1, 2, 3, 0, 1], [3, 2])]),
  ),
  ...['none', 'add'].flatMap((reduction) => [
    built(
      'ScatterElements',
      reduction,
      [
        [3, 3],
        [2, 3],
      ],
      (b, [x, updates]) => {
        const indices = int64(b, [0, 1, 2, 2, 0, 1], [2, 3])
        const attributes = reduction === 'none' ? {} : { reduction: text(reduction) }
        return b.node('ScatterElements', [x, indices, updates], { attributes })
      },
    ),
    built(
      'ScatterND',
      reduction,
      [
        [4, 2],
        [2, 2],
      ],
      (b, [x, updates]) => {
        const attributes = reduction === 'none' ? {} : { reduction: text(reduction) }
        return b.node('ScatterND', [x, int64(b, [1, 3], [2, 1]), updates], { attributes })
      },
    ),
  ]),
  ...['DCR', 'CRD'].map((mode) => ({
    op: 'DepthToSpace',
    what: mode,
    shapes: [[2, 8, 2, 3]],
    attributes: { blocksize: integer(2), mode: text(mode) },
  })),
  {
    op: 'SpaceToDepth',
    what: 'blocks of 2',
    shapes: [[2, 2, 4, 6]],
    attributes: { blocksize: integer(2) },
  },
  ...[
    ['nearest', 'asymmetric', 'floor'],
    ['nearest', 'half_pixel', 'round_prefer_floor'],
    ['linear', 'half_pixel', 'round_prefer_floor'],
    ['linear', 'align_corners', 'round_prefer_floor'],
    ['linear', 'pytorch_half_pixel', 'round_prefer_floor'],
  ].flatMap(([mode = '', place = '', near = '']) =>
    [
      [2, 2],
      [1.5, 0.5],
    ].map(([high = 1, wide = 1]) =>
      built('Resize', `${mode} ${place} ${high} x ${wide}`, [[1, 2, 4, 6]], (b, [x]) =>
        b.node('Resize', [x, undefined, b.constant([1, 1, high, wide], [4])], {
          attributes: {
            mode: text(mode),
            coordinate_transformation_mode: text(place),
            nearest_mode: text(near),
          },
        }),
      ),
    ),
  ),
  ...[
    [
      'a product of matrices',
      'ij,jk->ik',
      [
        [2, 3],
        [3, 4],
      ],
    ],
    [
      'attention, batched',
      'bhqd,bhkd->bhqk',
      [
        [2, 2, 3, 4],
        [2, 2, 2, 4],
      ],
    ],
    ['a sum over an axis of one', 'ij,k->i', [[2, 3], [4]]],
    ['a transpose', 'ij->ji', [[2, 3]]],
    [
      'an ellipsis',
      '...i,ij->...j',
      [
        [2, 3, 4],
        [4, 2],
      ],
    ],
    ['three operands', 'a,ab,b->', [[2], [2, 3], [3]]],
  ].map(([what, equation, shapes]) => ({
    op: 'Einsum',
    what: what as string,
    shapes: shapes as number[][],
    attributes: { equation: text(equation as string) },
  })),
  ...['mean', 'sum', 'none'].flatMap((reduction) => [
    built('SoftmaxCrossEntropyLoss', reduction, [[4, 3]], (b, [x]) =>
      b.node('SoftmaxCrossEntropyLoss', [x, b.integers([0, 2, 1, 1])], {
        attributes: { reduction: text(reduction) },
      }),
    ),
    built('NegativeLogLikelihoodLoss', reduction, [[4, 3]], (b, [x]) =>
      b.node('NegativeLogLikelihoodLoss', [x, b.integers([0, 2, 1, 1])], {
        attributes: { reduction: text(reduction) },
      }),
    ),
  ]),
  built('SoftmaxCrossEntropyLoss', 'weighted, one ignored', [[4, 3]], (b, [x]) =>
    b.node(
      'SoftmaxCrossEntropyLoss',
      [x, b.integers([0, -1, 1, 2]), b.constant([0.5, 2, 1], [3])],
      { attributes: { ignore_index: integer(-1) } },
    ),
  ),
  built('SoftmaxCrossEntropyLoss', 'at places', [[2, 3, 2]], (b, [x]) =>
    b.node('SoftmaxCrossEntropyLoss', [x, int64(b, [0, 2, 1, 1], [2, 2])]),
  ),
]

describe('the gradient through', () => {
  for (const item of cases) {
    test(`${item.op} equals central differences: ${item.what}`, () => checkGradient(item))
  }

  test('every operator with a rule is among the cases', () => {
    const elsewhere = { ...convolutionRules, ...poolingRules, ...normalisationRules }
    const tried = new Set([...cases, ...firstCases].map(({ op }) => op))
    const untried = Object.keys(gradientRules).filter((op) => !tried.has(op) && !(op in elsewhere))
    expect(untried).toEqual([])
  })

  test('is known of as many operators as common exported models are made of', () => {
    expect(Object.keys(gradientRules).length).toBeGreaterThanOrEqual(70)
  })
})
