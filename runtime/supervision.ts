// What becomes of a dead actor or process: pure verdicts over policies, limits and past restarts.
import type { Random } from '../protocol/random.ts'

/** permanent: always; transient: after a crash only; temporary: never. */
export type RestartPolicy = 'permanent' | 'transient' | 'temporary'

/** More than `restartsMax` restarts within `windowMs` escalate. */
export interface RestartLimit {
  readonly restartsMax: number
  readonly windowMs: number
}

export type Verdict = 'restart' | 'forget' | 'escalate'

export interface Death {
  readonly policy: RestartPolicy
  readonly crashed: boolean
  readonly limit: RestartLimit
  /** Times of earlier restarts, in milliseconds of the same clock as `now`. */
  readonly restarts: readonly number[]
  readonly now: number
  /** Lives in a row, this one included, that ended before they were ready ... */
  readonly failedStarts?: number
  /** ... of which so many escalate: another would end alike. Absent: only `limit` counts. */
  readonly failedStartsMax?: number
}

export function judgeDeath(death: Death): Verdict {
  const { policy, crashed, limit, restarts, now } = death
  const { failedStarts = 0, failedStartsMax = Number.POSITIVE_INFINITY } = death
  if (policy === 'temporary' || (policy === 'transient' && !crashed)) return 'forget'
  if (failedStarts >= failedStartsMax) return 'escalate'
  return restartsWithin(restarts, now, limit) < limit.restartsMax ? 'restart' : 'escalate'
}

export function restartsWithin(
  restarts: readonly number[],
  now: number,
  { windowMs }: RestartLimit,
): number {
  return restarts.filter((at) => now - at < windowMs).length
}

/** Forgets restarts that no longer count, so that the list stays as short as its limit. */
export function withRestart(
  restarts: readonly number[],
  now: number,
  { windowMs }: RestartLimit,
): number[] {
  return [...restarts.filter((at) => now - at < windowMs), now]
}

export interface Backoff {
  readonly delayMs: number
  readonly delayMsMax: number
}

/**
 * The delay before try `tries` (0 = the first, which never waits): doubles up to `delayMsMax`, of which
 * the upper half is drawn by chance, so that many who failed together do not return together.
 */
export function backoffMs(tries: number, { delayMs, delayMsMax }: Backoff, random: Random): number {
  if (tries <= 0) return 0
  const ceiling = Math.min(delayMsMax, delayMs * 2 ** Math.min(tries - 1, 30))
  return ceiling * (0.5 + 0.5 * random.next())
}
