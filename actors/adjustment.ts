// Changes of a phase under way, made on every shard once: by their number, which counts up over all lives of
// a run, a shard knows what it has already.
import { parsePolicy } from '../models/optimizers/staleness.ts'
import type { Adjustment, ShardMessage, ShardStatus } from '../protocol/training.ts'
import type { Ref } from '../runtime/actor.ts'
import type { Clock } from '../runtime/environment.ts'
import type { System } from '../runtime/system.ts'
import { type PatienceLimits, patiently } from './parameter-client.ts'
import { type Change, NotPossibleError } from './run/steering.ts'

/** `changeOf`: what a shard in this status is to be told. */
export type AdjustShards = (
  changeOf: (status: ShardStatus, shard: number) => Omit<Adjustment, 'change'>,
) => Promise<readonly ShardStatus[]>

export function adjustShards(
  shards: readonly Ref<ShardMessage>[],
  {
    system,
    clock,
    patience,
  }: { readonly system: System; readonly clock: Clock; readonly patience: PatienceLimits },
): AdjustShards {
  const limits = { timeoutMs: patience.askTimeoutMs }
  /** One change at a time: two must not have one number. */
  let last: Promise<unknown> = Promise.resolve()

  const askAll = <R>(ask: (shard: Ref<ShardMessage>, index: number) => Promise<R>) =>
    Promise.all(shards.map((shard, index) => patiently(clock, patience, () => ask(shard, index))))

  async function adjust(changeOf: Parameters<AdjustShards>[0]) {
    const statuses = await askAll((shard) => system.ask(shard, { type: 'status' }, limits))
    const change = 1 + Math.max(...statuses.map((status) => status.change))
    const adjustments = statuses.map((status, index) => ({ change, ...changeOf(status, index) }))
    const answers = await askAll((shard, index) => {
      const adjustment = adjustments[index] ?? { change }
      return system.ask(shard, { type: 'adjust', adjustment }, limits)
    })
    const refused = answers.find(({ refusal }) => refusal !== '')
    if (refused) throw new NotPossibleError(refused.refusal)
    return answers.map(({ status }) => status)
  }

  return (changeOf) => {
    const adjusted = last.then(() => adjust(changeOf))
    last = adjusted.catch(() => {})
    return adjusted
  }
}

/** Throws `PolicyError`; `NotPossibleError` where the rate cannot be changed now. */
export function changeOfShard(
  { phase, learningRate: now }: ShardStatus,
  { learningRate, policy }: Change,
): Omit<Adjustment, 'change'> {
  if (phase === 0) throw new NotPossibleError('nothing trains yet')
  if (learningRate !== undefined && now <= 0) {
    throw new NotPossibleError('the learning rate is 0 now: its schedule is over')
  }
  return {
    ...(learningRate !== undefined && { rateScale: learningRate / now }),
    ...(policy !== undefined && { policy: parsePolicy(policy) }),
  }
}
