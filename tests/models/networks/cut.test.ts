import { describe, expect, test } from 'bun:test'
import { type Builder, graphBuilder, type Handle, integers } from '../../../models/builder.ts'
import { type Graph, GraphError } from '../../../models/graph.ts'
import { balanceCuts, estimateCuts, partsFor } from '../../../models/networks/balance.ts'
import { cutAt, cutPlacesOf, planCuts } from '../../../models/networks/cut.ts'
import { openSession } from '../../../models/session.ts'
import { randomFor } from '../../../protocol/random.ts'
import { elementCount, float32View, type Tensor, tensorOf } from '../../../protocol/tensor.ts'

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

async function run(graph: Graph, values: readonly Tensor[]): Promise<Tensor[]> {
  const session = await openSession(graph, { threads: 1 })
  const feeds = graph.inputs.map(({ name }, index) => [name, values[index]!] as const)
  const outputs = await session.run(Object.fromEntries(feeds))
  return graph.outputs.map(({ name }) => outputs[name]!)
}

/** To rounding: what is fused with what is another matter in parts. */
async function expectSame(graph: Graph, parts: readonly Graph[], images: Tensor) {
  const [whole] = await run(graph, [images])
  let values = [images]
  for (const part of parts) values = await run(part, values)
  expect(values).toHaveLength(1)
  expect(values[0]!.shape).toEqual(whole!.shape)
  const expected = float32View(whole!)
  float32View(values[0]!).forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5))
}

describe('a graph for inference, cut into parts', () => {
  test('gives in parts what it gives as a whole, wherever it is cut', async () => {
    const graph = blocks(3)
    const images = normal([3, 4, 8, 8])
    for (const order of [0, 1, 2]) {
      const cut = cutPlacesOf(graph, order)
      expect(cut.places.length).toBeGreaterThan(6)
      for (const { at } of cut.places) await expectSame(graph, cutAt(cut, [at]), images)
    }
    for (const parts of [1, 2, 3, 4]) {
      expect(partsFor(graph, parts)).toHaveLength(parts)
      await expectSame(graph, partsFor(graph, parts), images)
    }
  })

  test('has every node and weight once, and about as many in each part', () => {
    const graph = blocks(6)
    const cut = cutPlacesOf(graph)
    const { at } = planCuts(cut, { parts: 3, work: cut.work, workPerByte: 0 })
    const parts = cutAt(cut, at)
    expect(parts.flatMap(({ nodes }) => nodes)).toEqual([...graph.nodes])
    const weights = parts.flatMap(({ initializers }) => [...initializers.keys()])
    expect(weights.sort()).toEqual([...graph.initializers.keys()].sort())
    for (const { nodes } of parts) {
      expect(nodes.filter(({ op }) => op === 'Conv')).toHaveLength(4)
    }
  })

  test('is cut as trying every cut would cut it', () => {
    const cut = cutPlacesOf(blocks(4))
    for (let seed = 0; seed < 20; seed++) {
      const chance = randomFor('work', seed)
      const work = cut.work.map(() => chance.below(100))
      const workPerByte = chance.next() / 100
      const slowestOf = (cuts: readonly number[]): number => {
        const bytes = cuts.map((at) => cut.places.find((place) => place.at === at)!.bytes)
        const parts = [0, ...cuts].map((from, part) => {
          const own = work.slice(from, cuts[part]).reduce((sum, each) => sum + each, 0)
          return own + workPerByte * ((bytes[part - 1] ?? 0) + (bytes[part] ?? 0))
        })
        return Math.max(...parts)
      }
      const all = cut.places.flatMap(({ at }, index) =>
        cut.places.slice(index + 1).map((after) => slowestOf([at, after.at])),
      )
      const planned = planCuts(cut, { parts: 3, work, workPerByte })
      expect(planned.slowest).toBeCloseTo(Math.min(...all), 9)
      expect(slowestOf(planned.at)).toBeCloseTo(planned.slowest, 9)
    }
  })

  test('is cut where it was measured to be slow', async () => {
    const graph = blocks(8)
    let nowMs = 0
    const { cuts, partsMs } = await balanceCuts(graph, {
      parts: 2,
      batch: 2,
      now: () => nowMs,
      openSession: async ({ nodes, inputs }) => ({
        async run(feeds) {
          expect(feeds[inputs[0]!.name]!.shape).toEqual([2, 4, 8, 8])
          // The first two convolutions take as long as all others.
          for (const {
            op,
            inputs: [, weight = ''],
          } of nodes) {
            if (op === 'Conv') nowMs += /(left|right)0/.test(weight) ? 70 : 10
          }
          return {}
        },
      }),
    })
    expect(partsMs[0]! + partsMs[1]!).toBe(280)
    expect(Math.max(...partsMs)).toBeLessThanOrEqual(150)
    const [first] = partsFor(graph, 2, cuts)
    expect(first!.nodes.filter(({ op }) => op === 'Conv').length).toBeLessThan(4)
  })

  test('makes again, in every part that reads it, what follows from weights alone', async () => {
    const b = graphBuilder('shared weights')
    const weight = b.node('Identity', [b.initializer('weight', normal([4, 4]))])
    const hidden = b.node('Tanh', [b.node('MatMul', [b.input('images', ['N', 4]), weight])])
    const graph = b.build([b.named(b.node('MatMul', [hidden, weight]), 'logits')])
    await expectSame(graph, partsFor(graph, 2), normal([2, 4]))
  })

  test('is refused where it cannot be cut so often, or there', () => {
    const graph = blocks(1)
    const cut = cutPlacesOf(graph)
    const most = cut.places.length + 1
    expect(() => estimateCuts(graph, most + 1)).toThrow(GraphError)
    expect(() => estimateCuts(graph, most + 1)).toThrow(`it can be cut into at most ${most}`)
    expect(() => cutAt(cut, [999])).toThrow('it cannot be cut before node 999')
  })
})
