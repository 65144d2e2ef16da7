// What becomes of a dead actor or process: pure verdicts over policies, limits and past restarts.
import type { Random } from '../protocol/random.ts'

/** permanent: always; transient: after a crash only; temporary: never. */
export type RestartPolicy = 'permanent' | 'transient' | 'temporary'

/** More than `restartsMax` restarts within `windowMs` escalate. */
export interface RestartLimit {
  readonly restartsMax: number
  readonly windowMs: number
}

/**
 * Who else is restarted with a child that died: nobody, every sibling, or those that were started after
 * it. They stop in reverse order of their start and start again in order; temporary ones do not come back.
 */
export type Strategy = 'one-for-one' | 'one-for-all' | 'rest-for-one'

/** How an actor looks after its children. Plain data: it can be printed, compared and sent. */
export interface Supervision {
  /** Default one-for-one. */
  readonly strategy?: Strategy
  /** Restarts of all children together; each child's own limit holds beside it. Default: none. */
  readonly restartLimit?: RestartLimit
  /**
   * The actor stops when a significant child has ended for good by itself, or when the last one has.
   * Default none.
   */
  readonly shutDownWith?: 'none' | 'any-significant' | 'all-significant'
}

export type Verdict = 'restart' | 'forget' | 'escalate'

export interface Death {
  readonly policy: RestartPolicy
  readonly crashed: boolean
  readonly limit: RestartLimit
  /** Times of earlier restarts, in milliseconds of the same clock as `now`. */
  readonly restarts: readonly number[]
  readonly now: number
  /** What all children of the parent share: their limit, and the times of their restarts. */
  readonly shared?: { readonly limit: RestartLimit; readonly restarts: readonly number[] }
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
  if (restartsWithin(restarts, now, limit) >= limit.restartsMax) return 'escalate'
  const { shared } = death
  if (!shared) return 'restart'
  const isOver = restartsWithin(shared.restarts, now, shared.limit) >= shared.limit.restartsMax
  return isOver ? 'escalate' : 'restart'
}

/** Those that stop and start again with `dead`, itself included; both lists are in order of start. */
export function restartedWith<Child>(
  strategy: Strategy,
  children: readonly Child[],
  dead: Child,
): readonly Child[] {
  switch (strategy) {
    case 'one-for-one':
      return [dead]
    case 'one-for-all':
      return children
    case 'rest-for-one':
      return children.slice(children.indexOf(dead))
  }
}

/** Whether the parent stops, now that a child has ended for good. `left`: those that remain. */
export function isShutDown(
  { shutDownWith = 'none' }: Supervision,
  ended: { readonly significant: boolean },
  left: Iterable<{ readonly significant: boolean }>,
): boolean {
  if (!ended.significant || shutDownWith === 'none') return false
  return shutDownWith === 'any-significant' || ![...left].some(({ significant }) => significant)
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
