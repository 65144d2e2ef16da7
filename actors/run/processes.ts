// The processes of a run, as its options want them: shards, trainers on their devices and engines.
import {
  type ParameterLayout,
  type Range,
  type RoleSection,
  shardRanges,
} from '../../models/parameters.ts'
import { type Cluster, startCluster } from '../cluster.ts'
import { deviceOptionsOf } from '../devices.ts'
import type { FinishedStep } from '../example-source.ts'
import { type Pipeline, shardsOfSubnetworks } from '../pipeline/processes.ts'
import { failure, type Life, type OpenedLife } from './life.ts'
import type { RunRecord } from './record.ts'
import type { RunWorld } from './world.ts'

/** Lanes a trainer has; a phase may use fewer. */
const LANES_MAX = 2

export function startProcesses(
  world: RunWorld,
  life: Life,
  run: {
    readonly opened: OpenedLife<RunRecord>
    readonly layout: ParameterLayout
    readonly sections?: readonly RoleSection[]
    readonly trainerKind: string
    /** Where a trainer is cut into subnetworks, with how many parameters each has. */
    readonly pipeline?: Omit<Pipeline, 'owners' | 'subnetworks'> & {
      readonly lengths: readonly number[]
    }
    readonly latticeWorkers?: number
    /** Handed to the compute threads, with the device that each has. */
    readonly task: object
    /** No step is finished before a part has begun. */
    readonly onFinished: (step: FinishedStep) => void
  },
): Cluster {
  const { environment, options, emit } = world
  const { system, pool, record } = run.opened
  const { task, sections } = run
  const { ranges, pipeline } = placesOf(run, options.shards)
  return startCluster({
    system,
    pool,
    clock: environment.clock,
    folder: `${options.out}/shards`,
    ranges,
    ...(pipeline && { pipeline }),
    ...(sections && { sections }),
    trainerKind: run.trainerKind,
    // The last ones of those that the options count; who is added runs as the control process does.
    trainerEngine: (index) =>
      index < options.workers && index >= options.workers - options.deno ? 'deno' : undefined,
    replicas: pipeline ? Math.floor(options.workers / pipeline.subnetworks) : options.workers,
    latticeWorkers: run.latticeWorkers ?? 0,
    trainer: {
      codec: options.codec,
      task,
      lanes: LANES_MAX,
      stepMsMax: 1_000 * options.stepSeconds,
    },
    devices: {
      ...deviceOptionsOf(options.device, options.devicePolicy),
      taskOn: (device) => ({ ...task, device }),
    },
    restarts: record.restarts,
    emit,
    onFinished: run.onFinished,
    onGaveUp: (cause) => life.halt.because(failure(world, cause)),
  })
}

/** Shards of the whole vector, or of each subnetwork. */
function placesOf(
  { layout, pipeline }: Pick<Parameters<typeof startProcesses>[2], 'layout' | 'pipeline'>,
  shards: number,
): { readonly ranges: readonly Range[]; readonly pipeline?: Pipeline } {
  if (!pipeline) return { ranges: shardRanges(layout, shards) }
  const { lengths, ...rest } = pipeline
  const { ranges, owners } = shardsOfSubnetworks(lengths, shards)
  return { ranges, pipeline: { ...rest, owners, subnetworks: lengths.length } }
}
