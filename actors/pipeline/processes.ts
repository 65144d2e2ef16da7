// The processes of the replicas of a run, where each replica is cut into subnetworks: their names, numbered
// through, their shards, and what each is told when it starts.
import type { Range } from '../../models/parameters.ts'
import { assert } from '../../protocol/assert.ts'
import type { Address } from '../../protocol/address.ts'

/** A subnetwork of a replica. */
export interface Stage {
  readonly stage: number
  readonly replica: number
  /** Its process. */
  readonly name: string
}

export interface Pipeline {
  /** Of a replica. */
  readonly subnetworks: number
  /** Per shard: the subnetwork whose parameters it holds. */
  readonly owners: readonly number[]
  /** Micro-batches of a minibatch. */
  readonly micros: number
  /** Minibatches that a replica may have in flight. */
  readonly lanes: number
  /** hard-sync: nobody pushes before everybody can. */
  readonly isInStep: boolean
  /** What a subnetwork's compute thread is told beside the task. */
  readonly partOf: (subnetwork: number) => object
}

type Cut = Pick<Pipeline, 'subnetworks'>

export const SUBNETWORK = 'subnetwork'

export function subnetworkName({ subnetworks }: Cut, replica: number, subnetwork: number) {
  return `${SUBNETWORK}-${replica * subnetworks + subnetwork}`
}

/** All processes of the replica that this one belongs to. */
export function replicaOf(pipeline: Pipeline, name: string): readonly string[] {
  const replica = Math.floor(Number(name.split('-').at(-1)) / pipeline.subnetworks)
  return namesOf(pipeline, replica)
}

export function namesOf(pipeline: Cut, replica: number): readonly string[] {
  return Array.from({ length: pipeline.subnetworks }, (_, subnetwork) =>
    subnetworkName(pipeline, replica, subnetwork),
  )
}

/** All subnetworks of all replicas, as people look at them. */
export function stagesOf(pipeline: Cut, replicas: number): Stage[] {
  return Array.from({ length: replicas }, (_, replica) =>
    namesOf(pipeline, replica).map((name, stage) => ({ name, stage, replica })),
  ).flat()
}

/** Plain data, as a process is told it: refs are addresses. */
export function subnetworkConfig(
  pipeline: Pipeline,
  {
    replica,
    subnetwork,
    shards,
    task,
    ...rest
  }: {
    readonly replica: number
    readonly subnetwork: number
    /** Of all ranges. */
    readonly shards: readonly ({ readonly ref: Address | undefined } & Range)[]
    readonly task: object
    readonly incarnation: number
    readonly source: Address
    readonly stepMsMax: number
    readonly codec: string
  },
) {
  const { micros, lanes, isInStep, owners, partOf } = pipeline
  return {
    ...rest,
    name: subnetworkName(pipeline, replica, subnetwork),
    subnetwork,
    subnetworks: namesOf(pipeline, replica).map((member) => ({ member, path: `/${SUBNETWORK}` })),
    shards: shards.filter((_, shard) => owners[shard] === subnetwork),
    micros,
    lanes,
    isInStep,
    task: { ...task, ...partOf(subnetwork) },
  }
}

/**
 * Every subnetwork has shards of its own, so that it alone pushes to them: one each, and more where most
 * parameters are. `lengths`: parameters of each, in the order of the vector.
 */
export function shardsOfSubnetworks(
  lengths: readonly number[],
  shards: number,
): { readonly ranges: readonly Range[]; readonly owners: readonly number[] } {
  assert(shards >= lengths.length, `${lengths.length} subnetworks have at least as many shards`)
  const counts = lengths.map(() => 1)
  for (let extra = shards - lengths.length; extra > 0; extra--) {
    const loads = lengths.map((length, index) => length / counts[index]!)
    const busiest = loads.indexOf(Math.max(...loads))
    counts[busiest]! += 1
  }
  let begun = 0
  const cut = lengths.flatMap((length, owner) => {
    const count = counts[owner]!
    const start = begun
    begun += length
    return Array.from({ length: count }, (_, index) => {
      const offset = start + Math.floor((length * index) / count)
      const end = start + Math.floor((length * (index + 1)) / count)
      return { owner, range: { offset, length: end - offset } }
    })
  })
  return { ranges: cut.map(({ range }) => range), owners: cut.map(({ owner }) => owner) }
}
