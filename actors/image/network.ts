// One image network at work in a compute thread: its training and evaluation sessions, opened when first
// needed, parameters and gradients in the flat vector of the shards, and the time inside ONNX Runtime.
import { failureOf } from '../../models/device-faults.ts'
import type { Graph } from '../../models/graph.ts'
import type { ImageNetwork } from '../../models/networks/image-network.ts'
import { trainingGraph } from '../../models/networks/image-training.ts'
import { imageNetwork } from '../../models/networks/networks.ts'
import { type ParameterLayout, viewsOf } from '../../models/parameters.ts'
import { openSession, type Session } from '../../models/session.ts'
import { type Tensor, tensorOf } from '../../protocol/tensor.ts'
import type { Clock } from '../../runtime/environment.ts'
import { masksOf } from './masks.ts'
import { type ImageTask, imageLayout } from './task.ts'

export interface WorkingNetwork {
  readonly network: ImageNetwork
  readonly layout: ParameterLayout
  /** Milliseconds inside ONNX Runtime so far. */
  readonly computeMs: number
  /** Opens the training session before it is needed. */
  prepare(): Promise<void>
  /** For chaos: from now on every run fails as it does where the device is gone. */
  loseDevice(): void
  /**
   * Mean loss of a minibatch. Gradients, and the minibatch's statistics in the places of the running ones,
   * are written into `gradient`.
   */
  train(step: {
    readonly parameters: Float32Array
    readonly gradient: Float32Array
    /** batch x 3 x size x size. */
    readonly images: Float32Array
    readonly targets: BigInt64Array
    readonly sequence: number
  }): Promise<number>
  /** images x classes, by the running statistics. */
  evaluate(parameters: Float32Array, images: Float32Array): Promise<Float32Array>
}

const IMAGES = 'images'

export function workingNetwork(task: ImageTask, clock: Clock): WorkingNetwork {
  const { threads, device = 'cpu', batch, labelSmoothing, auxiliaryWeight } = task
  const network = imageNetwork(task.network)
  const layout = imageLayout(network)
  const { size, classes } = network.options
  const whole = { from: 0, to: network.subnetworks.length }
  const training = lazily(() => {
    const graph = trainingGraph(network, { ...whole, batch, labelSmoothing, auxiliaryWeight })
    return open(graph, { threads, device })
  })
  const evaluation = lazily(() =>
    open(network.forward({ ...whole, batch: 'N', mode: 'evaluation' }), { threads, device }),
  )
  let computeMs = 0
  let isLost = false

  async function run(
    session: Session,
    feeds: Record<string, Tensor>,
    fetches: Record<string, Tensor>,
  ): Promise<void> {
    if (isLost) throw failureOf(device, 'run failed', new Error('injected: device was lost'))
    const started = clock.now()
    await session.run(feeds, fetches)
    computeMs += clock.now() - started
  }

  return {
    network,
    layout,
    get computeMs() {
      return computeMs
    },
    async prepare() {
      await training()
    },
    loseDevice() {
      isLost = true
    },
    async train({ parameters, gradient, images, targets, sequence }) {
      const { graph, session } = await training()
      const loss = new Float32Array(1)
      const views = viewsOf(layout, gradient)
      const fetches: Record<string, Tensor> = { loss: tensorOf(loss, []) }
      for (const { name } of graph.outputs) {
        const [kind, ...rest] = name.split('/')
        const view = views[rest.join('/')]
        if (view && (kind === 'gradient' || kind === 'statistics')) fetches[name] = view
      }
      const feeds: Record<string, Tensor> = {
        ...parametersOf(graph, viewsOf(layout, parameters)),
        ...masksOf(graph, { seed: task.seed, sequence, from: 0, to: batch }),
        [IMAGES]: tensorOf(images, [batch, 3, size, size]),
        targets: { dtype: 'int64', shape: [batch], bytes: new Uint8Array(targets.buffer) },
      }
      await run(session, feeds, fetches)
      return loss[0] ?? Number.NaN
    },
    async evaluate(parameters, images) {
      const { graph, session } = await evaluation()
      const rows = images.length / (3 * size * size)
      const logits = new Float32Array(rows * classes)
      const feeds = {
        ...parametersOf(graph, viewsOf(layout, parameters)),
        [IMAGES]: tensorOf(images, [rows, 3, size, size]),
      }
      await run(session, feeds, { logits: tensorOf(logits, [rows, classes]) })
      return logits
    },
  }
}

interface Opened {
  readonly graph: Graph
  readonly session: Session
}

async function open(
  graph: Graph,
  options: { readonly threads: number; readonly device: string },
): Promise<Opened> {
  return { graph, session: await openSession(graph, { ...options, cpuNodes: 'allowed' }) }
}

function lazily<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => {
    made ??= make()
    return made
  }
}

/** Of all parameters, those that the graph reads. */
function parametersOf(
  { inputs }: Graph,
  views: Readonly<Record<string, Tensor>>,
): Record<string, Tensor> {
  return Object.fromEntries(
    inputs.flatMap(({ name }) => {
      const view = views[name]
      return view ? [[name, view] as const] : []
    }),
  )
}
