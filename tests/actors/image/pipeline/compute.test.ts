import { describe, expect, test } from 'bun:test'
import { createPart, type Part } from '../../../../actors/image/pipeline/compute.ts'
import type { MicroRequest } from '../../../../actors/pipeline/stage.ts'
import type { Graph, Value } from '../../../../models/graph.ts'
import type { ImageNetwork } from '../../../../models/networks/image-network.ts'
import { trainingGraph } from '../../../../models/networks/image-training.ts'
import { imageNetwork } from '../../../../models/networks/networks.ts'
import { initialise, layoutOf, viewsOf } from '../../../../models/parameters.ts'
import { openSession } from '../../../../models/session.ts'
import { randomFor } from '../../../../protocol/random.ts'
import {
  bytesOf,
  elementCount,
  float32View,
  type Tensor,
  tensorOf,
} from '../../../../protocol/tensor.ts'
import { CLASSES, tinyNetwork } from '../../../models/networks/tiny-network.ts'

const BATCH = 4
const settings = { labelSmoothing: 0.1, auxiliaryWeight: 0.3 }
const open = (graph: Graph) => openSession(graph, { threads: 1 })

/** What a micro-batch is fed beside activations and parameters: by its numbers alone. */
function exampleOf({ name, shape }: Value, sequence: number, micro: number): Tensor {
  const random = randomFor(name, sequence, micro)
  const extents = shape as readonly number[]
  const length = elementCount(extents)
  if (name === 'targets') {
    const targets = BigInt64Array.from({ length }, () => BigInt(random.below(CLASSES)))
    return { dtype: 'int64', shape: extents, bytes: bytesOf(targets) }
  }
  const draw = name === 'images' ? random.normal : () => 2 * random.below(2)
  return tensorOf(Float32Array.from({ length }, draw), extents)
}

const isExample = ({ name }: Value): boolean => /^(images|targets|dropout\/.*)$/.test(name)

/** The unsplit network, one micro-batch after the other: mean loss, gradients and statistics. */
async function unsplit(network: ImageNetwork, parameters: Float32Array, of: Minibatch) {
  const layout = layoutOf(network.parameters)
  const to = network.subnetworks.length
  const graph = trainingGraph(network, { from: 0, to, batch: BATCH, ...settings })
  const session = await open(graph)
  const views = viewsOf(layout, parameters)
  const sum = new Float64Array(layout.count)
  let loss = 0
  for (let micro = 0; micro < of.micros; micro++) {
    const feeds = Object.fromEntries(
      graph.inputs.map((value) => [
        value.name,
        isExample(value) ? exampleOf(value, of.sequence, micro) : views[value.name]!,
      ]),
    )
    const outputs = await session.run(feeds)
    loss += float32View(outputs.loss!)[0]! / of.micros
    for (const { name, offset } of layout.slices) {
      const made = outputs[`gradient/${name}`] ?? outputs[`statistics/${name}`]
      float32View(made!).forEach((value, i) => (sum[offset + i]! += value / of.micros))
    }
  }
  return { gradient: sum, loss }
}

interface Minibatch {
  readonly sequence: number
  readonly micros: number
}

interface Stage {
  readonly part: Part
  readonly parameters: Float32Array
  readonly gradient: Float32Array
}

function stagesOf(
  network: ImageNetwork,
  cuts: readonly number[],
  parameters: Float32Array,
): Stage[] {
  const { slices, count } = layoutOf(network.parameters)
  const at = (subnetwork: number): number => {
    const index = network.parameters.findIndex((each) => each.subnetwork === subnetwork)
    return slices[index]?.offset ?? count
  }
  const bounds = [0, ...cuts, network.subnetworks.length]
  return bounds.slice(0, -1).map((from, index) => {
    const to = bounds[index + 1]!
    const range = [at(from), at(to)] as const
    return {
      part: createPart({
        network,
        from,
        to,
        parts: cuts.length + 1,
        batch: BATCH,
        ...settings,
        clock: { now: () => 0 } as never,
        openSession: open,
        examples: {
          of: async ({ inputs }, { sequence, micro }) =>
            Object.fromEntries(
              inputs
                .filter(isExample)
                .map((value) => [value.name, exampleOf(value, sequence, micro)]),
            ),
          release() {},
        },
      }),
      parameters: parameters.slice(...range),
      gradient: new Float32Array(range[1] - range[0]),
    }
  })
}

/** All micro-batches forward through all parts, then all of them back. */
async function through(stages: readonly Stage[], { sequence, micros }: Minibatch, pass = 1) {
  const request = (stage: Stage, micro: number, tensor?: Tensor): MicroRequest => ({
    pass,
    micro,
    micros,
    phase: 1,
    sequence,
    configuration: {},
    parameters: stage.parameters,
    gradient: stage.gradient,
    ...(tensor && { tensor: copyOf(tensor) }),
  })
  const arrived: (Tensor | undefined)[] = []
  for (let micro = 0; micro < micros; micro++) {
    let tensor: Tensor | undefined
    for (const stage of stages.slice(0, -1)) {
      tensor = (await stage.part.forward(request(stage, micro, tensor))).tensor
    }
    arrived.push(tensor && copyOf(tensor))
  }
  let loss = 0
  for (let micro = 0; micro < micros; micro++) {
    const last = stages.at(-1)!
    let result = await last.part.both(request(last, micro, arrived[micro]))
    loss += result.loss / micros
    for (const stage of stages.slice(0, -1).reverse()) {
      result = await stage.part.backward(request(stage, micro, result.tensor))
      loss += result.loss / micros
    }
  }
  return { loss, gradient: stages.flatMap(({ gradient }) => [...gradient]) }
}

/** As if it had travelled. */
const copyOf = (tensor: Tensor): Tensor => ({ ...tensor, bytes: tensor.bytes.slice() })

function expectClose(actual: readonly number[], expected: Float64Array): void {
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  expect(actual).toHaveLength(expected.length)
  actual.forEach((value, i) =>
    expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-5 * Math.max(1, largest)),
  )
}

test('a published network cut in two gives the loss, gradients and statistics of the whole', async () => {
  const network = imageNetwork({ network: 'googlenet-small', size: 32, classes: CLASSES })
  const layout = layoutOf(network.parameters)
  const parameters = initialise(layout, randomFor('initial'))
  const minibatch = { sequence: 7, micros: 2 }
  const expected = await unsplit(network, parameters, minibatch)
  const actual = await through(stagesOf(network, [3], parameters), minibatch)
  expect(actual.loss).toBeCloseTo(expected.loss, 5)
  expectClose(actual.gradient, expected.gradient)
})

describe('parts of a network with batch normalisation, an auxiliary head and dropout', () => {
  const network = tinyNetwork()
  const parameters = initialise(layoutOf(network.parameters), randomFor('initial'))

  for (const cuts of [[], [1], [2], [1, 2]]) {
    test(`cut at [${cuts}] give the loss, gradients and statistics of the whole`, async () => {
      const stages = stagesOf(network, cuts, parameters)
      for (const micros of [1, 3]) {
        const minibatch = { sequence: 7, micros }
        const expected = await unsplit(network, parameters, minibatch)
        const actual = await through(stages, minibatch)
        expect(actual.loss).toBeCloseTo(expected.loss, 5)
        expectClose(actual.gradient, expected.gradient)
      }
    })
  }

  test('use their buffers again, also after what was stashed is abandoned', async () => {
    const stages = stagesOf(network, [1, 2], parameters)
    const [first] = stages
    const minibatch = { sequence: 3, micros: 2 }
    const request = { ...minibatch, micro: 0, phase: 1, configuration: {}, ...first! }
    for (let pass = 1; pass < 4; pass++) await first!.part.forward({ ...request, pass })
    first!.part.abandon()
    const expected = await unsplit(network, parameters, minibatch)
    for (const pass of [4, 5]) {
      expectClose((await through(stages, minibatch, pass)).gradient, expected.gradient)
    }
    expect(first!.part.backward({ ...request, pass: 1 })).rejects.toThrow('went forward')
  })

  test('leave everything as it is where a gradient is not finite, and say so', async () => {
    const [last] = stagesOf(network, [], parameters)
    const { part, gradient } = last!
    const broken = parameters.slice()
    broken.fill(Number.NaN, 0, 10)
    const request = { pass: 1, micro: 0, micros: 1, phase: 1, sequence: 1, configuration: {} }
    const { nonFinite } = await part.both({ ...request, parameters: broken, gradient })
    expect(nonFinite).toBe(1)
    for (const [name, view] of Object.entries(viewsOf(layoutOf(network.parameters), gradient))) {
      const isStatistics = /mean|variance/.test(name)
      const [value] = float32View(view)
      expect(value).toBe(isStatistics ? (name.endsWith('mean') ? 0 : 1) : 0)
    }
  })
})
