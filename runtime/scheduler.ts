// Whose turn it is. Turns run in microtasks, so that an answer leaves in the same tick; after a slice of
// work the loop lets sockets and timers have theirs.
import type { Clock } from './environment.ts'
import { Ring } from './mailbox.ts'

const TURN_MESSAGES = 64
const SLICE_MESSAGES = 2_048
const SLICE_MS = 8
const UNREAD_MESSAGES = 64
const SHORT_MS = 1

export interface Schedulable {
  isScheduled: boolean
}

export interface Scheduler<Cell extends Schedulable> {
  readonly isIdle: boolean
  /** Turns since the start. */
  readonly handled: number
  schedule(cell: Cell): void
}

/** `run` handles up to so many messages and says how many; fewer means that the mailbox is empty. */
export function createScheduler<Cell extends Schedulable>(
  clock: Clock,
  run: (cell: Cell, messagesMax: number) => number,
): Scheduler<Cell> {
  const ready = new Ring<Cell>()
  const later = clock.soon?.bind(clock) ?? ((resume: () => void) => void clock.after(0, resume))
  let isPending = false
  let total = 0
  // Summed since the last time that input and output had their turn: a chain of microtasks may be long.
  let sliceMessages = 0
  let sliceMs = 0
  let unreadMax = 0

  function schedule(cell: Cell): void {
    if (cell.isScheduled) return
    cell.isScheduled = true
    ready.push(cell)
    if (isPending) return
    isPending = true
    if (isSliceOver()) later(startSlice)
    else queueMicrotask(turns)
  }

  function startSlice(): void {
    sliceMessages = 0
    sliceMs = 0
    turns()
  }

  function turns(): void {
    let at = clock.now()
    let unread = 0
    for (let cell = ready.take(); cell; cell = ready.take()) {
      cell.isScheduled = false
      const handled = run(cell, TURN_MESSAGES)
      if (handled === TURN_MESSAGES && !cell.isScheduled) {
        cell.isScheduled = true
        ready.push(cell)
      }
      sliceMessages += handled
      total += handled
      unread += handled
      // To read the clock costs more than a short turn: where turns are short, a few go unread.
      if (unread < unreadMax && ready.length > 0) continue
      const now = clock.now()
      unreadMax = now - at < SHORT_MS ? UNREAD_MESSAGES : 0
      sliceMs += now - at
      at = now
      unread = 0
      if (isSliceOver() && ready.length > 0) return later(startSlice)
    }
    isPending = false
  }

  const isSliceOver = (): boolean => sliceMessages >= SLICE_MESSAGES || sliceMs >= SLICE_MS

  return {
    get isIdle() {
      return !isPending
    },
    get handled() {
      return total
    },
    schedule,
  }
}
