// torchvision's GoogLeNet and Inception-v3: the same names, the same outputs, the same gradients.
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'bun:test'
import type { Graph } from '../../../models/graph.ts'
import type { ImageNetwork, NetworkName } from '../../../models/networks/image-network.ts'
import { trainingGraph } from '../../../models/networks/image-training.ts'
import { imageNetwork } from '../../../models/networks/networks.ts'
import { openSession } from '../../../models/session.ts'
import {
  bytesOf,
  elementCount,
  float32View,
  type Tensor,
  tensorOf,
} from '../../../protocol/tensor.ts'
import golden from '../../golden/image-networks.json'

type Digest = readonly number[]
interface Golden {
  readonly keys: Readonly<Record<'plain' | 'auxiliary', { count: number; sha256: string }>>
  readonly outputs: { readonly size: number; readonly digest: Digest; readonly first: Digest }
  readonly training: {
    readonly size: number
    readonly loss: number
    readonly gradients: Readonly<Record<string, Digest>>
    readonly runningVariances: Readonly<Record<string, Digest>>
  }
}
const all = golden as unknown as Readonly<Record<string, Golden>>

/** As in the recipe: murmur3's finaliser over index and the FNV-1a hash of the name, 0 to 1. */
function noise(name: string, count: number): Float64Array {
  let seed = 2166136261
  for (const byte of new TextEncoder().encode(name)) seed = Math.imul(seed ^ byte, 16777619)
  return Float64Array.from({ length: count }, (_, i) => {
    let x = (Math.imul(i, 2654435761) + seed) >>> 0
    x ^= x >>> 16
    x = Math.imul(x, 0x85ebca6b)
    x ^= x >>> 13
    x = Math.imul(x, 0xc2b2ae35)
    x ^= x >>> 16
    return (x >>> 0) / 4294967296
  })
}

function valuesOf(name: string, shape: readonly number[]): Tensor {
  const count = elementCount(shape)
  const reach = Math.sqrt(6 / (count / (shape[0] ?? 1)))
  const value = (u: number): number => {
    if (name === 'images') return (u - 0.5) * 3
    if (shape.length >= 2) return (u - 0.5) * 2 * reach
    if (name.endsWith('running_var')) return 0.5 + u
    return name.endsWith('bn.weight') ? 0.75 + 0.5 * u : (u - 0.5) * 0.2
  }
  return tensorOf(Float32Array.from(noise(name, count), value), shape)
}

function feedsOf({ inputs }: Graph): Record<string, Tensor> {
  return Object.fromEntries(
    inputs.map(({ name, shape }) => {
      const extents = shape as readonly number[]
      if (name === 'targets') {
        return [name, { dtype: 'int64', shape: [2], bytes: bytesOf(BigInt64Array.of(3n, 7n)) }]
      }
      if (!name.startsWith('dropout/')) return [name, valuesOf(name, extents)]
      return [name, tensorOf(new Float32Array(elementCount(extents)).fill(1), extents)]
    }),
  )
}

function digestOf(tensor: Tensor): number[] {
  const values = float32View(tensor)
  const last = values.length - 1
  let [sum, square] = [0, 0]
  for (const value of values) {
    sum += value
    square += value * value
  }
  const samples = [0, Math.floor(last / 3), Math.floor(last / 2), last].map((i) => values[i]!)
  return [sum, Math.sqrt(square), ...samples]
}

/** Sums lose digits by cancellation: everything is compared on the scale of the norm. */
function expectAlike(actual: Digest, expected: Digest, part: number, what: string): void {
  const [, norm = 0] = expected
  actual.forEach((value, index) => {
    const off = Math.abs(value - (expected[index] ?? 0)) / Math.max(norm, 1e-6)
    // A sum of n values of this norm may be off by its root.
    expect([what, index, off < (index === 0 ? 30 * part : part)]).toEqual([what, index, true])
  })
}

const part = (network: ImageNetwork) => ({ from: 0, to: network.subnetworks.length })
const open = (graph: Graph) => openSession(graph, { threads: 1 })

describe.each(['googlenet-bn', 'inception-v3'] as const)('%s', (name: NetworkName) => {
  const expected = all[name]!

  test('has the keys of torchvision’s state_dict, with and without auxiliary heads', () => {
    for (const auxiliary of [true, false]) {
      const { parameters } = imageNetwork({ network: name, size: 299, classes: 1_000, auxiliary })
      const names = parameters.map((parameter) => parameter.name)
      const counters = names
        .filter((each) => each.endsWith('running_var'))
        .map((each) => each.replace('running_var', 'num_batches_tracked'))
      // By code points, as Python sorts.
      const text = [...names, ...counters].sort((a, b) => (a < b ? -1 : 1)).join('\n')
      const { count, sha256 } = expected.keys[auxiliary ? 'auxiliary' : 'plain']
      expect(names.length + counters.length).toBe(count)
      expect(createHash('sha256').update(text).digest('hex')).toBe(sha256)
    }
  })

  test('puts out what torchvision does, to 1e-4', async () => {
    const { size, digest, first } = expected.outputs
    const network = imageNetwork({ network: name, size, classes: 1_000, auxiliary: false })
    const graph = network.forward({ ...part(network), batch: 1, mode: 'evaluation' })
    const { logits } = await (await open(graph)).run(feedsOf(graph))
    const made = float32View(logits!)
    const scale = Math.max(...made.map(Math.abs))
    first.forEach((value, index) => {
      expect(Math.abs(made[index]! - value) / scale).toBeLessThan(1e-4)
    })
    expectAlike(digestOf(logits!), digest, 1e-4, 'logits')
  }, 60_000)

  test('has the loss, the gradients and the statistics of PyTorch in a training step', async () => {
    const { size, loss, gradients, runningVariances } = expected.training
    const auxiliary = name === 'googlenet-bn'
    // Single precision against double, through 22 and 48 layers of normalised products.
    const rounding = auxiliary ? 5e-3 : 3e-2
    const network = imageNetwork({ network: name, size, classes: 10, auxiliary })
    const options = { batch: 2, labelSmoothing: 0.1, auxiliaryWeight: 0.3 }
    const graph = trainingGraph(network, { ...part(network), ...options })
    const outputs = await (await open(graph)).run(feedsOf(graph))
    expect(float32View(outputs.loss!)[0]!).toBeCloseTo(loss, 4)
    const made = Object.keys(outputs).filter((output) => output.startsWith('gradient/'))
    expect(made.length).toBe(Object.keys(gradients).length)
    for (const [parameter, digest] of Object.entries(gradients)) {
      expectAlike(digestOf(outputs[`gradient/${parameter}`]!), digest, rounding, parameter)
    }
    for (const [statistic, digest] of Object.entries(runningVariances)) {
      // PyTorch keeps 0.9 of the variance that was loaded.
      const before = float32View(valuesOf(statistic, outputs[`statistics/${statistic}`]!.shape))
      const batch = float32View(outputs[`statistics/${statistic}`]!)
      const running = Float32Array.from(batch, (value, i) => 0.9 * before[i]! + 0.1 * value)
      expectAlike(digestOf(tensorOf(running)), digest, 1e-4, statistic)
    }
  }, 60_000)
})
