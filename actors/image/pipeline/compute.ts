// What the compute thread of a subnetwork actor does: micro-batches forward, gradients back, each through a
// session of its own, with what the backward pass needs kept in between. Parameters and gradients are shared
// memory; stashes lie in buffers that are used again, for fresh ones would cost their page faults.
import { splitBackward } from '../../../models/autodiff/stages.ts'
import type { Graph, Value } from '../../../models/graph.ts'
import type { ImageNetwork } from '../../../models/networks/image-network.ts'
import { trainingGraph } from '../../../models/networks/image-training.ts'
import { normOf } from '../../../models/optimizers/index.ts'
import { layoutOf, type ParameterSlice } from '../../../models/parameters.ts'
import type { Session } from '../../../models/session.ts'
import { assert } from '../../../protocol/assert.ts'
import {
  bytesPerElement,
  elementCount,
  float32View,
  type Tensor,
  tensorOf,
} from '../../../protocol/tensor.ts'
import type { Clock } from '../../../runtime/environment.ts'
import type { MicroRequest, MicroResult } from '../../pipeline/stage.ts'

export interface PartOptions {
  readonly network: ImageNetwork
  readonly from: number
  readonly to: number
  /** Parts of the whole network. */
  readonly parts: number
  /** Images of a micro-batch. */
  readonly batch: number
  readonly labelSmoothing: number
  readonly auxiliaryWeight: number
  readonly clock: Clock
  openSession(graph: Graph): Promise<Session>
  readonly examples: Examples
}

/** What is read beside the actor: `images`, `targets` and `dropout/NAME`, those that a graph has. */
export interface Examples {
  of(graph: Graph, request: MicroRequest): Promise<Tensors>
  /** A pass is over; without one: all are. */
  release(pass?: number): void
}

export interface Part {
  /** The sessions that its steps will need. */
  prepare(): Promise<void>
  forward(request: MicroRequest): Promise<MicroResult>
  backward(request: MicroRequest): Promise<MicroResult>
  both(request: MicroRequest): Promise<MicroResult>
  /** Nothing that was stashed will come back. */
  abandon(): void
}

type Tensors = Readonly<Record<string, Tensor>>

/** What one micro-batch left behind. */
interface Stash {
  readonly fed: Tensors
  readonly outputs: Tensors
}

/** Loss of an example whose loss is not finite, as in speech. */
const NON_FINITE_LOSS = 10

export function createPart(options: PartOptions): Part {
  const { network, from, to, batch, clock, examples } = options
  const own = network.parameters.filter(({ subnetwork }) => subnetwork >= from && subnetwork < to)
  const { slices, count } = layoutOf(own)
  const isLast = to === network.subnetworks.length
  const whole = trainingGraph(network, options)
  const split = isLast ? undefined : splitBackward(whole)
  const stashes = new Map<string, Stash>()
  const buffers = bufferPool()
  /**
   * Gradients on their way to the part before. It has no more micro-batches in flight than there are parts:
   * what it sends now, it sends because it has taken the gradient of one so much older.
   */
  const sent = Array.from({ length: options.parts + 2 }, (): Tensors => ({}))
  let sends = 0
  /** Of the micro-batches that are added to the first. */
  const scratch = new Float32Array(count)
  const sessions = new Map<Graph, Promise<Session>>()

  const sessionOf = (graph: Graph): Promise<Session> => {
    const opened = sessions.get(graph) ?? options.openSession(graph)
    sessions.set(graph, opened)
    return opened
  }
  const fedTo = async (request: MicroRequest): Promise<Tensors> => ({
    ...(await examples.of(whole, request)),
    ...(request.tensor && { activations: request.tensor }),
  })

  async function run(graph: Graph, fed: Tensors, { parameters, fetches }: Run) {
    const views = parametersIn(slices, parameters)
    const feeds = graph.inputs.map(({ name }) => {
      const tensor = fed[name] ?? views[name]
      assert(tensor !== undefined, `${graph.name} is fed ${name}`)
      return [name, tensor] as const
    })
    const session = await sessionOf(graph)
    const started = clock.now()
    const outputs = await session.run(Object.fromEntries(feeds), fetches)
    return { outputs, computeMs: clock.now() - started }
  }

  /** The gradient of a minibatch is the mean over its micro-batches, which are equally large. */
  function addGradient(request: MicroRequest, part: Float32Array): number {
    const { micro, micros, gradient, parameters } = request
    const weight = Math.fround(1 / micros)
    if (micro > 0) for (let i = 0; i < count; i++) gradient[i]! += weight * part[i]!
    else if (micros > 1) for (let i = 0; i < count; i++) gradient[i]! *= weight
    if (micro < micros - 1) return 0
    examples.release(request.pass)
    if (Number.isFinite(normOf(gradient))) return 0
    standStill(slices, gradient, parameters)
    return 1
  }

  async function comeBack(
    graph: Graph,
    request: MicroRequest,
    { fed, outputs: forward }: Stash,
  ): Promise<MicroResult> {
    const { micro, gradient, parameters } = request
    const part = micro === 0 ? gradient : scratch
    const into = gradientsIn(slices, part)
    const wanted = graph.outputs.filter(({ name }) => name === 'gradient/activations')
    sends = (sends + 1) % sent.length
    buffers.give(sent[sends]!)
    const sending = (sent[sends] = buffers.take(wanted))
    const fetches = { ...into, ...sending }
    const { outputs, computeMs } = await run(graph, fed, { parameters, fetches })
    const all = { ...forward, ...outputs }
    copyStatistics(slices, all, part)
    const nonFinite = addGradient(request, part)
    const sum = all.loss ? float32View(all.loss)[0]! : 0
    const loss = Number.isFinite(sum) ? sum : NON_FINITE_LOSS
    const back = outputs['gradient/activations']
    return { examples: batch, loss, computeMs, nonFinite, ...(back && { tensor: back }) }
  }

  return {
    async prepare() {
      for (const graph of split ? [split.forward, split.backward] : [whole]) await sessionOf(graph)
    },
    async forward(request) {
      assert(split !== undefined, 'the last part goes forward and back at once')
      const { forward, backward } = split
      const fed = await fedTo(request)
      const fetches = buffers.take(forward.outputs)
      const { parameters } = request
      const { outputs, computeMs } = await run(forward, fed, { parameters, fetches })
      const kept = pick(fed, backward.inputs)
      stashes.set(keyOf(request), { fed: kept, outputs })
      return { examples: batch, loss: 0, computeMs, nonFinite: 0, tensor: outputs.outgoing! }
    },
    async backward(request) {
      const stash = stashes.get(keyOf(request))
      assert(split !== undefined && stash !== undefined, 'what comes back went forward')
      stashes.delete(keyOf(request))
      const { fed, outputs } = stash
      const given = { ...fed, ...outputs, outer: request.tensor! }
      const result = await comeBack(split.backward, request, { fed: given, outputs })
      buffers.give(outputs)
      return result
    },
    async both(request) {
      const fed = await fedTo(request)
      return comeBack(whole, request, { fed, outputs: {} })
    },
    abandon() {
      for (const { outputs } of stashes.values()) buffers.give(outputs)
      stashes.clear()
      examples.release()
    },
  }
}

interface Run {
  readonly parameters: Float32Array
  readonly fetches: Tensors
}

const keyOf = ({ pass, micro }: MicroRequest): string => `${pass}/${micro}`

function pick(tensors: Tensors, values: readonly Value[]): Tensors {
  const names = new Set(values.map(({ name }) => name))
  return Object.fromEntries(Object.entries(tensors).filter(([name]) => names.has(name)))
}

function parametersIn(slices: readonly ParameterSlice[], flat: Float32Array): Tensors {
  return Object.fromEntries(slices.map((slice) => [slice.name, viewOf(slice, flat)]))
}

function gradientsIn(slices: readonly ParameterSlice[], flat: Float32Array): Tensors {
  const trained = slices.filter((slice) => !isStatistics(slice))
  return Object.fromEntries(trained.map((slice) => [`gradient/${slice.name}`, viewOf(slice, flat)]))
}

const isStatistics = (slice: ParameterSlice): boolean =>
  (slice as { role?: string }).role === 'statistics'

function viewOf({ offset, length, shape }: ParameterSlice, flat: Float32Array): Tensor {
  return tensorOf(flat.subarray(offset, offset + length), shape)
}

/** A minibatch's mean or variance travels in the place of the gradient of the running one. */
function copyStatistics(
  slices: readonly ParameterSlice[],
  outputs: Tensors,
  into: Float32Array,
): void {
  for (const { name, offset } of slices.filter(isStatistics)) {
    const made = outputs[`statistics/${name}`]
    assert(made !== undefined, `statistics of ${name}`)
    into.set(float32View(made), offset)
  }
}

/** A step that changes nothing: no gradient, and statistics that are the running ones. */
function standStill(
  slices: readonly ParameterSlice[],
  gradient: Float32Array,
  parameters: Float32Array,
): void {
  gradient.fill(0)
  for (const { offset, length } of slices.filter(isStatistics)) {
    gradient.set(parameters.subarray(offset, offset + length), offset)
  }
}

interface BufferPool {
  take(values: readonly Value[]): Tensors
  give(tensors: Tensors): void
}

/** What is sent is shared with the actor's thread, which would else copy it. */
const isSent = (name: string): boolean => name === 'outgoing' || name === 'gradient/activations'

/** Tensors by name: each is as large as the one that had its name before. */
function bufferPool(): BufferPool {
  const idle = new Map<string, Tensor[]>()
  const fresh = ({ name, shape: extents, dtype }: Value): Tensor => {
    const shape = extents as readonly number[]
    const length = elementCount(shape) * bytesPerElement[dtype]
    const buffer = isSent(name) ? new SharedArrayBuffer(length) : new ArrayBuffer(length)
    return { dtype, shape, bytes: new Uint8Array(buffer) }
  }
  return {
    take: (values) =>
      Object.fromEntries(
        values.map((value) => [value.name, idle.get(value.name)?.pop() ?? fresh(value)]),
      ),
    give(tensors) {
      for (const [name, tensor] of Object.entries(tensors)) {
        const others = idle.get(name) ?? []
        idle.set(name, others)
        others.push(tensor)
      }
    },
  }
}
