import { describe, expect, test } from 'bun:test'
import { backward } from '../../models/autodiff/backward.ts'
import { graphBuilder } from '../../models/builder.ts'
import { openSession } from '../../models/session.ts'
import { fineTuning, trainableOf } from '../../models/trainable.ts'
import { bytesOf, float32View, tensorOf } from '../../protocol/tensor.ts'

/** As scikit exporters write a classifier: scores by Gemm, then Softmax. */
function classifier(op?: string) {
  const b = graphBuilder('classifier')
  const x = b.input('x', ['N', 2])
  const w = b.initializer('w', tensorOf(Float32Array.of(1, 0, -1, 0, 1, 1), [2, 3]))
  const bias = b.initializer('bias', tensorOf(Float32Array.of(0, 0, 0)))
  const scaled = b.node('Mul', [x, b.initializer('scale', tensorOf(Float32Array.of(2), []))])
  const scores = b.node('Gemm', [scaled, w, bias])
  const hard = op ? b.node(op, [scores], { name: 'hard' }) : scores
  return b.build([b.node('Softmax', [hard], { name: 'chances' })])
}

describe('fine-tuning', () => {
  test('trains weights and biases, and no single number of a formula', () => {
    expect(trainableOf(classifier()).map(({ name }) => name)).toEqual(['w', 'bias'])
  })

  test('by cross-entropy behind a Softmax starts from its scores', async () => {
    const { graph, trainable } = fineTuning(classifier(), { loss: 'cross-entropy' })
    const session = await openSession(backward(graph, 'loss', ['w', 'bias']), { threads: 1 })
    const outputs = await session.run({
      x: tensorOf(Float32Array.of(0, 0), [1, 2]),
      targets: { dtype: 'int64', shape: [1], bytes: bytesOf(BigInt64Array.of(2n)) },
      ...Object.fromEntries(trainable.map(({ name, tensor }) => [name, tensor])),
    })
    expect(float32View(outputs.loss!)[0]!).toBeCloseTo(Math.log(3), 5)
    const gradient = [...float32View(outputs['gradient/bias']!)]
    for (const [index, expected] of [1 / 3, 1 / 3, -2 / 3].entries()) {
      expect(gradient[index]!).toBeCloseTo(expected, 5)
    }
  })

  test('refuses operators without a gradient by their nodes, before anything runs', () => {
    const act = () => fineTuning(classifier('Hardmax'), { loss: 'cross-entropy' })
    expect(act).toThrow('classifier: no gradient rule for hard (Hardmax)')
  })

  test('of other classes starts from a head of zeros', () => {
    const replaceHead = { classes: 5 }
    const { trainable, graph } = fineTuning(classifier(), { loss: 'cross-entropy', replaceHead })
    expect(trainable.map(({ shape }) => shape)).toEqual([[2, 5], [5]])
    expect(graph.outputs[1]!.shape).toEqual(['N', 5])
  })
})
