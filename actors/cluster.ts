// The processes of a run: parameter shards and trainers, started, watched and replaced by the control
// process. What they train is a plan of phases; the cluster knows nothing of speech or images.
import { type RoleSection, sectionsWithin } from '../models/parameters.ts'
import { assert } from '../protocol/assert.ts'
import { alignedFloat32, tensorOf } from '../protocol/tensor.ts'
import type {
  PhaseStart,
  ShardMessage,
  ShardStatus,
  SourceStatus,
  StepKind,
} from '../protocol/training.ts'
import type { Ref } from '../runtime/actor.ts'
import type { Engine } from '../runtime/engine.ts'
import type { Clock } from '../runtime/environment.ts'
import type { DeviceOptions } from '../runtime/worker/devices.ts'
import type { System } from '../runtime/system.ts'
import type { Pool, PoolEvent, PoolWorker } from '../runtime/worker/pool.ts'
import { type AppliedSet, appliedByAll } from './applied-set.ts'
import { adjustShards, changeOfShard } from './adjustment.ts'
import type { ChaosFault, ChaosFaultName } from './chaos-plan.ts'
import { createDeaths } from './deaths.ts'
import type { RunEvent } from './events.ts'
import { exampleSource, type FinishedStep } from './example-source.ts'
import { patience, patiently } from './parameter-client.ts'
import { parameterShard } from './parameter-shard.ts'
import {
  namesOf,
  type Pipeline,
  replicaOf,
  SUBNETWORK,
  subnetworkConfig,
  subnetworkName,
} from './pipeline/processes.ts'
import type { Restart } from './report.ts'
import type { TrainerConfig, TrainerMessage } from './trainer.ts'
import { type Change, NotPossibleError, type Role, type RunMember } from './run/steering.ts'
import { createTeam } from './team.ts'

export interface ClusterOptions {
  readonly system: System
  readonly pool: Pool
  readonly clock: Clock
  /** Where the shards keep their snapshots and journals. */
  readonly folder: string
  readonly ranges: readonly { readonly offset: number; readonly length: number }[]
  /** What the whole vector is made of; absent: weights. */
  readonly sections?: readonly RoleSection[]
  readonly trainerKind: string
  /** The most trainers, or replicas, that a phase begins with. */
  readonly trainersMax: number
  /** What runs a trainer; undefined: what runs this process. */
  readonly trainerEngine: (index: number) => Engine | undefined
  readonly latticeWorkers: number
  /** How a trainer is cut into subnetworks, each a process of its own; absent: it is one process. */
  readonly pipeline?: Pipeline
  /** Everything of a trainer's configuration but who it is and whom it talks to. */
  readonly trainer: Pick<TrainerConfig, 'codec' | 'task' | 'lanes' | 'stepMsMax'>
  /** What trainers compute on: one device each, and their task on it. Absent: `trainer.task`. */
  readonly devices?: DeviceOptions & { readonly taskOn: (device: string) => unknown }
  /** Deaths of earlier lives of the run. */
  readonly restarts: readonly Restart[]
  readonly emit: (event: RunEvent) => void
  readonly onFinished: (step: FinishedStep) => void
  /** A process that keeps dying: the run cannot go on. */
  readonly onGaveUp: (cause: string) => void
}

export interface PhasePlan {
  readonly start: Omit<PhaseStart, 'parameters' | 'trainers' | 'sections'>
  readonly kind: StepKind
  /** Trainers that may take part: 1 in the warm start. */
  readonly trainers: number
  /** Steps that one trainer may have under way. */
  readonly lanes: number
  readonly parameters?: Float32Array
  readonly configuration: unknown
}

export interface Cluster {
  /** Of each shard. */
  readonly ranges: ClusterOptions['ranges']
  /** Every death so far. */
  restarts(): readonly Restart[]
  /** Begins a phase, or goes on with it where the shards already are; answers what is applied. */
  begin(plan: PhasePlan): Promise<AppliedSet>
  pull(copy: 'live' | 'average'): Promise<Float32Array>
  statuses(): Promise<readonly ShardStatus[]>
  checkpoint(): Promise<void>
  /** Whether steps are handed out: those under way go on. */
  pause(paused: boolean): void
  source(): Promise<SourceStatus>
  /** Of the phase under way. Rejects with `PolicyError` or `NotPossibleError`; then nothing has changed. */
  adjust(change: Change): Promise<readonly ShardStatus[]>
  /** Applies the rounds that wait for more steps as they are. */
  completeRounds(): Promise<void>
  members(): readonly RunMember[]
  /** One more trainer, or replica, from now on; answers its name, of a replica that of its first process. */
  add(): Promise<string>
  /** Its step is done by another. Rejects with `NotPossibleError`. */
  remove(name: string): Promise<void>
  /** In order: nothing of it counts as a death. */
  restart(name: string): Promise<void>
  strike(fault: ChaosFault): void
  stop(): Promise<void>
}

const CONTROL_PATIENCE = { ...patience, retriesMax: 6_000 }

/** A journal may hold at least this much, and at least sixteen gradients, before a snapshot is written. */
const JOURNAL_BYTES_MIN = 16 << 20

export function startCluster(options: ClusterOptions): Cluster {
  const { system, pool, clock, emit } = options
  const { onGaveUp, restarts } = options
  const deaths = createDeaths({ clock, emit, onGaveUp, restarts })
  const workers = new Map<string, PoolWorker>()
  const team = createTeam(options.trainersMax)
  /** Faults for trainers that were not there to hear of them. */
  const struckWhenReady = new Map<string, ChaosFaultName>()
  let isStopping = false

  // Its state is not kept elsewhere: a crash ends the run, which can be resumed.
  const source = system.spawn(
    exampleSource,
    { onFinished: finished },
    { name: 'source', restartLimit: { restartsMax: 0, windowMs: 1 } },
  )
  const shards: Ref<ShardMessage>[] = options.ranges.map((range, index) => {
    const name = `shard-${index}`
    startWorker(name, (incarnation) => ({
      kind: parameterShard.kind,
      name: 'shard',
      config: {
        folder: `${options.folder}/${name}`,
        length: range.length,
        incarnation,
        journalBytesMax: Math.max(JOURNAL_BYTES_MIN, 16 * 4 * range.length),
      },
    }))
    return system.ref({ member: name, path: '/shard' })
  })

  function startWorker(
    name: string,
    actor: (
      incarnation: number,
      device: string | undefined,
    ) => { kind: string; name: string; config: unknown },
    place: { readonly devices?: DeviceOptions; readonly engine?: Engine } = {},
  ): void {
    const onEvent = (event: PoolEvent) => observe(name, event)
    const actors = (...life: Parameters<typeof actor>) => [actor(...life)]
    workers.set(name, pool.start({ name, actors, onEvent, ...place }))
  }

  const rangesOfShards = () =>
    options.ranges.map((range, shard) => ({ ref: shards[shard]?.address, ...range }))
  const taskOn = (device: string | undefined): unknown =>
    device === undefined || !options.devices ? options.trainer.task : options.devices.taskOn(device)

  /** `index`: among the processes that compute gradients. */
  function startComputing(index: number, name: string, actor: Parameters<typeof startWorker>[1]) {
    if (workers.has(name)) return
    const { devices } = options
    const engine = options.trainerEngine(index)
    startWorker(name, actor, { ...(devices && { devices }), ...(engine && { engine }) })
  }

  function startTrainer(index: number): void {
    const { pipeline } = options
    if (pipeline) return startReplica(pipeline, index)
    const name = `trainer-${index}`
    const lattices =
      options.latticeWorkers > 0 ? startLatticeWorker(index % options.latticeWorkers) : undefined
    startComputing(index, name, (incarnation, device) => ({
      kind: options.trainerKind,
      name: 'trainer',
      config: {
        ...options.trainer,
        task: taskOn(device),
        name,
        incarnation,
        source: source.address,
        shards: rangesOfShards(),
        ...(lattices && { lattices }),
      },
    }))
  }

  function startReplica(pipeline: Pipeline, replica: number): void {
    const { codec, stepMsMax } = options.trainer
    namesOf(pipeline, replica).forEach((name, subnetwork) => {
      const index = replica * pipeline.subnetworks + subnetwork
      startComputing(index, name, (incarnation, device) => ({
        kind: options.trainerKind,
        name: SUBNETWORK,
        config: subnetworkConfig(pipeline, {
          replica,
          subnetwork,
          incarnation,
          source: source.address,
          shards: rangesOfShards(),
          task: taskOn(device) as object,
          codec,
          stepMsMax,
        }),
      }))
    })
  }

  function observe(name: string, event: PoolEvent): void {
    if (isStopping) return
    switch (event.type) {
      case 'exited':
        if (!event.isAsked) deaths.died(name, event)
        if (isComputing(name)) forgetTrainer(name, event.incarnation)
        return
      case 'restarting':
        deaths.restarting(name, event)
        return
      case 'ready':
        strikeAgain(name)
        if (!isComputing(name)) deaths.recovered(name)
        return
      case 'gave-up':
        options.onGaveUp(`${name}: ${event.cause}`)
    }
  }

  // Its steps go to whoever asks next, and what it may still push is refused: the successor, or
  // another trainer, computes the same step again.
  function forgetTrainer(trainer: string, incarnation: number): void {
    source.tell({ type: 'release', trainer })
    for (const shard of shards) {
      const fence = { type: 'fence', trainer, incarnation: incarnation + 1 } as const
      patiently(clock, CONTROL_PATIENCE, () =>
        system.ask(shard, fence, { timeoutMs: patience.askTimeoutMs }),
      ).catch((error) => options.onGaveUp(`fencing ${trainer}: ${error}`))
    }
  }

  function finished(step: FinishedStep): void {
    const { pipeline } = options
    const worked = pipeline ? replicaOf(pipeline, step.trainer) : [step.trainer]
    // What a subnetwork has done just before its death may be reported after it.
    for (const name of worked) if (workers.get(name)?.state === 'ready') deaths.recovered(name)
    // Every shard has answered, and whoever made the lattices.
    deaths.worked((name) => worked.includes(name) || !isComputing(name))
    options.onFinished(step)
  }

  /** Who pushes to a shard. */
  const trainersOf = (shard: number): string[] =>
    team.present.map((index) => {
      const { pipeline } = options
      if (!pipeline) return `trainer-${index}`
      return subnetworkName(pipeline, index, pipeline.owners[shard] ?? 0)
    })

  /** The processes of one that trains. */
  const namesOfTrainer = (index: number): readonly string[] =>
    options.pipeline ? namesOf(options.pipeline, index) : [`trainer-${index}`]

  /** Of the trainer that this process is one of, where it may be taken out. */
  const indexOf = (name: string): number | undefined =>
    team.present.find((index) => namesOfTrainer(index).includes(name))

  function workerNamed(name: string): PoolWorker {
    const worker = workers.get(name)
    if (worker) return worker
    throw new NotPossibleError(
      `${name}: no such process; there is ${[...workers.keys()].join(', ')}`,
    )
  }

  const adjust = adjustShards(shards, { system, clock, patience: CONTROL_PATIENCE })

  const askShards = <R>(ask: (shard: Ref<ShardMessage>) => Promise<R>): Promise<R[]> =>
    Promise.all(shards.map((shard) => patiently(clock, CONTROL_PATIENCE, () => ask(shard))))
  const limits = { timeoutMs: patience.askTimeoutMs }

  return {
    ranges: options.ranges,
    restarts: () => deaths.restarts,
    async begin({ start, kind, trainers, lanes, parameters, configuration }) {
      team.plan(trainers)
      const statuses = await Promise.all(
        shards.map((shard, index) => {
          const { offset, length } = rangeOf(options, index)
          const part = parameters && {
            parameters: tensorOf(parameters.slice(offset, offset + length)),
          }
          const roles = options.sections && {
            sections: sectionsWithin(options.sections, { offset, length }),
          }
          const message = {
            type: 'begin',
            start: { ...start, trainers: trainersOf(index), ...part, ...roles },
          } as const
          return patiently(clock, CONTROL_PATIENCE, () => system.ask(shard, message, limits))
        }),
      )
      // In an earlier life of the run others may have taken part in this phase.
      if (statuses.some(({ change }) => change > 0)) {
        await adjust((_, index) => ({ trainers: trainersOf(index) }))
      }
      const applied = appliedByAll(
        statuses.map(({ appliedBelow, appliedAbove }) => ({
          below: appliedBelow,
          above: new Set(appliedAbove),
        })),
      )
      const { phase, steps } = start
      const { below, above } = applied
      source.tell({
        type: 'begin',
        phase,
        kind,
        steps,
        lanes,
        applied: { below, above: [...above] },
        configuration,
      })
      for (const index of team.present) startTrainer(index)
      return applied
    },
    async pull(copy) {
      const pulled = await askShards((shard) =>
        system.ask(shard, { type: 'pull', have: -1, copy }, limits),
      )
      const count = options.ranges.reduce((sum, { length }) => sum + length, 0)
      const values = new Float32Array(count)
      pulled.forEach(({ parameters }, index) => {
        assert(parameters !== undefined, 'a pull that has nothing gets everything')
        values.set(alignedFloat32(parameters.bytes), rangeOf(options, index).offset)
      })
      return values
    },
    statuses: () => askShards((shard) => system.ask(shard, { type: 'status' }, limits)),
    async checkpoint() {
      await askShards((shard) => system.ask(shard, { type: 'checkpoint' }, limits))
    },
    pause: (paused) => void source.tell({ type: 'pause', paused }),
    source: () => system.ask(source, { type: 'status' }, limits),
    async adjust(change) {
      return await adjust((status) => changeOfShard(status, change))
    },
    async completeRounds() {
      // Saying again which policy holds does just that.
      await adjust(({ policy }) => ({ policy }))
    },
    members: () =>
      [...workers.values()].map((worker) => {
        const { name, state, incarnation, processId, device } = worker
        const isRemovable = indexOf(name) !== undefined && team.present.length > 1
        return { name, role: roleOf(name), state, incarnation, processId, device, isRemovable }
      }),
    async add() {
      if (team.present.length === 0) throw new NotPossibleError('nothing trains yet')
      const index = team.add()
      startTrainer(index)
      await adjust((_, shard) => ({ trainers: trainersOf(shard) }))
      return namesOfTrainer(index)[0] ?? ''
    },
    async remove(name) {
      workerNamed(name)
      const index = indexOf(name)
      if (index === undefined) throw new NotPossibleError(`${name} is no trainer: the run needs it`)
      if (!team.remove(index)) throw new NotPossibleError(`${name} is the last one that trains`)
      // First: a round must not wait for who is going.
      await adjust((_, shard) => ({ trainers: trainersOf(shard) }))
      await Promise.all(
        namesOfTrainer(index).map(async (each) => {
          await pool.remove(each)
          workers.delete(each)
          deaths.forget(each)
        }),
      )
    },
    restart: async (name) => await workerNamed(name).restart(),
    strike({ fault, target }) {
      const names = [...workers.keys()].filter(
        (name) => name === target || name.startsWith(`${target}-`),
      )
      // The last one: the first trainer did the warm start, so its successor is the harder case.
      const name = names.at(-1)
      if (name) strikeWorker(name, fault)
      else emit({ type: 'note', message: `chaos: ${fault}:${target} met no such process` })
    },
    async stop() {
      isStopping = true
      const all = [...workers].sort(([a], [b]) => rank(a) - rank(b)).map(([, worker]) => worker)
      await Promise.all(all.map((worker) => worker.stop()))
    },
  }

  function strikeAgain(name: string): void {
    const fault = struckWhenReady.get(name)
    struckWhenReady.delete(name)
    if (fault) strikeWorker(name, fault)
  }

  function strikeWorker(name: string, fault: ChaosFaultName): void {
    if (fault === 'kill' || fault === 'stop') {
      workers.get(name)?.kill(fault === 'kill' ? 'SIGKILL' : 'SIGSTOP')
      return
    }
    const path = name.startsWith(SUBNETWORK) ? `/${SUBNETWORK}` : '/trainer'
    const trainer = system.ref<TrainerMessage>({ member: name, path })
    const isHeard = trainer.tell({ type: 'fail', how: fault }) === 'accepted'
    if (!isHeard) struckWhenReady.set(name, fault)
  }

  function startLatticeWorker(index: number): { member: string; path: string } {
    const name = `lattices-${index}`
    if (!workers.has(name)) {
      startWorker(name, () => ({
        kind: 'lattice-worker',
        name: 'lattices',
        config: {
          shards: options.ranges.map((range, shard) => ({ ref: shards[shard]?.address, ...range })),
          stepMsMax: options.trainer.stepMsMax,
          task: options.trainer.task,
        },
      }))
    }
    return { member: name, path: '/lattices' }
  }
}

const isComputing = (name: string): boolean =>
  name.startsWith('trainer') || name.startsWith(SUBNETWORK)

/** Names are roles and numbers. */
function roleOf(name: string): Role {
  return name.replace(/-\d+$/, '') as Role
}

// Trainers stop before the shards they push to.
function rank(name: string): number {
  return name.startsWith('shard') ? 1 : 0
}

function rangeOf({ ranges }: ClusterOptions, index: number): { offset: number; length: number } {
  const range = ranges[index]
  assert(range !== undefined, 'a range per shard')
  return range
}
