// A clock that moves only when told: timers run in the order of their times, and of their creation where
// those are equal.
import { assert } from '../../protocol/assert.ts'
import type { Clock } from '../environment.ts'

export interface VirtualClock extends Clock {
  readonly timers: number
  /** Runs everything that is due in the next `ms`; microtasks have their turn before each timer. */
  advance(ms: number): Promise<void>
}

interface Timer {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

/** Microtasks in a row that may follow one timer. */
const SETTLE_TURNS = 50

export function virtualClock(start = 0): VirtualClock {
  const timers = new Set<Timer>()
  let now = start
  let created = 0

  async function advance(ms: number): Promise<void> {
    const until = now + ms
    await settle()
    for (let timer = earliest(timers, until); timer; timer = earliest(timers, until)) {
      timers.delete(timer)
      now = Math.max(now, timer.at)
      timer.run()
      await settle()
    }
    now = until
  }

  return {
    get timers() {
      return timers.size
    },
    now: () => now,
    wallTime: () => now,
    after(ms, run) {
      assert(ms >= 0, 'a timer lies in the future')
      const timer = { at: now + ms, order: created++, run }
      timers.add(timer)
      return () => timers.delete(timer)
    },
    advance,
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < SETTLE_TURNS; turn++) await undefined
}

function earliest(timers: Iterable<Timer>, until: number): Timer | undefined {
  let first: Timer | undefined
  for (const timer of timers) {
    if (timer.at > until) continue
    const isEarlier =
      !first || timer.at < first.at || (timer.at === first.at && timer.order < first.order)
    if (isEarlier) first = timer
  }
  return first
}
