import { describe, expect, test } from 'bun:test'
import type { Graph } from '../../models/graph.ts'
import { acousticModel, acousticNetwork } from '../../models/networks/acoustic.ts'
import { layoutOf, viewsOf } from '../../models/parameters.ts'
import { openSession } from '../../models/session.ts'
import { bytesOf, elementCount, float32View, type Tensor, tensorOf } from '../../protocol/tensor.ts'
import golden from '../golden/acoustic-gradients.json'

const [FRAMES, INPUTS, HIDDEN, OUTPUTS] = [6, 5, [8, 6], 4] as const

/** As in acoustic-gradients.py, which made the expected values. */
function wave(shape: readonly number[], scale: number, [step, phase]: readonly [number, number]) {
  return Float32Array.from(
    { length: elementCount(shape) },
    (_, i) => scale * Math.sin(step * i + phase),
  )
}

const features = tensorOf(wave([FRAMES, INPUTS], 1, [0.9, 0.5]), [FRAMES, INPUTS])
const outer = tensorOf(wave([FRAMES, OUTPUTS], 1, [1.1, 0.25]), [FRAMES, OUTPUTS])
const labels = BigInt64Array.from({ length: FRAMES }, (_, i) => BigInt((i * i) % OUTPUTS))
const targets: Tensor = { dtype: 'int64', shape: [FRAMES], bytes: bytesOf(labels) }

/** Largest difference, relative to the largest expected value. */
function relativeError(got: Tensor, expected: readonly number[]): number {
  const values = float32View(got)
  expect(values.length).toBe(expected.length)
  const scale = Math.max(...expected.map(Math.abs))
  return Math.max(...expected.map((value, i) => Math.abs(values[i]! - value))) / scale
}

for (const expected of golden) {
  describe(`PyTorch agrees to 1e-5 on the ${expected.nonlinearity} network:`, () => {
    const nonlinearity = expected.nonlinearity === 'relu' ? 'relu' : { pNormGroup: 2 }
    const options = { inputs: INPUTS, hidden: HIDDEN, outputs: OUTPUTS, nonlinearity } as const
    const network = acousticNetwork(options)
    const layout = layoutOf(network.parameters)
    const values = new Float32Array(layout.count)
    layout.slices.forEach(({ name, shape, offset }) => {
      const layer = Number(/^layer(\d)/.exec(name)?.[1])
      const isBias = name.endsWith('bias')
      values.set(
        isBias ? wave(shape, 0.2, [1.3, layer]) : wave(shape, 0.6, [0.7, layer + 1]),
        offset,
      )
    })
    const run = async (graph: Graph, feeds: Record<string, Tensor>) =>
      (await openSession(graph, { threads: 1 })).run(feeds)
    const weights = viewsOf(layout, values)

    const checkGradients = (
      outputs: Readonly<Record<string, Tensor>>,
      gradients: Readonly<Record<string, readonly number[]>>,
    ) => {
      expect(Object.keys(gradients)).toEqual(layout.slices.map(({ name }) => name))
      for (const { name, shape } of layout.slices) {
        const gradient = outputs[`gradient/${name}`]!
        expect(gradient.shape).toEqual(shape)
        expect(relativeError(gradient, gradients[name]!)).toBeLessThan(1e-5)
      }
    }

    test('mean cross-entropy and its gradients', async () => {
      const outputs = await run(network.crossEntropy, { ...weights, features, targets })
      expect(relativeError(outputs.loss!, [expected.loss])).toBeLessThan(1e-5)
      checkGradients(outputs, expected.crossEntropy)
    })

    test('gradients of an outer derivative', async () => {
      const outputs = await run(network.outer, { ...weights, features, outer })
      checkGradients(outputs, expected.outer)
    })

    test('log-posteriors, in training and in the model for serving', async () => {
      const { logPosteriors } = await run(network.forward, { ...weights, features })
      expect(relativeError(logPosteriors!, expected.logPosteriors)).toBeLessThan(1e-5)
      const model = acousticModel(options, { layout, values }, { card: 'kept' })
      expect(model.inputs.map(({ name }) => name)).toEqual(['features'])
      const served = await run(model, { features })
      expect(served.logPosteriors).toEqual(logPosteriors!)
    })
  })
}
