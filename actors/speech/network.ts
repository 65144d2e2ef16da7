// One acoustic network at work in a process: its three graphs as ONNX Runtime sessions, opened when
// first needed, with the time spent inside ONNX Runtime.
import { type AcousticNetwork, acousticNetwork } from '../../models/networks/acoustic.ts'
import { layoutOf, type ParameterLayout, viewsOf } from '../../models/parameters.ts'
import { failureOf } from '../../models/device-faults.ts'
import { openSession, type Session } from '../../models/session.ts'
import { type Tensor, tensorOf } from '../../protocol/tensor.ts'
import type { Clock } from '../../runtime/environment.ts'
import type { NetworkShape } from './task.ts'

export interface SpeechNetwork {
  /** Opens sessions before they are needed. */
  prepare(graphs: readonly GraphName[]): Promise<void>
  /** For chaos: from now on every run fails as it does where the device is gone. */
  loseDevice(): void
  readonly layout: ParameterLayout
  /** Milliseconds inside ONNX Runtime so far. */
  readonly computeMs: number
  /** N x inputs -> N x pdfs log posteriors. */
  forward(parameters: Float32Array, features: Float32Array): Promise<Float32Array>
  /** Mean cross-entropy of the frames; its gradient is written in place. */
  crossEntropy(step: {
    parameters: Float32Array
    gradient: Float32Array
    features: Float32Array
    targets: Int32Array
  }): Promise<number>
  /** sum(outer * dLogits/dParameters), written in place. `outer`: N x pdfs. */
  backward(step: {
    parameters: Float32Array
    gradient: Float32Array
    features: Float32Array
    outer: Float32Array
  }): Promise<void>
}

export type GraphName = 'forward' | 'crossEntropy' | 'outer'

export function speechNetwork(
  shape: NetworkShape,
  options: { threads: number; clock: Clock; device?: string | undefined },
): SpeechNetwork {
  const { threads, clock, device = 'cpu' } = options
  const network: AcousticNetwork = acousticNetwork({ ...shape, nonlinearity: 'relu' })
  const layout = layoutOf(network.parameters)
  const sessions = new Map<GraphName, Promise<Session>>()
  let computeMs = 0
  let isLost = false

  function sessionOf(graph: GraphName): Promise<Session> {
    const opening =
      sessions.get(graph) ?? openSession(network[graph], { threads, device, cpuNodes: 'allowed' })
    sessions.set(graph, opening)
    return opening
  }

  async function run(
    graph: GraphName,
    feeds: Record<string, Tensor>,
    fetches?: Record<string, Tensor>,
  ): Promise<Record<string, Tensor>> {
    const session = await sessionOf(graph)
    if (isLost) {
      throw failureOf(device, `${graph}: run failed`, new Error('injected: device was lost'))
    }
    const started = clock.now()
    const outputs = await session.run(feeds, fetches)
    computeMs += clock.now() - started
    return outputs
  }

  const gradients = (gradient: Float32Array): Record<string, Tensor> =>
    Object.fromEntries(
      Object.entries(viewsOf(layout, gradient)).map(([name, view]) => [`gradient/${name}`, view]),
    )

  return {
    layout,
    async prepare(graphs) {
      await Promise.all(graphs.map(sessionOf))
    },
    loseDevice() {
      isLost = true
    },
    get computeMs() {
      return computeMs
    },
    async forward(parameters, features) {
      const rows = features.length / shape.inputs
      const logPosteriors = new Float32Array(rows * shape.outputs)
      await run(
        'forward',
        { ...viewsOf(layout, parameters), features: tensorOf(features, [rows, shape.inputs]) },
        { logPosteriors: tensorOf(logPosteriors, [rows, shape.outputs]) },
      )
      return logPosteriors
    },
    async crossEntropy({ parameters, gradient, features, targets }) {
      const rows = targets.length
      const labels = BigInt64Array.from(targets, BigInt)
      const loss = new Float32Array(1)
      await run(
        'crossEntropy',
        {
          ...viewsOf(layout, parameters),
          features: tensorOf(features, [rows, shape.inputs]),
          targets: { dtype: 'int64', shape: [rows], bytes: new Uint8Array(labels.buffer) },
        },
        { loss: tensorOf(loss, []), ...gradients(gradient) },
      )
      return loss[0] ?? Number.NaN
    },
    async backward({ parameters, gradient, features, outer }) {
      const rows = features.length / shape.inputs
      await run(
        'outer',
        {
          ...viewsOf(layout, parameters),
          features: tensorOf(features, [rows, shape.inputs]),
          outer: tensorOf(outer, [rows, shape.outputs]),
        },
        gradients(gradient),
      )
    },
  }
}
