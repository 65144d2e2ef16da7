import { describe, expect, test } from 'bun:test'
import { backward } from '../../models/autodiff/backward.ts'
import { type Builder, graphBuilder, type Handle } from '../../models/builder.ts'
import { type Graph, GraphError, integer } from '../../models/graph.ts'
import { decodeOnnx, encodeOnnx } from '../../models/onnx-file.ts'
import { openSession, type Session } from '../../models/session.ts'
import { randomFor } from '../../protocol/random.ts'
import { type Case, cases, normal } from './autodiff-first-cases.ts'
import { elementCount, float32View, type Tensor, tensorOf } from '../../protocol/tensor.ts'

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
