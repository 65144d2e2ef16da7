// What the shards counted, for the report.
import type { ShardStatus, UpdateCounts } from '../../protocol/training.ts'
import type { RunReport } from '../report.ts'

/** Acknowledged is what trainers heard, applied what shards have: one from each shard a step. */
export function sumUpdates(
  statuses: readonly ShardStatus[],
  acknowledgedSteps: number,
): RunReport['updates'] {
  const sum = (of: keyof UpdateCounts) =>
    statuses.reduce((total, { updates }) => total + updates[of], 0)
  return {
    acknowledged: acknowledgedSteps * statuses.length,
    applied: sum('applied'),
    duplicates: sum('duplicates'),
    refused: sum('refused'),
  }
}

export function describeStaleness(
  statuses: readonly Pick<ShardStatus, 'staleness'>[],
): RunReport['staleness'] {
  const length = Math.max(0, ...statuses.map(({ staleness }) => staleness.length))
  const counts = Array.from({ length }, (_, bucket) =>
    statuses.reduce((sum, { staleness }) => sum + (staleness[bucket] ?? 0), 0),
  )
  const max = Math.max(
    0,
    counts.findLastIndex((count) => count > 0),
  )
  const total = counts.reduce((sum, count) => sum + count, 0)
  const quantile = (part: number): number => {
    let seen = 0
    return Math.max(
      0,
      counts.findIndex((count) => (seen += count) >= part * total),
    )
  }
  return { p50: quantile(0.5), p99: quantile(0.99), max, histogram: counts.slice(0, max + 1) }
}
