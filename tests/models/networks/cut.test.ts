import { describe, expect, test } from 'bun:test'
import { type Builder, graphBuilder, type Handle, integers } from '../../../models/builder.ts'
import { type Graph, GraphError } from '../../../models/graph.ts'
import { cutGraph } from '../../../models/networks/cut.ts'
import { openSession } from '../../../models/session.ts'
import { randomFor } from '../../../protocol/random.ts'
import { elementCount, type Tensor, tensorOf } from '../../../protocol/tensor.ts'

const random = randomFor('cut')
const normal = (shape: readonly number[]): Tensor =>
  tensorOf(
    Float32Array.from({ length: elementCount(shape) }, () => random.normal() / 4),
    shape,
  )

/** Blocks of a convolution, two branches and their sum: cut between blocks, never inside. */
function blocks(count: number, channels = 4): Graph {
  const b = graphBuilder('blocks')
  let x = b.input('images', ['N', channels, 8, 8])
  for (let block = 0; block < count; block++) {
    const left = conv(b, x, channels, `left${block}`)
    const right = conv(b, x, channels, `right${block}`)
    x = b.node('Relu', [b.node('Add', [left, right])])
  }
  return b.build([b.named(x, 'logits')])
}

function conv(b: Builder, x: Handle, channels: number, name: string): Handle {
  const weight = b.initializer(`${name}/weight`, normal([channels, channels, 3, 3]))
  return b.node('Conv', [x, weight], { attributes: { pads: integers([1, 1, 1, 1]) } })
}

async function run(graph: Graph, values: Tensor): Promise<Tensor> {
  const session = await openSession(graph, { threads: 1 })
  const outputs = await session.run({ [graph.inputs[0]!.name]: values })
  return outputs[graph.outputs[0]!.name]!
}

describe('a graph for inference, cut into parts', () => {
  test('gives in parts what it gives as a whole', async () => {
    const graph = blocks(4)
    const images = normal([3, 4, 8, 8])
    const whole = await run(graph, images)
    for (const count of [1, 2, 3, 4]) {
      let values = images
      for (const part of cutGraph(graph, count)) values = await run(part, values)
      expect(values.shape).toEqual(whole.shape)
      expect(Buffer.compare(values.bytes, whole.bytes)).toBe(0)
    }
  })

  test('has every node and weight once, about as many in each part', () => {
    const graph = blocks(6)
    const parts = cutGraph(graph, 3)
    expect(parts.flatMap(({ nodes }) => nodes)).toEqual([...graph.nodes])
    const weights = parts.flatMap(({ initializers }) => [...initializers.keys()])
    expect(weights.sort()).toEqual([...graph.initializers.keys()].sort())
    for (const { nodes } of parts) {
      expect(nodes.filter(({ op }) => op === 'Conv')).toHaveLength(4)
    }
  })

  test('is refused where more than one value flows everywhere', () => {
    const b = graphBuilder('two ways')
    const [x, y] = [b.input('x', ['N', 2]), b.input('y', ['N', 2])]
    const sum = b.node('Add', [b.node('Relu', [x]), b.node('Relu', [y])])
    const graph = b.build([b.named(sum, 'logits')])
    expect(cutGraph(graph, 2)).toHaveLength(2)
    expect(() => cutGraph(graph, 3)).toThrow(GraphError)
    expect(() => cutGraph(graph, 3)).toThrow('it can be cut into at most 2')
  })
})
