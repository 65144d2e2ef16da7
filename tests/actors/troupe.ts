// Real shards, trainers and source, each a member of its own, over links in memory and under virtual
// time. Only the compute thread is a formula: least squares, a minibatch of rows a step.
import { exampleSource, type FinishedStep } from '../../actors/example-source.ts'
import { parameterShard } from '../../actors/parameter-shard.ts'
import { type StepRequest, sequenceTrainer } from '../../actors/trainer.ts'
import type { GradientCodec } from '../../models/compression.ts'
import { type OptimizerSpec, parsePolicy } from '../../models/optimizers/index.ts'
import { randomFor } from '../../protocol/random.ts'
import { float32View, tensorOf } from '../../protocol/tensor.ts'
import type { ShardMessage, ShardStatus } from '../../protocol/training.ts'
import { type ComputeThread, createSystem, type Ref, type System } from '../../runtime/index.ts'
import { simulatedDisk } from '../../runtime/simulation/disk.ts'
import { createWorld } from '../../runtime/simulation/world.ts'

export const PARAMETERS = 11
const ROWS = 97
const random = randomFor('least squares')
const inputs = Float32Array.from({ length: ROWS * PARAMETERS }, () => random.normal())
const targets = Float32Array.from({ length: ROWS }, () => random.normal())

/** Mean gradient of the rows of one step; steps have 3 to 6 rows. */
export function gradientOf(
  sequence: number,
  parameters: Float32Array,
): { readonly gradient: Float32Array; readonly rows: number } {
  const rows = 3 + (sequence % 4)
  const gradient = new Float32Array(PARAMETERS)
  for (let k = 0; k < rows; k++) {
    const row = (7 * sequence + k) % ROWS
    const x = inputs.subarray(row * PARAMETERS, (row + 1) * PARAMETERS)
    let error = -targets[row]!
    x.forEach((value, i) => (error += value * parameters[i]!))
    x.forEach((value, i) => (gradient[i]! += (error * value) / rows))
  }
  return { gradient, rows }
}

export interface TroupeOptions {
  readonly seed: string
  readonly shards: number
  readonly trainers: number
  readonly steps: number
  readonly policy: string
  readonly optimizer: OptimizerSpec
  readonly lanes?: number
  readonly codec?: GradientCodec
  readonly stepMsMax?: number
  /** The gradient of a step; default: least squares. */
  readonly gradient?: typeof gradientOf
  /** Milliseconds that a step computes; Infinity hangs. Default: 1 to 20, by chance. */
  readonly stepMs?: (trainer: string, sequence: number) => number
}

export interface Troupe {
  readonly finished: readonly FinishedStep[]
  readonly crashes: ReadonlyMap<string, string>
  readonly shards: readonly Ref<ShardMessage>[]
  /** Advances the clock until all steps are finished, or for `ms`. */
  run(ms: number): Promise<void>
  parameters(): Promise<Float32Array>
  statuses(): Promise<readonly ShardStatus[]>
  /** What the run's cluster does when a trainer's process dies: release, fence, start a successor. */
  replaceTrainer(index: number): Promise<void>
}

export async function startTroupe(options: TroupeOptions): Promise<Troupe> {
  const { seed, shards: shardCount, trainers, steps, lanes = 1, codec = 'float32' } = options
  const { gradient = gradientOf, stepMsMax = 1_000 } = options
  const world = createWorld({ seed })
  const { clock } = world
  const chance = randomFor(seed, 'steps')
  const stepMs = options.stepMs ?? (() => 1 + chance.below(20))
  const disk = simulatedDisk()
  const finished: FinishedStep[] = []
  const crashes = new Map<string, string>()

  const computeOf = (trainer: string): ComputeThread => ({
    call(method, argument) {
      if (method !== 'step') return Promise.resolve(undefined)
      const { sequence, parameters, gradient: into } = argument as StepRequest
      const made = gradient(sequence, parameters.slice())
      const { promise, resolve } = Promise.withResolvers<unknown>()
      const result = { examples: made.rows, loss: 0, computeMs: 0, rejected: 0, nonFinite: 0 }
      const ms = stepMs(trainer, sequence)
      if (Number.isFinite(ms)) {
        clock.after(ms, () => {
          into.set(made.gradient)
          resolve(result)
        })
      }
      return promise
    },
    close: () => {},
  })

  const member = (name: string, incarnation = 1): System =>
    createSystem({
      environment: {
        ...world.environment(name, incarnation),
        disk,
        compute: { start: () => computeOf(name) },
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

  const length = Math.ceil(PARAMETERS / shardCount)
  const ranges = Array.from({ length: shardCount }, (_, index) => ({
    offset: index * length,
    length: Math.min(length, PARAMETERS - index * length),
  }))
  for (const [index, range] of ranges.entries()) {
    const system = await join(member(`shard-${index}`))
    const config = { folder: `shard-${index}`, incarnation: 1, journalBytesMax: 4_096 }
    system.spawn(parameterShard, { ...config, length: range.length }, { name: 'shard' })
  }
  const shards = ranges.map((_, index) =>
    control.ref<ShardMessage>({ member: `shard-${index}`, path: '/shard' }),
  )
  const source = control.spawn(
    exampleSource,
    { onFinished: (step) => void finished.push(step) },
    { name: 'source' },
  )
  const names = Array.from({ length: trainers }, (_, index) => `trainer-${index}`)
  const start = {
    phase: 1,
    steps,
    optimizer: options.optimizer,
    policy: parsePolicy(options.policy),
    trainers: names,
    average: { name: 'exponential', decay: 0.9, debias: false },
  }
  const limits = { timeoutMs: 5_000 }
  for (const [index, shard] of shards.entries()) {
    const parameters = tensorOf(new Float32Array(ranges[index]!.length))
    const begin = { type: 'begin', start: { ...start, parameters } } as const
    await settled(control.ask(shard, begin, limits))
  }
  source.tell({
    type: 'begin',
    phase: 1,
    kind: 'frames',
    steps,
    lanes,
    applied: { below: 0, above: [] },
    configuration: {},
  })

  const systems = new Map<string, System>()
  const startTrainer = async (name: string, incarnation: number): Promise<void> => {
    const system = await join(member(name, incarnation))
    systems.set(name, system)
    const config = {
      name,
      incarnation,
      source: system.ref<never>(source.address),
      shards: ranges.map((range, index) => ({
        ref: system.ref<never>(shards[index]!.address),
        ...range,
      })),
      lanes,
      stepMsMax,
      codec,
      task: {},
    }
    const restartLimit = { restartsMax: 0, windowMs: 1 }
    system.spawn(sequenceTrainer('formula') as never, config, { name: 'trainer', restartLimit })
  }
  for (const name of names) await startTrainer(name, 1)

  return {
    finished,
    crashes,
    shards,
    async run(ms) {
      for (let waited = 0; waited < ms && finished.length < steps; waited += 10) {
        await clock.advance(10)
      }
    },
    async parameters() {
      const all = new Float32Array(PARAMETERS)
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
    async replaceTrainer(index) {
      const name = names[index]!
      const former = systems.get(name)!
      former.stop()
      control.markLost(name, former.incarnation, 'killed')
      const incarnation = former.incarnation + 1
      source.tell({ type: 'release', trainer: name })
      for (const shard of shards) {
        await settled(control.ask(shard, { type: 'fence', trainer: name, incarnation }, limits))
      }
      await startTrainer(name, incarnation)
    },
  }
}
