// The processes of a cluster: what they are called, and what each is told when it starts. A replica is a
// trainer, or its subnetworks where it is cut.
import { assert } from '../../protocol/assert.ts'
import type { Address } from '../../protocol/address.ts'
import type { Engine } from '../../runtime/engine.ts'
import type { DeviceOptions } from '../../runtime/worker/devices.ts'
import type { ActorStart } from '../../runtime/worker/pool.ts'
import { parameterShard } from '../parameter-shard.ts'
import {
  namesOf,
  type Pipeline,
  SUBNETWORK,
  subnetworkConfig,
  subnetworkName,
} from '../pipeline/processes.ts'
import type { ClusterOptions } from './options.ts'

export type Role = 'trainer' | 'shard' | 'lattices' | 'subnetwork'

export interface ProcessStart {
  readonly name: string
  readonly actor: (incarnation: number, device: string | undefined) => ActorStart
  readonly devices?: DeviceOptions
  readonly engine?: Engine
}

/** A journal may hold at least this much, and at least sixteen gradients, before a snapshot is written. */
const JOURNAL_BYTES_MIN = 16 << 20

export function roleOf(name: string): Role {
  const role = name.slice(0, name.lastIndexOf('-'))
  assert(['trainer', 'shard', 'lattices', SUBNETWORK].includes(role), `${name} has a role`)
  return role as Role
}

export const isComputing = (name: string): boolean =>
  name.startsWith('trainer') || name.startsWith(SUBNETWORK)

/** Trainers stop before the shards they push to. */
export const stopRank = (name: string): number => (name.startsWith('shard') ? 1 : 0)

export function rangeOf(
  { ranges }: Pick<ClusterOptions, 'ranges'>,
  index: number,
): { readonly offset: number; readonly length: number } {
  const range = ranges[index]
  assert(range !== undefined, 'a range per shard')
  return range
}

export const shardName = (index: number): string => `shard-${index}`

export function shardStart(options: ClusterOptions, index: number): ProcessStart {
  const name = shardName(index)
  const { length } = rangeOf(options, index)
  return {
    name,
    actor: (incarnation) => ({
      kind: parameterShard.kind,
      name: 'shard',
      config: {
        folder: `${options.folder}/${name}`,
        length,
        incarnation,
        journalBytesMax: Math.max(JOURNAL_BYTES_MIN, 16 * 4 * length),
      },
    }),
  }
}

const rangesOfShards = ({ ranges }: ClusterOptions) =>
  ranges.map((range, shard) => ({ ref: shardAddress(shard), ...range }))

export const shardAddress = (index: number): Address => ({
  member: shardName(index),
  path: '/shard',
})

/** All processes of a replica; the first of them takes its steps. */
export function namesOfReplica({ pipeline }: ClusterOptions, replica: number): readonly string[] {
  return pipeline ? namesOf(pipeline, replica) : [`trainer-${replica}`]
}

/** Who of a replica pushes to a shard. */
export function pusherOf({ pipeline }: ClusterOptions, replica: number, shard: number): string {
  if (!pipeline) return `trainer-${replica}`
  return subnetworkName(pipeline, replica, pipeline.owners[shard] ?? 0)
}

/** The lattice worker that a replica asks, where there are any. */
export function latticesOf(
  { latticeWorkers, pipeline }: ClusterOptions,
  replica: number,
): number | undefined {
  return latticeWorkers > 0 && !pipeline ? replica % latticeWorkers : undefined
}

export function latticeStart(options: ClusterOptions, index: number): ProcessStart {
  const { stepMsMax, task } = options.trainer
  return {
    name: `lattices-${index}`,
    actor: () => ({
      kind: 'lattice-worker',
      name: 'lattices',
      config: { shards: rangesOfShards(options), stepMsMax, task },
    }),
  }
}

export function replicaStarts(
  options: ClusterOptions,
  source: Address,
  replica: number,
): readonly ProcessStart[] {
  const { pipeline } = options
  if (pipeline) return subnetworkStarts(options, { pipeline, source, replica })
  const name = `trainer-${replica}`
  const lattices = latticesOf(options, replica)
  return [
    {
      ...placeOf(options, replica),
      name,
      actor: (incarnation, device) => ({
        kind: options.trainerKind,
        name: 'trainer',
        config: {
          ...options.trainer,
          task: taskOn(options, device),
          name,
          incarnation,
          source,
          shards: rangesOfShards(options),
          ...(lattices !== undefined && {
            lattices: { member: `lattices-${lattices}`, path: '/lattices' },
          }),
        },
      }),
    },
  ]
}

function subnetworkStarts(
  options: ClusterOptions,
  {
    pipeline,
    source,
    replica,
  }: { readonly pipeline: Pipeline; readonly source: Address; readonly replica: number },
): readonly ProcessStart[] {
  const { codec, stepMsMax } = options.trainer
  return namesOf(pipeline, replica).map((name, subnetwork) => ({
    ...placeOf(options, replica * pipeline.subnetworks + subnetwork),
    name,
    actor: (incarnation, device) => ({
      kind: options.trainerKind,
      name: SUBNETWORK,
      config: subnetworkConfig(pipeline, {
        replica,
        subnetwork,
        incarnation,
        source,
        shards: rangesOfShards(options),
        task: taskOn(options, device) as object,
        codec,
        stepMsMax,
      }),
    }),
  }))
}

/** `index`: among the processes that compute gradients. */
function placeOf(
  { devices, trainerEngine }: ClusterOptions,
  index: number,
): Pick<ProcessStart, 'devices' | 'engine'> {
  const engine = trainerEngine(index)
  return { ...(devices && { devices }), ...(engine && { engine }) }
}

function taskOn({ devices, trainer }: ClusterOptions, device: string | undefined): unknown {
  return device === undefined || !devices ? trainer.task : devices.taskOn(device)
}
