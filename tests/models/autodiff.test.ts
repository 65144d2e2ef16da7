import { describe, expect, test } from 'bun:test'
import { backward } from '../../models/autodiff/backward.ts'
import { gradientRules } from '../../models/autodiff/gradient-rules.ts'
import { convolutionRules } from '../../models/autodiff/rules/convolution.ts'
import { normalisationRules } from '../../models/autodiff/rules/normalisation.ts'
import { poolingRules } from '../../models/autodiff/rules/pooling.ts'
import { type Builder, graphBuilder, type Handle } from '../../models/builder.ts'
import {
  type Attributes,
  type Extent,
  float,
  type Graph,
  GraphError,
  integer,
  integers,
} from '../../models/graph.ts'
import { decodeOnnx, encodeOnnx } from '../../models/onnx-file.ts'
import { openSession, type Session } from '../../models/session.ts'
import { type Random, randomFor } from '../../protocol/random.ts'
import { elementCount, float32View, type Tensor, tensorOf } from '../../protocol/tensor.ts'
import { moreCases } from './autodiff-cases.ts'

interface Case {
  readonly op: string
  readonly what: string
  /** Shapes of the inputs that are differentiated. */
  readonly shapes: readonly (readonly number[])[]
  /** The same inputs as the graph declares them, where an extent is symbolic. */
  readonly declared?: readonly (readonly Extent[])[]
  readonly apply: (b: Builder, inputs: readonly Handle[]) => Handle
  readonly draw?: (random: Random) => number
}

const normal = (random: Random) => random.normal()
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

const cases: readonly Case[] = [
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
  ...moreCases,
]

const STEP = 1e-2
const names = ({ shapes }: Case) => shapes.map((_, index) => `x${index}`)

/** Both graphs have inputs x0, x1, ... and `outer`; the loss is sum(outer * op(x0, x1, ...)). */
function graphsOf(item: Case): { scalar: Graph; seeded: Graph } {
  const declare = (b: Builder) =>
    item.shapes.map((shape, index) => b.input(`x${index}`, item.declared?.[index] ?? shape))
  const scalar = graphBuilder('scalar')
  const value = item.apply(scalar, declare(scalar))
  const product = scalar.node('Mul', [scalar.input('outer', value.shape), value])
  const loss = scalar.node('ReduceSum', [product], { attributes: { keepdims: integer(0) } })
  const seeded = graphBuilder('seeded')
  const y = seeded.named(item.apply(seeded, declare(seeded)), 'y')
  return {
    scalar: backward(scalar.build([scalar.named(loss, 'loss')]), 'loss', names(item)),
    seeded: backward(seeded.build([y]), 'y', names(item), { seed: 'outer' }),
  }
}

const open = (graph: Graph): Promise<Session> => openSession(graph, { threads: 1 })

/** The shape of the operator's output: that of the seed. */
async function outputShape(item: Case, values: readonly Float32Array[]) {
  const b = graphBuilder('shape')
  const y = item.apply(
    b,
    item.shapes.map((shape, index) => b.input(`x${index}`, shape)),
  )
  const outputs = await (await open(b.build([y]))).run(feeds(item, values))
  return outputs[y.name]!.shape
}

const feeds = ({ shapes }: Case, values: readonly Float32Array[]): Record<string, Tensor> =>
  Object.fromEntries(values.map((value, index) => [`x${index}`, tensorOf(value, shapes[index]!)]))

const drawn = (shape: readonly number[], draw: () => number) =>
  Float32Array.from({ length: elementCount(shape) }, draw)

describe('the gradient through', () => {
  for (const item of cases) {
    test(`${item.op} equals central differences: ${item.what}`, async () => {
      const random = randomFor('autodiff', item.op, item.what)
      const draw = item.draw ?? normal
      const values = item.shapes.map((shape) => drawn(shape, () => draw(random)))
      const shape = await outputShape(item, values)
      const outer = tensorOf(
        drawn(shape, () => random.normal()),
        shape,
      )
      const { scalar, seeded } = graphsOf(item)
      const session = await open(scalar)
      const run = (at: readonly Float32Array[]) => session.run({ ...feeds(item, at), outer })
      const lossAt = async (at: readonly Float32Array[]) => float32View((await run(at)).loss!)[0]!
      const got = await run(values)
      const fromSeed = await (await open(seeded)).run({ ...feeds(item, values), outer })

      for (const [index, own] of item.shapes.entries()) {
        const gradient = got[`gradient/x${index}`]!
        expect(gradient.shape).toEqual(own)
        const other = fromSeed[`gradient/x${index}`]!
        expect(other.shape).toEqual(own)
        for (const [i, value] of float32View(gradient).entries()) {
          const moved = (by: number) =>
            values.map((x, at) => (at === index ? x.with(i, x[i]! + by) : x))
          const [up, down] = [await lossAt(moved(STEP)), await lossAt(moved(-STEP))]
          const difference = (up - down) / (2 * STEP)
          expect(Math.abs(value - difference)).toBeLessThan(5e-3 * (1 + Math.abs(value)))
          expect(float32View(other)[i]!).toBeCloseTo(value, 5)
        }
      }
    })
  }

  test('every operator with a rule is among these cases', () => {
    const tried = new Set(cases.map(({ op }) => op))
    const windows = { ...convolutionRules, ...poolingRules, ...normalisationRules }
    const all = Object.keys(gradientRules)
    expect(all.filter((op) => !tried.has(op) && !(op in windows))).toEqual([])
    expect(all.length).toBeGreaterThanOrEqual(70)
  })
})

describe('backward refuses', () => {
  const ofOne = (apply: (b: Builder, x: Handle) => Handle): Graph => {
    const b = graphBuilder('refused')
    return b.build([b.named(apply(b, b.input('x', [2, 3])), 'y')])
  }

  test('an operator without a rule, by the name of its node, before anything runs', () => {
    const graph = ofOne((b, x) => b.node('Hardmax', [x], { name: 'biggest' }))
    const act = () => backward(graph, 'y', ['x'], { seed: 'outer' })
    expect(act).toThrow(new GraphError('node biggest: operator Hardmax has no gradient rule'))
  })

  test('an operator named like a property of every object', () => {
    const graph = ofOne((b, x) => b.node('Exp', [x]))
    const nodes = graph.nodes.map((node) =>
      node.op === 'Exp' ? { ...node, op: 'constructor' } : node,
    )
    expect(() => backward({ ...graph, nodes }, 'y', ['x'], { seed: 'outer' })).toThrow(GraphError)
  })

  test('no operator that the gradient does not pass through', () => {
    const b = graphBuilder('beside')
    const x = b.input('x', [2])
    const y = b.node('Mul', [x, b.node('Hardmax', [b.input('data', [2])])])
    b.node('Sign', [x], { name: 'unused' })
    const graph = b.build([y])
    expect(() => backward(graph, y.name, ['x'], { seed: 'outer' })).not.toThrow()
  })

  test('a gradient that a rule leaves out', () => {
    const graph = ofOne((b, x) => b.node('Clip', [x, b.input('floor', [])], { name: 'clipped' }))
    const act = () => backward(graph, 'y', ['x', 'floor'], { seed: 'outer' })
    expect(act).toThrow('node clipped: Clip has no gradient for its input floor')
  })

  test('a loss of several numbers without a seed', () => {
    const graph = ofOne((b, x) => b.node('Exp', [x]))
    expect(() => backward(graph, 'y', ['x'])).toThrow('y is 2x3, not one number')
  })

  test('a parameter that the loss does not depend on', () => {
    const b = graphBuilder('independent')
    const y = b.node('Exp', [b.input('x', [])])
    b.input('other', [])
    expect(() => backward(b.build([y]), y.name, ['x', 'other'])).toThrow(
      `${y.name} does not depend on parameter other`,
    )
  })
})

test('a loss of shape 1x1 needs no seed', async () => {
  const b = graphBuilder('kept')
  const y = b.named(b.node('ReduceSum', [b.input('x', [2, 2])]), 'y')
  const session = await open(backward(b.build([y]), 'y', ['x']))
  const { 'gradient/x': gradient } = await session.run({
    x: tensorOf(new Float32Array(4), [2, 2]),
  })
  expect([...float32View(gradient!)]).toEqual([1, 1, 1, 1])
})

test('a graph read from a file has the gradients of the graph that was written', async () => {
  const b = graphBuilder('picked')
  const x = b.input('x', ['N', 3])
  const targets = b.input('targets', ['N'], 'int64')
  const oneHot = b.node('OneHot', [targets, b.integers([3]), b.constant([0, 1], [2])])
  const chance = b.node('Softmax', [x], { attributes: { axis: integer(1) } })
  // The integers behind OneHot must not make its product an integer.
  const picked = b.node('Mul', [oneHot, b.node('Mul', [oneHot, chance])])
  const sum = b.node('ReduceSum', [picked], { attributes: { keepdims: integer(0) } })
  const graph = b.build([b.named(sum, 'loss')])
  const labels = BigInt64Array.of(2n, 0n)
  const given = {
    x: tensorOf(Float32Array.of(1, 2, 3, 4, 5, 7), [2, 3]),
    targets: { dtype: 'int64', shape: [2], bytes: new Uint8Array(labels.buffer) },
  } as const
  const gradientOf = async (from: Graph) => {
    const outputs = await (await open(backward(from, 'loss', ['x']))).run(given)
    return [...float32View(outputs['gradient/x']!)]
  }
  const [first, second] = [await gradientOf(graph), await gradientOf(decodeOnnx(encodeOnnx(graph)))]
  expect(first.some((value) => value !== 0)).toBe(true)
  expect(second).toEqual(first)
})

test('nodes of a base graph may have the names that the builder would give', () => {
  const b = graphBuilder('taken')
  const x = b.input('x', [])
  const y = b.node('Exp', [b.node('Exp', [x], { name: 'Mul/2' })], { name: 'y' })
  const { nodes } = backward(b.build([y]), 'y', ['x'])
  expect(new Set(nodes.map(({ name }) => name)).size).toBe(nodes.length)
})
