// A compute thread that is there while somebody asks for something: one request at a time, few may wait, and
// it ends when nobody has asked for a while. The threads that evaluate are never held up by it.
import type { Clock, ComputeThread } from '../../runtime/environment.ts'
import { BusyError, insightLimits } from '../insight.ts'

export interface OnDemand {
  /** Rejects with `BusyError` where too many wait. */
  run<T>(work: (thread: ComputeThread) => Promise<T>): Promise<T>
}

/** It costs some milliseconds to start again. */
const IDLE_MS = 10_000

export function onDemand({
  clock,
  start,
}: {
  readonly clock: Clock
  /** A thread that is ready for work. */
  readonly start: () => Promise<ComputeThread>
}): OnDemand {
  let starting: Promise<ComputeThread> | undefined
  let last: Promise<unknown> = Promise.resolve()
  let pending = 0
  let cancelClose = (): void => {}

  async function threadNow(): Promise<ComputeThread> {
    starting ??= start()
    try {
      return await starting
    } catch (error) {
      // The next request may have more luck.
      starting = undefined
      throw error
    }
  }
  function closeLater(): void {
    cancelClose = clock.after(IDLE_MS, () => {
      starting?.then((thread) => thread.close()).catch(() => {})
      starting = undefined
    })
  }

  return {
    async run(work) {
      const { waitingMax } = insightLimits
      if (pending > waitingMax) throw new BusyError(`${waitingMax} requests wait: ask again later`)
      pending += 1
      cancelClose()
      const made = last.then(async () => work(await threadNow()))
      last = made.catch(() => {})
      try {
        return await made
      } finally {
        pending -= 1
        if (pending === 0) closeLater()
      }
    },
  }
}
