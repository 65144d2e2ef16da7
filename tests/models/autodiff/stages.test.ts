import { describe, expect, test } from 'bun:test'
import { backward } from '../../../models/autodiff/backward.ts'
import { splitBackward } from '../../../models/autodiff/stages.ts'
import { graphBuilder } from '../../../models/builder.ts'
import { type Graph, GraphError } from '../../../models/graph.ts'
import { acousticNetwork } from '../../../models/networks/acoustic.ts'
import { trainingGraph } from '../../../models/networks/image-training.ts'
import { openSession } from '../../../models/session.ts'
import { randomFor } from '../../../protocol/random.ts'
import { bytesOf, elementCount, type Tensor, tensorOf } from '../../../protocol/tensor.ts'
import { tinyNetwork } from '../networks/tiny-network.ts'

const ROWS = 5

/** Something for every input, of the shape that the graph declares; N is ROWS. */
function feedsOf({ inputs }: Graph): Record<string, Tensor> {
  const random = randomFor('stages')
  return Object.fromEntries(
    inputs.map(({ name, shape, dtype }) => {
      const extents = shape.map((extent) => (typeof extent === 'number' ? extent : ROWS))
      const count = elementCount(extents)
      if (dtype === 'int64') {
        const values = BigInt64Array.from({ length: count }, () => BigInt(random.below(3)))
        return [name, { dtype, shape: extents, bytes: bytesOf(values) }]
      }
      return [
        name,
        tensorOf(
          Float32Array.from({ length: count }, () => random.normal()),
          extents,
        ),
      ]
    }),
  )
}

const pick = (from: Record<string, Tensor>, { inputs }: Graph): Record<string, Tensor> =>
  Object.fromEntries(inputs.map(({ name }) => [name, from[name]!]))

async function expectSameBits(graph: Graph, recompute: boolean): Promise<void> {
  const feeds = feedsOf(graph)
  const whole = await (await openSession(graph, { threads: 1 })).run(feeds)
  const { forward, backward, stash } = splitBackward(graph, { recompute })
  if (recompute) expect(stash).toEqual([])
  else expect(stash.length).toBeGreaterThan(0)
  const first = await (await openSession(forward, { threads: 1 })).run(pick(feeds, forward))
  const second = await (await openSession(backward, { threads: 1 })).run(
    pick({ ...feeds, ...first }, backward),
  )
  for (const { name } of graph.outputs) {
    const part = first[name] ?? second[name]
    expect(part?.shape).toEqual(whole[name]!.shape)
    expect(Buffer.compare(part!.bytes, whole[name]!.bytes)).toBe(0)
  }
}

const network = acousticNetwork({
  inputs: 7,
  hidden: [8, 6],
  outputs: 3,
  nonlinearity: { pNormGroup: 2 },
})
const names = network.parameters.map(({ name }) => name)

describe('a graph with its gradients, split into forward and backward pass', () => {
  for (const recompute of [false, true]) {
    const how = recompute ? 'recomputed' : 'stashed'
    test(`gives the bits of the whole: a loss, ${how}`, async () => {
      await expectSameBits(network.crossEntropy, recompute)
    })

    test(`gives the bits of the whole: an outer derivative, ${how}`, async () => {
      const output = network.forward.outputs[0]!.name
      const graph = backward(network.forward, output, names, { seed: 'outer' })
      await expectSameBits(graph, recompute)
    })
  }

  for (const [from, to] of [
    [0, 2],
    [1, 3],
    [0, 3],
  ] as const) {
    test(`gives the bits of the whole: subnetworks ${from} to ${to} of an image network`, async () => {
      const options = { from, to, batch: 2, labelSmoothing: 0.1, auxiliaryWeight: 0.3 }
      await expectSameBits(trainingGraph(tinyNetwork(), options), false)
    })
  }

  test('computes no node twice, and stashes no parameter and no input', () => {
    const graph = network.crossEntropy
    const { forward, backward, stash } = splitBackward(graph)
    expect(forward.nodes.length + backward.nodes.length).toBe(graph.nodes.length)
    const inputs = new Set(graph.inputs.map(({ name }) => name))
    expect(stash.filter(({ name }) => inputs.has(name))).toEqual([])
    const stashed = new Set(stash.map(({ name }) => name))
    for (const { name } of backward.inputs) expect(inputs.has(name) || stashed.has(name)).toBe(true)
  })

  test('makes views again from one stash', () => {
    const b = graphBuilder('views')
    const x = b.input('x', [2, 6])
    const squared = b.node('Mul', [x, x])
    const view = b.node('Reshape', [squared, b.integers([3, 4])])
    const product = b.node('Mul', [view, b.node('Reshape', [squared, b.integers([3, 4])])])
    const loss = b.node('ReduceSum', [b.node('Mul', [product, view])], {
      attributes: { keepdims: { type: 'integer', value: 0 } },
    })
    const graph = backward(b.build([b.named(loss, 'loss')]), 'loss', ['x'])
    const { stash } = splitBackward(graph)
    expect(stash.map(({ name }) => name)).toContain(squared.name)
    expect(stash.map(({ name }) => name)).not.toContain(view.name)
  })

  test('refuses what has no gradients', () => {
    expect(() => splitBackward(network.forward)).toThrow(GraphError)
  })
})
