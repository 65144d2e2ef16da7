// Training steps and inference of image networks, in turn with PyTorch on the same machine: images a second
// on one thread and on two.
import type { Graph } from '../../models/graph.ts'
import type { NetworkName } from '../../models/networks/image-network.ts'
import { trainingGraph } from '../../models/networks/image-training.ts'
import { imageNetwork, publishedSizeOf, servingGraph } from '../../models/networks/networks.ts'
import { initialise, layoutOf, viewsOf } from '../../models/parameters.ts'
import { openSession } from '../../models/session.ts'
import { randomFor } from '../../protocol/random.ts'
import { bytesOf, elementCount, type Tensor, tensorOf } from '../../protocol/tensor.ts'
import { pythonWithTorch, type TorchRates, type TorchWorkload, torchRates } from './peers/torch.ts'
import { atLeast, type Bench, median, type Row, row } from './rows.ts'

interface Workload {
  readonly name: string
  readonly network: NetworkName
  readonly kind: 'train' | 'infer'
  readonly batch: number
  readonly torch?: TorchWorkload
}

const workloads: readonly Workload[] = [
  {
    name: 'network S, training step',
    network: 'googlenet-small',
    kind: 'train',
    batch: 64,
    torch: 'train-small',
  },
  {
    name: 'googlenet-bn, training step',
    network: 'googlenet-bn',
    kind: 'train',
    batch: 8,
    torch: 'train-googlenet',
  },
  {
    name: 'googlenet-bn, inference',
    network: 'googlenet-bn',
    kind: 'infer',
    batch: 8,
    torch: 'infer-googlenet',
  },
  {
    name: 'inception-v3, inference',
    network: 'inception-v3',
    kind: 'infer',
    batch: 8,
    torch: 'infer-inception_v3',
  },
  { name: 'googlenet, inference', network: 'googlenet', kind: 'infer', batch: 8 },
  { name: 'inception-v4, inference', network: 'inception-v4', kind: 'infer', batch: 8 },
  {
    name: 'inception-resnet-v1, inference',
    network: 'inception-resnet-v1',
    kind: 'infer',
    batch: 8,
  },
  {
    name: 'inception-resnet-v2, inference',
    network: 'inception-resnet-v2',
    kind: 'infer',
    batch: 8,
  },
]

export interface ImageBenchSizes {
  readonly threads: readonly number[]
  /** Of one measurement of one side. */
  readonly seconds: number
  /** Measurements of each side, in turn. */
  readonly rounds: number
  readonly networks: readonly NetworkName[]
}

export const smokeSizes: ImageBenchSizes = {
  threads: [1],
  seconds: 0,
  rounds: 1,
  networks: ['googlenet-small'],
}

const realSizes: ImageBenchSizes = {
  threads: [1, 2],
  seconds: 1,
  rounds: 3,
  networks: workloads.map(({ network }) => network),
}

export const imagesBench: Bench = async () => await measureImages(realSizes, pythonWithTorch())

export async function measureImages(
  { threads, seconds, rounds, networks }: ImageBenchSizes,
  python: string | undefined,
): Promise<Row[]> {
  const rows: Row[] = []
  for (const workload of workloads.filter(({ network }) => networks.includes(network))) {
    for (const count of threads) {
      const run = await prepare(workload, count)
      const ours: number[] = []
      const theirs: TorchRates[] = []
      for (let round = 0; round < rounds; round++) {
        ours.push(await rateOf(run, { images: workload.batch, seconds }))
        if (!python || !workload.torch) continue
        theirs.push(await torchRates(python, { workload: workload.torch, threads: count, seconds }))
      }
      const title = `${workload.name}, ${count} thread${count > 1 ? 's' : ''}`
      const made = compared(title, workload, { ours, theirs })
      // PyTorch's processes start slowly: whoever waits sees that it goes on.
      console.log(`${title}: ${made.value.toFixed(1)} images/s`)
      rows.push(made)
    }
  }
  return rows
}

/** A training step is to reach PyTorch's plain layout, inference its better one. */
function compared(
  name: string,
  { kind }: Workload,
  { ours, theirs }: { readonly ours: readonly number[]; readonly theirs: readonly TorchRates[] },
): Row {
  const own = { ...row(name, median(ours), 'images/s'), samples: ours }
  if (theirs.length === 0) return own
  const of = (layout: 'plain' | 'channelsLast') => theirs.map((rates) => rates[layout])
  const [plain, channelsLast] = [of('plain'), of('channelsLast')]
  const goal = kind === 'train' ? median(plain) : Math.max(median(plain), median(channelsLast))
  return atLeast(goal, own, [
    { name: 'PyTorch', value: median(plain), samples: plain },
    { name: 'channels-last', value: median(channelsLast), samples: channelsLast },
  ])
}

/** Median of the runs that fit into the time, at least three of them. */
async function rateOf(
  run: () => Promise<void>,
  { images, seconds }: { readonly images: number; readonly seconds: number },
): Promise<number> {
  await run()
  const times: number[] = []
  const end = performance.now() + 1_000 * seconds
  while (times.length < 3 || performance.now() < end) {
    const begun = performance.now()
    await run()
    times.push(performance.now() - begun)
  }
  return (1_000 * images) / median(times)
}

async function prepare(
  { network: name, kind, batch }: Workload,
  threads: number,
): Promise<() => Promise<void>> {
  const classes = name === 'googlenet-small' ? 10 : 1_000
  const size = publishedSizeOf(name)
  const network = imageNetwork({ network: name, size, classes, auxiliary: false, dropout: 0 })
  const layout = layoutOf(network.parameters)
  const random = randomFor('bench', name)
  const values = initialise(layout, random)
  const images = tensorOf(
    Float32Array.from({ length: batch * 3 * size * size }, () => 2 * random.next() - 1),
    [batch, 3, size, size],
  )
  if (kind === 'infer') {
    const session = await openSession(servingGraph(network, { layout, values }, {}), { threads })
    return async () => void (await session.run({ images }))
  }
  const part = { from: 0, to: network.subnetworks.length }
  const graph = trainingGraph(network, { ...part, batch, labelSmoothing: 0.1, auxiliaryWeight: 0 })
  const session = await openSession(graph, { threads })
  const labels = BigInt64Array.from({ length: batch }, (_, index) => BigInt(index % classes))
  const views = viewsOf(layout, values)
  const given: Record<string, Tensor> = {
    images,
    targets: { dtype: 'int64', shape: [batch], bytes: bytesOf(labels) },
  }
  const feeds = Object.fromEntries(
    graph.inputs.map(({ name: input }) => [input, given[input] ?? views[input] ?? images]),
  )
  const fetches = placesFor(graph)
  return async () => void (await session.run(feeds, fetches))
}

/** Every output is written in place, as in a run. */
function placesFor({ outputs }: Graph): Record<string, Tensor> {
  return Object.fromEntries(
    outputs.map(({ name, shape }) => {
      const extents = shape as readonly number[]
      return [name, tensorOf(new Float32Array(elementCount(extents)), extents)]
    }),
  )
}
