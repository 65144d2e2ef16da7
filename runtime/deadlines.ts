// Many deadlines, few timers. Those of equal length expire in the order in which they began, so each
// length has one queue and one timer; to end one early costs two pointers.
import type { Clock } from './environment.ts'

/** Something that expires. The fields belong to its queue. */
export interface Expiring {
  /** 0 where it waits in no queue. */
  expiresAt: number
  earlier: Expiring | undefined
  later: Expiring | undefined
  expired(): void
}

export interface Deadlines {
  begin(ms: number, expiring: Expiring): void
  /** It did not come to that. */
  end(ms: number, expiring: Expiring): void
}

interface Queue {
  readonly ms: number
  first: Expiring | undefined
  last: Expiring | undefined
  stopClock: (() => void) | undefined
}

export function createDeadlines(clock: Clock): Deadlines {
  const queues = new Map<number, Queue>()
  const soon = clock.soon?.bind(clock) ?? ((run: () => void) => void clock.after(0, run))
  /** The queue of the last call: most calls are of one length. */
  let latest: Queue | undefined
  let isSweepPending = false

  function queueOf(ms: number): Queue {
    if (latest?.ms === ms) return latest
    latest = queues.get(ms)
    if (!latest) {
      latest = { ms, first: undefined, last: undefined, stopClock: undefined }
      queues.set(ms, latest)
    }
    return latest
  }

  function arm(queue: Queue, now: number): void {
    if (!queue.first) return
    const inMs = Math.max(0, queue.first.expiresAt - now)
    queue.stopClock = clock.after(inMs, () => ring(queue))
  }

  function ring(queue: Queue): void {
    const now = clock.now()
    queue.stopClock = undefined
    while (queue.first && queue.first.expiresAt <= now) {
      const { first } = queue
      remove(queue, first)
      first.expired()
    }
    if (!queue.stopClock) arm(queue, now)
  }

  function remove(queue: Queue, expiring: Expiring): void {
    const { earlier, later } = expiring
    if (earlier) earlier.later = later
    else queue.first = later
    if (later) later.earlier = earlier
    else queue.last = earlier
    expiring.earlier = expiring.later = undefined
    expiring.expiresAt = 0
  }

  // A timer keeps the process alive, so an empty queue must have none; but asks follow each other, and a
  // timer for each would cost more than the ask.
  function sweepSoon(): void {
    if (isSweepPending) return
    isSweepPending = true
    soon(() => {
      isSweepPending = false
      for (const queue of queues.values()) {
        if (queue.first) continue
        queue.stopClock?.()
        queues.delete(queue.ms)
        if (latest === queue) latest = undefined
      }
    })
  }

  return {
    begin(ms, expiring) {
      const queue = queueOf(ms)
      const now = clock.now()
      expiring.expiresAt = now + ms
      expiring.earlier = queue.last
      expiring.later = undefined
      if (queue.last) queue.last.later = expiring
      else queue.first = expiring
      queue.last = expiring
      if (!queue.stopClock) arm(queue, now)
    },
    end(ms, expiring) {
      if (expiring.expiresAt === 0) return
      const queue = queueOf(ms)
      remove(queue, expiring)
      if (!queue.first) sweepSoon()
    },
  }
}
