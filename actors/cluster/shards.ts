// What the control process asks of all shards at once. A shard that has died is waited for: it comes back.
import { sectionsWithin } from '../../models/parameters.ts'
import { assert } from '../../protocol/assert.ts'
import { alignedFloat32, tensorOf } from '../../protocol/tensor.ts'
import type { Adjusted, Adjustment, ShardMessage, ShardStatus } from '../../protocol/training.ts'
import type { Ref } from '../../runtime/actor.ts'
import { patience, patiently } from '../parameter-client.ts'
import { NotPossibleError } from './not-possible.ts'
import type { ClusterOptions, PhasePlan } from './options.ts'
import { pusherOf, rangeOf, shardAddress, shardName } from './processes.ts'

/** A shard, where it is and what it holds. */
export interface PlacedShard extends ShardStatus {
  readonly member: string
  readonly offset: number
  readonly length: number
}

export interface Shards {
  begin(
    plan: Pick<PhasePlan, 'start' | 'parameters'>,
    replicas: readonly number[],
  ): Promise<readonly ShardStatus[]>
  pull(copy: 'live' | 'average'): Promise<Float32Array>
  statuses(): Promise<readonly ShardStatus[]>
  /** For whoever looks on: a shard that does not answer soon fails it. */
  placed(): Promise<readonly PlacedShard[]>
  checkpoint(): Promise<void>
  fence(trainer: string, incarnation: number): Promise<void>
  /** Throws `NotPossibleError` where a shard refuses it. */
  adjust(change: number, what: (shard: number) => AdjustmentOf): Promise<readonly ShardStatus[]>
}

type AdjustmentOf = Omit<Adjustment, 'change'>

const CONTROL_PATIENCE = { ...patience, retriesMax: 6_000 }
const ONLOOKER_PATIENCE = { ...patience, askTimeoutMs: 5_000, retriesMax: 100 }

export function shardsOf(options: ClusterOptions): Shards {
  const { system, clock, ranges } = options
  const refs = ranges.map((_, index) => system.ref<ShardMessage>(shardAddress(index)))
  const askAll = <R>(
    ask: (shard: Ref<ShardMessage>, index: number, limits: { timeoutMs: number }) => Promise<R>,
    limits = CONTROL_PATIENCE,
  ): Promise<R[]> => {
    const { askTimeoutMs: timeoutMs } = limits
    const one = (shard: Ref<ShardMessage>, index: number) =>
      patiently(clock, limits, () => ask(shard, index, { timeoutMs }))
    return Promise.all(refs.map(one))
  }
  const statuses = (limits = CONTROL_PATIENCE) =>
    askAll((shard, _, ms) => system.ask(shard, { type: 'status' }, ms), limits)
  return {
    begin: ({ start, parameters }, replicas) =>
      askAll((shard, index, limits) => {
        const { offset, length } = rangeOf(options, index)
        const trainers = replicas.map((replica) => pusherOf(options, replica, index))
        const part = parameters && {
          parameters: tensorOf(parameters.slice(offset, offset + length)),
        }
        const roles = options.sections && {
          sections: sectionsWithin(options.sections, { offset, length }),
        }
        const begin = { type: 'begin', start: { ...start, trainers, ...part, ...roles } } as const
        return system.ask(shard, begin, limits)
      }),
    async pull(copy) {
      const pull = { type: 'pull', have: -1, copy } as const
      const pulled = await askAll((shard, _, limits) => system.ask(shard, pull, limits))
      const values = new Float32Array(ranges.reduce((sum, { length }) => sum + length, 0))
      pulled.forEach(({ parameters }, index) => {
        assert(parameters !== undefined, 'a pull that has nothing gets everything')
        values.set(alignedFloat32(parameters.bytes), rangeOf(options, index).offset)
      })
      return values
    },
    statuses: () => statuses(),
    async placed() {
      const all = await statuses(ONLOOKER_PATIENCE)
      return all.map((status, index) => {
        const { offset, length } = rangeOf(options, index)
        return { ...status, member: shardName(index), offset, length }
      })
    },
    async checkpoint() {
      await askAll((shard, _, limits) => system.ask(shard, { type: 'checkpoint' }, limits))
    },
    async fence(trainer, incarnation) {
      const fence = { type: 'fence', trainer, incarnation } as const
      await askAll((shard, _, limits) => system.ask(shard, fence, limits))
    },
    async adjust(change, what) {
      const adjusted = await askAll<Adjusted>((shard, index, limits) => {
        const adjustment = { change, ...what(index) }
        return system.ask(shard, { type: 'adjust', adjustment }, limits)
      })
      const refused = adjusted.find(({ refusal }) => refusal !== undefined)
      if (refused) throw new NotPossibleError(refused.refusal)
      return adjusted
    },
  }
}
