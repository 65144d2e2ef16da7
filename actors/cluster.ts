// The processes of a run: parameter shards and trainers, started, watched and replaced by the control
// process. What they train is a plan of phases; the cluster knows nothing of speech or images.
import type { ShardStatus } from '../protocol/training.ts'
import type { PoolEvent, PoolWorker } from '../runtime/worker/pool.ts'
import type { ChaosFault, ChaosFaultName } from './chaos-plan.ts'
import { deathRegister } from './cluster/deaths.ts'
import type { ClusterOptions } from './cluster/options.ts'
import {
  isComputing,
  latticesOf,
  latticeStart,
  type ProcessStart,
  replicaStarts,
  shardStart,
  stopRank,
} from './cluster/processes.ts'
import { type PlacedShard, shardsOf } from './cluster/shards.ts'
import { type Steered, steeringOf } from './cluster/steering.ts'
import { exampleSource, type FinishedStep } from './example-source.ts'
import { replicaOf, SUBNETWORK } from './pipeline/processes.ts'
import type { Restart } from './report.ts'
import type { TrainerMessage } from './trainer.ts'

export type { ClusterOptions, PhasePlan } from './cluster/options.ts'

export interface Cluster extends Steered {
  /** Every death so far. */
  restarts(): readonly Restart[]
  pull(copy: 'live' | 'average'): Promise<Float32Array>
  statuses(): Promise<readonly ShardStatus[]>
  /** For whoever looks on: fails soon where a shard does not answer. */
  placedShards(): Promise<readonly PlacedShard[]>
  checkpoint(): Promise<void>
  strike(fault: ChaosFault): void
  stop(): Promise<void>
}

export function startCluster(options: ClusterOptions): Cluster {
  const { system, pool, emit } = options
  const workers = new Map<string, PoolWorker>()
  /** Faults for trainers that were not there to hear of them. */
  const struckWhenReady = new Map<string, ChaosFaultName>()
  const deaths = deathRegister(options)
  let isStopping = false

  // Its state is not kept elsewhere: a crash ends the run, which can be resumed.
  const source = system.spawn(
    exampleSource,
    { onFinished: finished },
    { name: 'source', restartLimit: { restartsMax: 0, windowMs: 1 } },
  )
  options.ranges.forEach((_, index) => start(shardStart(options, index)))
  const shards = shardsOf(options)
  const steering = steeringOf({
    options,
    source,
    shards,
    workers,
    startReplica,
    strike: strikeWorker,
    onLeft: deaths.left,
  })

  function start({ name, actor, ...place }: ProcessStart): void {
    if (workers.has(name)) return
    const onEvent = (event: PoolEvent) => observe(name, event)
    const actors = (...life: Parameters<typeof actor>) => [actor(...life)]
    workers.set(name, pool.start({ name, actors, onEvent, ...place }))
  }

  function startReplica(replica: number): void {
    const lattices = latticesOf(options, replica)
    if (lattices !== undefined) start(latticeStart(options, lattices))
    for (const process of replicaStarts(options, source.address, replica)) start(process)
  }

  function observe(name: string, event: PoolEvent): void {
    if (isStopping) return
    switch (event.type) {
      case 'started':
        return
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
    shards
      .fence(trainer, incarnation + 1)
      .catch((error) => options.onGaveUp(`fencing ${trainer}: ${error}`))
  }

  function finished(step: FinishedStep): void {
    const { pipeline } = options
    const worked = pipeline ? replicaOf(pipeline, step.trainer) : [step.trainer]
    // What a subnetwork has done just before its death may be reported after it.
    for (const name of worked) if (workers.get(name)?.state === 'ready') deaths.recovered(name)
    deaths.finished(worked)
    options.onFinished(step)
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

  return {
    ...steering,
    get isPaused() {
      return steering.isPaused
    },
    restarts: deaths.restarts,
    pull: shards.pull,
    statuses: shards.statuses,
    placedShards: shards.placed,
    checkpoint: shards.checkpoint,
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
      const all = [...workers].sort(([a], [b]) => stopRank(a) - stopRank(b))
      await Promise.all(all.map(([, worker]) => worker.stop()))
    },
  }
}
