import { expect, test } from 'bun:test'
import type { NetworkName } from '../../../models/networks/image-network.ts'
import { imageNetwork } from '../../../models/networks/networks.ts'
import { openSession } from '../../../models/session.ts'
import { float32View } from '../../../protocol/tensor.ts'
import golden from '../../golden/image-networks-drawn.json'
import { filled, relativeError } from './filled.ts'

for (const [name, expected] of Object.entries(golden.logits)) {
  test(`PyTorch agrees to 1e-4 on the logits of ${name}, drawn from its paper`, async () => {
    const { size } = golden
    const network = imageNetwork({ network: name as NetworkName, size, classes: 1000 })
    const to = network.subnetworks.length
    const graph = network.forward({ from: 0, to, mode: 'evaluation', batch: 1 })
    const session = await openSession(graph, { threads: 1 })
    const feeds = graph.inputs.map(({ name: each, shape }) => [
      each,
      filled(each, shape.map(Number)),
    ])
    const { logits } = await session.run(Object.fromEntries(feeds))
    expect(relativeError(float32View(logits!), expected)).toBeLessThan(1e-4)
  }, 60_000)
}
