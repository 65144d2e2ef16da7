// A wait with an end: what takes longer than it may rejects by name.
import type { Clock } from '../runtime/environment.ts'

export class DeadlineError extends Error {
  override readonly name = 'DeadlineError'
}

/** Rejects with `DeadlineError` after `ms`, saying `what`; what was waited for goes on unheard. */
export async function within<T>(
  clock: Clock,
  ms: number,
  promise: Promise<T>,
  what = 'nothing came',
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const cancel = clock.after(ms, () => reject(new DeadlineError(`${what} within ${ms} ms`)))
  try {
    return await Promise.race([promise, late])
  } finally {
    cancel()
  }
}
