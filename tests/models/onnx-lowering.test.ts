import { expect, test } from 'bun:test'
import { graphBuilder } from '../../models/builder.ts'
import { lowered } from '../../models/lowering/lower.ts'
import { openSession } from '../../models/session.ts'
import { randomFor } from '../../protocol/random.ts'
import { elementCount, float32View, tensorOf } from '../../protocol/tensor.ts'
import { moreCases } from './autodiff-cases.ts'

const rewritten = ['LSTM', 'GRU', 'RNN', 'SoftmaxCrossEntropyLoss', 'NegativeLogLikelihoodLoss']

test.each(moreCases.filter(({ op }) => rewritten.includes(op)).map((item) => [item] as const))(
  'an operator that is rewritten computes what ONNX Runtime computes for it: %p',
  async (item) => {
    const random = randomFor('lowering', item.op, item.what)
    const b = graphBuilder('lowering')
    const handles = item.shapes.map((shape, index) => b.input(`x${index}`, shape))
    const graph = b.build([b.named(item.apply(b, handles), 'y')])
    const feeds = Object.fromEntries(
      item.shapes.map((shape, index) => {
        const draw = () => 0.5 + random.next()
        return [
          `x${index}`,
          tensorOf(Float32Array.from({ length: elementCount(shape) }, draw), shape),
        ]
      }),
    )
    const run = async (each: typeof graph) =>
      float32View((await (await openSession(each, { threads: 1 })).run(feeds)).y!)
    expect(lowered(graph).nodes.some(({ op }) => op === item.op)).toBe(false)
    const [expected, got] = [await run(graph), await run(lowered(graph))]
    for (const [index, value] of expected.entries()) expect(got[index]!).toBeCloseTo(value, 5)
  },
)
