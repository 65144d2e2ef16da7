import { describe, expect, test } from 'bun:test'
import { type Builder, graphBuilder, type Handle } from '../../models/builder.ts'
import { type Attributes, float, integer, integers } from '../../models/graph.ts'
import { toOpset17 } from '../../models/onnx/opset.ts'
import { openSession } from '../../models/session.ts'
import { float32View, tensorOf } from '../../protocol/tensor.ts'

/** x is 2x3: -1, 0, 1 and 2, 3, 5. */
async function run(version: number, apply: (b: Builder, x: Handle) => Handle): Promise<number[]> {
  const b = graphBuilder('other operator set')
  const y = apply(b, b.input('x', [2, 3]))
  // Only the nodes matter: the shapes are ONNX Runtime's to find.
  const graph = toOpset17(b.build([y]), version)
  const outputs = graph.outputs.map((output) => ({ ...output, shape: ['a', 'b'] }))
  const x = tensorOf(Float32Array.of(-1, 0, 1, 2, 3, 5), [2, 3])
  const session = await openSession({ ...graph, outputs }, { threads: 1 })
  return [...float32View((await session.run({ x }))[y.name]!)]
}

const old = (op: string, attributes: Attributes, shape: readonly number[] = [2, 3]) =>
  [op, (b: Builder, x: Handle) => b.node(op, [x], { attributes, shape })] as const

describe('a node of another operator set means what it meant there', () => {
  test.each([
    [9, ...old('Clip', { min: float(0), max: float(2) }), [0, 0, 1, 2, 2, 2]],
    [
      9,
      ...old('Slice', { starts: integers([1]), ends: integers([9]), axes: integers([1]) }, [2, 2]),
      [0, 1, 3, 5],
    ],
    [11, ...old('ReduceSum', { axes: integers([1]) }, [2, 1]), [0, 10]],
    [
      9,
      ...old('Pad', { pads: integers([0, 1, 0, 0]), value: float(7) }, [2, 4]),
      [7, -1, 0, 1, 7, 2, 3, 5],
    ],
    [20, ...old('Gelu', {}), [-0.158655, 0, 0.841345, 1.9545, 2.99595, 5]],
    [18, ...old('Mish', {}), [-0.303401, 0, 0.865098, 1.943959, 2.986535, 4.999552]],
  ] as const)('%p: %s', async (version, _op, apply, expected) => {
    const got = await run(version, apply)
    expect(got.length).toBe(expected.length)
    for (const [index, value] of expected.entries()) expect(got[index]!).toBeCloseTo(value, 4)
  })

  test('softmax over all axes from one on, before 13', async () => {
    const got = await run(11, (b, x) =>
      b.node('Softmax', [x], { attributes: { axis: integer(0) } }),
    )
    expect(got.reduce((a, b) => a + b)).toBeCloseTo(1, 5)
  })

  test('reductions over axes that are an input, from 18 on', async () => {
    const got = await run(18, (b, x) => b.node('ReduceMax', [x, b.integers([0])]))
    expect(got).toEqual([2, 3, 5])
  })
})
