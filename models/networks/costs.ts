// What each subnetwork costs, for the planner: measured by running its graphs, or estimated from the
// multiply-adds of its modules.
import { randomFor } from '../../protocol/random.ts'
import { bytesPerElement, elementCount, type Tensor, tensorOf } from '../../protocol/tensor.ts'
import { splitBackward } from '../autodiff/stages.ts'
import type { Graph, Value } from '../graph.ts'
import type { Session } from '../session.ts'
import type { ImageNetwork } from './image-network.ts'
import { trainingGraph } from './image-training.ts'
import type { SubnetworkCost } from './partition.ts'

export interface MeasureOptions {
  /** Images of a micro-batch. */
  readonly batch: number
  readonly openSession: (graph: Graph) => Promise<Pick<Session, 'run'>>
  /** Milliseconds, of any start. */
  readonly now: () => number
  /** Of each graph; the first warms up and does not count. Default 4. */
  readonly runs?: number
}

/** One subnetwork after the other, so that no more than one is in memory. */
export async function measureCosts(
  network: ImageNetwork,
  { batch, openSession, now, runs = 4 }: MeasureOptions,
): Promise<SubnetworkCost[]> {
  const costs: SubnetworkCost[] = []
  for (const from of network.subnetworks.keys()) {
    const options = { from, to: from + 1, batch, labelSmoothing: 0, auxiliaryWeight: 1 }
    const { forward, backward, stash } = splitBackward(trainingGraph(network, options))
    const feeds = feedsOf([...forward.inputs, ...backward.inputs])
    const first = await timed(forward, { feeds, openSession, now, runs })
    const second = await timed(backward, {
      feeds: { ...feeds, ...first.outputs },
      openSession,
      now,
      runs,
    })
    costs.push({
      ...sizesOf(network, from, batch),
      forwardMs: first.ms,
      backwardMs: second.ms,
      stashBytes: stash.reduce((sum, value) => sum + bytesOf(value), 0),
    })
  }
  return costs
}

/** Of the multiply-adds of a backward pass, twice those of a forward pass; and half a byte to stash each. */
export function estimateCosts(network: ImageNetwork, batch: number): SubnetworkCost[] {
  return network.subnetworks.map(({ modules }, index) => {
    const sum = modules.reduce((total, { multiplyAdds }) => total + multiplyAdds, 0)
    const outputs = modules.reduce((total, { output }) => total + elementCount(output), 0)
    const forwardMs = (batch * sum) / MULTIPLY_ADDS_PER_MS
    const stashBytes = STASHES_PER_OUTPUT * 4 * batch * outputs
    return { ...sizesOf(network, index, batch), forwardMs, backwardMs: 2 * forwardMs, stashBytes }
  })
}

/** Of one core, about. What it is does not move the cuts unless links count. */
const MULTIPLY_ADDS_PER_MS = 2e7
/** A stack keeps its convolution, its normalisation and its nonlinearity. */
const STASHES_PER_OUTPUT = 3

interface Timing extends Pick<Required<MeasureOptions>, 'openSession' | 'now' | 'runs'> {
  readonly feeds: Readonly<Record<string, Tensor>>
}

/** The fastest run: what else the machine does only adds to it. */
async function timed(graph: Graph, { feeds, openSession, now, runs }: Timing) {
  const session = await openSession(graph)
  const own = Object.fromEntries(
    graph.inputs.flatMap(({ name }) => (feeds[name] ? [[name, feeds[name]] as const] : [])),
  )
  let outputs = await session.run(own)
  let ms = Number.POSITIVE_INFINITY
  for (let run = 1; run < runs; run++) {
    const started = now()
    outputs = await session.run(own)
    ms = Math.min(ms, now() - started)
  }
  return { ms, outputs }
}

/** Small numbers for every input, of the declared shape: no cost depends on their values. */
function feedsOf(inputs: readonly Value[]): Record<string, Tensor> {
  const random = randomFor('costs')
  const tensors = inputs.map((value) => {
    const shape = value.shape as readonly number[]
    const count = elementCount(shape)
    if (value.dtype !== 'float32') {
      return [value.name, { dtype: value.dtype, shape, bytes: new Uint8Array(bytesOf(value)) }]
    }
    return [value.name, tensorOf(Float32Array.from({ length: count }, random.next), shape)]
  })
  return Object.fromEntries(tensors)
}

function bytesOf({ shape, dtype }: Value): number {
  return elementCount(shape as readonly number[]) * bytesPerElement[dtype]
}

function sizesOf({ subnetworks, parameters }: ImageNetwork, index: number, batch: number) {
  const own = parameters.filter(({ subnetwork }) => subnetwork === index)
  return {
    outputBytes: 4 * batch * elementCount(subnetworks[index]?.output ?? []),
    parameterBytes: 4 * own.reduce((sum, { shape }) => sum + elementCount(shape), 0),
  }
}
