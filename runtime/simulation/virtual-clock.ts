// A clock that moves only when told: timers run in the order of their times, and of their creation where
// those are equal.
import { assert } from '../../protocol/assert.ts'
import type { Clock } from '../environment.ts'

export interface VirtualClock extends Clock {
  /** How many are waiting. */
  readonly timers: number
  /** Runs everything that is due in the next `ms`; promises have their turn before each timer. */
  advance(ms: number): Promise<void>
  /** Advances until `isDone`, which is asked after every timer; false where `ms` were not enough. */
  advanceUntil(isDone: () => boolean, ms: number): Promise<boolean>
}

interface Timer {
  readonly at: number
  readonly order: number
  run: (() => void) | undefined
}

export function virtualClock(start = 0): VirtualClock {
  const waiting = new TimerHeap()
  let now = start
  let created = 0
  let cancelled = 0
  let last: Promise<unknown> = Promise.resolve()

  // One after the other: two that advance at once would share the time.
  function advanceUntil(isDone: () => boolean, ms: number): Promise<boolean> {
    const advanced = last.then(() => run(isDone, now + ms))
    last = advanced.catch(() => {})
    return advanced
  }

  async function run(isDone: () => boolean, until: number): Promise<boolean> {
    await settle()
    while (!isDone()) {
      const timer = nextTimer(until)
      if (!timer) {
        now = until
        return false
      }
      const { run: due } = timer
      timer.run = undefined
      now = Math.max(now, timer.at)
      due?.()
      await settle()
    }
    return true
  }

  function nextTimer(until: number): Timer | undefined {
    for (let first = waiting.first; first && first.at <= until; first = waiting.first) {
      waiting.take()
      if (first.run) return first
      cancelled -= 1
    }
    return undefined
  }

  return {
    get timers() {
      return waiting.length - cancelled
    },
    now: () => now,
    wallTime: () => now,
    after(ms, run) {
      assert(ms >= 0, 'a timer lies in the future')
      const timer: Timer = { at: now + ms, order: created++, run }
      waiting.push(timer)
      return () => {
        if (!timer.run) return
        timer.run = undefined
        cancelled += 1
      }
    },
    async advance(ms) {
      await advanceUntil(() => false, ms)
    },
    advanceUntil,
  }
}

/** Promises in a row that one timer may settle: a longer chain goes on after the next timer. */
const SETTLE_TURNS = 50

// Not an immediate, which would drain every chain: the platform looks for rejections that nobody handles
// yet when the loop turns, and a test looks at its promises only after it has advanced the clock.
async function settle(): Promise<void> {
  for (let turn = 0; turn < SETTLE_TURNS; turn++) await undefined
}

const isEarlier = (a: Timer, b: Timer): boolean =>
  a.at < b.at || (a.at === b.at && a.order < b.order)

/** A binary heap: the earliest timer first. Cancelled ones stay until their time has come. */
class TimerHeap {
  readonly #timers: Timer[] = []

  get length(): number {
    return this.#timers.length
  }

  get first(): Timer | undefined {
    return this.#timers[0]
  }

  push(timer: Timer): void {
    const timers = this.#timers
    let at = timers.push(timer) - 1
    for (let parent = (at - 1) >> 1; at > 0; parent = (at - 1) >> 1) {
      if (!isEarlier(timer, timers[parent]!)) break
      timers[at] = timers[parent]!
      at = parent
    }
    timers[at] = timer
  }

  take(): void {
    const timers = this.#timers
    const last = timers.pop()
    if (!last || timers.length === 0) return
    let at = 0
    for (let child = 1; child < timers.length; child = 2 * at + 1) {
      if (child + 1 < timers.length && isEarlier(timers[child + 1]!, timers[child]!)) child += 1
      if (!isEarlier(timers[child]!, last)) break
      timers[at] = timers[child]!
      at = child
    }
    timers[at] = last
  }
}
