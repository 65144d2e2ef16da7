// Cases of the first operators that had a rule, some with open extents.
import type { Builder, Handle } from '../../models/builder.ts'
import { type Attributes, type Extent, float, integer, integers } from '../../models/graph.ts'
import type { Random } from '../../protocol/random.ts'

export interface Case {
  readonly op: string
  readonly what: string
  /** Shapes of the inputs that are differentiated. */
  readonly shapes: readonly (readonly number[])[]
  /** The same inputs as the graph declares them, where an extent is symbolic. */
  readonly declared?: readonly (readonly Extent[])[]
  readonly apply: (b: Builder, inputs: readonly Handle[]) => Handle
  readonly draw?: (random: Random) => number
}

export const normal = (random: Random) => random.normal()
const positive = (random: Random) => 0.5 + 2 * random.next()
/** Away from the kinks at -0.7, 0 and 0.7, which a difference of 0.01 must not straddle. */
const smooth = (random: Random) =>
  (random.below(2) * 2 - 1) * (random.below(2) * 0.6 + 0.1 + 0.5 * random.next())

const unary = (op: string, draw = normal): Case => ({
  op,
  what: 'a matrix',
  shapes: [[3, 4]],
  apply: (b, [x]) => b.node(op, [x]),
  draw,
})

const binary = (op: string, what: string, shapes: Case['shapes'], draw = normal): Case => ({
  op,
  what,
  shapes,
  apply: (b, [x, y]) => b.node(op, [x, y]),
  draw,
})

const broadcasting: readonly (readonly [string, Case['shapes']])[] = [
  [
    'equal shapes',
    [
      [3, 4],
      [3, 4],
    ],
  ],
  ['a row vector on the right', [[3, 4], [4]]],
  ['a scalar on the left', [[], [3, 4]]],
  [
    'a column and a row',
    [
      [3, 1],
      [1, 4],
    ],
  ],
  [
    'an outer axis and an inner one',
    [
      [2, 3, 4],
      [3, 1],
    ],
  ],
]

const gemm = (what: string, attributes: Attributes, shapes: Case['shapes']): Case => ({
  op: 'Gemm',
  what,
  shapes,
  apply: (b, inputs) => b.node('Gemm', inputs, { attributes }),
})

const scaled = { alpha: float(0.5), beta: float(-2) }
const [A, At, B, Bt, C] = [
  [3, 4],
  [4, 3],
  [4, 2],
  [2, 4],
  [3, 2],
] as const
const turned = (transA: number, transB: number): Attributes => ({
  ...scaled,
  transA: integer(transA),
  transB: integer(transB),
})

/** ReduceSum takes its axes as an input, ReduceMean (before opset 18) as an attribute. */
function reduction(op: string, keepdims: number, axes?: readonly number[]): Case {
  const over = axes ? `axes ${axes}` : 'all axes'
  return {
    op,
    what: `${over}, ${keepdims ? 'kept' : 'dropped'}`,
    shapes: [[2, 3, 4]],
    declared: [['N', 3, 4]],
    apply: (b, [x]) =>
      op === 'ReduceSum'
        ? b.node(op, [x, axes && b.integers(axes)], {
            attributes: { keepdims: integer(keepdims) },
          })
        : b.node(op, [x], {
            attributes: { keepdims: integer(keepdims), ...(axes && { axes: integers(axes) }) },
          }),
  }
}

const alongAxis = (op: string, axis: number): Case => ({
  op,
  what: `axis ${axis}`,
  shapes: [[3, 4, 2]],
  apply: (b, [x]) => b.node(op, [x], { attributes: { axis: integer(axis) } }),
})

function gather(what: string, axis: number, indices: readonly number[], shape: readonly number[]) {
  return {
    op: 'Gather',
    what,
    shapes: [[3, 4, 2]],
    declared: [['N', 4, 'M']],
    apply: (b, [x]) =>
      b.node('Gather', [x, b.integers(indices, shape)], { attributes: { axis: integer(axis) } }),
  } satisfies Case
}

const slice = (
  what: string,
  bounds: readonly (readonly number[])[],
  declared: Case['declared'] = [[5, 'M']],
): Case => ({
  op: 'Slice',
  what,
  shapes: [[5, 6]],
  declared: declared ?? [],
  apply: (b, [x]) => b.node('Slice', [x, ...bounds.map((values) => b.integers(values))]),
})

export const cases: readonly Case[] = [
  {
    op: 'Split',
    what: 'a part that leads nowhere, and one that does',
    shapes: [[5, 3]],
    apply(b, [x]) {
      const [, second] = b.nodes('Split', [x, b.integers([2, 3])], { outputs: 2 })
      return second!
    },
  },
  {
    op: 'Split',
    what: 'equal parts, weighed against each other',
    shapes: [[2, 6]],
    apply(b, [x]) {
      const [first, second] = b.nodes('Split', [x], {
        attributes: { axis: integer(1) },
        outputs: 2,
      })
      return b.node('Mul', [first, second])
    },
  },
  unary('Identity'),
  unary('Neg'),
  unary('Relu', smooth),
  unary('Sigmoid'),
  unary('Tanh'),
  unary('Exp'),
  unary('Log', positive),
  unary('Sqrt', positive),
  unary('Abs', smooth),
  ...['Add', 'Sub', 'Mul', 'Div'].flatMap((op) =>
    broadcasting.map(([what, shapes]) =>
      binary(op, what, shapes, op === 'Div' ? positive : normal),
    ),
  ),
  {
    op: 'Mul',
    what: 'one value on both sides',
    shapes: [[3]],
    apply: (b, [x]) => b.node('Mul', [x, x]),
  },
  {
    op: 'Pow',
    what: 'a constant exponent',
    shapes: [[3, 4]],
    apply: (b, [x]) => b.node('Pow', [x, b.constant([3], [])]),
  },
  {
    op: 'Pow',
    what: 'a base that is broadcast',
    shapes: [[4]],
    apply: (b, [x]) => b.node('Pow', [x, b.constant([2, 3, 1], [3, 1])]),
  },
  binary('Pow', 'an exponent that is differentiated too', [[3, 4], [4]], positive),
  {
    op: 'Clip',
    what: 'both bounds',
    shapes: [[4, 5]],
    apply: (b, [x]) => b.node('Clip', [x, b.constant([-0.65], []), b.constant([0.65], [])]),
    draw: smooth,
  },
  {
    op: 'Clip',
    what: 'an upper bound only',
    shapes: [[4, 5]],
    apply: (b, [x]) => b.node('Clip', [x, undefined, b.constant([0.65], [])]),
    draw: smooth,
  },
  binary('MatMul', 'matrices', [A, B]),
  binary('MatMul', 'a batch by one matrix', [[2, 3, 4], B]),
  binary('MatMul', 'batches that are broadcast', [
    [2, 1, 3, 4],
    [3, 4, 2],
  ]),
  gemm('no attributes, no bias', {}, [A, B]),
  gemm('a bias per column', {}, [A, B, [2]]),
  gemm('alpha and beta', scaled, [A, B, C]),
  gemm('transA', turned(1, 0), [At, B, [1, 2]]),
  gemm('transB', turned(0, 1), [A, Bt, [3, 1]]),
  gemm('transA and transB', turned(1, 1), [At, Bt, []]),
  {
    op: 'Transpose',
    what: 'a permutation',
    shapes: [[2, 3, 4]],
    apply: (b, [x]) => b.node('Transpose', [x], { attributes: { perm: integers([1, 2, 0]) } }),
  },
  unary('Transpose'),
  {
    op: 'Reshape',
    what: 'a symbolic extent',
    shapes: [[4, 6]],
    declared: [['N', 6]],
    apply: (b, [x]) => b.node('Reshape', [x, b.integers([-1, 3, 2])]),
  },
  {
    op: 'Reshape',
    what: 'two symbolic extents',
    shapes: [[4, 6]],
    declared: [['N', 'M']],
    apply: (b, [x]) => b.node('Reshape', [x, b.integers([-1])]),
  },
  ...['ReduceSum', 'ReduceMean'].flatMap((op) =>
    [0, 1].flatMap((keepdims) => [
      reduction(op, keepdims),
      reduction(op, keepdims, [1]),
      reduction(op, keepdims, [-1, 0]),
    ]),
  ),
  ...['Softmax', 'LogSoftmax'].flatMap((op) => [alongAxis(op, -1), alongAxis(op, 1)]),
  gather('rows, some of them twice', 0, [2, 0, 2], [3]),
  gather('one row', 0, [1], []),
  gather('a matrix of indices along an inner axis', 1, [3, -1, 0, 1, 1, 2], [2, 3]),
  {
    op: 'GatherElements',
    what: 'an index per element',
    shapes: [[3, 2]],
    apply: (b, [x]) => b.node('GatherElements', [x, b.integers([0, 2, 2, 2], [2, 2])]),
  },
  slice('every axis', [
    [1, 2],
    [4, 100],
  ]),
  slice('one axis from its end', [[-3], [-1], [1]]),
  slice(
    'steps backwards',
    [
      [4, 0],
      [-100, 6],
      [0, 1],
      [-2, 3],
    ],
    [[5, 6]],
  ),
  {
    op: 'Concat',
    what: 'symbolic and known extents',
    shapes: [
      [2, 3],
      [1, 3],
      [4, 3],
    ],
    declared: [
      ['N', 3],
      [1, 3],
      ['M', 3],
    ],
    apply: (b, inputs) => b.node('Concat', inputs, { attributes: { axis: integer(0) } }),
  },
  {
    op: 'Concat',
    what: 'the last axis, one value twice',
    shapes: [
      [2, 3],
      [2, 1],
    ],
    apply: (b, [x, y]) => b.node('Concat', [x, y, x], { attributes: { axis: integer(-1) } }),
  },
]
