import { expect, test } from 'bun:test'
import { acousticNetwork } from '../../models/networks/acoustic.ts'
import { initialise, layoutOf, viewsOf } from '../../models/parameters.ts'
import { openSession } from '../../models/session.ts'
import { randomFor } from '../../protocol/random.ts'
import { float32View, tensorOf } from '../../protocol/tensor.ts'

const N = 7
const options = { inputs: 5, hidden: [6, 4], outputs: 3 }

for (const nonlinearity of ['relu', { pNormGroup: 2 }] as const) {
  test(`gradients of the acoustic network equal central differences: ${JSON.stringify(nonlinearity)}`, async () => {
    const network = acousticNetwork({ ...options, nonlinearity })
    const layout = layoutOf(network.parameters)
    const random = randomFor('acoustic')
    const parameters = initialise(layout, random)
    const features = tensorOf(
      Float32Array.from({ length: N * 5 }, () => random.normal()),
      [N, 5],
    )
    const labels = BigInt64Array.from({ length: N }, () => BigInt(random.below(3)))
    const targets = { dtype: 'int64', shape: [N], bytes: new Uint8Array(labels.buffer) } as const
    const session = await openSession(network.crossEntropy, { threads: 1 })
    const lossAt = async (values: Float32Array) => {
      const { loss } = await session.run({ ...viewsOf(layout, values), features, targets })
      return float32View(loss!)[0]!
    }
    const gradient = new Float32Array(layout.count)
    const fetches = Object.fromEntries(
      Object.entries(viewsOf(layout, gradient)).map(([name, view]) => [`gradient/${name}`, view]),
    )
    await session.run({ ...viewsOf(layout, parameters), features, targets }, fetches)
    for (let i = 0; i < layout.count; i += 3) {
      const [up, down] = [parameters.slice(), parameters.slice()]
      up[i]! += 1e-2
      down[i]! -= 1e-2
      expect(
        Math.abs(gradient[i]! - ((await lossAt(up)) - (await lossAt(down))) / 2e-2),
      ).toBeLessThan(2e-3)
    }
    // The outer graph with the derivative of cross-entropy gives the same gradient.
    const forward = await openSession(network.forward, { threads: 1 })
    const { logPosteriors } = await forward.run({ ...viewsOf(layout, parameters), features })
    const outer = Float32Array.from(float32View(logPosteriors!), (value) => Math.exp(value) / N)
    labels.forEach((label, row) => {
      outer[row * 3 + Number(label)]! -= 1 / N
    })
    const through = new Float32Array(layout.count)
    const outerSession = await openSession(network.outer, { threads: 1 })
    await outerSession.run(
      { ...viewsOf(layout, parameters), features, outer: tensorOf(outer, [N, 3]) },
      Object.fromEntries(
        Object.entries(viewsOf(layout, through)).map(([name, view]) => [`gradient/${name}`, view]),
      ),
    )
    through.forEach((value, i) => expect(value).toBeCloseTo(gradient[i]!, 5))
  })
}

test('hidden units that do not fill their p-norm groups are refused', () => {
  const build = () => acousticNetwork({ ...options, nonlinearity: { pNormGroup: 4 } })
  expect(build).toThrow('6 units are no p-norm groups of 4')
})
