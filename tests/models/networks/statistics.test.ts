import { expect, test } from 'bun:test'
import type { Node, Value } from '../../../models/graph.ts'
import { imageNetwork } from '../../../models/networks/networks.ts'
import { initialise, layoutOf, viewsOf } from '../../../models/parameters.ts'
import { openSession } from '../../../models/session.ts'
import { randomFor } from '../../../protocol/random.ts'
import { elementCount, float32View, type Tensor, tensorOf } from '../../../protocol/tensor.ts'

/** Mean and unbiased variance of one channel, in double precision. */
function momentsOf(tensor: Tensor, channel: number): { mean: number; variance: number } {
  const [images = 0, channels = 0, height = 0, width = 0] = tensor.shape
  const values = float32View(tensor)
  const own: number[] = []
  for (let image = 0; image < images; image++) {
    const from = (image * channels + channel) * height * width
    own.push(...values.subarray(from, from + height * width))
  }
  const mean = own.reduce((sum, value) => sum + value, 0) / own.length
  const squares = own.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return { mean, variance: squares / (own.length - 1) }
}

test('every normalisation answers the moments of its own input, however few channels it has', async () => {
  const network = imageNetwork({ network: 'googlenet-small', size: 32, classes: 3 })
  const layout = layoutOf(network.parameters)
  const to = network.subnetworks.length
  const graph = network.forward({ from: 0, to, batch: 4, mode: 'training' })
  const normalisations = graph.nodes.filter(({ op }) => op === 'BatchNormalization')
  const inputOf = ({ inputs }: Node): string => inputs[0] ?? ''
  const shown = normalisations.map((node): Value => {
    return { name: inputOf(node), dtype: 'float32', shape: ['N', 'C', 'H', 'W'] }
  })
  const session = await openSession(
    { ...graph, outputs: [...graph.outputs, ...shown] },
    { threads: 1 },
  )
  const random = randomFor('statistics')
  const views = viewsOf(layout, initialise(layout, random))
  const images = Float32Array.from({ length: 4 * 3 * 32 * 32 }, random.normal)
  const feeds = graph.inputs.map(({ name, shape }) => {
    const length = elementCount(shape as number[])
    const made = name === 'images' ? images : new Float32Array(length).fill(1)
    return [name, views[name] ?? tensorOf(made, shape as number[])] as const
  })
  const outputs = await session.run(Object.fromEntries(feeds))
  expect(normalisations.length).toBeGreaterThan(30)
  for (const node of normalisations) {
    const mean = node.outputs[1] ?? ''
    const variance = mean.replace('running_mean', 'running_var')
    const [means, variances] = [float32View(outputs[mean]!), float32View(outputs[variance]!)]
    means.forEach((value, channel) => {
      const moments = momentsOf(outputs[inputOf(node)]!, channel)
      expect(Math.abs(value - moments.mean)).toBeLessThan(1e-4)
      expect(variances[channel]! / moments.variance).toBeCloseTo(1, 3)
    })
  }
})
