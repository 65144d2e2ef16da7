// A fault on a link, to see it survived. A partition passes nothing in either direction: connections stay
// open and silent, as when a cable is cut; what was sent meanwhile arrives when it ends in time. A delay holds
// back whatever arrives, in order. Nothing is lost: the session sees to that, and its window bounds what waits.
import type { Clock } from '../environment.ts'

export type LinkFault =
  | { readonly type: 'delay'; readonly ms: number }
  | { readonly type: 'partition' }

export interface Gate {
  /** Nothing may be sent now. */
  readonly isShut: boolean
  /** Replaces the fault before it; ends by itself. */
  hold(fault: LinkFault, durationMs: number): void
  /** Now, or when the fault lets it through. */
  pass(deliver: () => void): void
}

export function createGate(clock: Clock, opened: () => void): Gate {
  let fault: LinkFault | undefined
  let waiting: (() => void)[] = []
  let stopClock: () => void = () => {}

  function open(): void {
    stopClock()
    fault = undefined
    const held = waiting
    waiting = []
    for (const deliver of held) deliver()
    opened()
  }

  /** The first of those that wait; later ones come after it, also when the delay has ended. */
  function deliverFirst(): void {
    waiting.shift()?.()
  }

  return {
    get isShut() {
      return fault?.type === 'partition'
    },
    hold(next, durationMs) {
      stopClock()
      fault = next
      stopClock = clock.after(durationMs, open)
    },
    pass(deliver) {
      if (!fault) return deliver()
      waiting.push(deliver)
      if (fault.type === 'delay') clock.after(fault.ms, deliverFirst)
    },
  }
}
