// Every network has a training graph for small images, and a step of it learns.
import { expect, test } from 'bun:test'
import { trainedParameters, trainingGraph } from '../../../models/networks/image-training.ts'
import type { NetworkName } from '../../../models/networks/image-network.ts'
import { imageNetwork, networkNames } from '../../../models/networks/networks.ts'
import { initialise, layoutOf, viewsOf } from '../../../models/parameters.ts'
import { openSession } from '../../../models/session.ts'
import { randomFor } from '../../../protocol/random.ts'
import { bytesOf, elementCount, float32View, tensorOf } from '../../../protocol/tensor.ts'

const options = { batch: 2, labelSmoothing: 0.1, auxiliaryWeight: 0.3 }

for (const network of networkNames) {
  test(`${network}: a gradient for every trained parameter, a statistic for every running one`, () => {
    const built = imageNetwork({ network, size: 32, classes: 3 })
    const part = { from: 0, to: built.subnetworks.length }
    const { outputs, inputs } = trainingGraph(built, { ...part, ...options })
    const names = new Set(outputs.map(({ name }) => name))
    const trained = trainedParameters(built, part)
    expect(trained.filter(({ name }) => !names.has(`gradient/${name}`))).toEqual([])
    const statistics = built.parameters.filter(({ role }) => role === 'statistics')
    expect(statistics.filter(({ name }) => !names.has(`statistics/${name}`))).toEqual([])
    // Running statistics are not read while training.
    const read = new Set(inputs.map(({ name }) => name))
    expect(statistics.filter(({ name }) => read.has(name))).toEqual([])
  })
}

for (const network of ['googlenet', 'googlenet-small'] as const satisfies NetworkName[]) {
  test(`${network}: steps against the gradient make the loss less`, async () => {
    const built = imageNetwork({ network, size: 32, classes: 3, dropout: 0 })
    const graph = trainingGraph(built, { from: 0, to: built.subnetworks.length, ...options })
    const session = await openSession(graph, { threads: 1 })
    const layout = layoutOf(built.parameters)
    const random = randomFor(network)
    const values = initialise(layout, random)
    const given = Object.fromEntries(
      graph.inputs.map(({ name, shape }) => {
        const extents = shape as readonly number[]
        const drawn = Float32Array.from({ length: elementCount(extents) }, () =>
          name === 'images' ? random.normal() : 1,
        )
        return [name, tensorOf(drawn, extents)]
      }),
    )
    const labels = bytesOf(BigInt64Array.of(0n, 2n))
    const targets = { dtype: 'int64', shape: [2], bytes: labels } as const
    const losses: number[] = []
    for (let step = 0; step < 4; step++) {
      const views = viewsOf(layout, values)
      const parameters = graph.inputs.flatMap(({ name }) => {
        const view = views[name]
        return view ? [[name, view] as const] : []
      })
      const outputs = await session.run({ ...given, ...Object.fromEntries(parameters), targets })
      losses.push(float32View(outputs.loss!)[0]!)
      for (const { name, offset } of layout.slices) {
        const gradient = outputs[`gradient/${name}`]
        if (!gradient) continue
        float32View(gradient).forEach((slope, i) => (values[offset + i]! -= 0.01 * slope))
      }
    }
    expect(losses.every(Number.isFinite)).toBe(true)
    expect(losses.at(-1)!).toBeLessThan(losses[0]!)
  }, 30_000)
}
