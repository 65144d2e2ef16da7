// Real subnetworks, shards and source, each a member of its own, over links in memory and under virtual
// time. Only the compute threads are formulas: every subnetwork scales its activations by its parameters.
import { exampleSource, type FinishedStep } from '../../../actors/example-source.ts'
import { imageSubnetwork } from '../../../actors/image-subnetwork.ts'
import { parameterShard } from '../../../actors/parameter-shard.ts'
import type { MicroRequest, MicroResult } from '../../../actors/pipeline/stage.ts'
import { type OptimizerSpec, parsePolicy } from '../../../models/optimizers/index.ts'
import type { SubnetworkMessage, SubnetworkStatus } from '../../../protocol/pipeline.ts'
import { randomFor } from '../../../protocol/random.ts'
import { float32View, tensorOf } from '../../../protocol/tensor.ts'
import type { ShardMessage, ShardStatus } from '../../../protocol/training.ts'
import { type ComputeThread, createSystem, type Ref, type System } from '../../../runtime/index.ts'
import type { Clock } from '../../../runtime/environment.ts'
import { simulatedDisk } from '../../../runtime/simulation/disk.ts'
import { createWorld } from '../../../runtime/simulation/world.ts'

/** Parameters of one subnetwork, and features of a row. */
export const WIDTH = 6
export const ROWS = 3

/** Rows of one micro-batch, ROWS x WIDTH, and what they should sum to. */
export function rowsOf(sequence: number, micro: number) {
  const random = randomFor('rows', sequence, micro)
  const inputs = Float32Array.from({ length: ROWS * WIDTH }, () => random.normal())
  const targets = Float32Array.from({ length: ROWS }, () => random.normal())
  return { inputs, targets }
}

/** a[r][i] x w[i]: the whole of a subnetwork, forward; and of its gradient of the activations. */
export function scaled(activations: Float32Array, parameters: Float32Array): Float32Array {
  return activations.map((value, at) => value * parameters[at % WIDTH]!)
}

/** Loss 1/2 (sum of a row - target)^2, mean over the rows, and its derivative by the activations. */
export function lossOf(outputs: Float32Array, targets: Float32Array) {
  const outer = new Float32Array(outputs.length)
  let loss = 0
  targets.forEach((target, row) => {
    const own = outputs.subarray(row * WIDTH, (row + 1) * WIDTH)
    const error = own.reduce((sum, value) => sum + value, 0) - target
    loss += error ** 2 / 2 / ROWS
    outer.fill(error / ROWS, row * WIDTH, (row + 1) * WIDTH)
  })
  return { loss, outer }
}

/** dLoss/dw[i] = sum over rows of outer x activations that came in. */
export function weightGradient(outer: Float32Array, activations: Float32Array): Float32Array {
  const gradient = new Float32Array(WIDTH)
  outer.forEach((value, at) => (gradient[at % WIDTH]! += value * activations[at]!))
  return gradient
}

export interface FormulaOptions {
  readonly name: string
  readonly subnetwork: number
  readonly subnetworks: number
  readonly micros: number
  readonly clock: Clock
  readonly microMs: (name: string) => number
  /** What must not be is told here. */
  readonly faults: string[]
}

/** The compute thread of a subnetwork: it insists that a pass has the same parameters both ways. */
export function formulaThread(options: FormulaOptions): ComputeThread {
  const { name, subnetwork, subnetworks, micros, clock, microMs, faults } = options
  const isLast = subnetwork === subnetworks - 1
  const stashes = new Map<string, { activations: Float32Array; parameters: string }>()
  let last: Promise<unknown> = Promise.resolve()
  const run = (method: string, request: MicroRequest): MicroResult | undefined => {
    if (method === 'abandon') stashes.clear()
    if (!['forward', 'backward', 'both'].includes(method)) return undefined
    const { pass, micro, sequence, parameters, gradient } = request
    const key = `${pass}/${micro}`
    const given = request.tensor && float32View(request.tensor)
    const result = { examples: ROWS, loss: 0, computeMs: 1, nonFinite: 0 }
    const { inputs, targets } = rowsOf(sequence, micro)
    let outer = given
    let loss = 0
    if (method !== 'backward') {
      const activations = subnetwork === 0 ? inputs : given!
      stashes.set(key, { activations, parameters: parameters.join() })
      const outputs = scaled(activations, parameters)
      if (method === 'forward') return { ...result, tensor: tensorOf(outputs, [ROWS, WIDTH]) }
      ;({ loss, outer } = lossOf(outputs, targets))
    }
    const stash = stashes.get(key)
    stashes.delete(key)
    if (!stash || !outer) faults.push(`${name}: no stash for ${key}`)
    if (!stash || !outer) return result
    if (stash.parameters !== parameters.join()) faults.push(`${name}: other parameters at ${key}`)
    const part = weightGradient(outer, stash.activations)
    if (micro === 0) gradient.fill(0)
    part.forEach((value, i) => (gradient[i]! += value / micros))
    if (stashes.size > subnetworks - subnetwork) faults.push(`${name}: ${stashes.size} stashes`)
    return { ...result, loss: isLast ? loss : 0, tensor: tensorOf(scaled(outer, parameters)) }
  }
  return {
    call(method, argument) {
      const { promise, resolve } = Promise.withResolvers<unknown>()
      const before = last
      last = promise
      const isMicro = ['forward', 'backward', 'both'].includes(method)
      void before.then(() => {
        if (!isMicro) return resolve(run(method, argument as MicroRequest))
        const ms = microMs(name)
        if (Number.isFinite(ms))
          clock.after(ms, () => resolve(run(method, argument as MicroRequest)))
      })
      return promise
    },
    close: () => {},
  }
}

export interface ReplicasOptions {
  readonly seed: string
  readonly subnetworks: number
  readonly replicas: number
  readonly steps: number
  readonly micros: number
  readonly policy: string
  readonly optimizer: OptimizerSpec
  /** Shards of one subnetwork's range. Default 1. */
  readonly shardsEach?: number
  readonly lanes?: number
  /** Milliseconds that a micro-batch computes. Default: 1 to 8, by chance. */
  readonly microMs?: (name: string) => number
}

export interface Replicas {
  readonly finished: readonly FinishedStep[]
  readonly crashes: ReadonlyMap<string, string>
  /** What a compute thread saw that must not be. */
  readonly faults: readonly string[]
  run(ms: number): Promise<void>
  parameters(): Promise<Float32Array>
  statuses(): Promise<readonly ShardStatus[]>
  subnetworkStatus(name: string): Promise<SubnetworkStatus>
  /** What the run's cluster does when a subnetwork's process dies. */
  replace(replica: number, subnetwork: number): Promise<void>
}

export async function startReplicas(options: ReplicasOptions): Promise<Replicas> {
  const { seed, subnetworks, replicas, steps, micros, shardsEach = 1 } = options
  const isInStep = options.policy === 'hard-sync'
  const lanes = isInStep ? 1 : (options.lanes ?? subnetworks)
  const world = createWorld({ seed, jitterMs: 2 })
  const { clock } = world
  const chance = randomFor(seed, 'micro-batches')
  const microMs = options.microMs ?? (() => 1 + chance.below(8))
  const disk = simulatedDisk()
  const finished: FinishedStep[] = []
  const crashes = new Map<string, string>()
  const faults: string[] = []

  const threadOf = (name: string, subnetwork: number): ComputeThread =>
    formulaThread({ name, subnetwork, subnetworks, micros, clock, microMs, faults })
  const member = (name: string, incarnation = 1, subnetwork = 0): System =>
    createSystem({
      environment: {
        ...world.environment(name, incarnation),
        disk,
        compute: { start: () => threadOf(name, subnetwork) },
      },
      member: name,
      incarnation,
      onEscalated: (cause) => crashes.set(name, cause),
    })
  const settled = async <T>(promise: Promise<T>): Promise<T> => {
    await clock.advance(50)
    return await promise
  }
  const control = member('control')
  const url = await settled(control.listen())
  const join = async (system: System): Promise<System> => {
    await settled(system.listen())
    await settled(system.join(url))
    return system
  }

  const length = WIDTH / shardsEach
  const ranges = Array.from({ length: subnetworks * shardsEach }, (_, index) => ({
    offset: index * length,
    length,
  }))
  for (const [index] of ranges.entries()) {
    const system = await join(member(`shard-${index}`))
    const config = { folder: `shard-${index}`, incarnation: 1, journalBytesMax: 8_192, length }
    system.spawn(parameterShard, config, { name: 'shard' })
  }
  const shards = ranges.map((_, index) =>
    control.ref<ShardMessage>({ member: `shard-${index}`, path: '/shard' }),
  )
  const source = control.spawn(
    exampleSource,
    { onFinished: (step) => void finished.push(step) },
    { name: 'source' },
  )
  const nameOf = (replica: number, subnetwork: number): string =>
    `subnetwork-${replica}-${subnetwork}`
  const limits = { timeoutMs: 5_000 }
  for (const [index, shard] of shards.entries()) {
    const subnetwork = Math.floor(index / shardsEach)
    const start = {
      phase: 1,
      steps,
      optimizer: options.optimizer,
      policy: parsePolicy(options.policy),
      trainers: Array.from({ length: replicas }, (_, replica) => nameOf(replica, subnetwork)),
      average: { name: 'exponential', decay: 0.9, debias: false },
      parameters: tensorOf(new Float32Array(length).fill(1)),
    }
    await settled(control.ask(shard, { type: 'begin', start }, limits))
  }
  source.tell({
    type: 'begin',
    phase: 1,
    kind: 'images',
    steps,
    lanes,
    applied: { below: 0, above: [] },
    configuration: {},
  })

  const systems = new Map<string, System>()
  const start = async (replica: number, subnetwork: number, incarnation: number) => {
    const name = nameOf(replica, subnetwork)
    const system = await join(member(name, incarnation, subnetwork))
    systems.set(name, system)
    const config = {
      name,
      incarnation,
      subnetwork,
      subnetworks: Array.from({ length: subnetworks }, (_, index) =>
        system.ref<SubnetworkMessage>({ member: nameOf(replica, index), path: '/subnetwork' }),
      ),
      source: system.ref<never>(source.address),
      shards: ranges
        .map((range, index) => ({ ref: system.ref<never>(shards[index]!.address), ...range }))
        .slice(subnetwork * shardsEach, (subnetwork + 1) * shardsEach),
      lanes,
      micros,
      isInStep,
      stepMsMax: 1_000,
      codec: 'float32' as const,
      task: {},
    }
    const restartLimit = { restartsMax: 0, windowMs: 1 }
    system.spawn(imageSubnetwork('formula') as never, config, { name: 'subnetwork', restartLimit })
  }
  for (let replica = 0; replica < replicas; replica++) {
    for (let subnetwork = 0; subnetwork < subnetworks; subnetwork++) {
      await start(replica, subnetwork, 1)
    }
  }

  return {
    finished,
    crashes,
    faults,
    async run(ms) {
      await clock.advanceUntil(() => finished.length >= steps, ms)
    },
    async parameters() {
      const all = new Float32Array(subnetworks * WIDTH)
      for (const [index, shard] of shards.entries()) {
        const pull = { type: 'pull', have: -1, copy: 'live' } as const
        const pulled = await settled(control.ask(shard, pull, limits))
        if (pulled.parameters) all.set(float32View(pulled.parameters), ranges[index]!.offset)
      }
      return all
    },
    async statuses() {
      const statuses: ShardStatus[] = []
      for (const shard of shards)
        statuses.push(await settled(control.ask(shard, { type: 'status' }, limits)))
      return statuses
    },
    async subnetworkStatus(name) {
      const ref: Ref<SubnetworkMessage> = control.ref({ member: name, path: '/subnetwork' })
      return await settled(control.ask(ref, { type: 'status' }, limits))
    },
    async replace(replica, subnetwork) {
      const name = nameOf(replica, subnetwork)
      const former = systems.get(name)!
      former.stop()
      control.markLost(name, former.incarnation, 'killed')
      const incarnation = former.incarnation + 1
      source.tell({ type: 'release', trainer: name })
      for (const shard of shards) {
        await settled(control.ask(shard, { type: 'fence', trainer: name, incarnation }, limits))
      }
      await start(replica, subnetwork, incarnation)
    },
  }
}
